"""Records that are gone, or that changed without the sync having seen it."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from pd_sf_rules.ledger import cursors, events, snapshots
from pd_sf_rules.model import SALESFORCE, Change
from pd_sf_rules.pipeline.drift.findings import Finding, Look, Pairs
from pd_sf_rules.pipeline.expected import awaited
from pd_sf_rules.pipeline.pull_salesforce import stream, take_in
from pd_sf_rules.pipeline.rulebook import Rulebook
from pd_sf_rules.pipeline.run import utc_now
from pd_sf_rules.planning.drift import differences
from pd_sf_rules.planning.echo import judge_row
from pd_sf_rules.planning.windows import OVERLAP
from pd_sf_rules.systems.salesforce import soql
from pd_sf_rules.systems.salesforce.changes import read_changes


def compare_records(look: Look, rulebook: Rulebook, pairs: Pairs) -> None:
    """Compare every linked record with its snapshot, 200 a call; a missed change is fed to the inbox if told to."""
    for name in pairs.objects():
        fields = rulebook.record_fields(name)
        for ids in soql.chunks(pairs.records_of(name)):
            if not look.may_go_on():
                return
            asked_at = utc_now()
            rows = [
                row
                for page in read_changes(
                    look.run.salesforce, name, ids, fields, with_agent=rulebook.names_agent
                )
                for row in page
            ]
            look.records |= {row.record_id: row.values for row in rows}
            _missing(look, pairs, ids)
            moved = _moved(look, pairs, name, rows)
            if look.repair and moved:
                take_in(look.run, rulebook, name, _dated(look, name, moved), asked_at=asked_at)


def _missing(look: Look, pairs: Pairs, ids: Collection[str]) -> None:
    short = {one[:15] for one in look.records}
    for record_id in ids:
        if record_id[:15] not in short:
            look.findings.append(Finding("record_missing", *pairs.of_record(record_id)))


def _moved(look: Look, pairs: Pairs, name: str, rows: Sequence[Change]) -> list[Change]:
    """Return the rows that differ from what was last seen and that no pull is about to read, each with a finding."""
    ids = [row.record_id for row in rows]
    with look.run.ledger.read() as c:
        seen = snapshots.get_snapshots(c, look.run.name, SALESFORCE, name, ids)
        expected = awaited(c, look.run.name, SALESFORCE, ids)
        cursor = cursors.get_cursor(c, look.run.name, stream(name))
    read_again_from = cursor.position - OVERLAP if cursor else None
    moved: list[Change] = []
    for row in rows:
        snapshot = seen.get(row.record_id)
        if snapshot is None or _is_coming(row, read_again_from):
            continue
        ours = [one for one in expected if one.target_id == row.record_id]
        verdict = judge_row(row, snapshot.values, ours, started_at=row.stamp)
        if verdict.kind != "updated":
            continue
        for path, (last, now) in differences(verdict.old, row.values, list(row.values)).items():
            told = pairs.of_record(row.record_id)
            look.findings.append(
                Finding(
                    "record_changed",
                    *told,
                    field=path,
                    ours=last,
                    theirs=now,
                    repaired=look.repair,
                )
            )
        moved.append(row)
    return moved


def _is_coming(row: Change, read_again_from: datetime | None) -> bool:
    """A row that the next pull reads anyway is no drift."""
    return read_again_from is not None and row.stamp >= read_again_from


def _dated(look: Look, name: str, rows: Sequence[Change]) -> list[Change]:
    """Give rows that changed before the inbox's memory begins the present as their time: they are news all the same."""
    with look.run.ledger.read() as c:
        horizon = events.forgotten_until(c, look.run.name, SALESFORCE, name)
    if horizon is None:
        return list(rows)
    now = look.run.salesforce.server_now()
    return [replace(row, stamp=now) if row.stamp <= horizon else row for row in rows]
