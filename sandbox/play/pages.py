"""Routes of the play page: the page, its live part, its forms, and links from the other systems."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from sandbox.control_pagerduty import ACTIONS
from sandbox.pagerduty.people import person
from sandbox.pagerduty.shapes import Refusal
from sandbox.play import board
from sandbox.salesforce.errors import ApiError

if TYPE_CHECKING:
    from sandbox.world import World

HERE = Path(__file__).parent
TEMPLATES = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def _moment(at: datetime) -> str:
    """The time of day, with the date before it unless that is today's; UTC."""
    today = at.date() == datetime.now(UTC).date()
    return f"{at:%H:%M:%S}" if today else f"{at.day} {at:%b %H:%M}"


TEMPLATES.filters["moment"] = _moment
Form = dict[str, str]
Work = Callable[[Form, Request], str]


def routes(world: "World") -> list[BaseRoute]:
    """Everything the browser asks for."""

    async def page(_request: Request) -> Response:
        return await run_in_threadpool(_render, world, "page.html")

    async def live(_request: Request) -> Response:
        return await run_in_threadpool(_render, world, "board.html")

    def submit(work: Work) -> Any:
        return _submitting(work)

    return [
        Route("/", page, methods=["GET"]),
        Route("/play/board", live, methods=["GET"]),
        Mount("/play/static", StaticFiles(directory=HERE / "static")),
        Route("/play/cases", submit(lambda form, _request: _new_case(world, form)), methods=["POST"]),
        Route("/play/cases/{id}", submit(lambda form, request: _edit_case(world, form, request)),
              methods=["POST"]),
        Route("/play/cases/{id}/comments",
              submit(lambda form, request: _comment(world, form, request)), methods=["POST"]),
        Route("/play/incidents", submit(lambda form, _request: _new_incident(world, form)),
              methods=["POST"]),
        Route("/play/incidents/{id}/{action}",
              submit(lambda form, request: _act(world, form, request)), methods=["POST"]),
        Route("/pagerduty/incidents/{id}", _to("incident"), methods=["GET"]),
        Route("/salesforce/lightning/r/{object}/{id}/view", _to("case"), methods=["GET"]),
        Route("/salesforce/{id}", _to("case"), methods=["GET"]),
    ]  # fmt: skip


def _render(world: "World", template: str) -> Response:
    text = TEMPLATES.get_template(template).render(
        cases=board.case_cards(world),
        incidents=board.incident_cards(world),
        calls=board.calls(world),
        choices=board.choices(world),
        airflow_url=world.airflow_url,
    )
    return HTMLResponse(text, headers={"Cache-Control": "no-store"})


def _to(kind: str) -> Any:
    async def endpoint(request: Request) -> Response:
        return RedirectResponse(f"/#{kind}-{request.path_params['id']}")

    return endpoint


def _submitting(work: Work) -> Any:
    """A form's endpoint: do the work, then back to the card; errors as one plain sentence."""

    async def endpoint(request: Request) -> Response:
        if _foreign(request):
            return PlainTextResponse("Forms are taken from this page only.", 403)
        raw = (await request.body()).decode()
        form = {name: value.strip() for name, value in parse_qsl(raw, keep_blank_values=True)}
        try:
            anchor = work(form, request)
        except (Refusal, ApiError, LookupError, ValueError) as error:
            return PlainTextResponse(_sentence(error), 400)
        return RedirectResponse(f"/#{anchor}", status_code=303)

    return endpoint


def _foreign(request: Request) -> bool:
    origin = request.headers.get("origin")
    return bool(origin) and urlsplit(str(origin)).netloc != request.headers.get("host")


def _sentence(error: Exception) -> str:
    if isinstance(error, Refusal):
        return ". ".join(dict.fromkeys([error.message, *(error.errors or ())]))
    return str(error.args[0]) if isinstance(error, LookupError) and error.args else str(error)


def _new_case(world: "World", form: Form) -> str:
    fields: dict[str, Any] = {
        "Subject": form.get("subject", ""),
        "Priority": form.get("priority", ""),
        "Status": form.get("status") or "New",
        "Origin": "Web",
    }
    for row in world.salesforce.records("Account"):
        if row["Name"] == form.get("account"):
            fields["AccountId"] = row["Id"]
    return f"case-{world.salesforce.create('Case', fields, form.get('as') or None)}"


def _edit_case(world: "World", form: Form, request: Request) -> str:
    case_id = request.path_params["id"]
    names = {"subject": "Subject", "priority": "Priority", "status": "Status"}
    fields = {field: form[name] for name, field in names.items() if name in form}
    world.salesforce.update(case_id, fields, form.get("as") or None)
    return f"case-{case_id}"


def _comment(world: "World", form: Form, request: Request) -> str:
    case_id = request.path_params["id"]
    public = form.get("public") == "on"
    world.salesforce.comment(
        case_id, form.get("body", ""), public=public, by=form.get("as") or None
    )
    return f"case-{case_id}"


def _new_incident(world: "World", form: Form) -> str:
    who = person(world.pagerduty, form.get("as") or "Ana Lopez")
    incident = who.create_incident(
        form.get("service", ""),
        form.get("title", ""),
        priority=form.get("priority") or None,
        urgency=form.get("urgency") or None,
    )
    return f"incident-{incident['id']}"


def _act(world: "World", form: Form, request: Request) -> str:
    action = ACTIONS.get(request.path_params["action"])
    if action is None:
        raise LookupError("There is no such action.")
    body = {name: value or None for name, value in form.items()}
    who = person(world.pagerduty, form.get("as") or "Ana Lopez")
    action(who, request.path_params["id"], body)
    return f"incident-{request.path_params['id']}"
