"""Writing records: every check and side effect of a create, update, upsert or delete."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.salesforce import errors, incoming
from sandbox.salesforce.derived import CLOSING_FIELD, derive, fill_defaults
from sandbox.salesforce.ids import normalise
from sandbox.salesforce.org import Actor, Org
from sandbox.salesforce.planned import Attempt
from sandbox.salesforce.schema import Row, SObject, Value
from sandbox.salesforce.store import Change


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """How a write was sent: its place in a collection, and the headers that matter."""

    position: int | None = None
    auto_assign: bool = True
    truncate: bool = False


PLAIN = WriteOptions()


def create(
    org: Org, actor: Actor, name: str, body: Mapping[str, Any], options: WriteOptions = PLAIN
) -> str:
    """Create a record from JSON and return its id. Raises ApiError."""
    with org.store.transaction():
        sobject = visible_object(org, actor, name)
        if not sobject.createable:
            raise not_allowed("create", sobject)
        values = incoming.read_fields(org, actor, sobject, body, "create", cut=options.truncate)
        parents = _lockable_parents(sobject, values)
        org.admit(actor, Attempt("create", sobject.name, parents, options.position))
        incoming.check_required(sobject, values, creating=True)
        now = org.now()
        row: dict[str, Value] = dict(values)
        if sobject.name == "Case" and options.auto_assign and org.settings.assignment_owner:
            row["OwnerId"] = org.settings.assignment_owner
        fill_defaults(org.store, org.schema.get(sobject.name) or sobject, row, actor.user_id)
        record_id = org.store.new_id(sobject.key_prefix)
        row |= {
            "Id": record_id,
            "IsDeleted": False,
            "CreatedDate": now,
            "CreatedById": actor.user_id,
        }
        _save(org, actor, sobject, None, row)
        return record_id


def update(
    org: Org, actor: Actor, record_id: str, body: Mapping[str, Any], options: WriteOptions = PLAIN
) -> None:
    """Change a record from JSON. Raises ApiError (404 if it is gone or unseen)."""
    with org.store.transaction():
        sobject, before = existing(org, actor, record_id)
        if not sobject.updateable:
            raise not_allowed("update", sobject)
        org.admit(actor, Attempt("update", sobject.name, (record_id,), options.position))
        values = incoming.read_fields(org, actor, sobject, body, "update", cut=options.truncate)
        if sobject.name == "CaseComment" and set(values) - {"IsPublished"}:
            _need_modify_all(actor, record_id)
        incoming.check_required(sobject, values, creating=False)
        _save(org, actor, sobject, before, {**before, **values})


def upsert(
    org: Org,
    actor: Actor,
    key: tuple[str, str, Any],
    body: Mapping[str, Any],
    options: WriteOptions = PLAIN,
) -> tuple[str, bool]:
    """Update the record that holds an external id, or create one; returns (id, created).

    ``key`` is (object, field, value). Raises ApiError, a 300 when several records match.
    """
    name, field_name, value = key
    sobject = visible_object(org, actor, name)
    field = incoming.external_id_field(sobject, field_name)
    found = incoming.find_by_key(org, actor, sobject, field, value)
    if len(found) > 1:
        raise errors.ApiError(300, "MULTIPLE_CHOICES", f"{field.name}: several records match")
    if found:
        update(org, actor, found[0], body, options)
        return found[0], False
    return create(org, actor, name, {**body, field.name: value}, options), True


def delete(org: Org, actor: Actor, record_id: str, options: WriteOptions = PLAIN) -> None:
    """Move a record and what hangs on it to the recycle bin. Raises ApiError."""
    with org.store.transaction():
        sobject, before = existing(org, actor, record_id)
        if not sobject.deletable:
            raise not_allowed("delete", sobject)
        if sobject.name == "CaseComment":
            _need_modify_all(actor, record_id)
        org.admit(actor, Attempt("delete", sobject.name, (record_id,), options.position))
        _stamp_and_put(org, actor, sobject, before, {**before, "IsDeleted": True})
        for each in org.schema.children(sobject):
            if not each.field.cascade_delete:
                continue
            for row in list(org.store.table(each.child.name).values()):
                if row.get(each.field.name) == record_id and not row.get("IsDeleted"):
                    _stamp_and_put(org, actor, each.child, row, {**row, "IsDeleted": True})


def deleted_along(org: Org, name: str, parent: Row) -> list[str]:
    """Return the ids of the children that went to the recycle bin with a record."""
    sobject = visible_object(org, Actor("", "", person=True), name)
    return [
        record_id
        for each in org.schema.children(sobject)
        if each.field.cascade_delete
        for record_id, row in org.store.table(each.child.name).items()
        if row.get(each.field.name) == parent["Id"]
        and row.get("IsDeleted")
        and row["SystemModstamp"] == parent["SystemModstamp"]
    ]


def existing(org: Org, actor: Actor, record_id: str) -> tuple[SObject, Row]:
    """Return a live record and its object as the actor sees it. Raises ApiError 404."""
    row = org.row(record_id, actor)
    sobject = org.view(actor).of_id(record_id)
    if row is None or sobject is None:
        raise errors.not_found()
    if row.get("IsDeleted"):
        raise errors.deleted()
    return sobject, row


def visible_object(org: Org, actor: Actor, name: str) -> SObject:
    """Return an object by name as the actor sees it. Raises ApiError 404."""
    sobject = org.view(actor).get(name)
    if sobject is None or sobject.key_prefix == "???":
        raise errors.not_found()
    return sobject


def not_allowed(operation: str, sobject: SObject) -> errors.ApiError:
    """Return the refusal of an operation that the object or the user's profile forbids."""
    if operation == "create" and sobject.name in {"User", "Group", "CaseStatus"}:
        text = f"entity type {sobject.name} does not support {operation}"
        return errors.bad_request("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", text)
    text = "insufficient access rights on object id"
    return errors.bad_request("INSUFFICIENT_ACCESS_OR_READONLY", text)


