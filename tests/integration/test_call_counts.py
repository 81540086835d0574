"""No call is wasted: passes ask for what they must, once, and many things in one request where a service allows it."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pd_sf_rules.model import PAGERDUTY, SALESFORCE, Source
from pd_sf_rules.pipeline.opening import connect_from_environment
from pd_sf_rules.systems.pagerduty.client import PagerDutyClient
from pd_sf_rules.systems.pagerduty.lookups import Lookups
from pd_sf_rules.triggers.doorbell import NOTHING, RULES
from pd_sf_rules.triggers.poll import Poll
from tests.integration.pipeline_world import (
    PAGE_NEW,
    PipelineWorld,
    became,
    event_is,
    mirror,
    rule,
)

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

OBJECTS = ("Account", "Asset", "Case", "Contact", "Opportunity", "Task", "User")


class _Calls:
    """The calls of both services since the last question, as `system METHOD last word of the path`."""

    def __init__(self, world: PipelineWorld) -> None:
        self._world = world
        self._last = world.sandbox.traffic.last_number()

    def made(self) -> Counter[str]:
        """Return and forget them; logins are no API calls."""
        found = self._world.sandbox.traffic.requests(after=self._last)
        self._last = self._world.sandbox.traffic.last_number()
        return Counter(
            f"{one.system} {one.method} {one.path.rstrip('/').rpartition('/')[2]}"
            for one in found
            if "/oauth2/" not in one.path
        )


def _free(world: PipelineWorld, **more: object) -> None:
    breakers = {name: {"count": 0, "minutes": 10} for name in ("incidents_per_rule", "incidents")}
    world.settings(limits=breakers, **more)


def _pairs(world: PipelineWorld, number: int) -> list[tuple[str, str]]:
    """Cases with an open incident each that the sync made, an hour ago; (Case, incident)."""
    _free(world, comments={"salesforce_to_pagerduty": True, "pagerduty_to_salesforce": "internal"})
    world.sync()
    for at in range(number):
        world.case(f"Case {at}")
    world.sync()
    world.clock.pass_(hours=1)
    world.sync()
    return [(link.record_id, link.incident_id) for link in world.links()]


def test_new_incidents_cost_a_call_each_and_their_names_one(world: PipelineWorld) -> None:
    """Of 30 changed Cases 20 page two services: a query, two names, 20 requests."""
    _free(world)
    other = rule(
        "Other",
        {
            "all": [
                event_is("created"),
                {"field": "Case.Priority", "operation": "equals", "value": "Low"},
            ]
        },
        {"create_incident": {"service": "Deal desk", "title": "T", "priority": "P2"}},
    )
    world.rules(PAGE_NEW, other)
    world.sync("salesforce")
    for at in range(30):
        world.case(f"Case {at}", Priority=("High", "Low", "Medium")[at % 3])
    calls = _Calls(world)
    world.sync("salesforce")
    assert calls.made() == {
        "salesforce GET query": 1,
        "pagerduty GET services": 2,
        "pagerduty GET priorities": 1,
        "pagerduty POST incidents": 20,
    }


def test_incident_updates_share_their_calls(world: PipelineWorld) -> None:
    """Of 24 incidents a third each is resolved, prioritised and reassigned: one look at all, one request for all."""
    people = [f"person{at}@acme.example" for at in range(8)]
    store = world.sandbox.pagerduty.store
    for at, email in enumerate(people):
        someone = store.all("user")[0] | {"id": f"PUNEW{at:02}", "name": f"Person {at}"}
        store.put("user", someone | {"email": email})
    fields = {"users": ["{{ record.SuppliedEmail }}"]}
    world.rules(
        PAGE_NEW,
        rule("Resolve", became("Case.Status", "Closed"), {"resolve_incident": {}}),
        rule("P1", became("Case.Status", "Escalated"), {"set_priority": {"priority": "P1"}}),
        rule("P2", became("Case.Status", "On Hold"), {"set_priority": {"priority": "P2"}}),
        rule("Give", became("Case.Status", "Working"), {"reassign_incident": fields}),
    )
    pairs = _pairs(world, 24)
    states = ("Closed", "Escalated", "On Hold")
    for at, (case_id, _) in enumerate(pairs):
        if at < 8:
            world.edit(case_id, Status="Working", SuppliedEmail=people[at])
        else:
            world.edit(case_id, Status=states[at % 3])
    calls = _Calls(world)
    world.sync("salesforce")
    made = calls.made()
    assert made.pop("pagerduty GET users") <= 2
    assert made == {
        "salesforce GET query": 1,
        "pagerduty GET incidents": 1,
        "pagerduty GET priorities": 1,
        "pagerduty PUT incidents": 1,
    }
    held = {world.holders(incident_id)[0] for _, incident_id in pairs[:8]}
    assert held == {f"PUNEW{at:02}" for at in range(8)}


def test_record_writes_share_a_call(world: PipelineWorld) -> None:
    """Twelve acknowledged incidents write to their Cases by one request, and our rows coming back cost a query."""
    world.rules(
        PAGE_NEW,
        mirror(
            "Ack", event_is("acknowledge"), {"update_record": {"fields": {"Status": "Working"}}}
        ),
    )
    pairs = _pairs(world, 12)
    for _, incident_id in pairs:
        world.ana().acknowledge(incident_id)
    calls = _Calls(world)
    world.sync("pagerduty")
    assert calls.made() == {"salesforce PATCH sobjects": 1, "pagerduty GET log_entries": 1}
    world.sync("salesforce")
    assert calls.made() == {"salesforce GET query": 1}


def test_texts_cross_in_few_calls_and_are_not_looked_at_again(world: PipelineWorld) -> None:
    """Ten comments are ten notes; once the log shows them nobody is asked about them. Ten notes are one request."""
    world.rules(PAGE_NEW)
    pairs = _pairs(world, 10)
    for at, (case_id, _) in enumerate(pairs):
        world.sandbox.salesforce.comment(case_id, f"Comment {at}")
    world.clock.pass_(seconds=5)
    calls = _Calls(world)
    world.sync("notes")
    assert calls.made()["pagerduty POST notes"] == 10
    world.sync("notes")
    made = calls.made()
    assert made["pagerduty GET notes"] == 0
    assert made.total() <= 4
    for at, (_, incident_id) in enumerate(pairs):
        world.ana().add_note(incident_id, f"Note {at}")
    world.sync("notes")
    made = calls.made()
    assert made["salesforce POST sobjects"] == 1
    assert made["pagerduty GET notes"] == 10
    assert len(world.comments()) == 20
    world.settle()


def test_a_text_that_another_wrote_as_our_user_still_crosses(world: PipelineWorld) -> None:
    """Beside a note of ours the same words, written once more in our user's name, are somebody's note."""
    world.rules(PAGE_NEW)
    ((case_id, incident_id),) = _pairs(world, 1)
    world.sandbox.salesforce.comment(case_id, "Hello")
    world.sync("notes")
    (ours,) = world.notes(incident_id)
    world.sync("notes")
    world.sandbox.person("Salesforce Sync").add_note(incident_id, ours)
    world.clock.pass_(seconds=5)
    world.sync("notes")
    assert len(world.comments(case_id)) == 2


@pytest.fixture
def polls(world: PipelineWorld) -> Iterator[dict[str, Poll]]:
    """A poll of each side that has had its first look, with a rule on each of seven objects in force."""
    for name in OBJECTS:
        watching = rule(
            name,
            {"field": f"{name}.Id", "operation": "changed"},
            {"create_incident": {"service": "Support P1", "title": "T"}},
            object=name,
        )
        world.rules(watching, file=f"{name}.yaml")
    sides: tuple[Source, ...] = (SALESFORCE, PAGERDUTY)
    made: dict[str, Poll] = {one: Poll(one, "default", connect_from_environment) for one in sides}
    for poll in made.values():
        assert poll.look() == NOTHING
    yield made
    for poll in made.values():
        poll.close()


def test_watching_costs_one_call_an_interval_whatever_is_watched(
    world: PipelineWorld, polls: dict[str, Poll]
) -> None:
    """Seven objects in seven rulesets: a look is one call to each account, and each object has its turn."""
    calls = _Calls(world)
    for _ in range(10):
        for poll in polls.values():
            assert poll.look() == NOTHING
    assert calls.made() == {"salesforce POST composite": 10, "pagerduty GET log_entries": 10}
    for name, fields in (("Account", {"Name": "Acme"}), ("Task", {"Subject": "Call"})):
        world.sandbox.salesforce.create(name, fields)
        looks = [polls[SALESFORCE].look() or NOTHING for _ in range(2)]
        assert RULES in frozenset().union(*looks)


def test_threads_in_need_of_one_name_ask_once(world: PipelineWorld) -> None:
    """Eight threads that look one service up at the same moment make one call."""
    client = PagerDutyClient(connect_from_environment("pagerduty_default"))
    lookups, together = Lookups(client), threading.Barrier(8)

    def find() -> str:
        together.wait()
        return lookups.service("Support P1")

    calls = _Calls(world)
    with ThreadPoolExecutor(8) as pool:
        found = {one.result() for one in [pool.submit(find) for _ in range(8)]}
    client.close()
    assert found == {"PSUPP01"}
    assert calls.made() == {"pagerduty GET services": 1}
