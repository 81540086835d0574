"""The tables over one side of what the rules of an object see: one look-up and one AND for each field.

The loops over the fields run inside Python's own functions where they can; that is most of an event's time.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import and_, getitem, itemgetter, or_
from typing import Any

from pd_sf_rules.model import Values
from pd_sf_rules.rules.fields import event_value
from pd_sf_rules.rules.operations import OPERATIONS, UNKNOWN
from pd_sf_rules.rules.tables import ChangeTable, LevelTable, Test

Read = Callable[[Any], Sequence[Any]]


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
        self._changes = [
            (path, table.bits, table.unchanged, table)
            for path, table in ((path, changes[path]) for path in moving)
        ]
        self._changing = reduce(or_, (table.bits for table in changes.values()), 0)
        self._unchanged = reduce(and_, (table.unchanged for table in changes.values()), everybody)
        self._read = (_event_reader if of_event else _reader)(paths)
        first = paths.index(moving[0]) if moving else 0
        self._moving = slice(first, first + len(moving))

    def survivors(self, mask: int, now: Any, before: Values) -> int:
        """Return what these values leave of a mask; dear tables are asked only about rules that are left."""
        values = self._read(now)
        try:
            mask = reduce(and_, map(getitem, self._cheap, values), mask)
        except TypeError:  # a list, which no dict can hold
            for table, value in zip(self._cheap, values, strict=False):
                mask &= table.mask(value)
        if mask & self._changing:
            if before:
                mask = self._changed(mask, values[self._moving], before)
            else:
                mask &= self._unchanged
        for at, bits, table in self._dear:
            if mask & bits:
                mask &= table.judged(values[at])
        return mask

    def _changed(self, mask: int, values: Sequence[Any], before: Values) -> int:
        """Return the mask of the rules that survive how the values changed; an old one may not be known."""
        old_of = before.get
        for (path, bits, unchanged, table), value in zip(self._changes, values, strict=True):
            if mask & bits:
                old = old_of(path, UNKNOWN)
                same = (old == value and old.__class__ is value.__class__) or old is UNKNOWN
                mask &= unchanged if same else table.survivors(value, old)
        return mask


_STRETCH = {(True, False): 0, (True, True): 1, (False, True): 2, (False, False): 3}
"""Fields in this order, by (cheap, changing), have the cheap ones in one stretch, and the changing ones."""


def _on_change(test: Test) -> bool:
    return OPERATIONS[test.leaf.condition.operation].needs_old


def _reader(paths: Sequence[str]) -> Read:
    """Return how the values of these paths are read, in order; what is missing is None."""
    if len(paths) < 2:
        return lambda values: [values.get(path) for path in paths]
    take = itemgetter(*paths)

    def read(values: Values) -> Sequence[Any]:
        try:
            taken: Sequence[Any] = take(values)
        except KeyError:
            taken = [values.get(path) for path in paths]
        return taken

    return read


def _event_reader(paths: Sequence[str]) -> Read:
    """Return how these fields of an event itself are read."""
    return lambda event: [event_value(event, path) for path in paths]
