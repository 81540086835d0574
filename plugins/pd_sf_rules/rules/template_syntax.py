"""Which part of Jinja a template may use: names, text, conditions, arithmetic and listed filters.

No loops, calls, imports, macros or assignments: what is left always ends, and fast. The tree is checked before it is
compiled, so nothing that is not listed here is ever turned into code.
"""

from collections.abc import Iterator

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

from pd_sf_rules.rules.diagnostics import did_you_mean
from pd_sf_rules.rules.template_errors import TemplateError
from pd_sf_rules.rules.template_filters import FILTERS, METHODS, TESTS

JOIN = "_join_text"

_MAX_DEPTH = 40

_ALLOWED = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.CondExpr,
    nodes.Name, nodes.Getitem, nodes.Slice, nodes.Const, nodes.List, nodes.Tuple,
    nodes.Filter, nodes.Test, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not,
    nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Neg, nodes.Pos,
    nodes.Concat, nodes.Keyword,
)  # fmt: skip

_REFUSED = {
    nodes.For: ("A template has no loops.", "Use `| replace(';', ', ')` to show a multi-select."),
    nodes.Assign: ("A template assigns nothing.", "Write the expression where it is needed."),
    nodes.AssignBlock: ("A template assigns nothing.", "Write the text where it is needed."),
    nodes.Call: ("A template calls nothing.", "Use a filter: {{ record.Subject | upper }}."),
    nodes.Getattr: (
        "Only record, old, incident, event, rule and links have fields.",
        "Use a filter.",
    ),
    nodes.Pow: ("A template takes no powers.", "Write the number out."),
}


class _Rewriter(NodeTransformer):
    """Turns `record.Account.Type` into one look-up by path, joins and text methods into bounded filters."""

    def visit_Getattr(self, node: nodes.Getattr) -> nodes.Node:  # noqa: N802 - the visitor's naming
        return self._lookup(node)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802 - the visitor's naming
        return self._lookup(node)

    def _lookup(self, node: nodes.Getattr | nodes.Getitem) -> nodes.Node:
        head, _, path = dotted(node).partition(".")
        if not path:
            self.generic_visit(node)
            return node
        name = nodes.Name(head, "load", lineno=node.lineno)
        return nodes.Getitem(
            name, nodes.Const(path, lineno=node.lineno), "load", lineno=node.lineno
        )

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - the visitor's naming
        self.generic_visit(node)
        pieces = nodes.List(node.nodes, lineno=node.lineno)
        return nodes.Filter(pieces, JOIN, [], [], None, None, lineno=node.lineno)

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802 - the visitor's naming
        called = node.node
        if not isinstance(called, nodes.Getattr) or called.attr not in METHODS or node.kwargs:
            self.generic_visit(node)
            return node
        text = self.visit(called.node)
        arguments = [self.visit(each) for each in node.args]
        name = METHODS[called.attr]
        return nodes.Filter(text, name, arguments, [], None, None, lineno=node.lineno)


def prepared(tree: nodes.Template) -> nodes.Template:
    """Return the tree ready to be compiled. Raises TemplateError for what a template may not use."""
    _check_depth(tree)
    ready: nodes.Template = _Rewriter().visit(tree)
    for node in _walk(ready):
        _check(node)
    return ready


def _check_depth(tree: nodes.Node) -> None:
    """Refuse nesting that would exhaust the stack of the steps to come."""
    level: list[nodes.Node] = [tree]
    for _ in range(_MAX_DEPTH):
        level = [child for node in level for child in node.iter_child_nodes()]
        if not level:
            return
    raise TemplateError(
        f"The template is nested more than {_MAX_DEPTH} levels deep.", hint="Split it."
    )


def _walk(node: nodes.Node) -> Iterator[nodes.Node]:
    yield node
    for child in node.iter_child_nodes():
        yield from _walk(child)


def _check(node: nodes.Node) -> None:
    """Refuse a node that is not listed, or a filter or test that is not."""
    for kind, (problem, hint) in _REFUSED.items():
        if isinstance(node, kind):
            raise TemplateError(problem, hint=hint)
    if not isinstance(node, _ALLOWED):
        word = type(node).__name__.lower()
        raise TemplateError(f"A template cannot use '{word}'.", hint="Use names, filters and if.")
    if isinstance(node, nodes.Filter) and node.name not in FILTERS and node.name != JOIN:
        hint = did_you_mean(node.name, FILTERS) or f"Use one of: {', '.join(sorted(FILTERS))}."
        raise TemplateError(f"There is no filter '{node.name}'.", hint=hint)
    if isinstance(node, nodes.Test) and node.name not in TESTS:
        hint = did_you_mean(node.name, TESTS) or f"Use one of: {', '.join(sorted(TESTS))}."
        raise TemplateError(f"There is no test '{node.name}'.", hint=hint)


def names_in(tree: nodes.Node) -> Iterator[str]:
    """Yield the dotted names a checked tree uses, each as far as its dots reach."""
    if isinstance(tree, nodes.Name | nodes.Getattr | nodes.Getitem):
        name = dotted(tree)
        if name:
            yield name
            return
    for child in tree.iter_child_nodes():
        yield from names_in(child)


def dotted(node: nodes.Node) -> str:
    """Return `record.Account.Name` for such a chain of names (also `record['Account']`), "" for anything else."""
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Getattr):
        head = dotted(node.node)
        return f"{head}.{node.attr}" if head else ""
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        head = dotted(node.node)
        return f"{head}.{node.arg.value}" if head and isinstance(node.arg.value, str) else ""
    return ""
