"""The log of what was done, as people ask for it: by names they type, in words, for a page and for a file."""

import csv
import io
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from pd_sf_rules.errors import ConfigError
from pd_sf_rules.ledger import Ledger, links
from pd_sf_rules.ledger.activity import Entry, Page, Place, Wanted, page, stream
from pd_sf_rules.ledger.activity_branches import branches, rules_in
from pd_sf_rules.model import SALESFORCE
from pd_sf_rules.pipeline.explain import FieldChange, changes_between
from pd_sf_rules.pipeline.identifiers import find_incident, find_record

BETWEEN = " / "
COLUMNS = (
    "at", "kind", "level", "outcome", "integration", "source", "object", "record", "incident", "ruleset", "rule",
    "action", "attempt", "target", "said", "error_kind", "agent", "event", "run",
)  # fmt: skip
TITLES = ("Subject", "title", "Name", "CaseNumber", "number")
UNTOLD = (".id", "_ids", "_url", "_at")
"""Endings of fields that say the same as another one, in a machine's words."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for the beginning of a formula, in full width too."""


@dataclass(frozen=True, slots=True)
class Named:
    """What people typed: a record (id, address, number), an incident, a rule (`Ruleset / Rule`, or either name)."""

    record: str = ""
    incident: str = ""
    rule: str = ""


def resolve(c: Connection, wanted: Wanted, named: Named) -> Wanted:
    """Return `wanted` with the names made ids; a record brings the incidents it is linked to, and the other way.

    Raises ConfigError for a number that nothing, or more than one, has.
    """
    records = {find_record(c, named.record)} if named.record else set[str]()
    incidents = {find_incident(c, named.incident)} if named.incident else set[str]()
    if records or incidents:
        joined = [
            one.link for one in links.find_links(c, record_ids=records, incident_ids=incidents)
        ]
        records |= {one.record_id for one in joined}
        incidents |= {one.incident_id for one in joined}
    rules = _rules(c, named.rule) if named.rule else None
    return replace(wanted, records=frozenset(records), incidents=frozenset(incidents), rules=rules)


def rule_names(c: Connection) -> list[str]:
    """Return every rule that planned something, as `Ruleset / Rule`."""
    return [BETWEEN.join(pair) for pair in rules_in(c)]


def _rules(c: Connection, text: str) -> frozenset[tuple[str, str]]:
    known = rules_in(c)
    exact = [pair for pair in known if BETWEEN.join(pair) == text.strip()]
    return frozenset(exact or [pair for pair in known if text.strip() in pair])


def log_page(
    c: Connection,
    wanted: Wanted,
    integrations: Collection[str],
    *,
    before: Place | None,
    limit: int,
) -> Page:
    """Return at most `limit` entries of these integrations behind `before`, newest first."""
    return page(c, branches(wanted, integrations), before=before, limit=limit)


def whole_log(ledger: Ledger, wanted: Wanted, integrations: Collection[str]) -> Iterator[Entry]:
    """Yield everything that is wanted, newest first, a few hundred rows in memory at a time."""
    return stream(ledger.read, branches(wanted, integrations))


def as_address(place: Place) -> str:
    """Return a place as one word for an address."""
    at = place.at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return f"{at}~{place.rank}~{place.id}"


def from_address(text: str) -> Place | None:
    """Return the place that `as_address` wrote, None for "". Raises ConfigError for anything else."""
    if not text:
        return None
    at, _, rest = text.partition("~")
    rank, _, name = rest.partition("~")
    try:
        number = int(rank)
        found = Place(datetime.fromisoformat(at), number, name if number == 2 else int(name))
    except ValueError:
        raise ConfigError(
            f"'{text[:80]}' is no place in the log.", hint="Begin at the newest."
        ) from None
    if found.at.tzinfo is None:
        raise ConfigError(f"'{text[:80]}' is no place in the log.", hint="Begin at the newest.")
    return found


def changes_of(entry: Entry) -> Sequence[FieldChange]:
    """Return what an event changed, as far as earlier values are known; nothing for other entries."""
    if entry.kind != "event":
        return ()
    new, old = _sides(entry)
    return [one for one in changes_between(new, old, fresh=False) if one.known]


def _sides(entry: Entry) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    payload = entry.facts["payload"]
    if entry.source == SALESFORCE:
        return payload["record"], payload["old"]
    return payload["incident"], payload["old_incident"]


def told(entry: Entry) -> str:
    """Return an entry as one sentence, without who and what it is about."""
    facts = entry.facts
    if entry.kind == "event":
        by = f" by {facts['agent']}" if facts["agent"] else ""
        happened = _happened(entry)
        return f"{facts['type']}{by}" + (f": {happened}" if happened else "")
    if entry.kind == "decision":
        names = [name for name in str(facts["matched"] or "").split("\n") if name]
        return f"matched: {'; '.join(names)}" if names else "no rule matched"
    message = f": {facts['message']}" if facts["message"] else ""
    if entry.kind == "action":
        return f"{facts['kind']} planned{message}"
    target = f" → {facts['target']}" if facts["target"] else ""
    return f"{facts['kind']}, attempt {facts['attempt']}{target}{message}"


def _happened(entry: Entry) -> str:
    """What is new is told by its title, a change by its fields."""
    if entry.facts["type"] in {"created", "trigger"}:
        new, _ = _sides(entry)
        return next((_value(new[name]) for name in TITLES if new.get(name)), "")
    changed = [one for one in changes_of(entry) if not one.field.endswith(UNTOLD)]
    return "; ".join(f"{one.field}: {_value(one.old)} → {_value(one.new)}" for one in changed)


def _value(value: Any) -> str:
    text = "blank" if value in (None, "") else str(value)
    return text if len(text) <= 60 else text[:59] + "…"


def as_row(entry: Entry) -> dict[str, Any]:
    """Return an entry as scripts and spreadsheets read it, by COLUMNS."""
    facts = entry.facts
    acts = entry.kind in {"action", "answer"}
    values = (
        entry.at.isoformat(), entry.kind, entry.level, entry.outcome, entry.integration, entry.source,
        entry.object, entry.record_id, entry.incident_id, entry.ruleset, entry.rule,
        facts["kind"] if acts else "", facts["attempt"] if entry.kind == "answer" else None,
        facts["target"] if acts else None, told(entry), facts["error_kind"] if acts else "",
        facts.get("agent", ""), entry.event_id, entry.run_id,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def as_csv(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield the lines of a CSV file; a cell that a spreadsheet would calculate begins with an apostrophe."""
    yield _line(COLUMNS)
    for entry in entries:
        yield _line([_harmless(value) for value in as_row(entry).values()])


def _harmless(value: Any) -> str:
    text = "" if value is None else str(value).replace("\x00", "")
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def _line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue()


def as_json_lines(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield one JSON object a line: the columns of the CSV file, with request and answer whole."""
    for entry in entries:
        row = as_row(entry)
        if entry.kind == "answer":
            row |= {"request": entry.facts["request"], "answer": entry.facts["answer"]}
        if entry.kind == "event":
            row["changes"] = {one.field: [one.old, one.new] for one in changes_of(entry)}
        yield json.dumps(row, ensure_ascii=False, default=str) + "\n"
