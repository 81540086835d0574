"""Log entries: complete, in order, in the words of the rulesets."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pd_sf_rules.model import LogEntry, Window
from pd_sf_rules.systems.pagerduty import client as paging
from pd_sf_rules.systems.pagerduty.changes import pull_log_entries
from pd_sf_rules.systems.pagerduty.client import PagerDutyClient
from pd_sf_rules.systems.pagerduty.newest import newest_log_entries
from sandbox.world import World
from tests.contract.scripted import Reply, Request, Scripted, scripted_server
from tests.contract.systems_clients import sandbox_pagerduty, scripted_pagerduty

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = Window(NOON, NOON + timedelta(hours=1))


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A server that answers what the test says."""
    with scripted_server() as script:
        yield script


@pytest.fixture
def client(world: World) -> Iterator[PagerDutyClient]:
    """Our client for the sandbox."""
    made = sandbox_pagerduty(world)
    yield made
    made.close()


def _pull(client: PagerDutyClient) -> list[LogEntry]:
    now = client.server_now()
    return pull_log_entries(client, Window(now - timedelta(minutes=5), now))


def _row(number: int, seconds: float = 0, kind: str = "annotate", **more: Any) -> dict[str, Any]:
    stamp = NOON + timedelta(seconds=seconds)
    incident = {"id": "Q1", "type": "incident", "status": "triggered", "title": "Down"}
    return {
        "id": f"R{number}",
        "type": f"{kind}_log_entry",
        "created_at": stamp.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "incident": incident,
        **more,
    }


def _listing(server: Scripted, entries: list[dict[str, Any]], cap: int = 10_000) -> None:
    """Serve entries as PagerDuty does: newest first, by window, in pages down to row `cap`."""

    def answer(request: Request) -> Reply:
        since, until = request.query["since"][0], request.query["until"][0]
        offset, limit = int(request.query["offset"][0]), int(request.query["limit"][0])
        if offset + limit > cap:
            return Reply(400, {"error": {"code": 2002, "message": "Arguments Caused Error"}})
        found = [row for row in reversed(entries) if since <= row["created_at"] <= until]
        page = found[offset : offset + limit]
        return Reply(200, {"log_entries": page, "more": offset + limit < len(found)})

    server.on("GET", "/log_entries", answer)


def test_a_story_is_told_in_order_in_our_words(world: World, client: PagerDutyClient) -> None:
    """Each thing a person does becomes its entry, with agent and what the entry itself says."""
    ana = world.person("Ana Lopez")
    incident = str(ana.create_incident("Support P1", "Card failures")["id"])
    ana.acknowledge(incident)
    ana.add_note(incident, "Customer informed")
    ana.set_priority(incident, "P1")
    ana.set_urgency(incident, "low")
    ana.resolve(incident, "Provider is back")
    entries = {entry.type: entry for entry in _pull(client)}
    wanted = ["trigger", "acknowledge", "annotate", "priority_change", "urgency_change", "resolve"]
    assert [kind for kind in entries if kind in wanted] == wanted
    assert {entry.incident_id for entry in entries.values()} == {incident}
    assert (entries["acknowledge"].agent, entries["acknowledge"].agent_id) == (
        "Ana Lopez",
        "PUANA01",
    )
    assert entries["annotate"].detail["note"] == "Customer informed"
    assert entries["annotate"].detail["channel"] == "note"
    assert entries["priority_change"].detail["priority"] == "P1"
    assert entries["resolve"].detail["note"] == "Provider is back"
    assert entries["resolve"].incident["title"] == "Card failures"
    assert entries["resolve"].incident["service.name"] == "Support P1"


def test_assignments_name_people(world: World, client: PagerDutyClient) -> None:
    """Who was assigned is told by name and id."""
    ana = world.person("Ana Lopez")
    incident = str(ana.create_incident("Support P1", "Card failures")["id"])
    ana.reassign(incident, "Salesforce Sync")
    entry = [one for one in _pull(client) if one.type == "assign"][-1]
    assert entry.detail["assignees"] == "Salesforce Sync"
    assert entry.detail["assignee_ids"] == ["PUSYNC1"]


