"""Activity: the log of events, decisions, actions and answers, as it grows; filtered, paged, and as a file."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Literal, cast, get_args

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from pd_sf_rules.cli.instants import instant
from pd_sf_rules.errors import ConfigError
from pd_sf_rules.ledger.activity import Entry, Kind, Level, Wanted
from pd_sf_rules.ledger.activity_branches import OUTCOMES
from pd_sf_rules.model import Source
from pd_sf_rules.pipeline import activity
from pd_sf_rules.settings import Integration
from pd_sf_rules.web import opened
from pd_sf_rules.web.access import Viewer, ViewerDep
from pd_sf_rules.web.outward import run_link
from pd_sf_rules.web.rendering import page

router = APIRouter()

ROWS = 50
LIVE_SECONDS = 5
KINDS: Mapping[str, str] = {
    "event": "Events",
    "decision": "Decisions",
    "action": "Actions",
    "answer": "API answers",
}
SOURCES: Mapping[str, str] = {"salesforce": "Salesforce", "pagerduty": "PagerDuty"}
LEVELS: Sequence[Level] = ("debug", "info", "error")
SAFE_NAME = "%Y%m%dT%H%M%SZ"


class Asked(BaseModel):
    """The filter form. Texts as people type them; "" asks for everything."""

    model_config = ConfigDict(frozen=True)

    integration: str = Field(default="", max_length=63)
    record: str = Field(default="", max_length=300)
    incident: str = Field(default="", max_length=300)
    rule: str = Field(default="", max_length=500)
    outcome: str = Field(default="", max_length=20)
    source: str = Field(default="", max_length=20)
    kind: str = Field(default="", max_length=20)
    since: str = Field(default="", max_length=40)
    until: str = Field(default="", max_length=40)
    level: str = Field(default="", max_length=10)

    @property
    def narrowed(self) -> bool:
        """Whether anything but the level and the integration is asked for."""
        return any((self.record, self.incident, self.rule, self.outcome, self.source, self.kind,
                    self.since, self.until))  # fmt: skip


class Shown(Asked):
    """The address of the page: `before` is a place in the log, as the pager writes it."""

    before: str = Field(default="", max_length=200)
    live: Literal["", "off"] = ""


class Exported(Asked):
    """The address of a file."""

    form: Literal["csv", "jsonl"] = "csv"


@dataclass(frozen=True, slots=True)
class View:
    """What the page shows: the entries with their words, and what the form offers."""

    rows: Sequence[tuple[Entry, str]]
    older: str
    at_newest: bool
    rules: Sequence[str]
    level: Level
    problem: str = ""


@router.get("/activity")
def show(request: Request, viewer: ViewerDep, asked: Annotated[Shown, Query()]) -> Response:
    """The page."""
    view = _view(viewer, asked)
    form = asked.model_dump(exclude={"before", "live"})
    return page(
        request,
        viewer,
        "activity.html",
        status=422 if view.problem else 200,
        integration=asked.integration,
        view=view,
        asked=asked,
        form=form,
        query=form | {"live": asked.live},
        live=asked.live != "off" and view.at_newest and not view.problem,
        seconds=LIVE_SECONDS,
        outcomes=OUTCOMES,
        kinds=KINDS,
        sources=SOURCES,
        levels=LEVELS,
        run_link=run_link,
    )


@router.get("/activity/export")
def export(viewer: ViewerDep, asked: Annotated[Exported, Query()]) -> Response:
    """Everything that the filter leaves, as a file; rows leave as they are read."""
    names = _names(viewer, asked)
    ledger = opened.ledger()
    with ledger.read() as c:
        wanted = activity.resolve(c, _wanted(viewer, asked), _named(asked))
    entries = activity.whole_log(ledger, wanted, names)
    lines = activity.as_csv(entries) if asked.form == "csv" else activity.as_json_lines(entries)
    kind = "text/csv; charset=utf-8" if asked.form == "csv" else "application/x-ndjson"
    name = f"activity-{datetime.now(UTC):{SAFE_NAME}}.{asked.form}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(lines, media_type=kind, headers=headers)


def _view(viewer: Viewer, asked: Shown) -> View:
    names = _names(viewer, asked)
    with opened.ledger().read() as c:
        rules = activity.rule_names(c)
        level = _level(viewer, asked)
        try:
            place = activity.from_address(asked.before)
            wanted = activity.resolve(c, _wanted(viewer, asked), _named(asked))
        except ConfigError as error:
            return View((), "", at_newest=True, rules=rules, level=level, problem=str(error))
        found = activity.log_page(c, wanted, names, before=place, limit=ROWS)
    older = activity.as_address(found.older) if found.older else ""
    rows = [(entry, activity.told(entry)) for entry in found.entries]
    return View(rows, older, at_newest=place is None, rules=rules, level=level)


def _names(viewer: Viewer, asked: Asked) -> Mapping[str, Integration]:
    if asked.integration:
        return {asked.integration: viewer.integration(asked.integration)}
    return viewer.integrations


def _level(viewer: Viewer, asked: Asked) -> Level:
    """Return the level asked for, else that of the integration's file: the most talkative where there are several."""
    if asked.level:
        if asked.level not in LEVELS:
            raise HTTPException(422, f"There is no level '{asked.level}'.")
        return cast("Level", asked.level)
    levels = [one.log.level for one in _names(viewer, asked).values()]
    return min(levels, key=LEVELS.index, default="info")


def _wanted(viewer: Viewer, asked: Asked) -> Wanted:
    wanted = Wanted(
        level=_level(viewer, asked), since=_instant(asked.since), until=_instant(asked.until)
    )
    if asked.outcome:
        _known(asked.outcome, OUTCOMES, "outcome")
        # An outcome that only the debug level tells is meant when it is asked for.
        quiet = asked.outcome in {"echo", "baseline", "unmatched"}
        wanted = replace(wanted, outcome=asked.outcome, level="debug" if quiet else wanted.level)
    if asked.source:
        _known(asked.source, get_args(Source), "source")
        wanted = replace(wanted, source=cast("Source", asked.source))
    if asked.kind:
        _known(asked.kind, KINDS, "kind")
        wanted = replace(wanted, kind=cast("Kind", asked.kind))
    return wanted


def _known(name: str, among: Mapping[str, str] | Sequence[str], what: str) -> None:
    if name not in among:
        raise HTTPException(422, f"There is no {what} '{name}'.")


def _named(asked: Asked) -> activity.Named:
    return activity.Named(asked.record.strip(), asked.incident.strip(), asked.rule.strip())


def _instant(text: str) -> datetime | None:
    if not text.strip():
        return None
    try:
        return instant(text)
    except argparse.ArgumentTypeError as error:
        raise ConfigError(str(error)) from None
