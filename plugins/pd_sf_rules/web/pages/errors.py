"""Errors: dead letters by cause with retry and discard, what waits for another try, and storms that a breaker holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Query, Request
from fastapi.responses import Response

from pd_sf_rules.ledger.actions import StoredAction
from pd_sf_rules.pipeline import outcomes, storms
from pd_sf_rules.pipeline.replay import direction_of, queue_again
from pd_sf_rules.pipeline.run import Direction
from pd_sf_rules.pipeline.storms import Storm, held_storms
from pd_sf_rules.pipeline.troubles import Trouble, discard, ids_of, troubles
from pd_sf_rules.planning import decisions
from pd_sf_rules.planning.decisions import Decision
from pd_sf_rules.settings import Integration
from pd_sf_rules.web import opened
from pd_sf_rules.web.access import Viewer, ViewerDep
from pd_sf_rules.web.audit import write_audit
from pd_sf_rules.web.forgery import UnforgedDep
from pd_sf_rules.web.outward import run_link
from pd_sf_rules.web.rendering import back, page
from pd_sf_rules.web.starting import start_sync

router = APIRouter()

SHOWN = 50
"""Most causes on the page."""

LISTED = 20
"""Most actions of one of them."""

NAMED_IN_AUDIT = 50
WHAT_TO_DO = {
    outcomes.REFUSED: "Mend the rule or the record, then retry.",
    outcomes.CONFIG: "Mend the ruleset file: the next run tries it again with the mended rule.",
    outcomes.CONNECTION: "Mend the connection (the summary tests it): it is tried again by itself.",
    outcomes.RATE_LIMITED: "The server asked for a pause: it is tried again by itself.",
    outcomes.UNCERTAIN: "The answer was lost: it is looked up, then tried again, by itself.",
    outcomes.TRANSIENT: "It is tried again by itself.",
}
LOOK = (
    "The answer was lost and it cannot be looked up: look on the other side, then retry or discard."
)
DECISIONS: dict[str, Decision] = {
    "release": decisions.RELEASE,
    "summary": decisions.SUMMARY,
    "discard": decisions.DISCARD,
}

Name = Annotated[str, Form(max_length=63)]
Reason = Annotated[str, Form(max_length=500)]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which causes are wanted: of an integration, and with a word in what was said or what it is about."""

    integration: str = ""
    q: str = ""


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause as the page shows it."""

    trouble: Trouble
    fix: str
    may_act: bool

    @property
    def listed(self) -> Sequence[StoredAction]:
        """The actions that the page names."""
        return self.trouble.actions


@dataclass(frozen=True, slots=True)
class Held:
    """One storm as the page shows it."""

    integration: str
    storm: Storm
    listed: Sequence[StoredAction]
    may_act: bool


@router.get("/errors")
def show(
    request: Request,
    viewer: ViewerDep,
    integration: Annotated[str, Query(max_length=63)] = "",
    q: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """The page."""
    asked = Filter(integration, q)
    chosen = _chosen(viewer, integration)
    found = _found(chosen, asked)
    shown = found[:SHOWN]
    return page(
        request,
        viewer,
        "errors.html",
        integration=integration,
        asked=asked,
        held=[one for each in chosen for one in _held(viewer, each)],
        failed=[_cause(viewer, one) for one in shown if one.failed],
        waiting=[_cause(viewer, one) for one in shown if not one.failed],
        unshown=len(found) - len(shown),
        run_link=run_link,
    )


@router.post("/errors/retry")
def retry(
    request: Request,
    viewer: UnforgedDep,
    integration: Name,
    action: Annotated[list[str], Form()] = [],  # noqa: B006 - FastAPI copies it
    cause: Annotated[str, Form(max_length=40)] = "",
    q: Annotated[str, Form(max_length=200)] = "",
    every: Annotated[str, Form(max_length=10)] = "",
) -> Response:
    """Try again: the actions chosen, all of a `cause`, or (`every`) all failed ones that the filter leaves."""
    chosen = viewer.integration(integration)
    viewer.demand("act", chosen)
    ids = action or _ids(chosen, Filter(integration, q), cause, every=bool(every))
    write_audit(viewer, "pdsf.retry", chosen, actions=ids[:NAMED_IN_AUDIT], count=len(ids))
    queued = queue_again(opened.ledger(), chosen.name, ids)
    if not queued:
        return _done(
            request, integration, q, "Nothing was retried: choose failed or waiting actions."
        )
    then = start_sync(viewer, chosen, {direction_of(one) for one in queued})
    return _done(request, integration, q, f"{_counted(len(queued))} queued. {then}")


@router.post("/errors/discard")
def give_up(
    request: Request,
    viewer: UnforgedDep,
    integration: Name,
    reason: Reason = "",
    action: Annotated[list[str], Form()] = [],  # noqa: B006 - FastAPI copies it
    cause: Annotated[str, Form(max_length=40)] = "",
    q: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Give up the actions chosen, or all of a `cause`; the reason is kept with each."""
    chosen = viewer.integration(integration)
    viewer.demand("act", chosen)
    if not reason.strip():
        raise HTTPException(422, "Say why they are discarded: the reason is kept with each.")
    theirs = _ids(chosen, Filter(integration), cause, every=not cause)
    ids = [one for one in action if one in set(theirs)] if action else theirs if cause else []
    write_audit(
        viewer, "pdsf.discard", chosen, actions=ids[:NAMED_IN_AUDIT], count=len(ids), reason=reason
    )
    gone = discard(opened.ledger(), ids, reason=f"Discarded by {viewer.name}: {reason.strip()}")
    then = " What waited behind goes on." if gone else " Choose failed or waiting actions."
    return _done(request, integration, q, f"{_counted(len(gone))} discarded.{then}")


