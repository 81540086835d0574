"""A sandbox for tests: served by a thread of the test's own process, gone when the block ends."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from sandbox.pagerduty.shapes import utc_now
from sandbox.world import World, open_world

START_SECONDS = 30


class _Thread(threading.Thread):
    """Runs the servers' event loop; `failure` holds what ended it, if anything did."""

    def __init__(self, world: World) -> None:
        super().__init__(name="sandbox", daemon=True)
        self.ready = threading.Event()
        self.failure: BaseException | None = None
        self._world = world
        self._event_loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self.failure = error
            raise
        finally:
            self.ready.set()

    async def _serve(self) -> None:
        self._event_loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        started = asyncio.Event()
        serving = asyncio.create_task(self._world.serve(started, self._stopping))
        waiting = asyncio.create_task(started.wait())
        await asyncio.wait([serving, waiting], return_when=asyncio.FIRST_COMPLETED)
        self.ready.set()
        await serving
        waiting.cancel()

    def end(self) -> None:
        """Stop serving and wait until every socket is closed."""
        if self._event_loop is not None and self._stopping is not None and self.is_alive():
            self._event_loop.call_soon_threadsafe(self._stopping.set)
        self.join(START_SECONDS)


@contextmanager
def running_sandbox(
    state_dir: Path | None = None,
    *,
    clock: Callable[[], datetime] = utc_now,
    seed: int | None = None,
) -> Iterator[World]:
    """Serve both systems and the control API on free ports while the block runs.

    `state_dir` keeps their databases for a later start (None: memory only). Yields the `World`:
    `salesforce_url`, `pagerduty_url`, `control_url`, `salesforce` and `pagerduty` (the states),
    `faults`, `traffic`, `connections`, `person(name)`.
    """
    world = open_world(state_dir, clock=clock, seed=seed)
    thread = _Thread(world)
    thread.start()
    try:
        if not thread.ready.wait(START_SECONDS) or thread.failure is not None:
            raise RuntimeError("the sandbox did not start") from thread.failure
        yield world
    finally:
        thread.end()
        world.close()
