"""Summary: how an integration is, at a glance, with the switches of its pauses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, Response

from pd_sf_rules.connections import ConnectionSpec
from pd_sf_rules.errors import SyncError
from pd_sf_rules.ledger.pauses import EVERYTHING
from pd_sf_rules.pipeline import pausing
from pd_sf_rules.pipeline.budgets import budgets
from pd_sf_rules.pipeline.doctor import checks
from pd_sf_rules.pipeline.overview import Overview, edges_until, overview
from pd_sf_rules.pipeline.status import status
from pd_sf_rules.planning.planner import NOTE_SYNC
from pd_sf_rules.settings import Integration
from pd_sf_rules.web import opened
from pd_sf_rules.web.access import ViewerDep
from pd_sf_rules.web.audit import write_audit
from pd_sf_rules.web.bars import chart
from pd_sf_rules.web.forgery import UnforgedDep
from pd_sf_rules.web.rendering import back, fragment, page
from pd_sf_rules.web.testing import last_tried, tried

router = APIRouter()
Span = Literal["1h", "24h", "7d"]
SPANS: Mapping[str, tuple[timedelta, int, str]] = {
    "1h": (timedelta(minutes=2), 30, "the last hour"),
    "24h": (timedelta(minutes=30), 48, "the last 24 hours"),
    "7d": (timedelta(hours=3), 56, "the last 7 days"),
}
Name = Annotated[str, Query(max_length=63)]
Why = Annotated[str, Form(max_length=500)]


@dataclass(frozen=True, slots=True)
class Account:
    """One side as its connection says, without any secret: who we are there, and whether webhooks can come."""

    conn_id: str
    user: str
    said: str = ""
    has_webhook_secret: bool = False


@router.get("/summary")
def summary(
    request: Request,
    viewer: ViewerDep,
    integration: Name = "",
    span: Span = "24h",
    test: Literal["", "now"] = "",
) -> Response:
    """The page; `test=now` waits for both services, for who has no script to do it later."""
    chosen = viewer.chosen(integration)
    if test:
        tried(chosen)
    length, count, words = SPANS[span]
    found = overview(opened.ledger(), chosen, edges_until(datetime.now(UTC), length, count))
    return page(
        request,
        viewer,
        "summary.html",
        integration=chosen.name,
        settings=chosen,
        found=found,
        budgets=found.budgets,
        broken=viewer.broken,
        verdict=_verdict(found, viewer.broken),
        failed=_failed(found),
        chart=chart(found.slots, length),
        span=span,
        spans=SPANS,
        words=words,
        pausable=_pausable(found),
        may_configure=viewer.may_configure(chosen),
        may_act=viewer.may_act(chosen),
        **_asked(chosen),
    )


@router.get("/summary/connections")
def connections(request: Request, viewer: ViewerDep, integration: Name = "") -> HTMLResponse:
    """Test both connections now: the part of the page that shows them."""
    chosen = viewer.chosen(integration)
    tried(chosen)
    with opened.ledger().read() as c:
        known = budgets(c, chosen.name)
    view = {"integration": chosen.name, "budgets": known}
    return fragment(request, "summary_connections.html", **view, **_asked(chosen))


@router.get("/summary/doctor")
def doctor(request: Request, viewer: ViewerDep, integration: Name = "") -> Response:
    """Check everything that can be checked: this takes seconds and API calls, for every rule is tried."""
    chosen = viewer.chosen(integration)
    viewer.demand("act", chosen)
    ledger = opened.ledger()
    found = checks(ledger, [chosen], opened.connect, status(ledger, [chosen], opened.connect))
    return page(
        request, viewer, "doctor.html", tab="summary", integration=chosen.name, checks=found
    )


@router.post("/summary/pause")
def pause(
    request: Request,
    viewer: UnforgedDep,
    integration: Annotated[str, Form()],
    ruleset: Annotated[str, Form()] = EVERYTHING,
    why: Why = "",
) -> Response:
    """Let the actions of the integration, or of one ruleset, queue."""
    chosen = viewer.integration(integration)
    viewer.demand("configure", chosen)
    write_audit(viewer, "pdsf.pause", chosen, ruleset=ruleset, why=why)
    begun = pausing.pause(opened.ledger(), chosen.name, ruleset, who=viewer.name, why=why.strip())
    what = f"Ruleset '{ruleset}'" if ruleset else "Everything"
    said = f"{what} is paused: actions queue." if begun else f"{what} was paused already."
    return back(request, "summary", said=said, integration=chosen.name)


@router.post("/summary/resume")
def resume(
    request: Request,
    viewer: UnforgedDep,
    integration: Annotated[str, Form()],
    ruleset: Annotated[str, Form()] = EVERYTHING,
) -> Response:
    """End a pause."""
    chosen = viewer.integration(integration)
    viewer.demand("configure", chosen)
    write_audit(viewer, "pdsf.resume", chosen, ruleset=ruleset)
    queued = pausing.resume(opened.ledger(), chosen.name, ruleset)
    said = f"Resumed: {queued} queued action(s) go out at the next sync."
    return back(request, "summary", said=said, integration=chosen.name)


def _asked(integration: Integration) -> dict[str, Any]:
    """Return what the two connections say, and what they answered lately."""
    accounts = {
        "salesforce": _account(integration.salesforce_conn_id, "login"),
        "pagerduty": _account(integration.pagerduty_conn_id, "from_email"),
    }
    return {"accounts": accounts, "tried": last_tried(integration)}


def _account(conn_id: str, who: str) -> Account:
    try:
        spec: ConnectionSpec = opened.connect(conn_id)
    except SyncError as error:
        return Account(conn_id, "", said=str(error))
    user = spec.login if who == "login" else spec.text(who)
    return Account(conn_id, user, has_webhook_secret=bool(spec.text("webhook_secret")))


def _verdict(found: Overview, broken: Sequence[str]) -> tuple[str, str]:
    """Return the word beside the title, and its tone."""
    if found.state.paused:
        return "paused", "warn"
    if found.problems or broken:
        return f"{len(found.problems) + len(broken)} to look at", "bad"
    if not found.state.streams:
        return "not started", "note"
    return "in step", "good"


def _failed(found: Overview) -> dict[str, int]:
    held = found.state.queue.actions.get(("failed", "held"), 0)
    return {"failed": found.state.queue.count("failed") - held, "held": held}


def _pausable(found: Overview) -> list[str]:
    """Return the rulesets that can be paused and are not."""
    resting = {one.ruleset for one in found.state.pauses}
    names = [one.name for one in found.rulesets if one.name and one.state == "in force"]
    return [name for name in [*names, NOTE_SYNC] if name not in resting]
