"""What an object looks like to our user: its fields, their types, and what may be written."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pd_sf_rules.errors import RefusedError, SkippableError
from pd_sf_rules.systems.salesforce import soql
from pd_sf_rules.systems.salesforce.client import SalesforceClient


@dataclass(frozen=True, slots=True)
class FieldDescription:
    """One field. `type` is Salesforce's word; `picklist` holds the active API values.

    `restricted` says that other picklist values are refused; `length` is in characters, 0 if none; `unique` that no
    two records hold the same value.
    """

    name: str
    type: str
    createable: bool
    updateable: bool
    required_on_create: bool
    picklist: tuple[str, ...]
    restricted: bool
    reference_to: tuple[str, ...]
    relationship_name: str
    length: int
    unique: bool
    external_id: bool


@dataclass(frozen=True, slots=True)
class ObjectDescription:
    """One object as our user sees it: a field without read access is not there at all."""

    name: str
    createable: bool
    updateable: bool
    fields: Mapping[str, FieldDescription]

    def field(self, name: str) -> FieldDescription | None:
        """Return a field by its API name in any case, None where there is none."""
        if name in self.fields:
            return self.fields[name]
        wanted = name.lower()
        return next((one for key, one in self.fields.items() if key.lower() == wanted), None)

    def parent(self, relationship: str) -> FieldDescription | None:
        """Return the reference field that `relationship` ("Account") goes through."""
        wanted = relationship.lower()
        for one in self.fields.values():
            if one.relationship_name and one.relationship_name.lower() == wanted:
                return one
        return None


def describe(client: SalesforceClient, object_name: str) -> ObjectDescription:
    """Describe one object. Raises RefusedError naming it when our user has no such object."""
    path = f"sobjects/{quote(soql.name(object_name))}/describe"
    doing = f"the description of {object_name}"
    try:
        body = client.get(path, doing=doing)
    except SkippableError as missing:
        raise _unknown(object_name, missing.message) from None
    except RefusedError as refusal:
        if refusal.status != 404:
            raise
        raise _unknown(object_name, refusal.message) from None
    if not isinstance(body, Mapping):
        raise RefusedError(f"Salesforce's answer to {doing} is not an object.", status=200)
    fields = [_field(raw) for raw in body.get("fields") or [] if isinstance(raw, Mapping)]
    return ObjectDescription(
        name=str(body.get("name") or object_name),
        createable=body.get("createable", True) is not False,
        updateable=body.get("updateable", True) is not False,
        fields={one.name: one for one in fields},
    )


def field_types(client: SalesforceClient, object_name: str, paths: Iterable[str]) -> dict[str, str]:
    """Return the Salesforce type word of each path ("Priority", "Account.Type") that exists.

    Follows relationships through describe, each object once; of a polymorphic one (Owner) the first
    target that has the field decides. An unknown path is absent.
    """
    seen: dict[str, ObjectDescription | None] = {object_name: describe(client, object_name)}
    types: dict[str, str] = {}
    for path in paths:
        kind = next(_kinds(client, seen, object_name, soql.name(path).split(".")), None)
        if kind is not None:
            types[path] = kind
    return types


def _kinds(
    client: SalesforceClient,
    seen: dict[str, ObjectDescription | None],
    object_name: str,
    parts: Sequence[str],
) -> Iterator[str]:
    """Yield the types that a path can have, starting at `object_name`; none for an unknown path."""
    if object_name not in seen:
        seen[object_name] = _described(client, object_name)
    found = seen[object_name]
    if found is None:
        return
    if len(parts) == 1:
        one = found.field(parts[0])
        if one is not None:
            yield one.type
        return
    through = found.parent(parts[0])
    for target in through.reference_to if through else ():
        yield from _kinds(client, seen, target, parts[1:])


def _described(client: SalesforceClient, object_name: str) -> ObjectDescription | None:
    """Describe a parent, which our user may not see at all."""
    try:
        return describe(client, object_name)
    except RefusedError as refusal:
        if refusal.code != "INVALID_TYPE":
            raise
        return None


def _field(raw: Mapping[str, Any]) -> FieldDescription:
    createable = raw.get("createable") is True
    # Salesforce's own rule for what a create must carry (object reference, "required fields").
    required = createable and raw.get("nillable") is False and raw.get("defaultedOnCreate") is False
    picklist = [one for one in raw.get("picklistValues") or [] if one.get("active", True)]
    return FieldDescription(
        name=str(raw.get("name") or ""),
        type=str(raw.get("type") or "string"),
        createable=createable,
        updateable=raw.get("updateable") is True,
        required_on_create=required,
        picklist=tuple(str(one.get("value")) for one in picklist),
        restricted=raw.get("restrictedPicklist") is True,
        reference_to=tuple(str(one) for one in raw.get("referenceTo") or []),
        relationship_name=str(raw.get("relationshipName") or ""),
        length=int(raw.get("length") or 0),
        unique=raw.get("unique") is True,
        external_id=raw.get("externalId") is True,
    )


def _unknown(object_name: str, words: str) -> RefusedError:
    return RefusedError(
        f"There is no Salesforce object {object_name} for this user: {words}",
        code="INVALID_TYPE",
        status=404,
        hint="Check its API name (custom ones end in __c) and the user's object permissions.",
    )
