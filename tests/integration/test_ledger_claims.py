"""One worker at a time: claims, leases, doubt and outcomes of actions."""

from pd_sf_rules.ledger import Ledger, actions
from pd_sf_rules.ledger.actions import StoredAction
from pd_sf_rules.ledger.claims import Outcome
from tests.integration.ledger_rows import NOW, later, plan

pytest_plugins = ["tests.integration.ledger_databases"]


def _now(ledger: Ledger, action_id: str = "a") -> StoredAction:
    with ledger.read() as c:
        stored = actions.get_action(c, action_id)
    assert stored is not None
    return stored


def _claim(ledger: Ledger, owner: str, at: float, *ids: str, lease: float = 60) -> set[str]:
    with ledger.begin() as c:
        return actions.claim(c, ids or ["a"], owner=owner, now=later(at), lease_seconds=lease)


def test_claim_takes_what_is_free_and_only_that(ledger: Ledger) -> None:
    """A claimed action is its owner's until the lease ends; then another owner takes it over."""
    with ledger.begin() as c:
        plan(c, "a", "b")
    assert _claim(ledger, "one", 0, "a", "b", "unknown", lease=30) == {"a", "b"}
    assert _claim(ledger, "two", 29.9) == set()
    assert _claim(ledger, "two", 30) == {"a"}
    taken = _now(ledger)
    assert (taken.claimed_by, taken.attempt, taken.lease_until) == ("two", 2, later(90))


def test_claim_waits_until_a_retry_is_due(ledger: Ledger) -> None:
    """An action that is to be tried again is free from its time on, not before."""
    with ledger.begin() as c:
        plan(c, "a")
    _claim(ledger, "one", 0)
    with ledger.begin() as c:
        actions.record_outcome(
            c, "a", state="pending", now=NOW, retry_at=later(10), error_kind="rate_limited"
        )
    assert _claim(ledger, "one", 9.999) == set()
    assert _claim(ledger, "one", 10) == {"a"}
    assert _now(ledger).attempt == 2


def test_death_after_sending_leaves_the_action_in_doubt(ledger: Ledger) -> None:
    """Who takes over an action whose request went out sees that it did, and what was sent."""
    with ledger.begin() as c:
        plan(c, "a")
    _claim(ledger, "dead", 0, lease=30)
    with ledger.begin() as c:
        assert actions.mark_sent(c, "a", request={"title": "Fire"}, now=later(1), owner="dead")
    assert _claim(ledger, "heir", 31) == {"a"}
    taken = _now(ledger)
    assert taken.in_doubt
    assert (taken.sent_at, taken.request) == (later(1), {"title": "Fire"})


def test_late_worker_may_not_send(ledger: Ledger) -> None:
    """Once a lease was taken over, `mark_sent` tells the former owner not to send."""
    with ledger.begin() as c:
        plan(c, "a")
    _claim(ledger, "slow", 0, lease=30)
    _claim(ledger, "heir", 31)
    with ledger.begin() as c:
        assert not actions.mark_sent(c, "a", request={}, now=later(32), owner="slow")
    assert not _now(ledger).in_doubt


def test_nobody_takes_over_what_is_under_way(ledger: Ledger) -> None:
    """A request that goes out at the end of a lease, or after it, renews it; one that ends later stays as it is."""
    with ledger.begin() as c:
        plan(c, "a")
    _claim(ledger, "slow", 0, lease=30)
    with ledger.begin() as c:
        assert actions.mark_sent(c, "a", request={}, now=later(31), owner="slow", lease_seconds=60)
    assert _claim(ledger, "hasty", 90) == set()
    with ledger.begin() as c:
        assert actions.mark_sent(c, "a", request={}, now=later(90), owner="slow", lease_seconds=0.5)
    assert _now(ledger).lease_until == later(91)
    assert _claim(ledger, "heir", 91) == {"a"}


def test_late_failure_does_not_disturb_the_heir_but_a_late_success_counts(ledger: Ledger) -> None:
    """A former owner's failure is no news; that the thing was done is."""
    with ledger.begin() as c:
        plan(c, "a")
    _claim(ledger, "slow", 0, lease=30)
    _claim(ledger, "heir", 31)
    with ledger.begin() as c:
        assert not actions.record_outcome(c, "a", state="failed", now=later(32), owner="slow")
    assert _now(ledger).claimed_by == "heir"
    with ledger.begin() as c:
        assert actions.record_outcome(
            c, "a", state="applied", now=later(33), owner="slow", target="P1"
        )
        assert not actions.record_outcome(c, "a", state="failed", now=later(34), owner="heir")
    done = _now(ledger)
    assert (done.state, done.target, done.claimed_by, done.lease_until) == (
        "applied",
        "P1",
        None,
        None,
    )


