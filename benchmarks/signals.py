"""How long a change in Salesforce takes to ring the waiting trigger; the poll itself looks once a minute."""

import asyncio
import statistics
import time

from benchmarks.here import ESCALATE, home_of
from benchmarks.table import Line
from sandbox.running import running_sandbox
from sandbox.world import World

ROUNDS = 20
POLL_SECONDS = 60.0
APART_SECONDS = 1.1  # a storm is one look a second: these are no storm
SETTINGS = "name: default\nsignals: {salesforce: pubsub}\n"
GROUP = "change events, on loopback; times one look by REST"


def measure() -> list[Line]:
    """Return the milliseconds from a commit in Salesforce to the trigger's event, beside those of one look."""
    with running_sandbox() as world, home_of(world, ESCALATE, SETTINGS):
        look, rung = _look(), sorted(asyncio.run(_rung(world)))
    median, late = statistics.median(rung), rung[-2]
    return [
        Line(GROUP, "one look", look, 1.0, "ms"),
        Line(GROUP, "change to ring, median", median, median / look, "ms"),
        Line(GROUP, f"change to ring, second latest of {ROUNDS}", late, late / look, "ms"),
    ]


def _look() -> float:
    """Return the milliseconds of one look of the poll."""
    from pd_sf_rules.cli.connecting import connect  # noqa: PLC0415 - as the trigger below
    from pd_sf_rules.model import SALESFORCE  # noqa: PLC0415
    from pd_sf_rules.triggers.poll import Poll  # noqa: PLC0415

    poll, taken = Poll(SALESFORCE, "default", connect), []
    for _ in range(ROUNDS + 1):
        begun = time.perf_counter()
        poll.changes()
        taken.append((time.perf_counter() - begun) * 1e3)
    poll.close()
    return statistics.median(taken[1:])


async def _rung(world: World) -> list[float]:
    """Return the milliseconds of each change until the trigger rang."""
    # Airflow reads its settings when it is imported: from the folder above.
    from pd_sf_rules.triggers.changes import SalesforceChangesTrigger  # noqa: PLC0415

    events = SalesforceChangesTrigger(poll_seconds=POLL_SECONDS).run()
    await anext(events)
    ringing = asyncio.ensure_future(anext(events))
    assert await asyncio.to_thread(world.pubsub.wait_for_listeners, "Case")
    await asyncio.sleep(3.0)  # the one look of a new subscription is over
    taken = []
    fields = {"Subject": "Slow", "Priority": "High", "Origin": "Web"}
    for _ in range(ROUNDS):
        await asyncio.sleep(APART_SECONDS)
        begun = time.perf_counter()
        await asyncio.to_thread(world.salesforce.create, "Case", fields)
        await ringing
        taken.append((time.perf_counter() - begun) * 1e3)
        ringing = asyncio.ensure_future(anext(events))
    ringing.cancel()
    return taken
