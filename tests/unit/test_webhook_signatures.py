"""Whose webhook it is: the signature over the raw body, and what may be read out of a body that is signed."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pd_sf_rules.connections import ConnectionSpec
from pd_sf_rules.systems.pagerduty.webhooks import (
    UNKNOWN_TYPE,
    is_signed,
    read_signal,
    signature,
    webhook_secrets,
)

SECRETS = st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.binary(max_size=300), SECRETS)
def test_it_is_the_hmac_of_the_raw_body(body: bytes, secret: str) -> None:
    """`v1=` and the hex HMAC-SHA256, as PagerDuty documents it."""
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    assert signature(body, secret) == f"v1={expected}"
    assert is_signed(body, f"v1={expected}", [secret])


@given(st.binary(max_size=300), st.lists(SECRETS, max_size=4), st.lists(SECRETS, max_size=4))
def test_any_pair_that_fits_is_enough(body: bytes, ours: list[str], theirs: list[str]) -> None:
    """Several secrets here and several signatures there: one in common is what it takes, and nothing less."""
    header = ",".join(signature(body, one) for one in theirs)
    assert is_signed(body, header, ours) == bool(set(ours) & set(theirs))


@given(st.binary(max_size=300), SECRETS, st.binary(min_size=1, max_size=5))
def test_another_body_is_not_signed(body: bytes, secret: str, more: bytes) -> None:
    """A byte more, or the same JSON written differently, is another body."""
    assert not is_signed(body + more, signature(body, secret), [secret])


def test_a_body_that_was_read_and_written_again_is_not_signed() -> None:
    """Only the bytes that came are signed."""
    sent = b'{"event":{"id":"1"}}'
    again = json.dumps(json.loads(sent)).encode()
    assert not is_signed(again, signature(sent, "s"), ["s"])


@given(st.binary(max_size=100), st.text(max_size=200))
def test_any_header_is_survived(body: bytes, header: str) -> None:
    """Whatever a stranger sends is not signed, and raises nothing."""
    assert not is_signed(body, header, ["a secret that nobody knows"])


@pytest.mark.parametrize("secrets", [[], [""], ["", ""]])
def test_no_secret_signs_nothing(secrets: list[str]) -> None:
    """A blank secret is not one: else everybody could sign."""
    assert not is_signed(b"{}", signature(b"{}", ""), secrets)


@pytest.mark.parametrize(
    ("stated", "secrets"),
    [("", ()), (" , ,", ()), ("one", ("one",)), (" new , old ", ("new", "old"))],
)
def test_secrets_of_a_connection(stated: str, secrets: tuple[str, ...]) -> None:
    """Several, comma-separated; blanks count for nothing."""
    spec = ConnectionSpec("c", "pagerduty", extra={"webhook_secret": stated})
    assert webhook_secrets(spec) == secrets


@given(JSON)
def test_any_json_is_read_as_something(value: Any) -> None:
    """Every shape of body, and of event, gives a signal with an id of its own."""
    for told in (value, {"event": value}, {"event": {"id": value, "data": value}}):
        body = json.dumps(told).encode()
        signal = read_signal(body)
        assert signal.event_id
        assert len(signal.event_id) <= 128
        assert signal == read_signal(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_as_something(body: bytes) -> None:
    """A body that is no JSON has its digest for an id."""
    assert read_signal(body).event_id


def test_the_incident_is_found_where_it_is() -> None:
    """Of most events it is the data itself; of notes, workflows and the like it is a member of the data."""
    itself = {"id": "Q1", "type": "incident"}
    note = {"id": "PNOTE1", "type": "incident_note", "incident": {"id": "Q2"}}
    assert _read({"data": itself}).incident_id == "Q1"
    assert _read({"data": note}).incident_id == "Q2"
    assert _read({"data": {"id": "PSVC1", "type": "service"}}).incident_id is None


def test_what_is_kept_is_short_and_plain() -> None:
    """Ids and types have their shape; instants are UTC; anything else is left out."""
    signal = _read(
        {
            "id": "x" * 500,
            "event_type": "<script>",
            "occurred_at": "2026-05-04T12:00:07.412+02:00",
            "data": {"id": "Q1'; --", "type": "incident"},
        }
    )
    assert signal.event_id.startswith("sha256:")
    assert (signal.type, signal.incident_id) == (UNKNOWN_TYPE, None)
    assert signal.occurred_at == datetime(2026, 5, 4, 10, 0, 7, 412000, tzinfo=UTC)
    assert _read({"occurred_at": "0001-01-01T00:00:00+14:00"}).occurred_at is None


def _read(event: dict[str, Any]) -> Any:
    return read_signal(json.dumps({"event": event}).encode())
