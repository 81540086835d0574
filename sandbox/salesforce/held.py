"""Transactions held open: stamped when written, visible only when released."""

from dataclasses import dataclass, field
from datetime import datetime

from sandbox.salesforce.disk import dump_row, load_row
from sandbox.salesforce.store import Change, Store


@dataclass(frozen=True, slots=True)
class HeldTransaction:
    """Writes that have been made and stamped, but not committed."""

    changes: tuple[Change, ...]
    since: datetime
    release_at: datetime | None


@dataclass(slots=True)
class Held:
    """The open transactions of an org by their number; they survive a restart."""

    store: Store
    open: dict[str, HeldTransaction] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for number, body in self.store.disk.setting("held", {}).items():
            self.open[number] = _from_json(body)

    def ids(self) -> set[str]:
        """Return the ids of all records that an open transaction holds locked."""
        return {change.id for each in self.open.values() for change in each.changes}

    def hold(self, changes: list[Change], since: datetime, release_at: datetime | None) -> str:
        """Keep writes that were taken back from the store; returns the transaction's number."""
        number = str(self.store.next_serial("held"))
        self.open[number] = HeldTransaction(tuple(changes), since, release_at)
        self._save()
        return number

    def release(self, number: str) -> None:
        """Commit an open transaction with the stamps it has. Raises KeyError if unknown."""
        held = self.open.pop(number)
        with self.store.transaction():
            for change in held.changes:
                self.store.put(change)
        self._save()

    def roll_back(self, number: str) -> None:
        """Forget an open transaction. Raises KeyError if unknown."""
        del self.open[number]
        self._save()

    def release_due(self, now: datetime) -> None:
        """Commit the transactions whose time has come."""
        due = [n for n, each in self.open.items() if each.release_at and each.release_at <= now]
        for number in due:
            self.release(number)

    def oldest(self) -> datetime | None:
        """Return when the oldest open transaction began to write."""
        return min((each.since for each in self.open.values()), default=None)

    def _save(self) -> None:
        self.store.disk.keep("held", {n: _to_json(each) for n, each in self.open.items()})
        self.store.disk.keep("serials", self.store.serials)
        self.store.disk.commit()


def _to_json(held: HeldTransaction) -> dict[str, object]:
    return {
        "since": held.since.isoformat(),
        "release_at": held.release_at.isoformat() if held.release_at else None,
        "changes": [
            {
                "object": each.object,
                "id": each.id,
                "before": dump_row(each.before) if each.before is not None else None,
                "after": dump_row(each.after) if each.after is not None else None,
                "by": each.by,
                "at": each.at.isoformat(),
            }
            for each in held.changes
        ],
    }


def _from_json(body: dict[str, object]) -> HeldTransaction:
    listed = body["changes"]
    assert isinstance(listed, list)
    changes = tuple(
        Change(
            object=each["object"],
            id=each["id"],
            before=load_row(each["before"]) if each["before"] is not None else None,
            after=load_row(each["after"]) if each["after"] is not None else None,
            by=each["by"],
            at=datetime.fromisoformat(each["at"]),
        )
        for each in listed
    )
    until = body["release_at"]
    release_at = datetime.fromisoformat(str(until)) if until else None
    return HeldTransaction(changes, datetime.fromisoformat(str(body["since"])), release_at)
