"""The simulated servers speak in every way that their contracts leave open."""

import json
from datetime import datetime
from typing import Any

import httpx
import pytest

from sandbox.habits import Habits
from sandbox.pagerduty.seed import ACCOUNT_KEY, INTEGRATION_USER
from sandbox.world import World

HEADERS = {"Authorization": f"Token token={ACCOUNT_KEY}", "From": INTEGRATION_USER}
STAMP = b'{"created_at": "2026-11-01T12:00:05Z"}'


def _get(world: World, path: str) -> httpx.Response:
    return httpx.get(f"{world.pagerduty_url}{path}", headers=HEADERS, trust_env=False)


def _control(world: World, body: dict[str, Any]) -> httpx.Response:
    return httpx.post(f"{world.control_url}/habits", json=body, trust_env=False)


def test_the_date_may_be_anothers_or_missing(world: World) -> None:
    """A server tells its own time, this machine's, or none; its stamps stay its own."""
    world.pagerduty.clock_offset -= world.pagerduty.now() - datetime.fromisoformat(
        "2020-01-01T00:00:00+00:00"
    )
    assert "2020" in _get(world, "/services").headers["date"]
    assert _control(world, {"date": "machine"}).status_code == 200
    assert "2020" not in _get(world, "/services").headers["date"]
    _control(world, {"date": "none", "limits": False})
    told = _get(world, "/services").headers
    assert not {"date", "ratelimit-limit", "ratelimit-reset"} & set(told)


def test_pages_may_be_short_and_tell_nothing_of_the_rest(world: World) -> None:
    """A page holds fewer rows than asked for, and no word about more."""
    for number in range(5):
        world.person("Ana Lopez").create_incident("Support P1", f"{number}")
    world.habits.set({"page": 2, "more": False})
    body = _get(world, "/incidents?limit=100&offset=0").json()
    assert len(body["incidents"]) == 2
    assert not {"more", "total"} & set(body)
    assert len(_get(world, "/incidents?limit=100&offset=4").json()["incidents"]) == 1


def test_entries_may_come_without_their_incident(world: World) -> None:
    """`include[]` is ignored: a reference stands in the incident's place."""
    world.person("Ana Lopez").create_incident("Support P1", "Down")
    world.habits.set({"included": False})
    entries = _get(world, "/log_entries?include[]=incidents").json()["log_entries"]
    assert {tuple(one["incident"]) for one in entries} == {("id", "type")}


@pytest.mark.parametrize(
    ("stamps", "told"),
    [
        ("own", "2026-11-01T12:00:05Z"),
        ("zulu", "2026-11-01T12:00:05Z"),
        ("millis", "2026-11-01T12:00:05.000Z"),
        ("compact", "2026-11-01T12:00:05+0000"),
        ("west", "2026-11-01T07:00:05-05:00"),
    ],
)
def test_instants_are_printed_in_any_way(stamps: str, told: str) -> None:
    """Whatever the spelling, it is the same instant."""
    habits = Habits(stamps=stamps, total=False)
    assert json.loads(habits.body(200, STAMP))["created_at"] == told
    assert datetime.fromisoformat(told) == datetime.fromisoformat("2026-11-01T12:00:05+00:00")


@pytest.mark.parametrize(
    ("errors", "shape"),
    [
        ("bare", {"message": "no: why", "code": 1}),
        ("list", [{"message": "no: why", "code": 1}]),
        ("envelope", {"error": {"message": "no: why", "code": 1}}),
    ],
)
def test_a_refusal_keeps_its_words_in_any_shape(errors: str, shape: Any) -> None:
    """Code and words stay, the shape does not."""
    raw = json.dumps({"error": {"message": "no", "code": 1, "errors": ["why"]}}).encode()
    assert json.loads(Habits(errors=errors).body(400, raw)) == shape


def test_what_is_no_json_stays_as_it_is() -> None:
    """A web page and half an answer are not rewritten."""
    habits = Habits(stamps="west", errors="bare")
    for raw in (b"<html></html>", b'{"created_at": "2026-', b""):
        assert habits.body(200, raw) == raw


def test_unknown_habits_are_refused_and_a_reset_ends_them(world: World) -> None:
    """A wrong word names what is known; a reset brings the vendors' own ways back."""
    assert "own, machine, none" in _control(world, {"date": "moon"}).json()["error"]
    assert "unknown habits manners" in _control(world, {"manners": 1}).json()["error"]
    _control(world, {"total": False})
    world.reset()
    assert world.habits == Habits()
