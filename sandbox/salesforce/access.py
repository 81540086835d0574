"""What one user may see and write: field-level security and object permissions."""

from dataclasses import dataclass, field, replace
from typing import Literal

from sandbox.salesforce.schema import Schema, SObject

Level = Literal["none", "read", "edit"]


@dataclass(slots=True)
class Access:
    """Exceptions from full access, by (user id, object, field or empty for the whole object).

    ``none`` hides, ``read`` forbids writing. A hidden field or object is simply absent from
    describe, queries and writes, as in a real org.
    """

    levels: dict[tuple[str, str, str], Level] = field(default_factory=dict)
    _views: dict[str, Schema] = field(default_factory=dict)

    def set(self, user_id: str, object_name: str, field_name: str, level: Level) -> None:
        """Give a user this level on a field, or on an object where the field is empty."""
        key = (user_id, object_name, field_name)
        self.levels.pop(key, None)
        if level != "edit":
            self.levels[key] = level
        self._views.clear()

    def forget_views(self) -> None:
        """Build the views anew, after the schema changed."""
        self._views.clear()

    def view(self, schema: Schema, user_id: str) -> Schema:
        """Return the schema as this user sees it."""
        found = self._views.get(user_id)
        if found is None:
            found = self._views[user_id] = self._build(schema, user_id)
        return found

    def _build(self, schema: Schema, user_id: str) -> Schema:
        mine = {(o, f): level for (u, o, f), level in self.levels.items() if u == user_id}
        if not mine:
            return schema
        seen = (each for each in schema if mine.get((each.name, "")) != "none")
        return Schema(_restrict(each, mine) for each in seen)


def _restrict(sobject: SObject, levels: dict[tuple[str, str], Level]) -> SObject:
    fields = tuple(
        replace(each, createable=False, updateable=False)
        if levels.get((sobject.name, each.name)) == "read"
        else each
        for each in sobject.fields
        if levels.get((sobject.name, each.name)) != "none"
    )
    restricted = replace(sobject, fields=fields)
    if levels.get((sobject.name, "")) == "read":
        restricted = replace(restricted, createable=False, updateable=False, deletable=False)
    return restricted
