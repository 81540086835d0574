"""Explain: one event, a pair or a run of a DAG as a story: what changed, what the rules said, what was done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from pd_sf_rules.errors import ConfigError
from pd_sf_rules.ledger import actions, events, runs
from pd_sf_rules.ledger.events import StoredEvent
from pd_sf_rules.ledger.storms import HELD
from pd_sf_rules.pipeline.explain import Chapter, Done, Kind, Story, explain
from pd_sf_rules.rules.transcript import heads
from pd_sf_rules.web import opened
from pd_sf_rules.web.access import Viewer, ViewerDep
from pd_sf_rules.web.outward import run_link
from pd_sf_rules.web.rendering import page

router = APIRouter()

TOLD = 20
MOST = 200
OF_RUN = 200
Text = Annotated[str, Query(max_length=300)]


@dataclass(frozen=True, slots=True)
class Said:
    """What one rule said of an event, and what was done for it. `text` is the rule as it read then, "" if unknown."""

    verdict: Mapping[str, Any]
    done: Sequence[Done]
    text: str


@dataclass(frozen=True, slots=True)
class Telling:
    """A chapter of the story, its rules in two heaps; `other` was done without a rule of this event (a note's copy)."""

    chapter: Chapter
    matched: Sequence[Said]
    others: Sequence[Said]
    other: Sequence[Done]


@router.get("/explain")
def ask(
    request: Request,
    viewer: ViewerDep,
    record: Text = "",
    incident: Text = "",
    dag_id: Text = "",
    run_id: Annotated[str, Query(max_length=1000)] = "",
    integration: Annotated[str, Query(max_length=63)] = "",
    limit: Annotated[int, Query(ge=1, le=MOST)] = TOLD,
) -> Response:
    """The story of a record or an incident with its other side, or the events of a run; else a form that asks."""
    if dag_id or run_id:
        return _run(request, viewer, f"{dag_id}/{run_id}")
    if record.strip():
        return _story(request, viewer, "record", record.strip(), integration, limit)
    if incident.strip():
        return _story(request, viewer, "incident", incident.strip(), integration, limit)
    return _ask(request, viewer)


def _ask(request: Request, viewer: Viewer, *, problem: str = "") -> Response:
    status = 404 if problem else 200
    return page(request, viewer, "explain_ask.html", status=status, tab="activity", problem=problem)


@router.get("/explain/{event_id:path}")
def of_event(
    request: Request, viewer: ViewerDep, event_id: Annotated[str, Path(max_length=500)]
) -> Response:
    """The story of one event."""
    return _story(request, viewer, "event", event_id, "", 1)


def _story(
    request: Request, viewer: Viewer, kind: Kind, named: str, integration: str, limit: int
) -> Response:
    try:
        found = explain(opened.ledger(), kind, named, limit=limit)
    except ConfigError as error:
        return _ask(request, viewer, problem=str(error))
    told = _readable(found, viewer, integration)
    return page(
        request,
        viewer,
        "explain.html",
        tab="activity",
        integration=integration,
        story=told,
        tellings=[_telling(one, told.rules) for one in told.chapters],
        limit=limit,
        more=min(limit * 5, MOST),
        run_link=run_link,
    )


def _readable(story: Story, viewer: Viewer, integration: str) -> Story:
    """Return what this person may read of a story; 404 where that is nothing."""
    names = {viewer.integration(integration).name} if integration else set(viewer.integrations)
    chapters = [one for one in story.chapters if one.event.integration in names]
    joined = [one for one in story.links if one.link.integration in names]
    if not chapters and not joined and (story.chapters or story.links):
        raise HTTPException(404, f"There is no {story.kind} '{story.id}'.")
    return replace(story, chapters=chapters, links=joined)


def _telling(chapter: Chapter, rules: Mapping[tuple[str, str], str]) -> Telling:
    said: list[Said] = []
    told: set[str] = set()
    for verdict in chapter.event.verdicts:
        mine = [
            one
            for one in chapter.done
            if verdict["matched"]
            and one.action.id not in told
            and (one.action.ruleset, one.action.rule) == (verdict["ruleset"], verdict["rule"])
        ]
        told.update(one.action.id for one in mine)
        text = rules.get((str(verdict["ruleset_version"]), str(verdict["rule"])), "")
        said.append(Said(verdict, mine, text))
    return Telling(
        chapter,
        [one for one in said if one.verdict["matched"]],
        [one for one in said if not one.verdict["matched"]],
        [one for one in chapter.done if one.action.id not in told],
    )


@dataclass(frozen=True, slots=True)
class Counted:
    """An event of a run, the rules that matched and how often its actions ended in which state."""

    event: StoredEvent
    matched: Sequence[str]
    states: Mapping[str, int]


def _run(request: Request, viewer: Viewer, run_id: str) -> Response:
    with opened.ledger().read() as c:
        found = [
            e
            for e in events.events_of_run(c, run_id, limit=OF_RUN)
            if e.integration in viewer.integrations
        ]
        did = _states(c, [one.id for one in found])
        kept = runs.get_run(c, run_id)
    if kept is not None and kept.integration not in viewer.integrations:
        kept = None
    rows = [
        Counted(one, [v.rule for v in heads(one.verdicts) if v.matched], did.get(one.id, {}))
        for one in found
    ]
    return page(
        request,
        viewer,
        "explain_run.html",
        tab="activity",
        run_id=run_id,
        run=kept,
        rows=rows,
        most=OF_RUN,
        run_link=run_link,
    )


def _states(c: Connection, event_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    counted: dict[str, dict[str, int]] = {}
    for event_id, plan in actions.actions_of_events(c, event_ids).items():
        of_event = counted.setdefault(event_id, {})
        for one in plan:
            stands = HELD if one.state == "failed" and one.error_kind == HELD else one.state
            of_event[stands] = of_event.get(stands, 0) + 1
    return counted