def test_final_states_stay(ledger: Ledger) -> None:
    """Applied and skipped actions are neither claimed, sent, released, requeued nor given another outcome."""
    with ledger.begin() as c:
        plan(c, "a", "s")
    _claim(ledger, "one", 0, "a", "s")
    with ledger.begin() as c:
        actions.record_outcome(c, "a", state="applied", now=NOW, answer={"id": "P1"})
        actions.record_outcome(c, "s", state="skipped", now=NOW, message="Nothing linked.")
        assert actions.claim(c, ["a", "s"], owner="x", now=later(999), lease_seconds=1) == set()
        assert actions.requeue(c, ["a", "s"]) == set()
        assert actions.release(c, ["a", "s"]) == set()
        assert not actions.mark_sent(c, "a", request={}, now=NOW)
        assert not actions.record_outcome(c, "s", state="failed", now=NOW)
    assert _now(ledger).answer == {"id": "P1"}
    assert _now(ledger, "s").message == "Nothing linked."


def test_known_answer_ends_the_doubt_and_a_lost_one_does_not(ledger: Ledger) -> None:
    """`sent_at` goes with the answer; an uncertain outcome keeps it for the next attempt."""
    with ledger.begin() as c:
        plan(c, "a", "b")
    _claim(ledger, "one", 0, "a", "b")
    with ledger.begin() as c:
        for action_id, kind in (("a", "refused"), ("b", "uncertain")):
            actions.mark_sent(c, action_id, request={}, now=later(1))
            actions.record_outcome(
                c, action_id, state="pending", now=later(2), error_kind=kind, message="x\x00y"
            )
    assert not _now(ledger).in_doubt
    assert _now(ledger, "b").sent_at == later(1)
    assert _now(ledger, "b").message == "x\ufffdy"


def test_attempt_that_never_sent_leaves_an_older_doubt(ledger: Ledger) -> None:
    """A second attempt that cannot even look does not settle what became of the first one's request."""
    with ledger.begin() as c:
        plan(c, "a")
    _claim(ledger, "one", 0)
    with ledger.begin() as c:
        actions.mark_sent(c, "a", request={"n": 1}, now=later(1))
        actions.record_outcome(c, "a", state="pending", now=later(2), error_kind="uncertain")
    states: tuple[Outcome, ...] = ("pending", "failed")
    for state in states:
        _claim(ledger, "one", 3)
        with ledger.begin() as c:
            actions.record_outcome(c, "a", state=state, now=later(4), error_kind="transient")
        assert _now(ledger).sent_at == later(1)
    with ledger.begin() as c:
        actions.requeue(c, ["a"])
    _claim(ledger, "one", 5)
    assert _now(ledger).in_doubt
    with ledger.begin() as c:
        actions.mark_sent(c, "a", request={"n": 2}, now=later(6))
        actions.record_outcome(c, "a", state="pending", now=later(7), error_kind="rate_limited")
    assert not _now(ledger).in_doubt


def test_doubt_is_settled_by_word(ledger: Ledger) -> None:
    """`settled` overrules: a person is to look, so a replay may send; or nothing is known after all."""
    with ledger.begin() as c:
        plan(c, "a", "b")
    _claim(ledger, "dead", 0, "a", "b", lease=30)
    with ledger.begin() as c:
        actions.mark_sent(c, "a", request={}, now=later(1))
    _claim(ledger, "heir", 31, "a", "b")
    with ledger.begin() as c:
        actions.record_outcome(c, "a", state="failed", now=later(32), settled=True)
        actions.mark_sent(c, "b", request={}, now=later(33))
        actions.record_outcome(c, "b", state="pending", now=later(34), settled=False)
    assert not _now(ledger).in_doubt
    assert _now(ledger, "b").in_doubt


def test_requeued_action_starts_afresh(ledger: Ledger) -> None:
    """Requeue makes failed actions pending, due at once, with a new budget of attempts."""
    with ledger.begin() as c:
        plan(c, "a", "b")
    _claim(ledger, "one", 0)
    with ledger.begin() as c:
        actions.record_outcome(c, "a", state="failed", now=NOW, message="No such service.")
        assert actions.requeue(c, ["a", "b"]) == {"a"}
    queued = _now(ledger)
    assert (queued.state, queued.attempt, queued.message) == ("pending", 0, "No such service.")
    assert _claim(ledger, "one", 0) == {"a"}


def test_released_action_is_free_and_its_attempt_not_counted(ledger: Ledger) -> None:
    """A worker that stops gives back what it never sent; what it sent stays in doubt and counted."""
    with ledger.begin() as c:
        plan(c, "a", "b")
    _claim(ledger, "one", 0, "a", "b")
    with ledger.begin() as c:
        actions.mark_sent(c, "b", request={}, now=NOW)
        assert actions.release(c, ["a", "b"], owner="two") == set()
        assert actions.release(c, ["a", "b"], owner="one") == {"a", "b"}
    assert (_now(ledger).state, _now(ledger).attempt) == ("pending", 0)
    assert (_now(ledger, "b").attempt, _now(ledger, "b").in_doubt) == (1, True)
