"""From view data to HTML: everything is escaped, links are relative, times carry the instant behind them."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from pd_sf_rules import __version__
from pd_sf_rules.web.access import Viewer, choices
from pd_sf_rules.web.forgery import FIELD, token_for

PREFIX = "/pd-sf-rules/"
TEMPLATES = Path(__file__).parent / "templates"
TABS = (
    ("summary", "Summary"),
    ("rulesets", "Rulesets"),
    ("activity", "Activity"),
    ("errors", "Errors"),
    ("links", "Links"),
    ("playground", "Playground"),
)
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self';"
        " form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_UNITS = ((86_400 * 365, "y"), (86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def page(
    request: Request, viewer: Viewer, template: str, *, status: int = 200, **view: Any
) -> HTMLResponse:
    """Return a whole page. `view` is what the template names; `integration` (a name) marks the one chosen on top."""
    frame = {
        "root": to_root(request),
        "viewer": viewer,
        "version": __version__,
        "tabs": _tabs(),
        "tab": template.removesuffix(".html"),
        "token": token_for(viewer.name),
        "token_field": FIELD,
        "choices": choices(viewer, str(view.get("integration", ""))),
        "said": request.query_params.get("said", "")[:500],
        "rendered_at": datetime.now(UTC),
    }
    text = environment().get_template(template).render(frame | view)
    return HTMLResponse(text, status_code=status)


def fragment(request: Request, template: str, **view: Any) -> HTMLResponse:
    """Return a part of a page, for a script to put in its place."""
    text = environment().get_template(template).render({"root": to_root(request)} | view)
    return HTMLResponse(text)


def back(request: Request, path: str, *, said: str = "", **query: str) -> Response:
    """Return what a form gets when it is done: a redirect (303) to a page, which shows `said` once on top.

    `path` is relative to the root of the pages ("rulesets").
    """
    asked = {k: v for k, v in {**query, "said": said}.items() if v}
    return RedirectResponse(f"{to_root(request)}{path}?{urlencode(asked)}", status_code=303)


def to_root(request: Request) -> str:
    """Return the way from this page's address up to /pd-sf-rules/ ("", "../"): right behind any proxy's prefix."""
    raw = (request.scope.get("raw_path") or b"").decode("latin-1") or request.url.path
    return "../" * raw.split("?")[0].partition(PREFIX)[2].count("/") or "./"


@cache
def _tabs() -> list[tuple[str, str]]:
    there = {path.stem for path in (Path(__file__).parent / "pages").glob("*.py")}
    return [tab for tab in TABS if tab[0] in there]


@cache
def environment() -> Environment:
    """Return the templates' environment, made once; a name that a page forgot to pass is an error."""
    made = Environment(
        autoescape=True,
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "ago": ago,
        "exact": exact,
        "iso": iso,
        "span": span,
        "number": number,
        "segment": segment,
        "pretty": pretty,
        "cut": cut,
        "prose": prose,
        "run_page": run_page,
    }
    made.globals["with_query"] = with_query
    return made


def ago(at: datetime | None, now: datetime | None = None) -> str:
    """Return "3 min ago", "in 2 h", "just now"; "never" for None."""
    if at is None:
        return "never"
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    if abs(seconds) < 1:
        return "just now"
    return f"{span(seconds)} ago" if seconds > 0 else f"in {span(-seconds)}"


def span(seconds: float) -> str:
    """Return a length of time in its largest unit: "45 s", "3 min", "2 d"."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "0 s"


def exact(at: datetime | None) -> str:
    """Return the instant in UTC to the second, for titles and tables."""
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso(at: datetime | None) -> str:
    """Return the instant as ISO 8601, for `datetime` attributes and forms."""
    return "" if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def number(value: float) -> str:
    """Return 12 345 with thin spaces between the thousands."""
    return f"{value:,.0f}".replace(",", "\u202f")


def segment(value: object) -> str:
    """Return a value as one segment of a path, slashes and all escaped."""
    return quote(str(value), safe="")


def pretty(value: object) -> str:
    """Return a JSON value over several lines; what JSON cannot hold as text."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str, sort_keys=False)


def prose(text: object) -> Markup:
    """Return a sentence with `what stands in backticks` as code, everything escaped."""
    parts = str(text).split("`")
    if len(parts) % 2 == 0:
        return escape(str(text))
    told = [
        Markup("<code>{}</code>").format(p) if n % 2 else escape(p) for n, p in enumerate(parts)
    ]
    return Markup("").join(told)


def cut(value: object, length: int = 120) -> str:
    """Return a text on one line, at most that long, with … where something was cut."""
    text = " ".join(str(value).split())
    return text if len(text) <= length else text[: length - 1] + "…"


def run_page(run_id: str) -> str:
    """Return Airflow's own address of a run that the ledger calls `dag/run`; "" for one made without Airflow."""
    dag, _, run = run_id.partition("/")
    return "" if dag == "pdsf" or not run else f"dags/{segment(dag)}/runs/{segment(run)}"


def with_query(query: Mapping[str, Any], **changes: Any) -> str:
    """Return "?a=1&b=2" of a form's values with some changed; empty ones are left out."""
    told = {k: v for k, v in {**query, **changes}.items() if v not in (None, "", False)}
    return "?" + urlencode(told, doseq=True)
