"""Rows in memory with undo, written through to SQLite when a transaction ends."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from sandbox.salesforce.disk import Disk
from sandbox.salesforce.ids import mint
from sandbox.salesforce.schema import Row, Schema, Value


@dataclass(frozen=True, slots=True)
class Change:
    """One row written: before and after (None: it was not, or is no longer, there)."""

    object: str
    id: str
    before: Row | None
    after: Row | None
    by: str
    at: datetime


@dataclass(slots=True)
class Store:
    """All rows of an org. Rows are never changed in place, so readers may keep them.

    ``put`` works inside ``transaction``; the outermost one writes to disk when it ends well, and
    any of them takes its own writes back when it raises. Callers hold the org's lock.
    """

    disk: Disk
    tables: dict[str, dict[str, Row]] = field(default_factory=dict)
    unique: dict[tuple[str, str], dict[Value, str]] = field(default_factory=dict)
    serials: dict[str, int] = field(default_factory=dict)
    told: list[Callable[[Sequence[Change]], None]] = field(default_factory=list)
    """Who is told what each transaction wrote, once it is committed."""
    _undo: list[Change] = field(default_factory=list)
    _depth: int = 0
    _unique_fields: dict[str, list[tuple[str, bool]]] = field(default_factory=dict)

    def load(self, schema: Schema) -> None:
        """Read every row from disk and build the indexes of unique fields."""
        self.tables.clear()
        for name, row in self.disk.records():
            self.table(name)[str(row["Id"])] = row
        self.serials = dict(self.disk.setting("serials", {}))
        self.index(schema)

    def index(self, schema: Schema) -> None:
        """Build the indexes of unique fields anew, after the schema changed."""
        self.unique.clear()
        self._unique_fields = {
            each.name: [(f.name, f.case_sensitive) for f in each.fields if f.unique]
            for each in schema
        }
        for name, table in self.tables.items():
            for record_id, row in table.items():
                self._enter(name, record_id, row)

    def table(self, name: str) -> dict[str, Row]:
        """Return the rows of an object by id."""
        return self.tables.setdefault(name, {})

    def next_serial(self, counter: str) -> int:
        """Return the next number of a counter; a rolled back transaction leaves a gap."""
        self.serials[counter] = self.serials.get(counter, 0) + 1
        return self.serials[counter]

    def new_id(self, prefix: str) -> str:
        """Return a fresh record id."""
        return mint(prefix, self.next_serial(prefix))

    def holder(self, name: str, field_name: str, value: Value) -> str | None:
        """Return the id of the live record that holds a unique value."""
        folded = next((s for n, s in self._unique_fields.get(name, []) if n == field_name), True)
        key = value.casefold() if isinstance(value, str) and not folded else value
        return self.unique.get((name, field_name), {}).get(key)

    def put(self, change: Change) -> None:
        """Write one row and remember how to take it back."""
        self._apply(change.object, change.id, change.before, change.after)
        self._undo.append(change)

    @contextmanager
    def transaction(self) -> Iterator[int]:
        """Group writes; nested ones are savepoints. Gives the mark that ``take_back`` takes."""
        mark = len(self._undo)
        self._depth += 1
        try:
            yield mark
        except BaseException:
            self.take_back(mark)
            raise
        finally:
            self._depth -= 1
        if self._depth == 0:
            self._flush()

    def take_back(self, mark: int = 0) -> list[Change]:
        """Undo the writes after a mark and return them, oldest first."""
        undone = self._undo[mark:]
        del self._undo[mark:]
        for change in reversed(undone):
            self._apply(change.object, change.id, change.after, change.before)
        return undone

    def _flush(self) -> None:
        if not self._undo:
            return
        last = {change.id: change for change in self._undo}
        self.disk.save((each.id, each.object, each.after) for each in last.values())
        self.disk.keep("serials", self.serials)
        for change in self._undo:
            self.disk.append("change", journal_entry(change))
        self.disk.commit()
        committed = list(self._undo)
        self._undo.clear()
        for tell in self.told:
            tell(committed)

    def _apply(self, name: str, record_id: str, before: Row | None, after: Row | None) -> None:
        table = self.table(name)
        if before is not None:
            self._leave(name, before)
        if after is None:
            table.pop(record_id, None)
            return
        table[record_id] = after
        self._enter(name, record_id, after)

    def _enter(self, name: str, record_id: str, row: Row) -> None:
        for key, value in self._keys(name, row):
            self.unique.setdefault((name, key), {})[value] = record_id

    def _leave(self, name: str, row: Row) -> None:
        for key, value in self._keys(name, row):
            self.unique.get((name, key), {}).pop(value, None)

    def _keys(self, name: str, row: Row) -> Iterator[tuple[str, Value]]:
        if row.get("IsDeleted"):
            return
        for key, case_sensitive in self._unique_fields.get(name, []):
            value = row.get(key)
            if value is not None:
                fold = isinstance(value, str) and not case_sensitive
                yield key, str(value).casefold() if fold else value


def changed_fields(before: Row | None, after: Row | None) -> Mapping[str, Value]:
    """Return the values of ``after`` that differ from ``before``."""
    old, new = before or {}, after or {}
    return {key: new.get(key) for key in {**old, **new} if old.get(key) != new.get(key)}


def journal_entry(change: Change) -> dict[str, object]:
    """Return what the org's journal keeps of a change: who, when, what."""
    if change.before is None:
        operation = "create"
    elif change.after is None:
        operation = "purge"
    elif change.after.get("IsDeleted") and not change.before.get("IsDeleted"):
        operation = "delete"
    elif change.before.get("IsDeleted") and not change.after.get("IsDeleted"):
        operation = "undelete"
    else:
        operation = "update"
    return {
        "operation": operation,
        "object": change.object,
        "id": change.id,
        "by": change.by,
        "at": change.at.isoformat(),
        "fields": {
            k: str(v) if v is not None else None
            for k, v in changed_fields(change.before, change.after).items()
        },
    }
