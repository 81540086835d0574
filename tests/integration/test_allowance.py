"""PagerDuty's limit is used up and not run into, by one worker and by several; and who works side by side."""

import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from pd_sf_rules.errors import RateLimitedError
from pd_sf_rules.ledger import actions
from pd_sf_rules.pipeline.apply import apply
from pd_sf_rules.pipeline.opening import connect_from_environment
from pd_sf_rules.pipeline.sync import judge_pending, pull
from pd_sf_rules.systems.pagerduty.allowance import PAGE, Allowance
from pd_sf_rules.systems.pagerduty.client import PagerDutyClient
from tests.integration.pipeline_world import PAGE_NEW, PipelineWorld

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

FREE = {name: {"count": 0, "minutes": 10} for name in ("incidents_per_rule", "incidents")}


@pytest.fixture
def client(world: PipelineWorld) -> Iterator[PagerDutyClient]:
    """A client that waits for nothing."""
    made = PagerDutyClient(connect_from_environment("pagerduty_default"), patience=0.0)
    yield made
    made.close()


def _statuses(world: PipelineWorld, after: int = 0) -> list[int | None]:
    return [one.status for one in world.sandbox.traffic.requests("pagerduty", after=after)]


def test_what_would_be_refused_is_not_sent(world: PipelineWorld, client: PagerDutyClient) -> None:
    """After the last request that a minute allows the client waits for the next one by itself."""
    world.sandbox.pagerduty.limits.per_minute = 5
    world.sandbox.pagerduty.limits.window_seconds = 3600
    for _ in range(5):
        client.get("log_entries", {"limit": 1})
    with pytest.raises(RateLimitedError) as caught:
        client.get("log_entries", {"limit": 1})
    assert 0 < caught.value.retry_after <= 3600
    assert _statuses(world) == [200] * 5


def test_a_limit_of_one_operation_stops_no_other(
    world: PipelineWorld, client: PagerDutyClient
) -> None:
    """Bulk updates that are used up leave the account's other requests alone."""
    world.sandbox.pagerduty.limits.per_operation = {"GET /services": 2}
    world.sandbox.pagerduty.limits.window_seconds = 3600
    client.get("log_entries", {"limit": 1})
    for _ in range(2):
        client.get("services")
    with pytest.raises(RateLimitedError):
        client.get("services")
    client.get("log_entries", {"limit": 1})
    assert _statuses(world) == [200] * 4


def test_a_limit_of_the_first_operation_stops_no_other(
    world: PipelineWorld, client: PagerDutyClient
) -> None:
    """Where one operation's limit is all that is known, it is not taken for the account's."""
    world.sandbox.pagerduty.limits.per_operation = {"GET /services": 2}
    world.sandbox.pagerduty.limits.window_seconds = 3600
    for _ in range(2):
        client.get("services")
    client.get("log_entries", {"limit": 1})
    assert _statuses(world) == [200] * 3


def test_figures_alone_hold_no_page_back() -> None:
    """A page goes out although headers tell that nothing is left, until PagerDuty refuses one: then for a minute."""
    allowance = Allowance()
    told = {"ratelimit-limit": "960", "ratelimit-remaining": "0", "ratelimit-reset": "86400"}
    assert allowance.enter(PAGE) == 0.0
    allowance.leave(PAGE, told)
    assert allowance.enter(PAGE) == 0.0
    allowance.leave(PAGE, told, refused=True)
    assert 0 < allowance.enter(PAGE) <= 60


def test_figures_hold_nothing_back_for_longer_than_a_minute(
    world: PipelineWorld, client: PagerDutyClient
) -> None:
    """A limit that ends in an hour, as an answer tells that was no refusal, is tried again after a minute."""
    world.sandbox.pagerduty.limits.per_minute = 1
    world.sandbox.pagerduty.limits.window_seconds = 3600
    client.get("log_entries", {"limit": 1})
    with pytest.raises(RateLimitedError) as caught:
        client.get("log_entries", {"limit": 1})
    assert 0 < caught.value.retry_after <= 60
    assert _statuses(world) == [200]


def test_two_workers_use_a_limit_up_without_running_into_it(world: PipelineWorld) -> None:
    """Two workers with one key and one ledger make 60 incidents, 30 a window, and hardly a request is refused."""
    world.settings(limits=FREE)
    world.rules(PAGE_NEW)
    world.sync("salesforce")
    for at in range(60):
        world.case(f"Case {at}")
    world.hurry()
    limits = world.sandbox.pagerduty.limits
    limits.per_minute, limits.window_seconds = 30, 2
    before = world.sandbox.traffic.last_number()
    with world.run() as run:
        pull(run, "salesforce")
        judge_pending(run, "salesforce")

    def work() -> None:
        with world.run() as run:
            until = time.monotonic() + 60
            while apply(run, "salesforce", patience=5)["waiting"] and time.monotonic() < until:
                pass

    workers = [threading.Thread(target=work) for _ in range(2)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    assert len(world.incidents()) == len(world.links()) == 60
    told = _statuses(world, before)
    assert told.count(429) <= 6
    assert len(told) <= 60 + 6 + 4


def test_no_more_are_in_doubt_than_were_under_way(world: PipelineWorld) -> None:
    """While four answers are out, only those four of twenty pages are noted as sent."""
    world.settings(limits=FREE | {"parallel_requests": 4})
    world.rules(PAGE_NEW)
    world.sync("salesforce")
    for at in range(20):
        world.case(f"Case {at}")
    slow = world.fault("slow", "pagerduty", "POST", "/incidents$", after=8, times=4, seconds=2.0)
    worker = threading.Thread(target=lambda: world.sync("salesforce"))
    worker.start()
    world.wait_for_hit(slow, 4)
    with world.ledger.read() as c:
        sent = actions.doubtful_actions(c, "default", kind="create_incident")
    assert len(sent) == 4
    worker.join()
    assert len(world.links()) == 20


def test_one_request_at_a_time_where_that_is_asked(world: PipelineWorld) -> None:
    """With parallel_requests 1 no request goes out before the one before it is answered."""
    world.settings(limits=FREE | {"parallel_requests": 1})
    world.rules(PAGE_NEW)
    world.sync("salesforce")
    for at in range(8):
        world.case(f"Case {at}")
    world.fault("slow", "pagerduty", "POST", "/incidents$", times=None, seconds=0.1)
    before = world.sandbox.traffic.last_number()
    world.sync("salesforce")
    sent = [one.at for one in world.writes("pagerduty", after=before)]
    assert len(sent) == 8
    assert all(later - earlier >= 0.1 for earlier, later in pairwise(sent))
