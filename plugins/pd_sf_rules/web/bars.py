"""A small bar chart as numbers: what stands where, so that a template only writes SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pd_sf_rules.ledger.tallies import Slot

WIDTH, HEIGHT = 960, 256
LEFT, RIGHT, TOP, BOTTOM = 40, 8, 10, 22
GAP = 0.22
"""How much of a slot's width stays empty."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One rectangle; `kind` is its class: events, actions, failures."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Column:
    """One slot: its bars, and a sentence for whoever points at it or cannot see it."""

    x: float
    width: float
    bars: Sequence[Bar]
    said: str


@dataclass(frozen=True, slots=True)
class Tick:
    """One label on an axis."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """The whole drawing in its own units; `total` sums every slot."""

    columns: Sequence[Column]
    rows: Sequence[Tick]
    times: Sequence[Tick]
    total: Slot
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    floor: int = HEIGHT - BOTTOM
    top: int = TOP

    @property
    def is_empty(self) -> bool:
        """Whether nothing happened at all."""
        return not (self.total.events or self.total.applied or self.total.failed)


def chart(slots: Sequence[Slot], length: timedelta) -> Chart:
    """Draw events beside actions, with what failed on top of the actions; every slot lasts `length`."""
    total = Slot(
        slots[0].start,
        sum(one.events for one in slots),
        sum(one.applied for one in slots),
        sum(one.failed for one in slots),
    )
    top = _round_up(max(max(one.events, one.applied + one.failed) for one in slots))
    step = (WIDTH - LEFT - RIGHT) / len(slots)
    columns = [_column(slot, length, LEFT + n * step, step, top) for n, slot in enumerate(slots)]
    rows = [Tick(LEFT - 6, _y(top * part, top), _short(top * part)) for part in (0, 0.5, 1)]
    every = max(len(slots) // 8, 1)
    times = [
        Tick(LEFT + n * step, HEIGHT - 6, _label(slot.start, length))
        for n, slot in enumerate(slots)
        if n % every == 0 and n + every / 2 < len(slots)
    ]
    return Chart(columns, rows, times, total)


def _column(slot: Slot, length: timedelta, x: float, step: float, top: int) -> Column:
    width = step * (1 - GAP) / 2
    left, right = x + step * GAP / 2, x + step / 2
    bars = [
        _bar("events", left, width, 0, slot.events, top),
        _bar("actions", right, width, 0, slot.applied, top),
        _bar("failures", right, width, slot.applied, slot.failed, top),
    ]
    said = (
        f"{_span(slot.start, length)}: {slot.events} events, {slot.applied} actions done,"
        f" {slot.failed} attempts failed"
    )
    return Column(x, step, [bar for bar in bars if bar.height], said)


def _bar(kind: str, x: float, width: float, base: int, count: int, top: int) -> Bar:
    foot = _y(base, top)
    height = max(foot - _y(base + count, top), 2.0) if count else 0.0
    return Bar(kind, round(x, 2), round(foot - height, 2), round(width, 2), round(height, 2))


def _y(value: float, top: int) -> float:
    return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top), 2)


def _round_up(value: int) -> int:
    """Return the next of 2, 4, 10, 20, 40, 100, 200..., so that half of it is a whole number."""
    size = 1
    while True:
        for one in (2, 4, 10):
            if value <= one * size:
                return one * size
        size *= 10


def _short(value: float) -> str:
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _label(at: datetime, length: timedelta) -> str:
    return f"{at:%a %d}" if length >= timedelta(hours=2) else f"{at:%H:%M}"


def _span(start: datetime, length: timedelta) -> str:
    end = start + length
    day = f"{start:%a %d %b} " if length >= timedelta(minutes=10) else ""
    return f"{day}{start:%H:%M}–{end:%H:%M} UTC"
