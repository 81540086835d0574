"""Links by hand, and links found again in both services when the ledger was lost."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pd_sf_rules.errors import ConfigError, RefusedError
from pd_sf_rules.ledger import links, snapshots
from pd_sf_rules.model import SALESFORCE, Link, Values
from pd_sf_rules.pipeline.identifiers import full_record_id
from pd_sf_rules.pipeline.run import Run, utc_now
from pd_sf_rules.planning.echo import INCIDENT_KEY_PREFIX
from pd_sf_rules.rules.loader import load_folder
from pd_sf_rules.rules.ruleset import Ruleset
from pd_sf_rules.settings import rulesets_folder
from pd_sf_rules.systems.pagerduty.incidents import fetch_incidents, open_incidents
from pd_sf_rules.systems.salesforce.changes import fetch_records
from pd_sf_rules.systems.salesforce.finding import objects_by_prefix, records_with

_NAMES_INCIDENT = re.compile(r"\{\{\s*(?:incident\.(id|html_url)|links\.(incident_url))\s*\}\}")


@dataclass(frozen=True, slots=True)
class Found:
    """A pair that both services still show: `how` says by what, `known` that the ledger has it already."""

    link: Link
    how: str
    known: bool


def add_by_hand(
    run: Run, record: str, incident: str, *, object_name: str = "", unchecked: bool = False
) -> tuple[Link, bool]:
    """Link a record and an incident; return the link, and False when they were linked already.

    Both must exist, unless `unchecked`. Raises ConfigError naming the one that does not.
    """
    record_id = _record_id(record)
    name = object_name or object_of(run, record_id)
    if not unchecked:
        if record_id not in fetch_records(run.salesforce, name, [record_id], ["Id"]):
            raise ConfigError(f"Salesforce shows no {name} {record_id} to the sync's user.")
        if incident not in fetch_incidents(run.pagerduty, [incident]):
            raise ConfigError(f"PagerDuty has no incident {incident}.")
    link = Link(run.name, name, record_id, incident, "", utc_now())
    with run.ledger.begin() as c:
        return link, links.add_link(c, link)


def remove_by_hand(run: Run, record: str, incident: str) -> Link:
    """Part a record and an incident; raises ConfigError when they are not linked."""
    record_id = _record_id(record)
    with run.ledger.begin() as c:
        for link in links.links_of_records(c, run.name, [record_id]).get(record_id, []):
            if link.incident_id == incident:
                links.remove_link(c, run.name, link.object, record_id, incident, now=utc_now())
                return link
    raise ConfigError(f"{record_id} and {incident} are not linked.", hint="See `pdsf links`.")


def object_of(run: Run, record_id: str) -> str:
    """Return the object of a record: from the ledger, else by how its id begins in the org."""
    with run.ledger.read() as c:
        seen = [one.object for one in snapshots.seen_as(c, SALESFORCE, record_id)]
    name = seen[0] if seen else objects_by_prefix(run.salesforce).get(record_id[:3])
    if name is None:
        hint = "Name it with --object."
        raise ConfigError(f"No object of this org has ids like {record_id}.", hint=hint)
    return name


def find_links(run: Run) -> list[Found]:
    """Return the pairs that both services show, and write nothing.

    An open incident of ours has the record in its key; a record that a rule wrote the incident's id or address
    into has it there. Resolved incidents are left out: nothing happens to their pairs any more.
    """
    incidents = {str(v["id"]): v for page in open_incidents(run.pagerduty) for v in page}
    rulesets = [one for one in load_folder(rulesets_folder())[0] if one.integration == run.name]
    pairs: dict[tuple[str, str, str], str] = {}
    for object_name, record_id, incident_id in _by_key(run, incidents):
        pairs.setdefault((object_name, record_id, incident_id), "incident key")
    for object_name, field in sorted(_fields_of_incidents(rulesets)):
        for record_id, incident_id in _by_field(run, object_name, field, incidents):
            pairs.setdefault((object_name, record_id, incident_id), f"{object_name}.{field}")
    with run.ledger.read() as c:
        known = {
            (one.object, one.record_id, one.incident_id) for one in links.all_links(c, run.name)
        }
    return [
        Found(Link(run.name, *pair, "", utc_now()), how, pair in known)
        for pair, how in sorted(pairs.items())
    ]


def write_links(run: Run, found: Sequence[Found]) -> int:
    """Write the pairs that the ledger lacks; return how many."""
    with run.ledger.begin() as c:
        return sum(links.add_link(c, one.link) for one in found if not one.known)


def _record_id(text: str) -> str:
    record_id = full_record_id(text)
    if record_id is None:
        raise ConfigError(
            f"'{text}' is no Salesforce record id.", hint="It has 15 or 18 characters."
        )
    return record_id


def _by_key(run: Run, incidents: Mapping[str, Values]) -> Iterator[tuple[str, str, str]]:
    prefix = f"{INCIDENT_KEY_PREFIX}{run.name}-"
    named: dict[str, str] = {}
    for incident_id, values in incidents.items():
        key = str(values.get("incident_key") or "")
        record_id = (
            full_record_id(key.removeprefix(prefix)[:18]) if key.startswith(prefix) else None
        )
        if record_id is not None:
            named[incident_id] = record_id
    if not named:
        return
    objects = objects_by_prefix(run.salesforce)
    by_object: dict[str, dict[str, str]] = {}
    for incident_id, record_id in named.items():
        name = objects.get(record_id[:3])
        if name is not None:
            by_object.setdefault(name, {})[incident_id] = record_id
    for name, of_incident in by_object.items():
        there = fetch_records(run.salesforce, name, sorted(set(of_incident.values())), ["Id"])
        for incident_id, record_id in of_incident.items():
            if record_id in there:
                yield name, record_id, incident_id


def _fields_of_incidents(rulesets: Sequence[Ruleset]) -> set[tuple[str, str]]:
    """Return the (object, field) pairs that rules write an incident's id or address into."""
    return {
        (str(action.params.get("object") or rule.object), field)
        for ruleset in rulesets
        for rule in ruleset.rules
        for action in rule.actions
        if action.kind in {"update_record", "create_record"}
        for field, value in action.params["fields"].items()
        if isinstance(value, str) and _NAMES_INCIDENT.fullmatch(value.strip())
    }


def _by_field(
    run: Run, object_name: str, field: str, incidents: Mapping[str, Values]
) -> Iterator[tuple[str, str]]:
    named = {incident_id: incident_id for incident_id in incidents}
    named |= {str(v["html_url"]): i for i, v in incidents.items() if v.get("html_url")}
    try:
        holding = records_with(run.salesforce, object_name, field, sorted(named))
    except RefusedError as refusal:
        if refusal.code not in {"INVALID_FIELD", "INVALID_TYPE"}:
            raise
        return  # the rule that names it rests too
    for record_id, value in holding.items():
        if value in named:
            yield record_id, named[value]