def test_a_reopening_is_told_once(world: World, client: PagerDutyClient) -> None:
    """A person acknowledges a resolved incident: one `reopen`, and what follows has its own name."""
    ana = world.person("Ana Lopez")
    incident = str(ana.create_incident("Support P1", "Card failures")["id"])
    ana.acknowledge(incident)
    ana.resolve(incident)
    ana.reopen(incident)
    ana.acknowledge(incident)
    story = [one.type for one in _pull(client)]
    told = [kind for kind in story if kind in {"acknowledge", "resolve", "reopen"}]
    assert told == ["acknowledge", "resolve", "reopen", "acknowledge"]


@pytest.mark.parametrize("kind", ["trigger", "acknowledge", "unacknowledge"])
def test_an_entry_that_follows_a_resolve_is_a_reopening(server: Scripted, kind: str) -> None:
    """Where no entry says so itself, the first sign of life after a visible resolve does."""
    _listing(server, [_row(1, 0, "resolve"), _row(2, 5, kind), _row(3, 9, kind)])
    entries = pull_log_entries(scripted_pagerduty(server), HOUR)
    assert [one.type for one in entries] == ["resolve", "reopen", kind]


def test_an_unknown_type_is_other(server: Scripted) -> None:
    """The set of types is open: what we have no word for is `other`, with its raw type."""
    _listing(server, [_row(1, kind="teleport"), _row(2, kind="custom_field_value_change")])
    first, second = pull_log_entries(scripted_pagerduty(server), HOUR)
    assert (first.type, first.raw_type) == ("other", "teleport_log_entry")
    assert second.type == "custom"


@pytest.mark.parametrize("ascending", [True, False])
def test_entries_of_one_second_keep_their_order(server: Scripted, *, ascending: bool) -> None:
    """Whichever way the server lists them, what happened first comes first."""
    story = [_row(1, 0, "trigger"), _row(2, 5, "acknowledge"), _row(3, 5, "resolve"), _row(4, 9)]
    listed = story if ascending else story[::-1]
    server.on("GET", "/log_entries", Reply(200, {"log_entries": listed, "more": False}))
    entries = pull_log_entries(scripted_pagerduty(server), HOUR)
    assert [one.id for one in entries] == ["R1", "R2", "R3", "R4"]


def test_a_list_in_no_order_is_sorted_by_second_and_stage(server: Scripted) -> None:
    """Within a second a trigger comes first and a resolve last, if nothing else tells."""
    listed = [_row(3, 5, "resolve"), _row(9, 0, "trigger"), _row(2, 5, "acknowledge"), _row(4, 9)]
    server.on("GET", "/log_entries", Reply(200, {"log_entries": listed, "more": False}))
    entries = pull_log_entries(scripted_pagerduty(server), HOUR)
    assert [one.id for one in entries] == ["R9", "R2", "R3", "R4"]


def test_an_entry_listed_twice_comes_once(world: World, client: PagerDutyClient) -> None:
    """Duplicates and shuffled pages do not reach the caller."""
    world.pagerduty.log_entry_faults.duplicate = 1.0
    world.pagerduty.log_entry_faults.shuffle = 1.0
    incident = str(world.person("Ana Lopez").create_incident("Support P1", "Down")["id"])
    entries = _pull(client)
    ids = [entry.id for entry in entries]
    assert len(ids) == len(set(ids)) >= 2
    assert {entry.incident_id for entry in entries} == {incident}
    listed = client.get("log_entries", {"limit": 100})["log_entries"]
    assert len(listed) > len(ids)


def test_bounds_are_widened_and_explicitly_utc(server: Scripted) -> None:
    """`since` and `until` are whole seconds with a Z, a second wider on both sides; rows outside go."""
    _listing(server, [_row(1, -1), _row(2, 0), _row(3, 60), _row(4, 62)])
    start = NOON + timedelta(milliseconds=700)
    window = Window(start, NOON + timedelta(seconds=60, milliseconds=200))
    entries = pull_log_entries(scripted_pagerduty(server), window)
    assert [one.id for one in entries] == ["R2", "R3"]
    query = server.requests[0].query
    assert query["since"] == ["2026-11-01T11:59:59Z"]
    assert query["until"] == ["2026-11-01T12:01:02Z"]
    assert query["include[]"] == ["incidents", "channels"]


def test_any_offset_is_understood(server: Scripted) -> None:
    """Times in the account's own zone mean the same instants."""
    row = _row(1) | {"created_at": "2026-11-01T07:00:05-05:00"}
    server.on("GET", "/log_entries", Reply(200, {"log_entries": [row], "more": False}))
    (entry,) = pull_log_entries(scripted_pagerduty(server), HOUR)
    assert entry.created_at == NOON + timedelta(seconds=5)


