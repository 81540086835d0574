"""The same rules for other engines, each the best way we found: compiled once, fused where it can, dispatched for it.

Every contender gets the same events and returns the numbers of the rules that match.
"""

import importlib
import json
from collections.abc import Callable, Sequence
from itertools import compress
from operator import itemgetter
from typing import Any

from benchmarks.workload import OLD, BenchRule, Condition, Row, Workload, fields_of
from pd_sf_rules.model import Event

Numbers = Sequence[int]
Judge = Callable[[Sequence[Event]], list[Numbers]]
"""Events of one object in, for each the numbers of the rules that match out."""

Prepare = Callable[[Sequence[BenchRule], Sequence[int]], Judge]
"""Rules of one object and their numbers in, how they are judged out."""


def peers() -> dict[str, Prepare]:
    """Return by name how to prepare each engine that is installed."""
    return {name: prepare for name, (module, prepare) in _known().items() if _installed(module)}


def _known() -> dict[str, tuple[str, Prepare]]:
    return {
        "datalogic": ("datalogic_py", _datalogic),
        "zen": ("zen", _zen),
        "CEL (Rust)": ("cel", _cel_rust),
        "CEL (C++)": ("cel_expr_python.cel", _cel_cpp),
        "rule-engine": ("rule_engine", _rule_engine),
        "polars, one batch": ("polars", _polars),
    }


def tracers() -> dict[str, Callable[[Workload], Callable[[Event], list[str]]]]:
    """Return by name how to prepare each installed engine that tells of every condition: event in, a trace a rule out.

    A trace is JSON whose `result` says whether the rule matched.

    zen is not among them: the trace of its decision tables names the rows that matched, and no condition.
    """
    return {"datalogic": _datalogic_trace} if _installed("datalogic_py") else {}


def contender(load: Workload, prepare: Prepare) -> Callable[[Sequence[Event]], list[Numbers]]:
    """Return a run of an engine over events, that returns the matches of each.

    Every object has an engine of its own over its rules, and gets its events in one go.
    """
    judges = {
        name: prepare([rule for _, rule in numbered], [number for number, _ in numbered])
        for name, numbered in load.by_object().items()
    }

    def run(events: Sequence[Event]) -> list[Numbers]:
        if len(load.objects) == 1:
            return judges[load.objects[0]](events)
        found: list[Numbers] = [()] * len(events)
        places: dict[str | None, list[int]] = {}
        for at, event in enumerate(events):
            places.setdefault(event.object, []).append(at)
        for name, held in places.items():
            if name in judges:
                matches = judges[name]([events[at] for at in held])
                for at, matched in zip(held, matches, strict=True):
                    found[at] = matched
        return found

    return run


