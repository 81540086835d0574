"""Trouble on purpose that only the org itself can make; transport faults live elsewhere."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from sandbox.salesforce import dml, planned, seed
from sandbox.salesforce.access import Level
from sandbox.salesforce.org import Actor
from sandbox.salesforce.settings import ValidationRule
from sandbox.salesforce.soql.parser import parse_condition

if TYPE_CHECKING:
    from sandbox.salesforce.state import SalesforceState


@dataclass(frozen=True, slots=True)
class DomainFaults:
    """What a test can plan: locks, refusals, allowances, access, late commits, clock skew."""

    state: "SalesforceState"

    def kill_sessions(self) -> int:
        """End every session: the next call of each client gets 401 INVALID_SESSION_ID."""
        with self.state.org.lock:
            return self.state.sessions.kill_all()

    def refuse(self, refusal: planned.Refusal) -> None:
        """Plan a refusal of API writes or queries."""
        with self.state.org.lock:
            self.state.org.refusals.append(refusal)
            self.state.org.save_settings()

    def lock_row(self, record_id: str, times: int = 1) -> None:
        """Refuse the next API writes to a record, or to children of it, as locked."""
        self.refuse(planned.row_lock(self.state.id(record_id), times))

    def clear_refusals(self) -> None:
        """Drop every planned refusal."""
        with self.state.org.lock:
            self.state.org.refusals.clear()
            self.state.org.save_settings()

    def set(self, **settings: Any) -> None:
        """Set switches of OrgSettings by name. Raises TypeError for an unknown one."""
        with self.state.org.lock:
            for key, value in settings.items():
                if not hasattr(self.state.org.settings, key):
                    raise TypeError(f"the simulated Salesforce has no setting named {key!r}")
                setattr(self.state.org.settings, key, value)
            self.state.org.save_settings()

    def set_usage(self, used: int) -> None:
        """Pretend that so many API calls were made in the last hour."""
        with self.state.org.lock:
            self.state.usage.set(used)

    def add_validation_rule(self, rule: ValidationRule) -> None:
        """Refuse writes after which the rule's SOQL condition holds. Raises ApiError."""
        parse_condition(rule.when)
        with self.state.org.lock:
            self.state.org.settings.validation_rules.append(rule)
            self.state.org.save_settings()

    def set_access(
        self, name: str, field: str | None, level: str, user: str = seed.API_USER
    ) -> None:
        """Set a user's access to a field, or to an object: ``none``, ``read`` or ``edit``.

        Raises LookupError for an unknown object, field or user, ValueError for another level.
        """
        with self.state.org.lock:
            sobject = self.state.org.schema.get(name)
            found = sobject.field(field) if sobject and field else None
            if sobject is None or (field and found is None):
                raise LookupError(f"the simulated Salesforce has no {name}.{field or ''}")
            if level not in {"none", "read", "edit"}:
                raise ValueError(f"access level {level!r} is not none, read or edit")
            user_id = self.state.org.actor(user, person=True).user_id
            field_name = found.name if found else ""
            self.state.org.access.set(user_id, sobject.name, field_name, cast("Level", level))
            self.state.org.note_schema_change()
            self.state.org.save_settings()

    def hold(
        self,
        writes: Iterable[Mapping[str, Any]],
        by: str | None = None,
        release_after: float | None = None,
    ) -> tuple[str, list[str]]:
        """Write in a transaction that stays open: stamped now, visible when released.

        A write is ``{"object": ..., "fields": {...}}`` for a create or ``{"id": ..., "fields":
        {...}}`` for an update. ``release_after`` (seconds) commits it by itself. The rows stay
        locked meanwhile. Returns (number of the transaction, record ids).
        """
        org = self.state.org
        with self.state.at_work():
            actor, since = self.state.person(by), org.now()
            with org.store.transaction() as start:
                ids = [_write(self.state, actor, each) for each in writes]
                changes = org.store.take_back(start)
            until = None
            if release_after is not None:
                until = org.exact_now() + timedelta(seconds=release_after)
            return org.held.hold(changes, since, until), ids

    def release(self, number: str) -> None:
        """Commit a held transaction, with the stamps it has. Raises LookupError if unknown."""
        with self.state.org.lock:
            self._known(number)
            self.state.org.held.release(number)

    def roll_back(self, number: str) -> None:
        """Drop a held transaction. Raises LookupError if unknown."""
        with self.state.org.lock:
            self._known(number)
            self.state.org.held.roll_back(number)

    def expire_locators(self) -> None:
        """Forget all query results whose later pages could be asked for."""
        with self.state.org.lock:
            self.state.locators.expire()

    def hide_record(self, record_id: str, user: str = seed.API_USER) -> None:
        """Hide a record from a user, as sharing does: it looks as if it were not there."""
        org = self.state.org
        with org.lock:
            user_id = org.actor(user, person=True).user_id
            org.settings.hidden_records.setdefault(self.state.id(record_id), []).append(user_id)
            org.save_settings()

    def set_user_active(self, user: str, *, active: bool) -> None:
        """Activate or deactivate a user; an inactive one loses sessions and cannot log in."""
        org = self.state.org
        with self.state.at_work(), org.store.transaction():
            user_id = org.actor(user, person=True).user_id
            self.state.rewrite(user_id, {"IsActive": active}, "setup")

    def _known(self, number: str) -> None:
        if number not in self.state.org.held.open:
            raise LookupError(f"no transaction {number!r} is held open")


def _write(state: "SalesforceState", actor: Actor, write: Mapping[str, Any]) -> str:
    fields = write.get("fields", {})
    if "id" in write:
        record_id = state.id(str(write["id"]))
        dml.update(state.org, actor, record_id, fields)
        return record_id
    return dml.create(state.org, actor, str(write["object"]), fields)
