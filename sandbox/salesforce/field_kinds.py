"""Short ways to write the fields of an object's data table."""

from sandbox.salesforce.schema import Field, FieldType, PicklistValue


def text(name: str, length: int = 255, label: str = "", *, required: bool = False) -> Field:
    """Return a single-line text field."""
    return Field(name=name, type="string", length=length, label=label, nillable=not required)


def typed(name: str, kind: FieldType, length: int = 0, label: str = "") -> Field:
    """Return a plain field of any other type."""
    return Field(name=name, type=kind, length=length, label=label)


def long_text(name: str, length: int = 32000, label: str = "") -> Field:
    """Return a long text, which no query can filter on."""
    return Field(name=name, type="textarea", length=length, label=label, filterable=False)


def number(name: str, precision: int = 18, scale: int = 0, kind: FieldType = "double") -> Field:
    """Return a number with so many digits in all and so many after the point."""
    return Field(name=name, type=kind, precision=precision, scale=scale)


def flag(name: str, label: str = "") -> Field:
    """Return a checkbox, false unless set."""
    return Field(name=name, type="boolean", label=label, nillable=False, default=False)


def picklist(
    name: str,
    *values: str,
    default: str | None = None,
    closed: tuple[str, ...] = (),
    restricted: bool = False,
    multiple: bool = False,
) -> Field:
    """Return a picklist with these values."""
    return Field(
        name=name,
        type="multipicklist" if multiple else "picklist",
        length=4099 if multiple else 255,
        default=default,
        restricted=restricted,
        values=tuple(
            PicklistValue(each, each, default=each == default, closed=each in closed)
            for each in values
        ),
    )


def reference(
    name: str,
    *targets: str,
    children: str | None = None,
    relationship: str | None = None,
    required: bool = False,
    writable: bool = True,
) -> Field:
    """Return a reference; the relationship's name follows from the field's unless given."""
    derived = name.removesuffix("__c") + "__r" if name.endswith("__c") else name.removesuffix("Id")
    return Field(
        name=name,
        type="reference",
        length=18,
        reference_to=targets,
        relationship=relationship or derived,
        children=children,
        nillable=not required,
        createable=writable,
        updateable=writable,
    )


def computed(name: str, kind: FieldType, length: int = 0) -> Field:
    """Return a field that only the server writes."""
    boolean = kind == "boolean"
    return Field(
        name=name,
        type=kind,
        length=length,
        createable=False,
        updateable=False,
        nillable=not boolean,
        default=False if boolean else None,
    )


def system_fields() -> tuple[Field, ...]:
    """Return what every object carries: id, recycle bin flag, who and when."""
    record_id = Field(
        name="Id", type="id", length=18, nillable=False, createable=False, updateable=False
    )
    return (
        record_id,
        computed("IsDeleted", "boolean"),
        computed("CreatedDate", "datetime"),
        reference("CreatedById", "User", writable=False),
        computed("LastModifiedDate", "datetime"),
        reference("LastModifiedById", "User", writable=False),
        computed("SystemModstamp", "datetime"),
    )