def record_id_of(raw: Any, sobject: SObject) -> str:
    """Return the canonical id of a record of that object. Raises ApiError MALFORMED_ID."""
    record_id = normalise(raw) if isinstance(raw, str) else None
    if record_id is None or record_id[:3] != sobject.key_prefix:
        text = f"{sobject.label or sobject.name} ID: id value of incorrect type: {raw}"
        raise errors.bad_request("MALFORMED_ID", text, "Id")
    return record_id


def _need_modify_all(actor: Actor, record_id: str) -> None:
    if not actor.modify_all:
        text = f"insufficient access rights on object id: {record_id}"
        raise errors.bad_request("INSUFFICIENT_ACCESS_OR_READONLY", text)


def _lockable_parents(sobject: SObject, values: Mapping[str, Value]) -> tuple[str, ...]:
    references = (f for f in sobject.fields if f.type == "reference" and f.name != "OwnerId")
    return tuple(str(values[f.name]) for f in references if values.get(f.name))


def _save(
    org: Org, actor: Actor, sobject: SObject, before: Row | None, row: dict[str, Value]
) -> None:
    full = org.schema.get(sobject.name) or sobject
    closing = CLOSING_FIELD.get(full.name, "")
    derive(full, row, before.get(closing) if before else None, org.now())
    comment = row.pop("Comments", None) if full.name == "Case" else None
    incoming.check_unique(org, full, row)
    incoming.check_rules(org, full, row)
    _stamp_and_put(org, actor, full, before, row)
    if comment:
        create(org, actor, "CaseComment", {"ParentId": row["Id"], "CommentBody": comment})
    if full.name == "CaseComment" and org.settings.comment_touches_case:
        case = org.row(str(row["ParentId"]))
        if case is not None:
            _stamp_and_put(org, actor, org.schema.of_id(str(case["Id"])) or full, case, dict(case))


def _stamp_and_put(
    org: Org, actor: Actor, sobject: SObject, before: Row | None, row: dict[str, Value]
) -> None:
    now = org.now()
    row |= {"LastModifiedDate": now, "LastModifiedById": actor.user_id, "SystemModstamp": now}
    kept = {key: value for key, value in row.items() if value is not None}
    record_id = str(row["Id"])
    org.store.put(Change(sobject.name, record_id, before, kept, actor.username, org.exact_now()))
