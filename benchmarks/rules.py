"""How fast events meet the rules, beside other engines on the same events with the same answers.

Events come in pages as the pipeline reads them: parsed just before, for each engine anew, and the first pages only
warm up.
"""

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from benchmarks.engines import EVERYBODY, Numbers, contender, peers
from benchmarks.table import Line
from benchmarks.workload import Workload, workload
from pd_sf_rules.ledger.columns import to_json
from pd_sf_rules.model import Event
from pd_sf_rules.rules.evaluator import CompiledRules, compile_rules

SIZES = (1, 20, 200, 2000)
PAGE = 500
WARM, PAGES = 3, 9
EXPLAINED = 4_000
"""How many verdicts a round makes at most, so that 2,000 rules do not take minutes."""

SLOW = {"rule-engine": 200}
"""Engines that are left out above so many rules: they take milliseconds an event."""

Run = Callable[[Sequence[Event]], Sequence[Numbers]]


def measure() -> list[Line]:
    """Return one line for each size and contender: microseconds an event, and how often ours fits into it."""
    lines: list[Line] = []
    for objects, about in ((1, "one object"), (12, "12 objects")):
        for rules in SIZES:
            load = workload(rules, PAGE * PAGES, objects=objects)
            lines += _at_size(load, f"{rules:,} rules, {about}")
    if missing := EVERYBODY - set(peers()):
        sys.stderr.write(f"not installed, so not measured: {', '.join(sorted(missing))}\n")
    return lines


def _at_size(load: Workload, group: str) -> list[Line]:
    compiled = compile_rules([load.ruleset()])
    runs = {"ours, every condition can be asked for": _ours(compiled, load)}
    for name, prepare in peers().items():
        if len(load.rules) <= SLOW.get(name, len(load.rules)):
            runs[name] = contender(load, prepare)
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for page in _pages(load):
        answers = {name: _timed(run, page(), taken[name]) for name, run in runs.items()}
        expected = next(iter(answers.values()))
        for name, answer in answers.items():
            if answer != expected:
                raise AssertionError(f"{name} answers differently")
    base, *others = [(name, statistics.median(each[WARM:])) for name, each in taken.items()]
    lines = [Line(group, name, spent, spent / base[1]) for name, spent in (base, *others)]
    per_rule, per_event = _explained(compiled, load)
    told = (
        ("ours, one verdict with its conditions", per_rule),
        ("ours, every verdict as stored", per_event),
    )
    return [*lines, *(Line(group, what, spent, spent / base[1]) for what, spent in told)]


def _pages(load: Workload) -> Iterator[Callable[[], list[Event]]]:
    """Yield how to make the events of each page anew, parsed from text: nobody finds them warm from another."""
    events = load.events()
    texts = [json.dumps([event.record, event.old]) for event in events]

    def parsed(first: int) -> list[Event]:
        page = zip(events[first : first + PAGE], texts[first : first + PAGE], strict=True)
        values = ((event, json.loads(text)) for event, text in page)
        return [replace(event, record=now, old=old) for event, (now, old) in values]

    for first in range(0, len(events), PAGE):
        yield partial(parsed, first)


def _ours(compiled: CompiledRules, load: Workload) -> Run:
    number = {f"Rule {at}": at for at in range(len(load.rules))}

    def run(events: Sequence[Event]) -> list[Numbers]:
        return [
            [number[rule.name] for _, rule in matches] if matches else ()
            for matches in compiled.evaluate_all(events).matches
        ]

    return run


def _timed(run: Run, events: Sequence[Event], taken: list[float]) -> list[list[int]]:
    """Return the answers, and note the microseconds an event."""
    gc.collect()
    gc.disable()
    try:
        started = time.perf_counter()
        answers = run(events)
        taken.append((time.perf_counter() - started) / len(events) * 1e6)
    finally:
        gc.enable()
    return [list(answer) for answer in answers]


def _explained(compiled: CompiledRules, load: Workload) -> tuple[float, float]:
    """Return the microseconds that a verdict with all of its conditions takes, matching included.

    Then those of an event as the pipeline judges it at log level `info`: matched, every rule's verdict made, and
    written as the JSON that goes into the ledger.
    """
    page = next(_pages(load))()
    explaining = writing = 0.0
    made = events = 0
    for event in page:
        started = time.perf_counter()
        verdicts = compiled.evaluate(event).verdicts
        explained = time.perf_counter()
        to_json(verdicts)
        writing += time.perf_counter() - explained
        explaining += explained - started
        made += len(verdicts)
        events += 1
        if made > EXPLAINED:
            break
    return explaining / max(made, 1) * 1e6, (explaining + writing) / events * 1e6
