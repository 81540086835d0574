"""How long a watcher waits between two looks."""

from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest

from pd_sf_rules.errors import SettingsError
from pd_sf_rules.planning.intervals import LONGEST_SECONDS, interval, is_quiet
from pd_sf_rules.settings import Integration, QuietHours, load_integration

NIGHT = {"from": "22:00", "until": "06:00", "timezone": "Europe/Berlin", "poll_seconds": 60}
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def _made(**settings: object) -> Integration:
    return Integration.model_validate({"name": "default"} | settings)


def _seconds(
    made: Integration, *, at: datetime = NOON, calm: float = 0, left: float | None = None
) -> float:
    span = timedelta(minutes=calm)
    return interval(made, made.poll_seconds, now=at, calm=span, left_percent=left)


def test_by_default_nothing_but_a_scarce_allowance_slows_it() -> None:
    """A page is seconds away at night and after a week of calm."""
    made = _made()
    for hour in range(24):
        assert _seconds(made, at=NOON + timedelta(hours=hour), calm=10_000, left=50) == 10


@pytest.mark.parametrize(
    ("utc", "quiet"), [("19:59", False), ("20:00", True), ("03:59", True), ("04:00", False)]
)
def test_quiet_hours_are_told_by_the_clock_of_their_place(utc: str, quiet: bool) -> None:
    """From ten at night to six in the morning in Berlin, in summer two hours before UTC."""
    at = datetime.fromisoformat(f"2026-07-01T{utc}:00+00:00")
    made = _made(quiet_hours=NIGHT)
    assert made.quiet_hours is not None
    assert is_quiet(made.quiet_hours, at) is quiet
    assert _seconds(made, at=at) == (60 if quiet else 10)


def test_a_long_calm_slows_it_step_by_step() -> None:
    """Half as often after ten minutes, a quarter after twenty, up to what the settings allow."""
    made = _made(idle_poll_seconds=60)
    found = [_seconds(made, calm=minutes) for minutes in (0, 9, 10, 19, 20, 40, 80, 10_000)]
    assert found == [10, 10, 20, 20, 40, 60, 60, 60]


def test_a_scarce_allowance_slows_it_step_by_step() -> None:
    """At the reserve, at half of it and at a quarter the looks become half as many."""
    made = _made(limits={"api_reserve_percent": 8})
    assert [_seconds(made, left=left) for left in (8, 7.9, 4, 3.9, 2, 1.9, 0)] == [
        10, 20, 20, 40, 40, 80, 80,
    ]  # fmt: skip
    assert _seconds(_made(limits={"api_reserve_percent": 0}), left=0) == 10


def test_it_is_never_shorter_than_asked_nor_without_end() -> None:
    """Whatever comes together, the interval lies between the setting and the longest that was allowed."""
    mixtures = product(
        (0.1, 10, 3600), (None, 0.1, 900), (0, 600, 1e6), (None, 0, 5, 100), range(24)
    )
    for poll, idle, calm, left, hour in mixtures:
        made = _made(poll_seconds=poll, idle_poll_seconds=idle, quiet_hours=NIGHT)
        told = _seconds(made, at=NOON + timedelta(hours=hour), calm=calm, left=left)
        assert poll <= told <= max(poll, idle or 0, 60, LONGEST_SECONDS)


def test_a_time_of_day_needs_no_quotes(tmp_path: Path) -> None:
    """YAML reads 22:00 as a number; it is the same time."""
    (tmp_path / "a.yaml").write_text(
        "name: default\nquiet_hours: { from: 22:00, until: 06:30, poll_seconds: 30 }\n"
    )
    made = load_integration("default", {"PDSF_INTEGRATIONS_DIR": str(tmp_path)})
    assert made.quiet_hours == QuietHours.model_validate(
        {"from": "22:00", "until": "6:30", "poll_seconds": 30}
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("from", "25:00"),
        ("from", "soon"),
        ("until", "-1"),
        ("timezone", "Berlin"),
        ("timezone", "../x"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, key: str, value: str) -> None:
    """The error names the file and the key."""
    hours = {"from": "22:00", "until": "06:00"} | {key: value}
    text = ", ".join(f'{name}: "{one}"' for name, one in hours.items())
    (tmp_path / "a.yaml").write_text(f"name: default\nquiet_hours: {{ {text} }}\n")
    with pytest.raises(SettingsError, match=rf"a\.yaml: quiet_hours\.{key}"):
        load_integration("default", {"PDSF_INTEGRATIONS_DIR": str(tmp_path)})
