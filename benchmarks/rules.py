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
from itertools import islice

from benchmarks.engines import EVERYBODY, Numbers, contender, peers, tracers
from benchmarks.table import Line
from benchmarks.workload import Workload, workload
from pd_sf_rules.model import Event
from pd_sf_rules.rules import transcript
from pd_sf_rules.rules.evaluator import CompiledRules, compile_rules

SIZES = (1, 20, 200, 2000)
PAGE = 500
WARM, PAGES = 3, 8
TRACED = 5
EXPLAINED = 4_000
"""How many pages are told of with the trace, and how many verdicts of each at most."""

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
    gc.collect()
    gc.freeze()  # or each collection before a run walks through all that the engines are made of
    for page in _pages(load):
        answers = {name: _timed(run, page(), taken[name]) for name, run in runs.items()}
        expected = next(iter(answers.values()))
        for name, answer in answers.items():
            if answer != expected:
                raise AssertionError(f"{name} answers differently")
    base, *others = [(name, statistics.median(each[WARM:])) for name, each in taken.items()]
    lines = [Line(group, name, spent, spent / base[1]) for name, spent in (base, *others)]
    return lines + _traced(compiled, load, group)


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


def _traced(compiled: CompiledRules, load: Workload, group: str) -> list[Line]:
    """Return what an event costs when every rule tells of every condition, and equal answers have been seen.

    As verdicts in memory; as the JSON that the ledger keeps; and as the trace of the engine that has one.
    """
    taken: dict[str, list[float]] = {"verdicts": [], "stored": []}
    runs = {"verdicts": partial(_verdicts, compiled), "stored": partial(_stored, compiled)}
    for page in islice(_pages(load), WARM + TRACED):
        for name, run in runs.items():
            _timed(run, page()[: _few(load)], taken[name])
    verdicts, stored = (statistics.median(each[WARM:]) for each in taken.values())
    lines = [
        Line(f"{group}, with the trace", "ours, as the ledger keeps it", stored, 1.0),
        Line(
            f"{group}, with the trace", "ours, as verdicts in memory", verdicts, verdicts / stored
        ),
    ]
    for name, prepare in tracers().items():
        events = next(_pages(load))()[: max(3, _few(load) // 20)]
        trace = prepare(load)
        started = time.perf_counter()
        told = [trace(event) for event in events]
        spent = (time.perf_counter() - started) / len(events) * 1e6
        matched = [[json.loads(text)["result"] for text in of_event] for of_event in told]
        if matched != _read_back(compiled, events):
            raise AssertionError(f"{name} answers differently")
        lines.append(Line(f"{group}, with the trace", f"{name}, its trace", spent, spent / stored))
    return lines


def _few(load: Workload) -> int:
    """Return of how many events a page all is told, so that 2,000 rules do not take minutes."""
    return max(5, min(PAGE, EXPLAINED // len(load.rules)))


def _verdicts(compiled: CompiledRules, events: Sequence[Event]) -> list[Numbers]:
    said = compiled.evaluate_all(events)
    for at in range(len(events)):
        said.verdicts(at)
    return []


def _stored(compiled: CompiledRules, events: Sequence[Event]) -> list[Numbers]:
    said = compiled.evaluate_all(events)
    for at in range(len(events)):
        said.transcript(at)
    return []


def _read_back(compiled: CompiledRules, events: Sequence[Event]) -> list[list[bool]]:
    """Return for each event which of the rules matched, out of what is stored."""
    said = compiled.evaluate_all(events)
    stored = [transcript.read(json.loads(said.transcript(at))) for at in range(len(events))]
    return [[verdict["matched"] for verdict in verdicts] for verdicts in stored]
