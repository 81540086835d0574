"""How fast one event meets the rules, beside other engines on the same workload with the same answers."""

import statistics
import sys
import time
from collections.abc import Callable, Sequence

from benchmarks.engines import peers
from benchmarks.table import Line
from benchmarks.workload import Row, Workload, workload
from pd_sf_rules.rules.evaluator import compile_rules

SIZES = ((1, 2000), (20, 1000), (200, 300), (2000, 60))
ROUNDS = 3


def measure() -> list[Line]:
    """Return one line for each size and contender: microseconds an event, and how often ours fits into it."""
    lines: list[Line] = []
    for rules, records in SIZES:
        load = workload(rules, records)
        lines += _at_size(load, rules)
    missing = {"zen", "cel", "rule_engine", "datalogic_py"} - set(peers())
    if missing:
        sys.stderr.write(f"not installed, so not measured: {', '.join(sorted(missing))}\n")
    return lines


def _at_size(load: Workload, rules: int) -> list[Line]:
    compiled = compile_rules([load.ruleset()])
    events = load.events()
    number = {f"Rule {at}": at for at in range(rules)}
    ours = [[number[rule.name] for _, rule in compiled.evaluate(e).matches] for e in events]

    def match() -> None:
        for event in events:
            compiled.evaluate(event)

    def match_and_explain() -> None:
        for event in events:
            _ = compiled.evaluate(event).verdicts

    base = _microseconds(match, len(events))
    lines = [Line(f"{rules} rules", "ours, caseless and typed", base, 1.0)]
    for name, make in peers().items():
        judge = make(load)
        _same_answers(name, judge, load.records, ours)
        taken = _microseconds(_all(judge, load.records), len(events))
        lines.append(Line(f"{rules} rules", name, taken, taken / base))
    explained = _microseconds(match_and_explain, len(events))
    lines.append(
        Line(f"{rules} rules", "ours, every condition explained", explained, explained / base)
    )
    return lines


def _all(judge: Callable[[Row], Sequence[int]], records: Sequence[Row]) -> Callable[[], None]:
    def run() -> None:
        for record in records:
            judge(record)

    return run


def _microseconds(run: Callable[[], None], events: int) -> float:
    """Return the median microseconds an event, after one round that warms up."""
    run()
    rounds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        run()
        rounds.append(time.perf_counter() - started)
    return statistics.median(rounds) / events * 1e6


def _same_answers(
    name: str,
    judge: Callable[[Row], Sequence[int]],
    records: Sequence[Row],
    ours: Sequence[Sequence[int]],
) -> None:
    for record, expected in zip(records, ours, strict=True):
        if list(judge(record)) != list(expected):
            raise AssertionError(f"{name} answers differently for {record}")
