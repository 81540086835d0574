"""What a template can name: the fields of each side of an event, by their dotted paths."""

from collections.abc import Mapping
from typing import Any

from pd_sf_rules.rules import fields
from pd_sf_rules.rules.diagnostics import did_you_mean


class Fields:
    """The fields of one name of a template, by their dotted paths.

    `lenient` stands for a side that is not linked, or whose fields are not known: every name is blank there.
    """

    __slots__ = ("lenient", "name", "values")

    def __init__(self, name: str, values: Mapping[str, Any], *, lenient: bool = False) -> None:
        self.name = name
        self.values = values
        self.lenient = lenient

    def lookup(self, path: str) -> Any:
        """Return the field's value, None beyond an empty relationship; raises KeyError if it is not known."""
        if path in self.values:
            return self.values[path]
        parent = path.rpartition(".")[0]
        if self.lenient or (parent and self.lookup(parent) is None):
            return None
        raise KeyError(path)


class IncidentFields(Fields):
    """An incident's fields: every listed one is known; custom fields are where the incident came with any."""

    __slots__ = ()

    def lookup(self, path: str) -> Any:
        """Return the field's value, blank for a listed field that the incident does not have."""
        if path in self.values or path in fields.INCIDENT_FIELDS:
            return self.values.get(path)
        customs = any(each.startswith(fields.CUSTOM_FIELDS) for each in self.values)
        if path.startswith(fields.CUSTOM_FIELDS) and not customs:
            return None
        raise KeyError(path)


def unknown_hint(group: Fields, path: str) -> str:
    """Return the sentence for a path that a group does not know."""
    near = did_you_mean(f"{group.name}.{path}", [f"{group.name}.{each}" for each in group.values])
    return f"'{group.name}.{path}' is not known here." + (f" {near}" if near else "")
