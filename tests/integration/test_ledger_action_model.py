"""The action state machine, played at random against a model of what it should do."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pd_sf_rules.ledger import Ledger, actions
from tests.integration.ledger_rows import an_action, later, plan

pytest_plugins = ["tests.integration.ledger_databases"]

IDS = ("a", "b", "c")
ids = st.sampled_from(IDS)
owners = st.sampled_from(["one", "two"])
LEASE = 30


@dataclass
class Model:
    """What one action should be."""

    state: str = "pending"
    attempt: int = 0
    owner: str | None = None
    lease_until: datetime | None = None
    retry_at: datetime | None = None
    sent: bool = False
    sent_in_claim: bool = False

    def free(self, now: datetime) -> bool:
        """Whether a claim should take it."""
        if self.state == "pending":
            return self.retry_at is None or self.retry_at <= now
        return self.state == "claimed" and self.lease_until is not None and self.lease_until <= now

    def put_down(self, state: str) -> None:
        """Nobody's any more."""
        self.state, self.owner, self.lease_until = state, None, None


class ActionMachine(RuleBasedStateMachine):
    """Workers claim, send, die, finish and requeue; the clock moves."""

    ledger: ClassVar[Ledger]
    runs: ClassVar[int] = 0

    @initialize()
    def fresh_actions(self) -> None:
        """New actions for every run, so that runs do not see each other."""
        type(self).runs += 1
        self.at = 0.0
        self.model = {name: Model() for name in IDS}
        self.real = {name: f"{self.runs}-{name}" for name in IDS}
        with self.ledger.begin() as c:
            plan(c)
            actions.add_actions(c, [an_action(self.real[name]) for name in IDS], now=self.now)

    @property
    def now(self) -> datetime:
        """The workers' clock."""
        return later(self.at)

    @rule(seconds=st.sampled_from([1, 10, 29, 30, 31]))
    def time_passes(self, seconds: int) -> None:
        """Leases end and retries fall due."""
        self.at += seconds

    @rule(wanted=st.sets(ids, min_size=1), owner=owners)
    def claim(self, wanted: set[str], owner: str) -> None:
        """Exactly the free ones are taken."""
        with self.ledger.begin() as c:
            taken = actions.claim(
                c,
                [self.real[name] for name in wanted],
                owner=owner,
                now=self.now,
                lease_seconds=LEASE,
            )
        expected = {name for name in wanted if self.model[name].free(self.now)}
        assert taken == {self.real[name] for name in expected}
        for name in expected:
            one = self.model[name]
            one.state, one.owner, one.retry_at = "claimed", owner, None
            one.attempt += 1
            one.sent_in_claim = False
            one.lease_until = later(self.at + LEASE)

    @rule(name=ids, owner=owners, seconds=st.sampled_from([0, 10, 40]))
    def send(self, name: str, owner: str, seconds: int) -> None:
        """Only the owner of the claim may send, and has it for so many seconds at least from then on."""
        with self.ledger.begin() as c:
            may = actions.mark_sent(
                c,
                self.real[name],
                request=1,
                now=self.now,
                owner=owner,
                lease_seconds=seconds,
            )
        one = self.model[name]
        assert may == (one.state == "claimed" and one.owner == owner)
        if may:
            assert one.lease_until is not None
            one.lease_until = max(one.lease_until, later(self.at + seconds))
        one.sent = one.sent or may
        one.sent_in_claim = one.sent_in_claim or may

    @rule(
        name=ids,
        owner=owners,
        state=st.sampled_from(["applied", "skipped", "failed", "pending"]),
        uncertain=st.booleans(),
        wait=st.sampled_from([None, 5, 40]),
    )
    def outcome(
        self, name: str, owner: str, state: Any, *, uncertain: bool, wait: int | None
    ) -> None:
        """Facts count from anybody, everything else from the owner only, and nothing after an end."""
        retry_at = None if wait is None else later(self.at + wait)
        with self.ledger.begin() as c:
            written = actions.record_outcome(
                c,
                self.real[name],
                state=state,
                now=self.now,
                error_kind="uncertain" if uncertain else "",
                retry_at=retry_at,
                owner=owner,
            )
        one = self.model[name]
        ended = one.state in {"applied", "skipped"}
        mine = one.state == "claimed" and one.owner == owner
        assert written == (not ended and (mine or state in {"applied", "skipped"}))
        if written:
            one.put_down(state)
            answered = state in {"applied", "skipped"} or one.sent_in_claim
            one.sent = one.sent and (uncertain or not answered)
            one.retry_at = retry_at

    @rule(name=ids, owner=owners)
    def release(self, name: str, owner: str) -> None:
        """Only the owner gives back, and an attempt that was never sent is not counted."""
        with self.ledger.begin() as c:
            given = actions.release(c, [self.real[name]], owner=owner)
        one = self.model[name]
        assert bool(given) == (one.state == "claimed" and one.owner == owner)
        if given:
            one.put_down("pending")
            one.attempt -= 0 if one.sent else 1

    @precondition(lambda self: any(m.state == "failed" for m in self.model.values()))
    @rule()
    def requeue_all(self) -> None:
        """Every failed action is pending again, and nothing else moves."""
        with self.ledger.begin() as c:
            queued = actions.requeue(c, self.real.values())
        failed = {name for name, one in self.model.items() if one.state == "failed"}
        assert queued == {self.real[name] for name in failed}
        for name in failed:
            one = self.model[name]
            one.state, one.attempt, one.retry_at = "pending", 0, None

    @invariant()
    def ledger_agrees(self) -> None:
        """The ledger says of every action what the model says."""
        if not hasattr(self, "model"):
            return
        with self.ledger.read() as c:
            stored = actions.get_actions(c, self.real.values())
        for name, one in self.model.items():
            found = stored[self.real[name]]
            assert (
                found.state,
                found.attempt,
                found.claimed_by,
                found.lease_until,
                found.retry_at,
                found.in_doubt,
            ) == (one.state, one.attempt, one.owner, one.lease_until, one.retry_at, one.sent)


def test_actions_follow_the_model(ledger: Ledger) -> None:
    """Any order of claims, sends, outcomes, releases, requeues and waiting gives what the model says."""
    machine = type("Machine", (ActionMachine,), {"ledger": ledger})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
