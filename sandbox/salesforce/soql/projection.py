"""Rows to the JSON records that a query's SELECT list asks for."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sandbox.salesforce.errors import ApiError, malformed_query
from sandbox.salesforce.schema import POLYMORPHIC, Row, SObject, Value
from sandbox.salesforce.soql.scope import Found, Scope, field_getter
from sandbox.salesforce.soql.syntax import AllFields, Path, Query, SubQuery, TypeOf
from sandbox.salesforce.values import print_value

Printer = Callable[[Row], Any]
ChildPrinter = Callable[[Scope, SubQuery], tuple[str, Printer]]
FIELDS_LIMIT = 200


@dataclass(slots=True)
class Node:
    """What to print of one record: keys with printers, and parents with nodes of their own."""

    object: SObject
    printers: dict[str, Printer] = field(default_factory=dict)
    parents: dict[str, tuple[str, "Node"]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Projection:
    """How to print the rows of one query; ``version`` goes into the records' URLs."""

    scope: Scope
    version: str
    root: Node

    def record(self, row: Row) -> dict[str, Any]:
        """Return the JSON record of a row."""
        return self._print(self.root, row)

    def _print(self, node: Node, row: Row) -> dict[str, Any]:
        org = self.scope.reader.org
        sobject = org.schema.of_id(str(row["Id"])) or node.object
        record: dict[str, Any] = {"attributes": attributes(sobject.name, row, self.version)}
        for key, printer in node.printers.items():
            record[key] = printer(row)
        for key, (reference, inner) in node.parents.items():
            parent = self.scope.reader.row(row.get(reference))
            record[key] = None if parent is None else self._print(inner, parent)
        return record


def attributes(name: str, row: Row, version: str) -> dict[str, str]:
    """Return the wrapper that every record carries."""
    return {"type": name, "url": f"/services/data/v{version}/sobjects/{name}/{row['Id']}"}


def projection(scope: Scope, query: Query, version: str, children: ChildPrinter) -> Projection:
    """Compile a SELECT list. Raises ApiError for fields that are not there or come twice."""
    root = Node(scope.sobject)
    for item in query.select:
        if isinstance(item, Path):
            _add(scope, root, item)
        elif isinstance(item, AllFields):
            _add_all(scope, root, item, query)
        elif isinstance(item, TypeOf):
            _add_type_of(scope, root, item, version)
        elif isinstance(item, SubQuery):
            key, printer = children(scope, item)
            root.printers[key] = printer
        else:
            raise malformed_query(scope.pointed(query.at, "Field must be grouped or aggregated"))
    return Projection(scope, version, root)


def _add(scope: Scope, root: Node, path: Path) -> None:
    found = scope.find(path)
    node = root
    for reference in found.parents:
        target = scope.reader.schema.parent(reference) or node.object
        key = str(reference.relationship)
        node = node.parents.setdefault(key, (reference.name, Node(target)))[1]
    if found.field.name in node.printers:
        raise malformed_query(scope.pointed(path.at, f"duplicate field selected: {path.text}"))
    getter = field_getter(scope.reader.org.schema, node.object, found.field)
    node.printers[found.field.name] = _printer(found, getter, label=path.label)


def _printer(found: Found, get: Callable[[Row], Value], *, label: bool) -> Printer:
    if not label:
        return lambda row: print_value(get(row))
    labels = {each.value: each.label or each.value for each in found.field.values}
    return lambda row: labels.get(str(get(row)), print_value(get(row)))


def _add_all(scope: Scope, root: Node, item: AllFields, query: Query) -> None:
    if item.kind != "STANDARD" and (query.limit is None or query.limit > FIELDS_LIMIT):
        text = "The SOQL FIELDS function must have a LIMIT of at most 200"
        raise ApiError(400, "MALFORMED_QUERY", scope.pointed(item.at, text))
    for each in scope.sobject.fields:
        if item.kind == "ALL" or each.custom == (item.kind == "CUSTOM"):
            _add(scope, root, Path((each.name,), item.at))


def _add_type_of(scope: Scope, root: Node, item: TypeOf, version: str) -> None:
    reference = scope.sobject.relationships.get(item.path.text.casefold())
    schema = scope.reader.schema
    if reference is None or len(reference.reference_to) < 2:
        text = f"{item.path.text} is not a polymorphic relationship"
        raise scope.invalid(item.path, text)
    branches: dict[str, Projection] = {}
    for name, paths in (*item.branches, (POLYMORPHIC, item.otherwise)):
        target = schema.get(name)
        if target is None or name.casefold() not in {
            each.casefold() for each in (*reference.reference_to, POLYMORPHIC)
        }:
            raise scope.invalid(item.path, f"{name} is not a type of {item.path.text}")
        inner, node = Scope(scope.reader, target, scope.source), Node(target)
        for path in paths:
            _add(inner, node, path)
        branches[target.name] = Projection(inner, version, node)
    name = reference.name

    def show(row: Row) -> Any:
        parent = scope.reader.row(row.get(name))
        if parent is None:
            return None
        kind = getattr(scope.reader.org.schema.of_id(str(parent["Id"])), "name", "")
        return branches.get(kind, branches[POLYMORPHIC]).record(parent)

    root.printers[str(reference.relationship)] = show