def _installed(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def _rows(rules: Sequence[BenchRule]) -> Callable[[Event], Row]:
    """Return the fastest way we found to make the row of an event, cut down to the fields that the rules test."""
    names = fields_of(rules)
    now = [name for name in names if not name.startswith(OLD)]
    old = [name for name in names if name.startswith(OLD)]
    take = itemgetter(*now, now[0])  # one more, so that it is a tuple however few there are
    if not old:
        return lambda event: dict(zip(now, take(event.record)))  # noqa: B905
    take_old = itemgetter(*(name.removeprefix(OLD) for name in old), old[0].removeprefix(OLD))

    def row(event: Event) -> Row:
        made = dict(zip(now, take(event.record)))  # noqa: B905
        made.update(zip(old, take_old(event.old)))  # noqa: B905
        return made

    return row


def _fused(
    rules: Sequence[BenchRule], numbers: Numbers, evaluate: Callable[[Row], Sequence[bool]]
) -> Judge:
    """Return the judge of an expression that gives a list of booleans, one a rule."""
    row = _rows(rules)
    return lambda events: [list(compress(numbers, evaluate(row(event)))) for event in events]


def _joined(rule: BenchRule, text: Callable[[Condition], str], both: str, either: str) -> str:
    glue = f" {both} " if rule.kind == "all" else f" {either} "
    return "(" + glue.join(f"({text(condition)})" for condition in rule.conditions) + ")"


def _expression(c: Condition, *, contains: str, starts: str) -> str:
    """Return a condition as most expression languages write it."""
    value = json.dumps(c.value)
    forms = {
        "equals": f"{c.field} == {value}",
        "not_equals": f"{c.field} != {value}",
        "in": f"{c.field} in {value}",
        "greater_than": f"{c.field} > {value}",
        "contains": contains.format(field=c.field, value=value),
        "starts_with": starts.format(field=c.field, value=value),
        "changed": f"{c.field} != {OLD}{c.field}",
        "changed_to": f"{c.field} != {OLD}{c.field} and {c.field} == {value}",
    }
    return forms[c.operation]


def _zen(rules: Sequence[BenchRule], numbers: Numbers) -> Judge:
    def text(c: Condition) -> str:
        return _expression(
            c, contains="contains({field}, {value})", starts="startsWith({field}, {value})"
        )

    zen = importlib.import_module("zen")
    listed = ", ".join(_joined(rule, text, "and", "or") for rule in rules)
    return _fused(rules, numbers, zen.compile_expression(f"[{listed}]").evaluate)


def _cel_text(c: Condition) -> str:
    said = _expression(
        c, contains="{field}.contains({value})", starts="{field}.startsWith({value})"
    )
    return said.replace(" and ", " && ")


def _cel_rust(rules: Sequence[BenchRule], numbers: Numbers) -> Judge:
    cel = importlib.import_module("cel")
    listed = ", ".join(_joined(rule, _cel_text, "&&", "||") for rule in rules)
    return _fused(rules, numbers, cel.compile(f"[{listed}]").execute)


_LONGEST = 60_000
"""The characters that the C++ CEL takes in one expression are 100,000."""


def _cel_cpp(rules: Sequence[BenchRule], numbers: Numbers) -> Judge:
    cel = importlib.import_module("cel_expr_python.cel")
    types = {
        name: cel.Type.INT if name.removeprefix(OLD).startswith("N") else cel.Type.STRING
        for name in fields_of(rules)
    }
    environment = cel.NewEnv(variables=types)
    chunks: list[list[str]] = [[]]
    for rule in rules:
        chunks[-1].append(_joined(rule, _cel_text, "&&", "||"))
        if sum(map(len, chunks[-1])) > _LONGEST:
            chunks.append([])
    compiled = [environment.compile(f"[{', '.join(chunk)}]") for chunk in chunks if chunk]

    def evaluate(row: Row) -> list[bool]:
        activation = environment.Activation(row)
        return [one for each in compiled for one in each.eval(activation).plain_value()]

    return _fused(rules, numbers, evaluate)


def _rule_engine(rules: Sequence[BenchRule], numbers: Numbers) -> Judge:
    def text(c: Condition) -> str:
        starts = "{field} =~ " + json.dumps(f"{c.value}.*")
        return _expression(c, contains="{value} in {field}", starts=starts)

    engine = importlib.import_module("rule_engine")
    compiled = [engine.Rule(_joined(rule, text, "and", "or")) for rule in rules]
    row = _rows(rules)

    def judge(events: Sequence[Event]) -> list[Numbers]:
        rows = map(row, events)
        return [list(compress(numbers, [rule.matches(each) for rule in compiled])) for each in rows]

    return judge


def _datalogic(rules: Sequence[BenchRule], numbers: Numbers) -> Judge:
    library = importlib.import_module("datalogic_py")
    glue = {"all": "and", "any": "or"}
    listed = [{glue[rule.kind]: [_logic(c) for c in rule.conditions]} for rule in rules]
    return _fused(rules, numbers, library.Engine().compile(listed).evaluate)


def _datalogic_trace(load: Workload) -> Callable[[Event], list[str]]:
    """Return the trace of each rule of an event's object: one call for each, as one for all repeats what they share."""
    engine = importlib.import_module("datalogic_py").Engine()
    glue = {"all": "and", "any": "or"}
    by_object = {
        name: (
            _rows([rule for _, rule in numbered]),
            [
                json.dumps({glue[rule.kind]: [_logic(c) for c in rule.conditions]})
                for _, rule in numbered
            ],
        )
        for name, numbered in load.by_object().items()
    }

    def trace(event: Event) -> list[str]:
        if event.object not in by_object:
            return []
        row, rules = by_object[event.object]
        data = json.dumps(row(event))
        return [engine.evaluate_with_trace(rule, data) for rule in rules]

    return trace


def _logic(c: Condition) -> dict[str, Any]:
    field, old = {"var": c.field}, {"var": OLD + c.field}
    forms: dict[str, dict[str, Any]] = {
        "equals": {"===": [field, c.value]},
        "not_equals": {"!==": [field, c.value]},
        "in": {"in": [field, c.value]},
        "contains": {"in": [c.value, field]},
        "starts_with": {"starts_with": [field, c.value]},
        "greater_than": {">": [field, c.value]},
        "changed": {"!==": [field, old]},
        "changed_to": {"and": [{"!==": [field, old]}, {"===": [field, c.value]}]},
    }
    return forms[c.operation]


def _polars(rules: Sequence[BenchRule], numbers: Numbers) -> Judge:
    polars = importlib.import_module("polars")
    names = fields_of(rules)
    tests = [_column(polars, rule).alias(str(at)) for at, rule in enumerate(rules)]

    def judge(events: Sequence[Event]) -> list[Numbers]:
        frame = polars.DataFrame(
            {
                name: [event.old[name.removeprefix(OLD)] for event in events]
                if name.startswith(OLD)
                else [event.record[name] for event in events]
                for name in names
            }
        )
        found: list[list[int]] = [[] for _ in events]
        for number, column in zip(numbers, frame.select(tests).iter_columns(), strict=True):
            for at in column.arg_true().to_list():
                found[at].append(number)
        return list(found)

    return judge


def _column(polars: Any, rule: BenchRule) -> Any:
    test = polars.all_horizontal if rule.kind == "all" else polars.any_horizontal
    return test(
        [_tested(polars.col(c.field), polars.col(OLD + c.field), c) for c in rule.conditions]
    )


def _tested(field: Any, old: Any, c: Condition) -> Any:
    tests: dict[str, Callable[[], Any]] = {
        "equals": lambda: field == c.value,
        "not_equals": lambda: field != c.value,
        "in": lambda: field.is_in(c.value),
        "contains": lambda: field.str.contains(c.value, literal=True),
        "starts_with": lambda: field.str.starts_with(c.value),
        "greater_than": lambda: field > c.value,
        "changed": lambda: field != old,
        "changed_to": lambda: (field != old) & (field == c.value),
    }
    return tests[c.operation]()


EVERYBODY = frozenset(_known())
