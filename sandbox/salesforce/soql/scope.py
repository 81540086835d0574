"""Finding the fields that a query names, over relationships, as the asking user sees them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.org import Actor, Org
from sandbox.salesforce.schema import PERMISSIONS, POLYMORPHIC, Field, Row, Schema, SObject, Value
from sandbox.salesforce.soql.lexer import pointed
from sandbox.salesforce.soql.syntax import Path

Getter = Callable[[Row], Value]
MAX_DEPTH = 5  # parent relationships in one path


@dataclass(frozen=True, slots=True)
class Reader:
    """Rows and schema as one user sees them; without an actor, all of them."""

    org: Org
    actor: Actor | None = None
    deleted: bool = False  # queryAll reads the recycle bin too

    @property
    def schema(self) -> Schema:
        """Return the visible schema."""
        return self.org.view(self.actor) if self.actor else self.org.schema

    def rows(self, name: str) -> Iterable[Row]:
        """Return the visible rows of an object."""
        actor = self.actor or Actor("", "", person=True)
        if name == PERMISSIONS:
            return [_permissions(actor)]
        return self.org.rows(name, actor, deleted=self.deleted)

    def row(self, record_id: Value) -> Row | None:
        """Return one visible row, recycle bin included, or None."""
        return self.org.row(record_id, self.actor) if isinstance(record_id, str) else None


def _permissions(actor: Actor) -> Row:
    """Return what this user may do in the whole org: everything, with Modify All Data, else call the API."""
    everything = ("ModifyAllData", "ViewAllData", "ManageUsers", "CustomizeApplication")
    rights: Row = {f"Permissions{name}": actor.modify_all for name in everything}
    return {"Id": "0UP000000000000AAA", **rights, "PermissionsApiEnabled": True}


@dataclass(frozen=True, slots=True)
class Found:
    """A field that a path leads to, and how to read it from a row of the scope's object."""

    field: Field
    get: Getter
    parents: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class Scope:
    """Where paths of one (sub-)query begin."""

    reader: Reader
    sobject: SObject
    source: str = ""
    alias: str | None = None

    def find(self, path: Path) -> Found:
        """Resolve a path. Raises ApiError INVALID_FIELD in Salesforce's words."""
        parts = list(path.parts)
        own = {self.sobject.name.casefold(), (self.alias or self.sobject.name).casefold()}
        if len(parts) > 1 and parts[0].casefold() in own:
            related = self.sobject.relationships.get(parts[0].casefold())
            if related is None or parts[0].casefold() == (self.alias or "").casefold():
                parts.pop(0)
        if len(parts) > MAX_DEPTH + 1:
            raise self.invalid(path, "maximum 5 parent relationships in a path")
        sobject, parents = self.sobject, []
        for name in parts[:-1]:
            reference = sobject.relationships.get(name.casefold())
            target = self.reader.schema.parent(reference) if reference else None
            if reference is None or target is None:
                raise self.invalid(path, relationship_text(name))
            parents.append(reference)
            sobject = target
        field = sobject.field(parts[-1])
        if field is None:
            raise self.invalid(path, column_text(parts[-1], sobject.name))
        return Found(field, self._getter(sobject, field, parents), tuple(parents))

    def invalid(self, path: Path, message: str) -> ApiError:
        """Return an INVALID_FIELD error that points at a path."""
        return ApiError(400, "INVALID_FIELD", self.pointed(path.at, message))

    def pointed(self, at: int, message: str) -> str:
        """Return a message with the query's line and a caret, where the query is known."""
        return pointed(self.source, at, message) if self.source else message

    def _getter(self, sobject: SObject, field: Field, parents: list[Field]) -> Getter:
        leaf = field_getter(self.reader.org.schema, sobject, field)
        row_of = self.reader.row
        for reference in reversed(parents):
            leaf = _over(reference.name, row_of, leaf)
        return leaf


def field_getter(schema: Schema, sobject: SObject, field: Field) -> Getter:
    """Return how to read one field of a row; a checkbox is never null."""
    name = field.name
    if sobject.name == POLYMORPHIC and name == "Type":
        return lambda row: getattr(schema.of_id(str(row["Id"])), "name", None)
    if field.type == "boolean":
        return lambda row: row.get(name, False)
    return lambda row: row.get(name)


def _over(name: str, row_of: Callable[[Value], Row | None], inner: Getter) -> Getter:
    def get(row: Row) -> Value:
        parent = row_of(row.get(name))
        return None if parent is None else inner(parent)

    return get


def column_text(name: str, object_name: str) -> str:
    """Return the text about a field that is not there."""
    return (
        f"No such column '{name}' on entity '{object_name}'. If you are attempting to use a "
        "custom field, be sure to append the '__c' after the custom field name. Please "
        "reference your WSDL or the describe call for the appropriate names."
    )


def relationship_text(name: str) -> str:
    """Return the text about a parent relationship that is not there."""
    return (
        f"Didn't understand relationship '{name}' in field path. If you are attempting to use a "
        "custom relationship, be sure to append the '__r' after the custom relationship name. "
        "Please reference your WSDL or the describe call for the appropriate names."
    )