@router.post("/errors/storm")
def decide(
    request: Request,
    viewer: UnforgedDep,
    integration: Name,
    storm: Annotated[str, Form(max_length=1000)],
    decision: Annotated[str, Form(max_length=20)],
    reason: Reason = "",
) -> Response:
    """Carry out what this person decided about a storm."""
    chosen = viewer.integration(integration)
    viewer.demand("act", chosen)
    if decision not in DECISIONS:
        raise HTTPException(422, f"There is no decision '{decision}'.")
    if decision == "discard" and not reason.strip():
        raise HTTPException(
            422, "Say why the storm is discarded: the reason is kept with each action."
        )
    write_audit(viewer, "pdsf.storm", chosen, storm=storm, decision=decision, reason=reason)
    who = viewer.name + (f": {reason.strip()}" if reason.strip() else "")
    with opened.open_run(chosen) as run:
        if storm not in {one.name for one in held_storms(run)}:
            raise HTTPException(409, f"No breaker holds a storm '{storm}' any more.")
        said = storms.decide(run, storm, DECISIONS[decision], who=who)
    if decision == "release":
        directions: set[Direction] = {"salesforce", "pagerduty"}
        said = f"{said} {start_sync(viewer, chosen, directions)}"
    return _done(request, integration, "", said)


def _done(request: Request, integration: str, q: str, said: str) -> Response:
    return back(request, "errors", said=said, integration=integration, q=q)


def _counted(number: int) -> str:
    return f"{number} action{'' if number == 1 else 's'}"


def _chosen(viewer: Viewer, integration: str) -> list[Integration]:
    return [viewer.integration(integration)] if integration else list(viewer.integrations.values())


def _found(chosen: Sequence[Integration], asked: Filter) -> list[Trouble]:
    return troubles(
        opened.ledger(),
        [one.name for one in chosen],
        with_held=False,
        each=LISTED,
        most=SHOWN,
        looked_for=asked.q,
    )


def _ids(chosen: Integration, asked: Filter, cause: str, *, every: bool) -> list[str]:
    """Return the actions of a cause; with `every` those of all causes that the filter leaves."""
    wanted = {one.key for one in _found([chosen], asked)} if every else {cause}
    return ids_of(opened.ledger(), chosen.name, wanted)


def _cause(viewer: Viewer, one: Trouble) -> Cause:
    fix = LOOK if one.is_lost else WHAT_TO_DO.get(one.error_kind, one.fix)
    return Cause(one, fix, viewer.may_act(viewer.integrations[one.integration]))


def _held(viewer: Viewer, integration: Integration) -> list[Held]:
    with opened.open_run(integration) as run:
        found = held_storms(run)
    may_act = viewer.may_act(integration)
    return [Held(integration.name, one, one.first(LISTED), may_act) for one in found]
