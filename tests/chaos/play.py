"""One seed: people act while passes meet faults, kills and each other; then calm, and silence."""

import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from random import Random

from pd_sf_rules.errors import SyncError
from pd_sf_rules.ledger import Ledger
from pd_sf_rules.pipeline.effects.sending import lease_seconds
from pd_sf_rules.pipeline.opening import open_run
from pd_sf_rules.pipeline.run import Direction, Run
from pd_sf_rules.pipeline.sync import sync
from pd_sf_rules.settings import load_integration
from sandbox.world import World
from tests.chaos import troubles
from tests.chaos.clock import VirtualClock
from tests.chaos.people import People
from tests.chaos.steps import ELSEWHERE, HERE, Killed, Process, Steps, Turns

DIRECTIONS: tuple[Direction, ...] = ("salesforce", "pagerduty", "notes")
CALM_PASSES = 10
SKEWS = (0.0, 0.0, 45.0, -100.0, 290.0, -290.0)


@dataclass(slots=True)
class Play:
    """The play of one seed over a fresh sandbox and ledger. `story` tells it in order."""

    seed: int
    sandbox: World
    clock: VirtualClock
    steps: Steps
    ledger: Ledger
    story: list[str] = field(default_factory=list)
    shuffled: bool = False
    rng: Random = field(init=False)
    people: People = field(init=False)
    locks: list[ExitStack] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)
        random.seed(self.seed)  # the jitter of the product's own waiting
        self.people = People(self.sandbox, self.clock, Random(self.seed + 1), self.story)

    def run(self) -> None:
        """Play; afterwards everything is calm and silent, or an AssertionError tells what is not."""
        self._begin()
        for number in range(self.rng.randint(4, 7)):
            self.story.append(f"--- round {number}")
            for _ in range(self.rng.randint(1, 5)):
                self.people.act()
            if self.rng.random() < 0.8:
                troubles.plan(self.sandbox, self.rng, self.story)
            else:
                troubles.calm(self.sandbox)
            if self.rng.random() < 0.25:
                self._two_passes()
            else:
                self._pass(self._process(), self._some_directions())
            self._unlock()
            self.clock.pass_(self.rng.choice((0.0, 1.0, 6.0, 130.0)))
        self._calm()
        self._silence()

    def _begin(self) -> None:
        offsets = self.rng.choice(SKEWS), self.rng.choice(SKEWS)
        self.sandbox.salesforce.faults.set(skew_seconds=offsets[0])
        self.sandbox.pagerduty.clock_offset = type(self.clock() - self.clock())(seconds=offsets[1])
        self.story.append(f"clocks are off by {offsets} s (Salesforce, PagerDuty)")
        self.story.append(f"the servers' habits: {troubles.habits(self.sandbox, self.rng)}")
        self._pass(self.steps.new_process())
        self.clock.pass_(2)

    def _process(self) -> Process:
        """A pass that is perhaps killed, or interrupted by people, at points of the seed's choice."""
        plan: dict[int, Callable[[str], None]] = {}
        for _ in range(self.rng.choice((0, 0, 1, 2))):
            plan[self.rng.randint(1, 90)] = self._people_act
        if self.rng.random() < 0.1 and self.ledger.name.startswith("sqlite"):
            first, points = self.rng.randint(1, 90), self.rng.randint(1, 20)
            locked = ExitStack()
            plan[first] = lambda name: self._lock(name, locked)
            plan[first + points] = lambda _: locked.close()
            self.locks.append(locked)
        if self.rng.random() < 0.45:
            plan[self.rng.randint(1, self.rng.choice((40, 100, 200)))] = self._kill
        place = ELSEWHERE if self.rng.random() < 0.15 else HERE
        return self.steps.new_process(plan=plan, place=place)

    def _some_directions(self) -> tuple[Direction, ...]:
        """All, as `pdsf sync` goes, or some in any order, as three DAGs do."""
        if self.rng.random() < 0.5:
            return DIRECTIONS
        return tuple(self.rng.sample(DIRECTIONS, self.rng.randint(1, 3)))

    def _people_act(self, name: str) -> None:
        self.story.append(f"    meanwhile, {name}:")
        self.people.act()

    def _kill(self, name: str) -> None:
        self.story.append(f"    KILLED {name}")
        raise Killed

    def _lock(self, name: str, locked: ExitStack) -> None:
        self.story.append(f"    the ledger is LOCKED {name}")
        locked.enter_context(troubles.ledger_locked(self.ledger))

    def _unlock(self) -> None:
        for one in self.locks:
            one.close()
        self.locks.clear()

    def _pass(self, process: Process, directions: tuple[Direction, ...] = DIRECTIONS) -> None:
        self.story.append(f"pass {process.pid} {process.place} {'+'.join(directions)}")
        # A ledger's engine holds compiled statements and connections, no state: all passes share one.
        integration = load_integration("default")
        with suppress(Killed), self.steps.running(process):
            try:
                if directions == DIRECTIONS:
                    with open_run(integration, self.ledger) as one:
                        self._directions(process, one, directions)
                    return
                for direction in directions:
                    with open_run(integration, self.ledger) as one:
                        self._directions(process, one, (direction,))
            except SyncError as error:  # as `pdsf sync` ends: with a sentence
                self.story.append(f"    {process.pid} ends: {error}")

    def _directions(self, process: Process, one: Run, directions: Sequence[Direction]) -> None:
        """Go as `pdsf sync` does: clients and log-ins are shared, each direction has its own lineage."""
        of_all = one.id
        for direction in directions:
            one.id = f"{of_all}-{direction}"
            told, error = sync(one, direction)
            counts = {k: v for k, v in told["counts"].items() if v}
            self.story.append(f"    {process.pid} {direction}: {counts} {error or ''}")

    def _two_passes(self) -> None:
        turns = Turns(Random(self.rng.random()))
        processes = [self._process(), self._process()]
        chosen: list[tuple[Direction, ...]] = [
            self.rng.choice((DIRECTIONS, ("salesforce",), ("pagerduty",), ("notes", "pagerduty")))
            for _ in processes
        ]
        for process in processes:
            process.turns = turns
        turns.run(
            [
                lambda p=process, d=directions: self._pass(p, d)  # type: ignore[misc]
                for process, directions in zip(processes, chosen, strict=True)
            ]
        )

    def _calm(self) -> None:
        self.story.append("--- calm")
        troubles.calm(self.sandbox)
        self.people.let_commit()
        # The longest leases of processes elsewhere end, late entries show.
        self.clock.pass_(lease_seconds(many=True) + 5)
        for _ in range(CALM_PASSES):
            before = self.sandbox.traffic.last_number()
            self._pass(self.steps.new_process())
            self.clock.pass_(6)
            if not self._writes_after(before):
                return
        raise AssertionError(f"{CALM_PASSES} calm passes do not come to an end")

    def _silence(self) -> None:
        before = self.sandbox.traffic.last_number()
        self._pass(self.steps.new_process())  # the last calm pass was the first that wrote nothing
        written = self._writes_after(before)
        assert not written, f"written in silence: {written}"

    def _writes_after(self, number: int) -> list[str]:
        found = self.sandbox.traffic.requests(writes_only=True, after=number)
        return [f"{one.system} {one.method} {one.path} {one.body}" for one in found]
