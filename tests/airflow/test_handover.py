"""Looks end just before the triggerer collects what they saw."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pd_sf_rules.triggers.handover import (
    MARGIN_SECONDS,
    ROUND_SECONDS,
    Handover,
    in_time,
    next_handover,
)
from tests.own_loop import run_in_own_loop

seconds = st.floats(0, 1, exclude_max=True)


@given(pause=st.floats(1, 600), ahead=seconds, lead=seconds)
def test_a_look_is_moved_by_half_a_round_at_most(pause: float, ahead: float, lead: float) -> None:
    """And ends, when it takes as long as thought, `lead` before one of the collections."""
    moved = in_time(pause, ahead, lead)
    assert abs(moved - pause) <= ROUND_SECONDS / 2 + 1e-9
    rounds = (moved + lead - ahead) / ROUND_SECONDS
    assert rounds == pytest.approx(round(rounds), abs=1e-6)


def test_looks_once_a_second_stay_a_second_apart() -> None:
    """A look that ended in time is followed by one a round later, whatever it took."""
    assert in_time(1.0, MARGIN_SECONDS, 0.02 + MARGIN_SECONDS) == pytest.approx(0.98)


def test_without_a_triggerer_the_interval_stands(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is known of its collections then, which is told once."""

    async def pauses() -> list[float]:
        assert next_handover() is None
        handover = Handover("salesforce")
        handover.looked(0.3)
        return [handover.pause(one) for one in (1.0, 10.0)]

    with caplog.at_level(logging.INFO, "pd_sf_rules.triggers.handover"):
        assert run_in_own_loop(pauses()) == [1.0, 10.0]
    (said,) = [record.getMessage() for record in caplog.records]
    assert "salesforce" in said
    assert "not known" in said