def test_more_entries_than_paging_reaches_are_read_in_halves(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than paging reaches in an hour: every entry, once, in order."""
    monkeypatch.setattr(paging, "CLASSIC_CAP", 1000)
    _listing(server, [_row(n, n * 2) for n in range(1_700)], cap=1000)
    entries = pull_log_entries(scripted_pagerduty(server), HOUR)
    assert [one.id for one in entries] == [f"R{n}" for n in range(1_700)]


def test_a_second_that_holds_too_many_is_completed_by_its_incidents(
    server: Scripted, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A single second cannot be split: what paging does not reach is read from the incidents created then."""
    monkeypatch.setattr(paging, "CLASSIC_CAP", 300)
    shown = {"type": "incident", "status": "triggered", "title": "Down"}
    rows = [_row(n, 7, "trigger", incident={"id": f"Q{n}", **shown}) for n in range(400)]
    _listing(server, rows, cap=300)

    def created(request: Request) -> Reply:
        offset = int(request.query["offset"][0])
        found = [row["incident"] for row in rows]
        listed = found if request.query["sort_by"][0].endswith(":asc") else found[::-1]
        return Reply(200, {"incidents": listed[offset : offset + 100], "more": offset < 300})

    server.on("GET", "/incidents", created)
    for row in rows[:100]:
        one = {"log_entries": [row], "more": False}
        server.on("GET", f"/incidents/{row['incident']['id']}/log_entries", Reply(200, one))
    window = Window(NOON + timedelta(seconds=6), NOON + timedelta(seconds=8))
    entries = pull_log_entries(scripted_pagerduty(server), window)
    assert {one.id for one in entries} == {f"R{n}" for n in range(400)}
    assert "reaches no further" in caplog.text


def test_both_bounds_may_leave_their_second_out(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Halves of a long window overlap: no second falls between them, whatever the bounds mean."""
    monkeypatch.setattr(paging, "CLASSIC_CAP", 1000)
    rows = [_row(n, n * 2) for n in range(1_700)]

    def answer(request: Request) -> Reply:
        since, until = request.query["since"][0], request.query["until"][0]
        offset = int(request.query["offset"][0])
        found = [row for row in reversed(rows) if since < row["created_at"] < until]
        return Reply(
            200, {"log_entries": found[offset : offset + 100], "more": offset + 100 < len(found)}
        )

    server.on("GET", "/log_entries", answer)
    entries = pull_log_entries(scripted_pagerduty(server), HOUR)
    assert [one.id for one in entries] == [f"R{n}" for n in range(1_700)]


def test_incidents_that_were_not_included_are_fetched(server: Scripted) -> None:
    """A server that ignores `include[]` costs one request per incident, not the incident's values."""
    reference = {"id": "Q1", "type": "incident_reference", "summary": "[#1] Down"}
    _listing(server, [_row(1, incident=reference), _row(2, incident=reference)])
    server.on("GET", "/incidents/Q1", Reply(200, {"incident": {"id": "Q1", "status": "resolved"}}))
    entries = pull_log_entries(scripted_pagerduty(server), HOUR)
    assert [one.incident["status"] for one in entries] == ["resolved", "resolved"]
    assert len(server.sent("GET", "/incidents/Q1")) == 1


def test_sparse_entries_are_read_all_the_same(server: Scripted) -> None:
    """No agent, no channel, null members and unknown ones: nothing breaks."""
    row = _row(1, kind="notify", agent=None, channel=None, assignees=None, surprise={"a": 1})
    _listing(server, [row])
    (entry,) = pull_log_entries(scripted_pagerduty(server), HOUR)
    assert (entry.agent, entry.agent_id, dict(entry.detail)) == ("", "", {})


def test_the_newest_entry_is_one_cheap_question(world: World, client: PagerDutyClient) -> None:
    """None before anything happened, then the id of the last thing that did."""
    since = client.server_now() - timedelta(minutes=1)
    assert newest_log_entries(client, since) == []
    world.person("Ana Lopez").create_incident("Support P1", "Down")
    before = client.usage().calls
    newest = newest_log_entries(client, since)
    assert newest[0].id == _pull(client)[-1].id
    assert client.usage().calls == before + 2
