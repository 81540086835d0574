"""Values that the server derives: names, case numbers, closed flags, comments."""

import re
from datetime import datetime

from sandbox.salesforce.schema import Field, SObject, Value
from sandbox.salesforce.store import Store

WON = "Closed Won"
CLOSING_FIELD = {"Case": "Status", "Opportunity": "StageName", "Task": "Status"}


def fill_defaults(store: Store, sobject: SObject, row: dict[str, Value], owner: str) -> None:
    """Fill what a create left out: defaults, false checkboxes, the owner, running numbers."""
    for field in sobject.fields:
        if field.auto_number:
            row[field.name] = _number(store, sobject, field)
        elif row.get(field.name) is None:
            if field.name == "OwnerId":
                row[field.name] = owner
            elif field.default is not None or field.type == "boolean":
                row[field.name] = field.default if field.default is not None else False


def derive(sobject: SObject, row: dict[str, Value], before: Value, now: datetime) -> None:
    """Set the fields that follow from others; ``before`` is the closing field's old value."""
    if sobject.field("FirstName") and sobject.field("LastName") and sobject.field("Name"):
        parts = (row.get("FirstName"), row.get("LastName"))
        row["Name"] = " ".join(str(each) for each in parts if each)
    closing = sobject.field(CLOSING_FIELD.get(sobject.name, ""))
    if closing is None:
        return
    closed = {each.value for each in closing.values if each.closed}
    row["IsClosed"] = row.get(closing.name) in closed
    if sobject.field("IsWon"):
        row["IsWon"] = row.get(closing.name) == WON
    if sobject.field("ClosedDate"):
        if not row["IsClosed"]:
            row["ClosedDate"] = None
        elif row.get("ClosedDate") is None or before not in closed:
            row["ClosedDate"] = now


def _number(store: Store, sobject: SObject, field: Field) -> str:
    serial = store.next_serial(f"{sobject.name}.{field.name}")
    if sobject.name == "Case":
        serial += 1000
    match = re.search(r"\{(0+)\}", field.auto_number)
    if match is None:
        return f"{field.auto_number}{serial}"
    padded = str(serial).rjust(len(match[1]), "0")
    return field.auto_number[: match.start()] + padded + field.auto_number[match.end() :]
