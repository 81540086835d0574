"""The org itself: rows, schema, settings, users and the clock behind one lock."""

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sandbox.salesforce import planned
from sandbox.salesforce.access import Access
from sandbox.salesforce.disk import Disk
from sandbox.salesforce.errors import ApiError, locked
from sandbox.salesforce.held import Held
from sandbox.salesforce.schema import Field, PicklistValue, Row, Schema, SObject
from sandbox.salesforce.settings import OrgSettings
from sandbox.salesforce.standard_objects import standard_schema
from sandbox.salesforce.store import Store

ORG_ID = "00DSB0000000001EAA"


def utc_now() -> datetime:
    """Return the machine's time in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: a user, over the API or (``person``) in the browser."""

    user_id: str
    username: str
    modify_all: bool = False
    person: bool = False


class Org:
    """One org's whole state. Every public use happens under ``lock``, one request at a time."""

    def __init__(self, path: Path | None, clock: Callable[[], datetime] = utc_now) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.disk = Disk(path)
        self.store = Store(self.disk)
        self.load()

    def load(self) -> None:
        """Read the whole state from disk."""
        self.settings = OrgSettings.from_json(self.disk.setting("org", {}))
        self.access = Access()
        for user_id, object_name, field_name, level in self.disk.setting("access", []):
            self.access.set(user_id, object_name, field_name, level)
        self.refusals = [planned.Refusal(**each) for each in self.disk.setting("refusals", [])]
        self.schema = standard_schema()
        for body in self.disk.setting("objects", []):
            self.schema = self.schema.with_object(sobject_from_json(body))
        self.store.load(self.schema)
        self.held = Held(self.store)
        changed = self.disk.setting("schema_changed", None)
        if changed is None:
            self.note_schema_change()
        else:
            self.schema_changed = datetime.fromisoformat(changed)

    def save_settings(self) -> None:
        """Write settings, access and planned refusals to disk."""
        self.disk.keep("org", self.settings.to_json())
        self.disk.keep("access", [[*key, level] for key, level in self.access.levels.items()])
        self.disk.keep("refusals", planned.to_json(self.refusals))
        self.disk.commit()

    def wipe(self) -> None:
        """Return to an empty org with the standard objects."""
        self.disk.wipe()
        self.store.serials.clear()
        self.load()

    def close(self) -> None:
        """Close the file under the org."""
        with self.lock:
            self.disk.close()

    # time

    def exact_now(self) -> datetime:
        """Return the server's time."""
        return self.clock().astimezone(UTC) + timedelta(seconds=self.settings.skew_seconds)

    def now(self) -> datetime:
        """Return the server's time in whole seconds, as rows are stamped."""
        return self.exact_now().replace(microsecond=0)

    # schema

    def view(self, actor: Actor) -> Schema:
        """Return the schema as the actor sees it; people in the browser see all."""
        return self.schema if actor.person else self.access.view(self.schema, actor.user_id)

    def define(self, sobject: SObject) -> None:
        """Add an object, or replace one; its rows stay."""
        self.schema = self.schema.with_object(sobject)
        known = {body["name"]: body for body in self.disk.setting("objects", [])}
        known[sobject.name] = sobject_to_json(sobject)
        self.disk.keep("objects", list(known.values()))
        self.note_schema_change()
        self.access.forget_views()
        self.store.index(self.schema)

    def note_schema_change(self) -> None:
        """Remember when what describe says last changed."""
        # HTTP dates have whole seconds: a describe of this very second must count as older.
        self.schema_changed = self.now() + timedelta(seconds=1)
        self.disk.keep("schema_changed", self.schema_changed.isoformat())
        self.disk.commit()

    # rows

    def rows(self, name: str, actor: Actor, *, deleted: bool = False) -> Iterable[Row]:
        """Return the rows of an object that the actor can see, in the order of their ids."""
        hidden = () if actor.person else self._hidden_from(actor)
        return [
            row
            for record_id, row in self.store.table(name).items()
            if (deleted or not row.get("IsDeleted")) and record_id not in hidden
        ]

    def row(self, record_id: str, actor: Actor | None = None) -> Row | None:
        """Return a row by its 18-character id, recycle bin included; None if unseen."""
        if actor is not None and not actor.person and record_id in self._hidden_from(actor):
            return None
        sobject = self.schema.of_id(record_id)
        return self.store.table(sobject.name).get(record_id) if sobject else None

    def _hidden_from(self, actor: Actor) -> set[str]:
        hidden = self.settings.hidden_records.items()
        return {record_id for record_id, users in hidden if actor.user_id in users}

    # people

    def user(self, name: str) -> Row | None:
        """Return the user with that username or id."""
        folded = name.casefold()
        for record_id, row in self.store.table("User").items():
            if record_id == name or str(row.get("Username", "")).casefold() == folded:
                return row
        return None

    def actor(self, name: str, *, person: bool) -> Actor:
        """Return the actor for a username or user id. Raises LookupError for an unknown one."""
        row = self.user(name)
        if row is None:
            raise LookupError(f"no user named {name!r} in the simulated Salesforce")
        username = str(row["Username"])
        all_data = username in self.settings.modify_all
        return Actor(str(row["Id"]), username, modify_all=all_data, person=person)

    # refusals

    def admit(self, actor: Actor, attempt: planned.Attempt) -> None:
        """Raise what stands in the way of an attempt: a planned refusal or a held row."""
        for record_id in attempt.record_ids:
            if record_id in self.held.ids():
                raise locked(record_id)
        if actor.person:
            return
        refused: ApiError | None = planned.take(self.refusals, attempt)
        if refused is not None:
            self.save_settings()
            raise refused


def sobject_to_json(sobject: SObject) -> dict[str, Any]:
    """Return an object's data table as JSON."""
    body: dict[str, Any] = {
        key: getattr(sobject, key)
        for key in ("name", "key_prefix", "label", "plural", "createable", "updateable",
                    "deletable", "queryable")
    }  # fmt: skip
    body["fields"] = [asdict(each) for each in sobject.fields]
    loaded: dict[str, Any] = json.loads(json.dumps(body))
    return loaded


def sobject_from_json(body: dict[str, Any]) -> SObject:
    """Return the object that ``sobject_to_json`` wrote."""
    fields = tuple(field_from_json(each) for each in body["fields"])
    return SObject(**{**body, "fields": fields})


def field_from_json(body: dict[str, Any]) -> Field:
    """Return a field from JSON. Raises TypeError for a key that fields do not have."""
    values = tuple(
        PicklistValue(value=each, label=each) if isinstance(each, str) else PicklistValue(**each)
        for each in body.get("values", ())
    )
    targets = tuple(body.get("reference_to", ()))
    return Field(**{**body, "values": values, "reference_to": targets})
