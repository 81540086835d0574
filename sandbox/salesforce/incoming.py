"""Checking what a write brings: fields, references, unique keys, validation rules."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sandbox.salesforce import errors
from sandbox.salesforce.org import Actor, Org
from sandbox.salesforce.schema import Field, Row, SObject, Value
from sandbox.salesforce.soql import parser, predicates
from sandbox.salesforce.soql.syntax import Condition
from sandbox.salesforce.values import label_of, malformed_id, read_value


def read_fields(
    org: Org, actor: Actor, sobject: SObject, body: Mapping[str, Any], operation: str, *, cut: bool
) -> dict[str, Value]:
    """Return the values that a write brings, by canonical field name. Raises ApiError."""
    values: dict[str, Value] = {}
    refused: list[str] = []
    for name, raw in body.items():
        if name == "attributes":
            continue
        if name.casefold() == "id":
            text = "The Id field should not be specified in the sobject data."
            raise errors.bad_request("INVALID_FIELD", text)
        field = sobject.field(name)
        related = sobject.relationships.get(name.casefold())
        if field is None and related is not None and (raw is None or isinstance(raw, dict)):
            values[related.name] = _by_foreign_key(org, actor, related, raw)
            continue
        if field is None:
            raise errors.no_such_column(name, sobject.name)
        if not (field.createable if operation == "create" else field.updateable):
            refused.append(field.name)
            continue
        values[field.name] = read_value(field, raw, cut=cut)
        if field.type == "reference" and values[field.name] is not None:
            _check_reference(org, actor, field, str(values[field.name]))
    if refused:
        raise errors.not_writable(*refused)
    return values


def check_required(sobject: SObject, values: Mapping[str, Value], *, creating: bool) -> None:
    """Refuse a create without, or an update that blanks, what the object needs."""
    missing = [
        field.name
        for field in sobject.fields
        if not field.nillable
        and (field.createable if creating else field.updateable)
        and (field.required if creating else field.name in values)
        and values.get(field.name) is None
    ]
    if missing:
        text = f"Required fields are missing: [{', '.join(missing)}]"
        raise errors.bad_request("REQUIRED_FIELD_MISSING", text, *missing)


def check_unique(org: Org, sobject: SObject, row: Row) -> None:
    """Refuse a value of a unique field that another live or held record has."""
    for field in sobject.fields:
        if not field.unique or row.get(field.name) is None:
            continue
        holder = org.store.holder(sobject.name, field.name, row[field.name])
        holder = holder or _held_holder(org, field, row)
        if holder not in {None, row["Id"]}:
            text = (
                f"duplicate value found: {field.name} duplicates value on record with id: "
                f"{str(holder)[:15]}"
            )
            raise errors.bad_request("DUPLICATE_VALUE", text)


def check_rules(org: Org, sobject: SObject, row: Row) -> None:
    """Refuse a row that an admin's validation rule forbids, in the rule's own words."""
    for rule in org.settings.validation_rules:
        if rule.object.casefold() != sobject.name.casefold():
            continue
        forbidden = predicates.compile_condition(predicates.Reader(org), sobject, _rule(rule.when))
        if forbidden(row):
            fields = (rule.field,) if rule.field else ()
            raise errors.bad_request("FIELD_CUSTOM_VALIDATION_EXCEPTION", rule.message, *fields)


def external_id_field(sobject: SObject, name: str) -> Field:
    """Return a field that can serve as a key in a URL. Raises ApiError 404."""
    field = sobject.field(name)
    if field is None or not (field.external_id or field.name == "Id"):
        text = f"Provided external ID field does not exist or is not accessible: {name}"
        raise errors.not_found(text)
    return field


def find_by_key(org: Org, actor: Actor, sobject: SObject, field: Field, raw: Any) -> list[str]:
    """Return the ids of the live records that hold this key."""
    value = read_value(field, raw)
    if value is None:
        return []

    def fold(one: Value) -> Value:
        return one if field.case_sensitive or not isinstance(one, str) else one.casefold()

    rows = org.rows(sobject.name, actor)
    if field.unique:
        holder = org.store.holder(sobject.name, field.name, value)
        row = org.row(holder, actor) if holder else None
        rows = [row] if row is not None else []
    return [str(row["Id"]) for row in rows if fold(row.get(field.name)) == fold(value)]


def _by_foreign_key(org: Org, actor: Actor, related: Field, raw: Any) -> Value:
    if raw is None:
        return None
    keys = {key: value for key, value in raw.items() if key != "attributes"}
    target = org.view(actor).get(related.reference_to[0])
    if target is None or len(keys) != 1:
        text = f"Foreign key relationship {related.relationship} needs exactly one external id"
        raise errors.bad_request("INVALID_FIELD", text)
    ((name, value),) = keys.items()
    field = external_id_field(target, name)
    found = find_by_key(org, actor, target, field, value)
    if len(found) != 1:
        text = f"Foreign key external ID: {value} not found for field {field.name} in entity"
        raise errors.bad_request("INVALID_FIELD", f"{text} {target.name}")
    return found[0]


def _check_reference(org: Org, actor: Actor, field: Field, record_id: str) -> None:
    target = org.schema.of_id(record_id)
    if target is None or target.name not in field.reference_to:
        raise malformed_id(field, record_id)
    row = org.row(record_id, actor)
    if row is None or row.get("IsDeleted"):
        raise errors.bad_request("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
    if field.name == "OwnerId" and target.name == "User" and not row.get("IsActive"):
        text = f"operation performed with inactive user [{record_id}] as owner of {label_of(field)}"
        raise errors.bad_request("INACTIVE_OWNER_OR_USER", text, field.name)


def _held_holder(org: Org, field: Field, row: Row) -> str | None:
    for held in org.held.open.values():
        for change in held.changes:
            if change.after and change.after.get(field.name) == row[field.name]:
                return change.id
    return None


@lru_cache(maxsize=256)
def _rule(condition: str) -> Condition:
    return parser.parse_condition(condition)
