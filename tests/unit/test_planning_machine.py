"""The order of a pair's actions, played at random: workers die, fail and replay; nothing overtakes, all gets done."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pd_sf_rules.planning.kinds import (
    CREATE_INCIDENT,
    CREATE_RECORD,
    NOTE_COPIES,
    WRITES_TO,
    needs_incident,
    needs_record,
)
from pd_sf_rules.planning.order import group_by_pair, next_actions

START = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
LEASE = timedelta(seconds=30)
PAIRS = ("one", "two")
KINDS = sorted(WRITES_TO)


@dataclass(slots=True)
class Work:
    """An action that is not done yet, in the order in which it was planned."""

    number: int
    pair: str
    event: int
    rule: str
    kind: str
    state: str = "pending"
    lease_until: datetime | None = None
    retry_at: datetime = START
    ruleset: str = "Rules"
    record_id: str | None = None
    incident_id: str | None = None

    @property
    def event_id(self) -> str:
        """The event's id."""
        return f"salesforce:{self.pair}:{self.event}"

    @property
    def lane(self) -> str:
        """The queue of its pair that it stands in."""
        return "notes" if self.kind in NOTE_COPIES else WRITES_TO[self.kind]


@dataclass(slots=True)
class Linked:
    """Whether a pair has its two sides."""

    incident: bool = False
    record: bool = False


@dataclass(slots=True)
class Model:
    """What is open, what was done, and what is linked."""

    open: list[Work] = field(default_factory=list)
    done: list[Work] = field(default_factory=list)
    linked: dict[str, Linked] = field(default_factory=lambda: {one: Linked() for one in PAIRS})

    def before(self, work: Work) -> list[Work]:
        """What is open of its pair and was planned earlier."""
        return [one for one in self.open if one.pair == work.pair and one.number < work.number]

    def stands(self, work: Work) -> bool:
        """Whether a failure that waits for a person keeps it from going, so that nobody need wait for it."""
        if work.state == "failed":
            return True
        earlier = self.before(work)
        mine = [one for one in earlier if (one.event, one.rule) == (work.event, work.rule)]
        return any(self.stands(one) for one in [*mine, *self.creations(work)])

    def creations(self, work: Work) -> list[Work]:
        """What is planned before it to create the side that it needs and its pair lacks."""
        linked = self.linked[work.pair]
        wanted = set()
        if needs_incident(work.kind) and not linked.incident:
            wanted.add(CREATE_INCIDENT)
        if needs_record(work.kind) and not linked.record:
            wanted.add(CREATE_RECORD)
        return [one for one in self.before(work) if one.kind in wanted]


class PairMachine(RuleBasedStateMachine):
    """Events arrive, workers take what `next_actions` gives them and end it in any way, or die over it."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.now = START
        self.numbers = 0
        self.events = 0

    @rule(
        pair=st.sampled_from(PAIRS),
        plan=st.lists(st.lists(st.sampled_from(KINDS), min_size=1, max_size=3), max_size=2),
    )
    def an_event_arrives(self, pair: str, plan: list[list[str]]) -> None:
        """The plan of one event joins the queue of its pair."""
        self.events += 1
        for place, kinds in enumerate(plan):
            for kind in kinds:
                self.numbers += 1
                self.model.open.append(Work(self.numbers, pair, self.events, str(place), kind))

    @rule(seconds=st.sampled_from([1, 6, 31]))
    def time_passes(self, seconds: int) -> None:
        """Leases end and retries fall due."""
        self.now += timedelta(seconds=seconds)

    @rule()
    def a_worker_takes_what_may_go(self) -> None:
        """What goes stands behind nothing but what a person has to look at."""
        pairs = group_by_pair(self.model.open, lambda work: work.pair)
        for name, pair in pairs.items():
            pair.has_incident = self.model.linked[name].incident
            pair.has_record = self.model.linked[name].record
        chosen = next_actions(
            pairs.values(), self.now, may_run=bool, is_due=lambda work: work.retry_at <= self.now
        )
        assert len({work.pair for work in chosen}) == len(chosen)
        for work in chosen:
            self._may_go(work)
            work.state, work.lease_until = "claimed", self.now + LEASE

    def _may_go(self, work: Work) -> None:
        earlier = self.model.before(work)
        assert work.state == "pending" or (work.lease_until or self.now) <= self.now
        assert not [w for w in earlier if (w.event, w.rule) == (work.event, work.rule)]
        assert not self.model.creations(work)
        waiting = [w for w in earlier if w.lane == work.lane and w.event != work.event]
        assert all(self.model.stands(w) for w in waiting), (work, waiting)

    def _claimed(self) -> list[Work]:
        return [
            w
            for w in self.model.open
            if w.state == "claimed" and (w.lease_until or START) > self.now
        ]

    @precondition(lambda self: self._claimed())
    @rule(data=st.data(), end=st.sampled_from(["done", "done", "again", "failed"]))
    def a_worker_ends(self, data: st.DataObject, end: str) -> None:
        """Done, to be tried again, or failed for good."""
        work = data.draw(st.sampled_from(self._claimed()))
        self._end(work, end)

    def _end(self, work: Work, end: str) -> None:
        work.lease_until = None
        if end == "done":
            self.model.open.remove(work)
            self.model.done.append(work)
            linked = self.model.linked[work.pair]
            linked.incident |= work.kind == CREATE_INCIDENT
            linked.record |= work.kind == CREATE_RECORD
        elif end == "again":
            work.state, work.retry_at = "pending", self.now + timedelta(seconds=5)
        else:
            work.state = "failed"

    @rule()
    def a_person_replays(self) -> None:
        """What failed may be tried again."""
        for work in self.model.open:
            if work.state == "failed":
                work.state, work.retry_at = "pending", self.now

    @invariant()
    def nothing_is_done_twice(self) -> None:
        """Each action ends once."""
        numbers = [work.number for work in self.model.done]
        assert len(numbers) == len(set(numbers))

    def teardown(self) -> None:
        """When nobody dies or fails any more, everything gets done."""
        self.a_person_replays()
        for _ in range(2 * len(self.model.open) + 1):
            self.time_passes(31)
            self.a_worker_takes_what_may_go()
            for work in self._claimed():
                self._end(work, "done")
        assert self.model.open == []


TestPairMachine = PairMachine.TestCase
TestPairMachine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
