"""Whatever a server answers, what comes out is one of our errors or plain values: never a crash."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pd_sf_rules.errors import SyncError
from pd_sf_rules.systems.answers import Answer, Asked, plain_words
from pd_sf_rules.systems.clock import parse_instant
from pd_sf_rules.systems.pagerduty import refusals as pagerduty
from pd_sf_rules.systems.pagerduty.incidents import incident_values
from pd_sf_rules.systems.salesforce import refusals as salesforce
from pd_sf_rules.systems.salesforce.rows import flat_values

# A busy machine is no failure.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
KEYS = st.sampled_from(
    ["error", "errors", "errorCode", "statusCode", "message", "fields", "code", "id", "name",
     "priority", "service", "assignments", "assignee", "assignees", "custom_fields", "value"]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
STATUSES = st.integers(100, 599)
HEADERS = st.dictionaries(st.sampled_from(["Retry-After", "ratelimit-reset"]), st.text(max_size=6))


@UNHURRIED
@given(STATUSES, JSON, HEADERS, st.booleans(), st.booleans())
def test_any_answer_of_either_service_is_one_of_our_errors(
    status: int, body: Any, headers: dict[str, str], write: bool, of_target: bool
) -> None:
    """Any status with any JSON becomes a SyncError with a text."""
    answer = Answer(status, body, readable=True, headers=headers)
    asked = Asked("conn", "a call", write=write, of_target=of_target)
    for error_of in (salesforce.error_of, pagerduty.error_of):
        error = error_of(answer, asked)
        assert isinstance(error, SyncError)
        assert str(error)


@UNHURRIED
@given(JSON, st.booleans())
def test_any_failed_row_is_one_of_our_errors(errors: Any, of_target: bool) -> None:
    """A row of a collection may say anything."""
    assert isinstance(salesforce.row_error(errors, "update", of_target=of_target), SyncError)


@UNHURRIED
@given(st.dictionaries(KEYS, JSON, max_size=6))
def test_any_incident_has_all_names(raw: dict[str, Any]) -> None:
    """Every name of the rulesets is there, whatever shape the members have."""
    values = incident_values(raw)
    assert {"title", "status", "priority", "service.name", "assignees", "number"} <= set(values)


@UNHURRIED
@given(st.dictionaries(KEYS, JSON, max_size=6))
def test_any_row_has_the_fields_asked_for(raw: dict[str, Any]) -> None:
    """A missing path is None."""
    assert set(flat_values(raw, ["id", "service.name", "a.b.c"])) == {"id", "service.name", "a.b.c"}


@UNHURRIED
@given(st.text())
def test_words_are_short_and_on_one_line(text: str) -> None:
    """Error texts stay readable in a table."""
    words = plain_words(text)
    assert len(words) <= 500
    assert "\n" not in words


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-01T12:00:00Z",
        "2026-11-01T12:00:00.000+0000",
        "2026-11-01T07:00:00-05:00",
        "2026-11-01T12:00:00+00:00",
        "2026-11-01T12:00:00",
        "2026-11-01T17:30:00+0530",
    ],
)
def test_any_offset_is_the_same_instant(text: str) -> None:
    """Both services print offsets in several ways."""
    assert parse_instant(text).isoformat() == "2026-11-01T12:00:00+00:00"
