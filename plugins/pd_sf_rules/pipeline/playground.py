"""A made-up event before the rules: what would be decided, why, and what would be done. Nothing is written anywhere."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from pd_sf_rules.errors import ConfigError
from pd_sf_rules.ledger import links, snapshots
from pd_sf_rules.model import PAGERDUTY, SALESFORCE, Action, Event, Source, Values, Verdict
from pd_sf_rules.pipeline.evaluate import LINKED
from pd_sf_rules.pipeline.identifiers import find_incident, find_record
from pd_sf_rules.pipeline.pull_pagerduty import INCIDENT
from pd_sf_rules.pipeline.run import Run
from pd_sf_rules.planning.planner import plan
from pd_sf_rules.planning.values import same_value
from pd_sf_rules.rules.evaluator import CompiledRules
from pd_sf_rules.rules.template_errors import TemplateError
from pd_sf_rules.rules.templates import render_params, template_context
from pd_sf_rules.systems.pagerduty.incidents import fetch_incidents, incident_values
from pd_sf_rules.systems.salesforce.changes import fetch_records

RENDERED = 100
"""Actions whose texts are rendered at most."""

SECONDS = 3.0
"""How long rendering may take altogether."""

FIELDS = 2000
DEPTH = 6
RECORD_ID = "the record"
INCIDENT_ID = "the incident"


@dataclass(frozen=True, slots=True)
class Scene:
    """What a person wants judged: values of the event's own side, its earlier ones, and of the linked other side.

    `old` holds only what was different before. `other` {}: nothing is linked. `made_by` names the ruleset that made
    the pair, "" for none.
    """

    integration: str
    source: Source
    type: str
    object: str
    values: Values
    old: Values = field(default_factory=dict)
    other: Values = field(default_factory=dict)
    made_by: str = ""
    agent: str = ""
    record_id: str = RECORD_ID
    incident_id: str = INCIDENT_ID


@dataclass(frozen=True, slots=True)
class Planned:
    """An action that would be done, its texts rendered; `problem` says why they could not be."""

    action: Action
    params: Mapping[str, Any]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What every rule said, what would be done, and which fields the rules name that the scene does not tell."""

    verdicts: Sequence[Verdict]
    planned: Sequence[Planned]
    untold: Sequence[str]


def flat(text: str, what: str) -> dict[str, Any]:
    """Return a JSON object as flat values (`Account.Type`), as pasted from either service; {} for "".

    Takes a record of Salesforce's REST API, an incident of PagerDuty's (also wrapped as `{"incident": …}`), or values
    that are flat already. Raises ConfigError naming `what` (the field of the form) for anything else.
    """
    if not text.strip():
        return {}
    try:
        data = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        told = f"line {error.lineno}, column {error.colno}: {error.msg}" if isinstance(
            error, json.JSONDecodeError) else str(error) or "it is nested too deeply"  # fmt: skip
        raise ConfigError(
            f"{what}: this is no JSON, {told}.", hint='Write { "Field": "value" }.'
        ) from None
    if not isinstance(data, dict):
        raise ConfigError(f"{what}: this is no JSON object.", hint='Write { "Field": "value" }.')
    inner = data.get("incident", data)
    if isinstance(inner, dict) and _is_raw_incident(inner):
        return dict(incident_values(inner))
    values = dict(_leaves(data, "", 0, what))
    if len(values) > FIELDS:
        raise ConfigError(
            f"{what}: more than {FIELDS} fields.", hint="Leave out what no rule names."
        )
    return values


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no JSON number")


def _is_raw_incident(data: Mapping[str, Any]) -> bool:
    return "incident_number" in data or (
        isinstance(data.get("service"), Mapping) and "summary" in data["service"]
    )


def _leaves(
    data: Mapping[str, Any], prefix: str, depth: int, what: str
) -> Iterator[tuple[str, Any]]:
    if depth > DEPTH:
        raise ConfigError(f"{what}: {prefix[:80]} is nested too deeply.")
    for name, value in data.items():
        if isinstance(value, Mapping):
            if name != "attributes":  # of Salesforce's REST API: type and address of the record
                yield from _leaves(value, f"{prefix}{name}.", depth + 1, what)
        elif not isinstance(value, list) or (prefix == "" and name == "assignee_ids"):
            yield f"{prefix}{name}", value


def event_of(scene: Scene) -> Event:
    """Return the event that the scene describes. What `old` leaves out was as it is now."""
    old = dict.fromkeys(scene.values) if scene.type == "created" else {**scene.values, **scene.old}
    linked = bool(scene.other)
    event = Event(
        id="playground",
        integration=scene.integration,
        source=scene.source,
        type=scene.type,
        occurred_at=datetime.now(UTC),
        agent=scene.agent,
        linked_by=(scene.made_by,) if linked and scene.made_by else (),
    )
    if scene.source == SALESFORCE:
        return replace(event, object=scene.object, record_id=scene.record_id, record=scene.values, old=old,
                       incident=scene.other)  # fmt: skip
    fresh = {} if scene.type == "trigger" and not scene.old else old
    detail = {LINKED: {scene.object: dict(scene.other)}} if linked else {}
    return replace(
        event,
        incident_id=scene.incident_id,
        incident=scene.values,
        old_incident=fresh,
        detail=detail,
    )


