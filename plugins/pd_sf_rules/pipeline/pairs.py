"""Linked pairs as people look at them: what both sides were seen to be, and what the last reconciliation found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection

from pd_sf_rules.errors import ConfigError
from pd_sf_rules.ledger import Ledger, links, runs, snapshots
from pd_sf_rules.ledger.links import PastLink, Place
from pd_sf_rules.ledger.snapshots import Snapshot
from pd_sf_rules.model import PAGERDUTY, SALESFORCE, Values
from pd_sf_rules.pipeline.identifiers import find_incident, find_record

RECONCILE = "reconcile"
TRIED = 5
"""So many reconciliations are looked through for one that compared anything."""

INCIDENT = "incident"
NUMBERS = ("CaseNumber", "Name", "number")
TITLES = ("Subject", "Name", "title")
STATES = ("Status", "StageName", "status")

Show = Literal["linked", "removed", "drifted"]


@dataclass(frozen=True, slots=True)
class Side:
    """One side as the ledger saw it last; texts are "" where no rule makes the ledger keep that field."""

    id: str
    number: str = ""
    title: str = ""
    state: str = ""
    seen_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """One link with both of its sides; `drift` are the findings of the last reconciliation about it."""

    link: PastLink
    record: Side
    incident: Side
    drift: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Drift:
    """The last reconciliation that compared: its findings (at most 200 of `count`), and when it ended."""

    run_id: str
    at: datetime
    count: int
    complete: bool
    findings: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class PairsPage:
    """One page, newest link first; `older` is the place of its last link when there are more behind it."""

    pairs: Sequence[Pair]
    older: Place | None
    drift: Drift | None


def pairs_page(
    ledger: Ledger,
    integration: str,
    *,
    show: Show = "linked",
    text: str = "",
    before: Place | None = None,
    limit: int = 50,
) -> PairsPage:
    """Return a page of pairs; `text` names a record or an incident by id, address or number."""
    with ledger.read() as c:
        drift = last_drift(c, integration)
        records, incidents = _named(c, text)
        if text and not records and not incidents:
            return PairsPage([], None, drift)
        if show == "drifted":
            findings = drift.findings if drift else []
            drifted = {str(one["record"]) for one in findings if one["record"]}
            records = records & drifted if text else drifted
            if not records:
                return PairsPage([], None, drift)
        found = links.page_of_links(
            c,
            integration,
            removed=show == "removed",
            before=before,
            record_ids=records,
            incident_ids=incidents,
            limit=limit + 1,
        )
        shown = found[:limit]
        pairs = _pairs(c, integration, shown, drift)
    last = shown[-1].link if len(found) > limit else None
    older = (last.created_at, last.record_id, last.incident_id) if last else None
    return PairsPage(pairs, older, drift)


def last_drift(c: Connection, integration: str) -> Drift | None:
    """Return what the last reconciliation found, None before the first."""
    for run in runs.recent_runs(c, integration=integration, direction=RECONCILE, limit=TRIED):
        report = run.lineage
        if run.finished_at is not None and not report.get("skipped"):
            counts = report.get("counts", {})
            return Drift(
                run.run_id,
                run.finished_at,
                int(counts.get("findings", 0)),
                bool(report.get("complete")),
                report.get("findings", []),
            )
    return None


def _named(c: Connection, text: str) -> tuple[set[str], set[str]]:
    """Return the records and incidents that a text may name; one that names neither gives none."""
    if not text.strip():
        return set(), set()
    found: list[set[str]] = []
    for find in (find_record, find_incident):
        try:
            found.append({find(c, text)})
        except ConfigError:
            found.append(set())
    return found[0], found[1]


def _pairs(
    c: Connection, integration: str, shown: Sequence[PastLink], drift: Drift | None
) -> list[Pair]:
    records: dict[str, Snapshot] = {}
    for name in {one.link.object for one in shown}:
        ids = [one.link.record_id for one in shown if one.link.object == name]
        records |= snapshots.get_snapshots(c, integration, SALESFORCE, name, ids)
    ids = [one.link.incident_id for one in shown]
    incidents = snapshots.get_snapshots(c, integration, PAGERDUTY, INCIDENT, ids)
    findings: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for one in drift.findings if drift else ():
        findings.setdefault((str(one["record"]), str(one["incident"])), []).append(one)
    return [
        Pair(
            one,
            _side(one.link.record_id, records.get(one.link.record_id)),
            _side(one.link.incident_id, incidents.get(one.link.incident_id)),
            findings.get((one.link.record_id, one.link.incident_id), ()),
        )
        for one in shown
    ]


def _side(target_id: str, seen: Snapshot | None) -> Side:
    if seen is None:
        return Side(target_id)
    values = {name.casefold(): value for name, value in seen.values.items()}
    number, title, state = (_first(values, names) for names in (NUMBERS, TITLES, STATES))
    return Side(target_id, number, "" if title == number else title, state, seen.touched_at)


def _first(values: Values, names: Sequence[str]) -> str:
    told = (values.get(name.casefold()) for name in names)
    return next((str(one) for one in told if one not in (None, "")), "")
