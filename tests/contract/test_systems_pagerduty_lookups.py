"""Names in rules become ids, or one sentence that says why not."""

from collections.abc import Callable, Iterator

import pytest

from pd_sf_rules.errors import RefusedError
from pd_sf_rules.systems.pagerduty.client import PagerDutyClient
from pd_sf_rules.systems.pagerduty.lookups import Lookups
from sandbox.world import World
from tests.contract.scripted import Reply, Scripted, scripted_server
from tests.contract.systems_clients import sandbox_pagerduty, scripted_pagerduty


@pytest.fixture
def client(world: World) -> Iterator[PagerDutyClient]:
    """Our client for the sandbox."""
    made = sandbox_pagerduty(world)
    yield made
    made.close()


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A server that answers what the test says."""
    with scripted_server() as script:
        yield script


def _find(lookups: Lookups, kind: str) -> Callable[[str], str]:
    found: Callable[[str], str] = getattr(lookups, kind)
    return found


@pytest.mark.parametrize(
    ("kind", "name", "wanted"),
    [
        ("service", "Support P1", "PSUPP01"),
        ("service", "support p1", "PSUPP01"),
        ("service", "PSUPP01", "PSUPP01"),
        ("priority", "P1", "PPRIO01"),
        ("priority", "PPRIO01", "PPRIO01"),
        ("user", "salesforce-sync@acme.example", "PUSYNC1"),
        ("user", "Salesforce-Sync@ACME.example", "PUSYNC1"),
        ("user", "PUANA01", "PUANA01"),
        ("escalation_policy", "Support on call", "PESUPP1"),
        ("escalation_policy", "PESUPP1", "PESUPP1"),
    ],
)
def test_names_and_ids_are_found(
    client: PagerDutyClient, kind: str, name: str, wanted: str
) -> None:
    """By exact name (any case) or by id."""
    assert _find(Lookups(client), kind)(name) == wanted


def test_workflows_are_found_by_name(world: World, client: PagerDutyClient) -> None:
    """The workflow's id, by its name and by itself."""
    workflow = world.pagerduty.store.all("incident_workflow")[0]
    assert Lookups(client).workflow(workflow["name"]) == workflow["id"]
    assert Lookups(client).workflow(workflow["id"]) == workflow["id"]


@pytest.mark.parametrize(
    ("kind", "name", "near"),
    [
        ("service", "Support P9", "'Support P1'"),
        ("service", "Suport P1", "'Support P1'"),
        ("priority", "P0", "'P5'"),
        ("user", "salesforce-sink@acme.example", "salesforce-sync@acme.example"),
        ("workflow", "Something else entirely", "exact name"),
    ],
)
def test_a_near_miss_names_what_was_meant(
    client: PagerDutyClient, kind: str, name: str, near: str
) -> None:
    """Never the first fuzzy hit: an error with near names, or how to name it."""
    with pytest.raises(RefusedError) as caught:
        _find(Lookups(client), kind)(name)
    assert name in caught.value.message
    assert near in caught.value.hint


def test_what_was_found_is_remembered(client: PagerDutyClient) -> None:
    """The second question costs nothing, until the lookups are told to forget."""
    lookups = Lookups(client)
    lookups.priority("P1")
    before = client.usage().calls
    assert lookups.priority("P1") == "PPRIO01"
    assert client.usage().calls == before
    lookups.forget()
    lookups.priority("P1")
    assert client.usage().calls == before + 1


def test_two_things_of_one_name_are_refused(server: Scripted) -> None:
    """Nobody guesses which one was meant; the ids are told."""
    client = scripted_pagerduty(server)
    rows = [{"id": "P1", "name": "---"}, {"id": "P2", "name": "---"}, {"id": "P3", "name": "P1"}]
    server.on("GET", "/priorities", Reply(200, {"priorities": rows}))
    with pytest.raises(RefusedError, match="P1, P2"):
        Lookups(client).priority("---")


def test_exact_case_decides_between_names(server: Scripted) -> None:
    """Two names that differ in case only: the one written exactly so is meant."""
    client = scripted_pagerduty(server)
    rows = [{"id": "P1", "name": "billing"}, {"id": "P2", "name": "Billing"}]
    server.on("GET", "/services", Reply(200, {"services": rows}))
    assert Lookups(client).service("Billing") == "P2"


def test_a_blank_name_is_refused_without_asking(server: Scripted) -> None:
    """A template that rendered to nothing is told at once."""
    with pytest.raises(RefusedError, match="blank"):
        Lookups(scripted_pagerduty(server)).service("  ")
    assert server.requests == []


def test_an_id_that_is_not_listed_is_asked_for(server: Scripted) -> None:
    """Where the server's search knows names only, the id's own address answers."""
    client = scripted_pagerduty(server)
    server.on("GET", "/services", Reply(200, {"services": []}))
    server.on("GET", "/services/PX1", Reply(200, {"service": {"id": "PX1"}}))
    assert Lookups(client).service("PX1") == "PX1"
    assert "GET /services/a%2Fb" not in [f"{one.method} {one.path}" for one in server.requests]
    with pytest.raises(RefusedError):
        Lookups(client).service("../users")