def scene_of(event: Event) -> Scene:
    """Return the scene that a recorded event was; of several linked records the first."""
    linked: Mapping[str, Values] = event.detail.get(LINKED) or {}
    name = event.object or next(iter(linked), "Case")
    mine = event.source == SALESFORCE
    values, last = (event.record, event.old) if mine else (event.incident, event.old_incident)
    return Scene(
        integration=event.integration,
        source=event.source,
        type=event.type,
        object=name,
        values=values,
        old={} if event.type == "created" else _different(last, values),
        other=event.incident if mine else linked.get(name, {}),
        made_by=next(iter(event.linked_by), ""),
        agent=event.agent,
    )


def judge_scene(scene: Scene, rules: CompiledRules) -> Judgement:
    """Return what these rules make of a scene. Asks nobody and writes nothing."""
    event = event_of(scene)
    evaluation = rules.evaluate(event, event.detail.get(LINKED) or {})
    planned: list[Planned] = []
    until = time.monotonic() + SECONDS
    for number, action in enumerate(plan(event, evaluation.matches)):
        if number >= RENDERED or time.monotonic() > until:
            planned.append(Planned(action, action.params, "Not rendered: there are too many."))
        else:
            planned.append(_rendered(event, action))
    return Judgement(evaluation.verdicts, planned, _untold(scene, rules))


def _untold(scene: Scene, rules: CompiledRules) -> list[str]:
    """Name the fields that rules need and the scene lacks: they count as blank."""
    if scene.source == SALESFORCE:
        return sorted(rules.watched_fields(scene.object).difference(scene.values))
    return sorted(rules.needs_record(scene.object).difference(scene.other)) if scene.other else []


def _rendered(event: Event, action: Action) -> Planned:
    rule = {
        "name": action.rule,
        "object": action.object,
        "ruleset": action.ruleset,
        "version": action.ruleset_version,
    }
    urls = {
        "record_url": f"(address of {event.record_id or RECORD_ID})",
        "incident_url": str(event.incident.get("html_url") or f"(address of {INCIDENT_ID})"),
    }
    linked = event.detail.get(LINKED) or {}
    seen = event if event.record else replace(event, record=linked.get(action.object or "", {}))
    try:
        return Planned(
            action, render_params(action.params, template_context(seen, rule=rule, links=urls))
        )
    except TemplateError as error:
        return Planned(action, action.params, str(error))


def fetched(run: Run, scene: Scene, named: str, rules: CompiledRules) -> Scene:
    """Return the scene with the record or incident that `named` names, as it is now, and with its other side.

    `old` is what the sync saw last where that differs. Reads from both services, writes nothing.
    Raises ConfigError when it is not there, and the errors of the systems.
    """
    if scene.source == SALESFORCE:
        return _fetched_record(run, scene, named, rules)
    return _fetched_incident(run, scene, named, rules)


def _fetched_record(run: Run, scene: Scene, named: str, rules: CompiledRules) -> Scene:
    with run.ledger.read() as c:
        record_id = find_record(c, named)
        joined = links.links_of_records(c, run.name, [record_id]).get(record_id, [])
        seen = snapshots.get_snapshots(c, run.name, SALESFORCE, scene.object, [record_id])
    found = fetch_records(
        run.salesforce, scene.object, [record_id], rules.record_fields(scene.object)
    )
    if record_id not in found:
        raise ConfigError(
            f"Salesforce shows no {scene.object} {record_id}.", hint="Is the object right?"
        )
    other: Values = {}
    if joined:
        incident_id = joined[-1].incident_id
        custom = rules.needs_custom_fields()
        other = fetch_incidents(run.pagerduty, [incident_id], custom_fields=custom).get(
            incident_id, {}
        )
    last = seen[record_id].values if record_id in seen else {}
    made_by = joined[-1].ruleset if joined else ""
    return replace(scene, values=found[record_id], old=_different(last, found[record_id]), other=other,
                   made_by=made_by, record_id=record_id)  # fmt: skip


def _fetched_incident(run: Run, scene: Scene, named: str, rules: CompiledRules) -> Scene:
    with run.ledger.read() as c:
        incident_id = find_incident(c, named)
        joined = links.links_of_incidents(c, run.name, [incident_id]).get(incident_id, [])
        seen = snapshots.get_snapshots(c, run.name, PAGERDUTY, INCIDENT, [incident_id])
    custom = rules.needs_custom_fields()
    found = fetch_incidents(run.pagerduty, [incident_id], custom_fields=custom)
    if incident_id not in found:
        raise ConfigError(
            f"PagerDuty shows no incident {incident_id}.", hint="Give its id or number."
        )
    mine = [link for link in joined if link.object == scene.object]
    other: Values = {}
    if mine:
        record_id = mine[-1].record_id
        fields = rules.needs_record(scene.object)
        there = fetch_records(run.salesforce, scene.object, [record_id], fields)
        other = {"Id": record_id, **there.get(record_id, {})}
    last = seen[incident_id].values if incident_id in seen else {}
    made_by = mine[-1].ruleset if mine else ""
    return replace(scene, values=found[incident_id], old=_different(last, found[incident_id]), other=other,
                   made_by=made_by, incident_id=incident_id)  # fmt: skip


def _different(last: Values, now: Values) -> dict[str, Any]:
    return {
        name: last[name] for name in now if name in last and not same_value(last[name], now[name])
    }
