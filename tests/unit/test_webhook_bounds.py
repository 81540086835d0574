"""What bounds the open route: whose secrets are looked up how often, and how many requests are let in."""

import logging
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pd_sf_rules.connections import ConnectionSpec
from pd_sf_rules.errors import ConnectionConfigError, SettingsError
from pd_sf_rules.settings import Integration
from pd_sf_rules.webhooks.keys import FRESH_SECONDS, KEPT_SECONDS, Keys
from pd_sf_rules.webhooks.limits import MOST_CALLERS, Bucket, Buckets


class Store:
    """Connections and integration files whose reading is counted, and a clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[str] = []
        self.secrets = {"one": "s1", "two": "s2, s3"}
        self.broken = False

    def connect(self, conn_id: str) -> ConnectionSpec:
        """Return a connection, or say that there is none."""
        self.asked.append(conn_id)
        if conn_id not in self.secrets:
            raise ConnectionConfigError(conn_id, "is not defined.")
        return ConnectionSpec(conn_id, "pagerduty", extra={"webhook_secret": self.secrets[conn_id]})

    def load(self) -> Mapping[str, Integration]:
        """Return the integrations, or say what is wrong with the files."""
        if self.broken:
            raise SettingsError("a folder is gone")
        return {
            name: Integration(name=name, pagerduty_conn_id=conn_id)
            for name, conn_id in (("default", "one"), ("eu", "two"))
        }

    def keys(self) -> Keys:
        """Keys over this store."""
        return Keys(self.connect, self.load, lambda: self.now)


def test_only_integrations_of_ours_are_looked_up() -> None:
    """Whatever names strangers try, the files' connections are read, once in ten seconds."""
    store = Store()
    keys = store.keys()
    assert keys.of("default") == ("s1",)
    assert keys.of("eu") == ("s2", "s3")
    for number in range(1000):
        assert keys.of(f"../{number}") == ()
    assert store.asked == ["one", "two"]
    store.now = FRESH_SECONDS + 1
    keys.of("nobody")
    assert store.asked == ["one", "two"] * 2


def test_what_cannot_be_read_is_kept_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    """A connection or a folder that is gone keeps its last secrets for some minutes, and is complained of once."""
    store = Store()
    keys = store.keys()
    keys.of("default")
    del store.secrets["one"]
    store.now = KEPT_SECONDS / 2
    assert keys.of("default") == ("s1",)
    store.broken = True
    store.now += FRESH_SECONDS + 1
    assert keys.of("eu") == ("s2", "s3")
    store.now = 2 * KEPT_SECONDS + FRESH_SECONDS
    assert keys.of("default") == keys.of("eu") == ()
    store.broken = False
    store.now += FRESH_SECONDS + 1
    assert keys.of("eu") == ("s2", "s3")
    assert keys.of("default") == ()
    complaints = [one for one in caplog.messages if "cannot be read" in one]
    assert len(complaints) == 2
    assert "s1" not in caplog.text
    assert "s2" not in repr(keys)


def test_a_secret_taken_back_counts_no_longer() -> None:
    """A connection that is there and has no secret any more has none."""
    store = Store()
    keys = store.keys()
    assert keys.of("default") == ("s1",)
    store.secrets["one"] = ""
    store.now = FRESH_SECONDS + 1
    assert keys.of("default") == ()


@given(st.lists(st.floats(min_value=0, max_value=3), min_size=1, max_size=200))
def test_a_bucket_never_gives_more_than_its_rate(pauses: list[float]) -> None:
    """Over any stretch from the start: what it held at first, and its rate for the time that passed."""
    now = 0.0
    bucket = Bucket(per_second=2.0, burst=5.0, clock=lambda: now)
    given_out = 0
    for pause in pauses:
        now += pause
        given_out += bucket.take()
        assert given_out <= 5 + 2 * now + 1e-6


def test_a_bucket_fills_again() -> None:
    """After a while what was refused is let in; asking takes nothing."""
    now = 0.0
    bucket = Bucket(per_second=1.0, burst=2.0, clock=lambda: now)
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    now = 1.5
    assert [bucket.has_one(), bucket.has_one(), bucket.take(), bucket.take()] == [True] * 3 + [
        False
    ]


def test_callers_do_not_fill_the_memory() -> None:
    """However many addresses there are, some are remembered; one caller's rate is not another's."""
    buckets = Buckets(per_second=0.0, burst=1.0, clock=lambda: 0.0)
    assert buckets.of("busy").take()
    for number in range(3 * MOST_CALLERS):
        assert buckets.of(f"10.0.{number}").take()
        assert not buckets.of("busy").take()
    assert len(buckets._buckets) == MOST_CALLERS


def test_a_log_names_no_stranger(caplog: pytest.LogCaptureFixture) -> None:
    """Asking for a name that is not ours writes nothing."""
    caplog.set_level(logging.DEBUG)
    Store().keys().of("canary")
    assert "canary" not in caplog.text
