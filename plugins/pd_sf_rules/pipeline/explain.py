"""The story of a record, an incident or an event, told from the ledger alone."""

import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection

from pd_sf_rules.errors import ConfigError
from pd_sf_rules.ledger import Ledger, actions, attempts, events, links, rulesets, snapshots
from pd_sf_rules.ledger.actions import StoredAction
from pd_sf_rules.ledger.attempts import Attempt
from pd_sf_rules.ledger.events import StoredEvent
from pd_sf_rules.ledger.links import PastLink
from pd_sf_rules.model import PAGERDUTY, SALESFORCE, Values
from pd_sf_rules.pipeline.identifiers import find_incident, find_record
from pd_sf_rules.planning.values import same_value
from pd_sf_rules.rules.loader import load_text
from pd_sf_rules.rules.transcript import heads

Kind = Literal["record", "incident", "event"]


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field of the event's own side that changed; `known` False: there is no earlier value to compare with."""

    field: str
    old: Any
    new: Any
    known: bool = True


@dataclass(frozen=True, slots=True)
class Done:
    """An action, every attempt at it, and the events in which it came back to us."""

    action: StoredAction
    attempts: Sequence[Attempt]
    reflected_by: Sequence[str]


@dataclass(frozen=True, slots=True)
class Chapter:
    """One event: what changed, what the rules said (`verdicts` as recorded) and what was done."""

    event: StoredEvent
    changes: Sequence[FieldChange]
    done: Sequence[Done]


@dataclass(frozen=True, slots=True)
class Story:
    """Everything the ledger knows about `id`, oldest first; `more` says that older events were left out.

    `rules` holds the text of each rule that judged, by (version, rule), as it read then; one that the ledger
    does not have any more is absent.
    """

    kind: Kind
    id: str
    links: Sequence[PastLink]
    chapters: Sequence[Chapter]
    rules: Mapping[tuple[str, str], str]
    more: bool = False
    last_seen: datetime | None = None


def explain(
    ledger: Ledger,
    kind: Kind,
    named: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 100,
) -> Story:
    """Tell the newest `limit` events of a record or incident with its other side, or of one event.

    Raises ConfigError when the ledger knows nothing of that name.
    """
    with ledger.read() as c:
        if kind == "event":
            one = events.get_event(c, named)
            if one is None:
                raise ConfigError(f"The ledger has no event '{named}'.", hint="It may be pruned.")
            return _story(c, kind, named, _links_of(c, [one]), [one])
        target = find_record(c, named) if kind == "record" else find_incident(c, named)
        joined = links.find_links(
            c,
            record_ids=[target] if kind == "record" else (),
            incident_ids=[target] if kind == "incident" else (),
        )
        found = _events_of_pair(c, kind, target, joined, since, until, limit + 1)
        more = len(found) > limit
        system = SALESFORCE if kind == "record" else PAGERDUTY
        seen = [one.touched_at for one in snapshots.seen_as(c, system, target)]
        if not found and not joined and not seen:
            hint = "No rule in force reads it, nothing happened to it since the sync started, or it was pruned."
            raise ConfigError(f"The ledger knows nothing of {kind} '{target}'.", hint=hint)
        last_seen = max(seen, default=None)
        return _story(c, kind, target, joined, found[-limit:], more=more, last_seen=last_seen)


def _events_of_pair(
    c: Connection,
    kind: Kind,
    target: str,
    joined: Iterable[PastLink],
    since: datetime | None,
    until: datetime | None,
    limit: int,
) -> list[StoredEvent]:
    records = {target} if kind == "record" else {one.link.record_id for one in joined}
    incidents = {target} if kind == "incident" else {one.link.incident_id for one in joined}
    found: dict[str, StoredEvent] = {}
    bounds: dict[str, Any] = {"since": since, "until": until, "limit": limit}
    for one in records:
        found |= {e.id: e for e in events.find_events(c, record_id=one, **bounds)}
    for one in incidents:
        found |= {e.id: e for e in events.find_events(c, incident_id=one, **bounds)}
    return sorted(found.values(), key=lambda one: (one.occurred_at, one.seq))[-limit:]


def _links_of(c: Connection, found: Sequence[StoredEvent]) -> list[PastLink]:
    records = [one.record_id for one in found if one.record_id]
    incidents = [one.incident_id for one in found if one.incident_id]
    return links.find_links(c, record_ids=records, incident_ids=incidents)


def _story(
    c: Connection,
    kind: Kind,
    target: str,
    joined: Sequence[PastLink],
    found: Sequence[StoredEvent],
    *,
    more: bool = False,
    last_seen: datetime | None = None,
) -> Story:
    by_event = actions.actions_of_events(c, [one.id for one in found])
    tried = attempts.attempts_of(c, [a.id for plan in by_event.values() for a in plan])
    echoes = [(one.echo_of, one.id) for one in found if one.echo_of]
    chapters = [
        Chapter(
            event,
            changes_of(event),
            [
                Done(a, tried.get(a.id, ()), [echo for of, echo in echoes if of == a.id])
                for a in by_event.get(event.id, ())
            ],
        )
        for event in found
    ]
    said = {(v.ruleset_version, v.rule) for one in found for v in heads(one.verdicts)}
    texts = rule_texts(c, said)
    return Story(kind, target, joined, chapters, texts, more, last_seen)


def changes_of(event: StoredEvent) -> list[FieldChange]:
    """Return what changed on the event's own side, by field name."""
    if event.source == SALESFORCE:
        return changes_between(event.record, event.old, fresh=event.type == "created")
    return changes_between(event.incident, event.old_incident, fresh=event.type == "trigger")


def changes_between(new: Values, old: Values, *, fresh: bool) -> list[FieldChange]:
    """Return what changed from `old` to `new`; with no old values all of it, known only where it is `fresh`."""
    if not old:
        return [FieldChange(name, None, value, known=fresh) for name, value in sorted(new.items())]
    return [
        FieldChange(name, old[name], value)
        for name, value in sorted(new.items())
        if name in old and not same_value(value, old[name])
    ]


def rule_texts(c: Connection, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return the text of each of these rules, by (version, rule), as the file read then."""
    texts: dict[tuple[str, str], str] = {}
    for version, kept in rulesets.versions_of(c, {version for version, _ in wanted}).items():
        ruleset, _ = load_text(kept.text, kept.path)
        if ruleset is None:
            continue  # written by a version of this package that allowed what this one does not
        lines = kept.text.splitlines()
        starts = [rule.line for rule in ruleset.rules]
        for rule, end in zip(
            ruleset.rules, [*(at - 1 for at in starts[1:]), len(lines)], strict=True
        ):
            if (version, rule.name) in wanted:
                text = "\n".join(lines[rule.line - 1 : end]).rstrip()
                texts[version, rule.name] = textwrap.dedent(text)
    return texts
