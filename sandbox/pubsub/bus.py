"""The event bus: what was committed, as change events in order, kept for 72 hours, and the trouble planned for it."""

import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sandbox.pubsub import avro
from sandbox.salesforce.org import Org
from sandbox.salesforce.store import Change, changed_fields, journal_entry

RETENTION = timedelta(hours=72)
UNSUPPORTED = frozenset({"CaseComment", "CaseStatus", "Group"})
STAMPS = frozenset({"SystemModstamp", "LastModifiedDate", "LastModifiedById"})
MOST_KEPT = 20_000
STEP = 7  # replay ids are in order, and no count


@dataclass(frozen=True, slots=True)
class Sent:
    """One event on the bus."""

    number: int
    entity: str
    schema_id: str
    payload: bytes
    at: datetime

    @property
    def replay_id(self) -> bytes:
        """The opaque bytes that stand for this event's place."""
        return replay_id(self.number)


def replay_id(number: int) -> bytes:
    """The bytes that stand for the place after the event of that number."""
    return struct.pack(">HQ", 0x0A51, number * STEP)


@dataclass(slots=True)
class Bus:
    """Every change event of one org. Safe from any thread; never asks for the org's lock while it holds its own.

    `unavailable` is how many of the next calls are refused; `keepalive_seconds` how long a stream may be silent.
    """

    org: Org
    news: threading.Condition = field(default_factory=threading.Condition)
    events: list[Sent] = field(default_factory=list)
    schemas: dict[str, str] = field(default_factory=dict)
    listening: dict[str, int] = field(default_factory=dict)
    """How many streams are open, by object."""
    calls: list[str] = field(default_factory=list)
    """What was called, in order: the RPC and its topic; `Subscribe` with the preset."""
    keepalive_seconds: float = 270.0
    unavailable: int = 0
    cuts: int = 0
    """How often every open stream was cut."""
    used: bool = False
    """Whether anybody ever called: until then nothing is kept, which costs a great load of records nothing."""
    last: int = 0
    expired: int = 0
    """Replay ids below this number are too old."""

    def committed(self, changes: Sequence[Change]) -> None:
        """Put what one transaction wrote on the bus; called by the store, under the org's lock."""
        if not self.used:
            return
        told = [one for one in map(self._told, changes) if one is not None]
        if told:
            self._put(told)

    def gap(self, entity: str, record_ids: Sequence[str], change_type: str = "GAP_UPDATE") -> None:
        """Tell that records changed without saying what, as Salesforce does when it cannot make the event."""
        self._put([avro.Told(entity, list(record_ids), change_type, self.org.exact_now())])

    def overflow(self, entity: str) -> None:
        """Tell that one transaction changed more records of an object than the bus takes."""
        self.gap(entity, ["000000000000000AAA"], "GAP_OVERFLOW")

    def hostile(self, entity: str, payload: bytes, schema: str) -> None:
        """Put bytes on the bus that no org would send, under a schema of that text."""
        with self.news:
            self.schemas[avro.schema_id(schema)] = schema
            self._append(entity, avro.schema_id(schema), payload)

    def cut(self) -> None:
        """End every open stream, as a restart of the service does."""
        with self.news:
            self.cuts += 1
            self.news.notify_all()

    def refuse(self, calls: int) -> None:
        """Refuse that many of the next calls as unavailable, and end what is open."""
        with self.news:
            self.unavailable = calls
        self.cut()

    def expire(self) -> None:
        """Forget every event so far, as 72 hours do: their replay ids are refused."""
        with self.news:
            self.expired = self.last + 1
            self.events.clear()

    def clear(self) -> None:
        """Back to an empty bus without planned trouble; what is open ends."""
        with self.news:
            self.events.clear()
            self.calls.clear()
            self.unavailable, self.keepalive_seconds = 0, 270.0
            self.used, self.expired = False, self.last
        self.cut()

    def supported(self, entity: str) -> str | None:
        """The object of a topic by its own name, None where change events do not exist for it."""
        sobject = self.org.schema.get(entity)
        known = sobject is not None and sobject.name not in UNSUPPORTED
        return sobject.name if sobject is not None and known else None

    def schema(self, entity: str) -> str:
        """The id of the schema of an object's events as it is now."""
        sobject = self.org.schema.get(entity)
        assert sobject is not None
        text = avro.schema_of(sobject)
        with self.news:
            self.schemas[avro.schema_id(text)] = text
        return avro.schema_id(text)

    def place(self, raw: bytes) -> int | None:
        """The number behind a replay id, None for one that is none, or too old."""
        try:
            mark, steps = struct.unpack(">HQ", raw)
        except struct.error:
            return None
        number, rest = divmod(steps, STEP)
        self.forget_old()
        with self.news:
            good = mark == 0x0A51 and not rest and self.expired <= number <= self.last
        return number if good else None

    def forget_old(self) -> None:
        """Drop what is older than 72 hours."""
        until = self.org.exact_now() - RETENTION
        with self.news:
            while self.events and self.events[0].at < until:
                self.expired = self.events.pop(0).number + 1

    def wait_for_listeners(self, entity: str, count: int = 1, seconds: float = 20.0) -> bool:
        """Wait until so many streams of an object are open; False when they do not come."""
        with self.news:
            return self.news.wait_for(lambda: self.listening.get(entity, 0) == count, seconds)

    def _told(self, change: Change) -> avro.Told | None:
        if change.object not in self.org.settings.captured:
            return None
        operation = str(journal_entry(change)["operation"]).replace("purge", "delete").upper()
        values = changed_fields(change.before, change.after) if change.after else {}
        if operation == "UPDATE" and not set(values) - STAMPS:
            return None
        user = self.org.user(change.by)
        return avro.Told(
            change.object,
            [change.id],
            operation,
            self.org.exact_now(),
            user_id=str(user["Id"]) if user else "",
            values=values,
        )

    def _put(self, told: Sequence[avro.Told]) -> None:
        with self.news:
            transaction = f"{self.last + 1:08x}-0000-0000-0000-000000000000"
            for sequence, one in enumerate(told, 1):
                sobject = self.org.schema.get(one.entity)
                assert sobject is not None
                text = avro.schema_of(sobject)
                self.schemas[avro.schema_id(text)] = text
                full = replace(
                    one, transaction=transaction, sequence=sequence, number=self.last + 1
                )
                self._append(one.entity, avro.schema_id(text), avro.encoded(sobject, full))

    def _append(self, entity: str, schema: str, payload: bytes) -> None:
        self.last += 1
        self.events.append(Sent(self.last, entity, schema, payload, self.org.exact_now()))
        if len(self.events) > MOST_KEPT:
            self.expired = self.events.pop(0).number + 1
        self.news.notify_all()
