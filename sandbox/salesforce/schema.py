"""What an org's objects and fields are: plain data, so that they can be defined at run time."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cached_property
from typing import Literal

Value = str | int | float | bool | datetime | date | None
Row = Mapping[str, Value]
FieldType = Literal[
    "id", "string", "textarea", "picklist", "multipicklist", "boolean", "int", "double",
    "currency", "percent", "date", "datetime", "reference", "phone", "email", "url",
]  # fmt: skip
TEXT_TYPES = frozenset({"string", "textarea", "picklist", "phone", "email", "url"})
NUMBER_TYPES = frozenset({"int", "double", "currency", "percent"})
PERMISSIONS = "UserPermissionAccess"  # one row: what the user who asks may do
POLYMORPHIC = "Name"  # the entity a reference to several kinds of objects leads to


@dataclass(frozen=True, slots=True)
class PicklistValue:
    """One value of a picklist; ``closed`` matters for a status that closes its record."""

    value: str
    label: str = ""
    active: bool = True
    default: bool = False
    closed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field as describe shows it; lengths in characters, ``byte_limit`` in UTF-8 bytes."""

    name: str
    type: FieldType
    label: str = ""
    length: int = 0
    byte_limit: int = 0
    precision: int = 0
    scale: int = 0
    nillable: bool = True
    createable: bool = True
    updateable: bool = True
    default: str | float | bool | None = None
    unique: bool = False
    external_id: bool = False
    case_sensitive: bool = False
    restricted: bool = False
    values: tuple[PicklistValue, ...] = ()
    reference_to: tuple[str, ...] = ()
    relationship: str | None = None  # the parent's name in a SOQL path
    children: str | None = None  # the name of the sub-query on the parent
    cascade_delete: bool = False
    filterable: bool = True
    auto_number: str = ""  # such as PDL-{00000000}
    name_field: bool = False

    @property
    def custom(self) -> bool:
        """Whether an admin made it."""
        return self.name.endswith("__c")

    @property
    def sortable(self) -> bool:
        """Whether a query may order by it."""
        return self.filterable and self.type != "multipicklist"

    @property
    def groupable(self) -> bool:
        """Whether a query may group by it."""
        return self.filterable and self.type not in {"datetime", "multipicklist"}

    @property
    def required(self) -> bool:
        """Whether a create must bring it."""
        return self.createable and not self.nillable and not self.defaulted

    @property
    def defaulted(self) -> bool:
        """Whether the server fills it when a create leaves it out."""
        return (
            self.default is not None
            or self.type == "boolean"
            or bool(self.auto_number)
            or self.name == "OwnerId"
        )


@dataclass(frozen=True, kw_only=True)
class SObject:
    """One object: its fields in order and what the API may do with it."""

    name: str
    key_prefix: str
    fields: tuple[Field, ...]
    label: str = ""
    plural: str = ""
    createable: bool = True
    updateable: bool = True
    deletable: bool = True
    queryable: bool = True
    by_folded: Mapping[str, Field] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        folded = {each.name.casefold(): each for each in self.fields}
        object.__setattr__(self, "by_folded", folded)

    def field(self, name: str) -> Field | None:
        """Return the field of that name in any case, or None."""
        return self.by_folded.get(name.casefold())

    @cached_property
    def relationships(self) -> Mapping[str, Field]:
        """Return the reference fields by their folded relationship name."""
        return {f.relationship.casefold(): f for f in self.fields if f.relationship}

    @cached_property
    def name_field(self) -> Field | None:
        """Return the field that names a record to people, if there is one."""
        return next((each for each in self.fields if each.name_field), None)

    @property
    def custom(self) -> bool:
        """Whether an admin made it."""
        return self.name.endswith("__c")

    def with_fields(self, fields: Iterable[Field]) -> "SObject":
        """Return a copy in which these fields replace or extend the present ones."""
        merged = {each.name.casefold(): each for each in self.fields}
        merged.update((each.name.casefold(), each) for each in fields)
        return replace(self, fields=tuple(merged.values()))

    def without_fields(self, names: Iterable[str]) -> "SObject":
        """Return a copy that lacks these fields."""
        gone = {name.casefold() for name in names}
        return replace(self, fields=tuple(f for f in self.fields if f.name.casefold() not in gone))


@dataclass(frozen=True, slots=True)
class ChildRelationship:
    """A parent's view of a reference: which object and field point here, under which name."""

    child: SObject
    field: Field


class Schema:
    """The objects of an org, or those of them that one user may see."""

    def __init__(self, objects: Iterable[SObject]) -> None:
        self._objects = {each.name.casefold(): each for each in objects}
        self._by_prefix = {each.key_prefix: each for each in self._objects.values()}

    def __iter__(self) -> Iterator[SObject]:
        return iter(self._objects.values())

    def get(self, name: str) -> SObject | None:
        """Return the object of that name in any case, or None."""
        return self._objects.get(name.casefold())

    def of_id(self, record_id: str) -> SObject | None:
        """Return the object whose key prefix the id carries, or None."""
        return self._by_prefix.get(record_id[:3])

    def parent(self, reference: Field) -> SObject | None:
        """Return the object at the far end of a reference; several kinds lead to ``Name``."""
        if len(reference.reference_to) > 1:
            return self.get(POLYMORPHIC)
        return self.get(reference.reference_to[0])

    def children(self, parent: SObject) -> list[ChildRelationship]:
        """Return every reference that points to this object."""
        return [
            ChildRelationship(child, each)
            for child in self._objects.values()
            for each in child.fields
            if parent.name in each.reference_to and child.name != POLYMORPHIC
        ]

    def with_object(self, changed: SObject) -> "Schema":
        """Return a schema in which this object replaces or joins the present ones."""
        merged = dict(self._objects)
        merged[changed.name.casefold()] = changed
        return Schema(merged.values())
