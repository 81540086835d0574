"""The tables over one side of what the rules of an object see: one look-up and one AND for each field.

The loops over the fields run inside Python's own functions where they can; that is most of an event's time.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from itertools import chain, compress, count
from operator import and_, itemgetter, ne, or_
from typing import Any

from pd_sf_rules.model import Values
from pd_sf_rules.rules.compiled import PLACE, Subject
from pd_sf_rules.rules.fields import event_value
from pd_sf_rules.rules.operations import OPERATIONS, UNKNOWN
from pd_sf_rules.rules.tables import ChangeTable, LevelTable, Test

Take = Callable[[Any], tuple[Any, ...]]


Places = dict[tuple[int, int], dict[str, list[Test]]]
"""Tests by where they look: (the place of the object, the place in its subject), and the field's path."""


class Sides:
    """The tables of all sides of a bucket."""

    def __init__(self, tests: Places, everybody: int) -> None:
        self._sides = [
            (about, place, SideTables(held, everybody, of_event=place == PLACE["event"]))
            for (about, place), held in tests.items()
        ]

    def survivors(
        self, everybody: int, subjects: Sequence[Sequence[Subject]], events: int
    ) -> list[int]:
        """Return for each of so many events the mask of what survives; `subjects` are those of each object."""
        masks = [everybody] * events
        for about, place, tables in self._sides:
            seen = subjects[about]
            nows = [subject[place] for subject in seen]
            masks = tables.survivors(masks, nows, [subject[place + 1] for subject in seen])
        return masks


class SideTables:
    """The tables of a record, an incident or an event, whose fields `tests` asks for by path."""

    def __init__(
        self, tests: Mapping[str, Sequence[Test]], everybody: int, *, of_event: bool
    ) -> None:
        levels: dict[str, LevelTable] = {}
        changes: dict[str, ChangeTable] = {}
        for path, held in tests.items():
            if level := [test for test in held if not _on_change(test)]:
                levels[path] = LevelTable(level, everybody)
            if change := [test for test in held if _on_change(test)]:
                changes[path] = ChangeTable(change, everybody)
        cheap = {path: table for path, table in levels.items() if not table.dear}
        paths = sorted(tests, key=lambda path: _STRETCH[path in cheap, path in changes])
        moving = [path for path in paths if path in changes]
        self._cheap = [cheap[path] for path in paths if path in cheap]
        self._dear = [
            (at, table.bits, table)
            for at, path in enumerate(paths)
            if path not in cheap and (table := levels.get(path)) is not None
        ]
        self._changes = [(path, changes[path].bits, changes[path]) for path in moving]
        self._changing = reduce(or_, (table.bits for table in changes.values()), 0)
        self._unchanged = reduce(and_, (table.unchanged for table in changes.values()), everybody)
        self._everybody = everybody
        self._remembered: dict[tuple[int, ...], int] = {}
        self._paths = paths
        self._take = _event_taker(paths) if of_event else _taker(paths)
        self._take_old = _taker(moving)
        first = paths.index(moving[0]) if moving else 0
        self._moving = slice(first, first + len(moving))

    def survivors(
        self, masks: list[int], nows: Sequence[Any], befores: Sequence[Values]
    ) -> list[int]:
        """Return what the values of each event leave of its mask; dear tables are asked only where it matters."""
        rows = self._rows(nows)
        for table, column in zip(self._cheap, zip(*rows, strict=True), strict=False):
            try:
                masks = list(map(and_, masks, map(table.__getitem__, column)))
            except TypeError:  # a list, which no dict can hold
                masks = list(map(and_, masks, map(table.mask, column)))
        if self._changes:
            masks = self._changed(masks, [row[self._moving] for row in rows], befores)
        for at, bits, table in self._dear:
            judged = table.judged
            masks = [
                mask & judged(row[at]) if mask & bits else mask
                for mask, row in zip(masks, rows, strict=True)
            ]
        return masks

    def _rows(self, nows: Sequence[Any]) -> list[Sequence[Any]]:
        """Return the values of each event, in the order of the paths; what is missing is None."""
        try:
            return list(map(self._take, nows))
        except KeyError:
            return [[values.get(path) for path in self._paths] for values in nows]

    def _changed(
        self, masks: list[int], rows: Sequence[Sequence[Any]], befores: Sequence[Values]
    ) -> list[int]:
        """Return the masks of the rules that survive how the values changed; an old one may not be known."""
        exact = _EXACT.issuperset(map(type, chain.from_iterable(rows)))
        changing, unchanged, take_old = self._changing, self._unchanged, self._take_old
        found = masks.copy()
        for at, mask in enumerate(masks):
            if not mask & changing:
                continue
            before = befores[at]
            if not before:
                found[at] = mask & unchanged
                continue
            now = rows[at]
            try:
                old = take_old(before)
            except KeyError:
                old = tuple([before.get(path, UNKNOWN) for path, *_ in self._changes])
            differs = tuple(compress(count(), map(ne if exact else _differ, now, old)))
            left = mask & (self._same_but(differs) if differs else unchanged)
            for place in differs:
                _, bits, table = self._changes[place]
                if left & bits:
                    left &= table.survivors(now[place], old[place])
            found[at] = left
        return found

    def _same_but(self, differs: tuple[int, ...]) -> int:
        """Return the mask of the rules that survive that all other fields are as they were."""
        mask = self._remembered.get(differs)
        if mask is None:
            same = (table for at, (_, _, table) in enumerate(self._changes) if at not in differs)
            mask = reduce(and_, (table.unchanged for table in same), self._everybody)
            if len(self._remembered) < _REMEMBERED:
                self._remembered[differs] = mask
        return mask


def _differ(value: Any, old: Any) -> bool:
    """Tell whether values are not surely the same: Python takes 1 for true, also within a list or a mapping."""
    kind = value.__class__
    return kind is not old.__class__ or kind in _HOLDING or bool(value != old)


_EXACT = frozenset({str, type(None)})
"""Types of which a value equals only its like."""

_HOLDING = frozenset({list, dict})
"""Types whose values hold others: a list of a custom field, the parts of an address."""

_REMEMBERED = 512

_STRETCH = {(True, False): 0, (True, True): 1, (False, True): 2, (False, False): 3}
"""Fields in this order, by (cheap, changing), have the cheap ones in one stretch, and the changing ones."""


def _on_change(test: Test) -> bool:
    return OPERATIONS[test.leaf.condition.operation].needs_old


def _taker(paths: Sequence[str]) -> Take:
    """Return how the values of these paths are read, in order. Raises KeyError where one is missing."""
    if len(paths) > 1:
        return itemgetter(*paths)
    return lambda values: tuple([values[path] for path in paths])


def _event_taker(paths: Sequence[str]) -> Take:
    """Return how these fields of an event itself are read."""
    return lambda event: tuple([event_value(event, path) for path in paths])
