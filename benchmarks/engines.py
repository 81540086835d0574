"""The same rules for other engines, each the best way we found: compiled once, all rules fused where it can."""

import importlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.workload import Condition, Row, Workload

Judge = Callable[[Row], Sequence[int]]


def peers() -> dict[str, Callable[[Workload], Judge]]:
    """Return by name how to prepare each engine that is installed."""
    known = {"zen": _zen, "cel": _cel, "rule_engine": _rule_engine, "datalogic_py": _datalogic}
    return {name: make for name, make in known.items() if _installed(name)}


def _installed(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def _zen(workload: Workload) -> Judge:
    zen = importlib.import_module("zen")
    rules = (" and ".join(_zen_text(c) for c in rule) for rule in workload.rules)
    fused = zen.compile_expression("[" + ", ".join(rules) + "]")
    return lambda row: _true(fused.evaluate(row))


def _zen_text(c: Condition) -> str:
    value = json.dumps(c.value)
    forms = {
        "equals": f"{c.field} == {value}",
        "in": f"{c.field} in {value}",
        "contains": f"contains({c.field}, {value})",
        "starts_with": f"startsWith({c.field}, {value})",
        "greater_than": f"{c.field} > {value}",
    }
    return forms[c.operation]


def _cel(workload: Workload) -> Judge:
    cel = importlib.import_module("cel")
    rules = (" && ".join(_cel_text(c) for c in rule) for rule in workload.rules)
    fused = cel.compile("[" + ", ".join(rules) + "]")
    return lambda row: _true(fused.execute(row))


def _cel_text(c: Condition) -> str:
    value = json.dumps(c.value)
    forms = {
        "equals": f"{c.field} == {value}",
        "in": f"{c.field} in {value}",
        "contains": f"{c.field}.contains({value})",
        "starts_with": f"{c.field}.startsWith({value})",
        "greater_than": f"{c.field} > {value}",
    }
    return forms[c.operation]


def _rule_engine(workload: Workload) -> Judge:
    engine = importlib.import_module("rule_engine")
    rules = [engine.Rule(" and ".join(_engine_text(c) for c in rule)) for rule in workload.rules]
    return lambda row: [at for at, rule in enumerate(rules) if rule.matches(row)]


def _engine_text(c: Condition) -> str:
    value = json.dumps(c.value)
    forms = {
        "equals": f"{c.field} == {value}",
        "in": f"{c.field} in {value}",
        "contains": f"{value} in {c.field}",
        "starts_with": f"{c.field} =~ {json.dumps(str(c.value) + '.*')}",
        "greater_than": f"{c.field} > {value}",
    }
    return forms[c.operation]


def _datalogic(workload: Workload) -> Judge:
    library = importlib.import_module("datalogic_py")
    rules = [{"and": [_logic(c) for c in rule]} for rule in workload.rules]
    fused = library.Engine().compile(rules)

    def judge(row: Row) -> Sequence[int]:
        return _true(fused.evaluate(row))

    return judge


def _logic(c: Condition) -> dict[str, Any]:
    field = {"var": c.field}
    forms: dict[str, dict[str, Any]] = {
        "equals": {"==": [field, c.value]},
        "in": {"in": [field, c.value]},
        "contains": {"in": [c.value, field]},
        "starts_with": {"starts_with": [field, c.value]},
        "greater_than": {">": [field, c.value]},
    }
    return forms[c.operation]


def _true(answers: Sequence[bool]) -> list[int]:
    return [at for at, answer in enumerate(answers) if answer]
