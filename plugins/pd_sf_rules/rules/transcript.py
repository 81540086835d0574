"""What every rule of a bucket said about an event: as verdicts, and as the JSON that the ledger keeps for good.

A transcript holds all that its verdicts are made of, and nothing twice: the rules and their conditions as they read
then (the same text for every event, made once), the values that they saw, which conditions held and which rules
matched. Verdicts of an event just judged and of one read back are made by the same function.

`{"format": 2, "script": text, "held": hexadecimal, one bit a condition, the first lowest, "said": [[value of each
field], {field: the earlier value, where it differs}, [field without a known one], [rule that matched], [name of a
ruleset that made the pair]]}`. The script is JSON in a text, so that it need not be read anew for every event:
`{"rulesets": [[name, version, mode]], "fields": [name], "rules": [{"of": ruleset, "rule": name, "when": tree}]}`.
A ruleset, field or rule is its place in these lists; a tree is `[kind, member, ...]` or
`[field, operation, expected, kind]`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, NamedTuple

from pd_sf_rules.errors import ConfigError
from pd_sf_rules.model import ConditionTrace, Mode, Verdict
from pd_sf_rules.rules.fields import FieldRef
from pd_sf_rules.rules.operations import OPERATIONS, UNKNOWN, Remark, remarks
from pd_sf_rules.rules.reasons import HOLDS, reason, reason_of_all
from pd_sf_rules.rules.ruleset import Condition, Group, Rule, Ruleset, Scope, When, conditions_of
from pd_sf_rules.rules.values import Kind

FORMAT = 2
"""Rows without a format are older: a list of verdicts, each with all its conditions spelled out."""

_PLAIN = frozenset({str, int, float, bool, type(None)})
_ENCODE = json.JSONEncoder(allow_nan=False).encode
_NO_REF = FieldRef("record", "")


@dataclass(slots=True)  # not frozen: one for each event
class Said:
    """What came out of judging one event: a bit for each condition that held, what the fields were before and after.

    `old` has UNKNOWN where no earlier value is known. `matched` are places of rules. `linked_by` are the rulesets that
    made the pairs of the event's record or incident.
    """

    held: int
    values: Sequence[Any]
    old: Sequence[Any]
    matched: AbstractSet[int]
    linked_by: Sequence[str]


@dataclass(frozen=True, slots=True)
class Line:
    """One condition of a rule: the place of its field, and what is asked of it."""

    field: int
    name: str
    operation: str
    expected: Any
    kind: Kind
    remark: Remark


@dataclass(frozen=True, slots=True)
class Part:
    """One rule with its conditions in the order written; the bit of the first is `1 << first`.

    `flat` says that it is nothing but conditions that must all hold.
    """

    ruleset: str
    version: str
    mode: Mode
    name: str
    scope: Scope
    stop: bool
    when: When
    first: int
    lines: tuple[Line, ...]
    flat: bool


class Stops:
    """Which rule has stopped the event, for live rules and for shadow ones."""

    def __init__(self) -> None:
        self._by: dict[Mode, str] = {}

    def before(self, mode: Mode) -> str | None:
        """Return the name of the rule that keeps later rules of this mode from judging, None if there is none."""
        return self._by.get("live") or (self._by.get("shadow") if mode == "shadow" else None)

    def matched(self, mode: Mode, name: str) -> None:
        """Note a match that ends the event for later rules; a shadow rule stops only shadow rules."""
        self._by.setdefault(mode, name)


class Script:
    """The rules of a bucket as their verdicts tell of them. `fields` are the names that their conditions use."""

    def __init__(self, parts: Sequence[Part], names: Sequence[str]) -> None:
        self.parts = parts
        self.fields = names
        self._head = ""

    def verdicts(self, said: Said) -> Iterator[Verdict]:
        """Yield what each rule said, in order, with every one of its conditions."""
        stops = Stops()
        for at, part in enumerate(self.parts):
            stopper = stops.before(part.mode)
            if stopper:
                yield _verdict(part, f"Not considered: '{stopper}' matched before and says stop.")
                continue
            traces = _traces(part, said)
            if at not in said.matched:
                yield _verdict(part, _reason(part, traces, said), traces)
                continue
            if part.stop:
                stops.matched(part.mode, part.name)
            yield _verdict(part, HOLDS, traces, matched=True)

    def text(self, said: Said) -> str:
        """Return the transcript as JSON, in ASCII. Raises ValueError for NaN and infinities among the values."""
        if not self.parts:
            return "[]"
        if not self._head:
            script = _ENCODE(self._constants())
            self._head = _ENCODE({"format": FORMAT, "script": script})[:-1]
        old = {}
        unknown = []
        for at, (value, before) in enumerate(zip(said.values, said.old, strict=True)):
            kind = value.__class__
            if before is UNKNOWN:
                unknown.append(at)
            elif before != value or kind is not before.__class__ or kind not in _PLAIN:
                old[at] = before
        varying = _ENCODE([said.values, old, unknown, sorted(said.matched), list(said.linked_by)])
        return f'{self._head}, "held": "{said.held:x}", "said": {varying}}}'

    def _constants(self) -> dict[str, Any]:
        """Return what is the same for every event."""
        rulesets: dict[tuple[str, str, Mode], int] = {}
        rules = []
        for part in self.parts:
            lines = iter(part.lines)
            of = rulesets.setdefault((part.ruleset, part.version, part.mode), len(rulesets))
            told = {"of": of, "rule": part.name, "when": _tree(part.when, lines)}
            if part.scope != "all":
                told["scope"] = part.scope
            if part.stop:
                told["stop"] = True
            rules.append(told)
        return {
            "rulesets": list(rulesets),
            "fields": self.fields,
            "rules": rules,
        }


def script_of(rules: Iterable[tuple[Ruleset, Rule, Sequence[Kind]]]) -> Script:
    """Return the script of rules, each with the kinds of its conditions' fields."""
    places: dict[tuple[str, str], int] = {}
    parts: list[Part] = []
    first = 0
    for ruleset, rule, kinds in rules:
        lines = tuple(
            _line(places.setdefault(field_of(rule, each), len(places)), each, kind)
            for each, kind in zip(conditions_of(rule.when), kinds, strict=True)
        )
        of = (ruleset.name, ruleset.version, ruleset.mode)
        parts.append(
            Part(*of, rule.name, rule.scope, rule.stop, rule.when, first, lines, _flat(rule.when))
        )
        first += len(lines)
    return Script(parts, [name for _, name in places])


def field_of(rule: Rule, condition: Condition) -> tuple[str, str]:
    """Return what tells the field of a condition from others of its bucket: whose record it is of, and the name."""
    return rule.object if condition.ref.side == "record" else "", condition.name


class Told(Sequence[Mapping[str, Any]]):
    """The verdicts of a transcript, each made when it is looked at: a page may have a million, and few are."""

    __slots__ = ("_said", "_script")

    def __init__(self, script: Script, said: Said) -> None:
        self._script = script
        self._said = said

    def __len__(self) -> int:
        return len(self._script.parts)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return map(_mapping, self._script.verdicts(self._said))

    def __getitem__(self, at: Any) -> Any:
        return [*self][at]

    def heads(self) -> Iterator["Head"]:
        """Yield each without reason and conditions, which nothing has to be made for."""
        matched = self._said.matched
        for at, part in enumerate(self._script.parts):
            yield Head(part.ruleset, part.version, part.mode, part.name, at in matched)


class Head(NamedTuple):
    """Whose verdict it is, and whether the rule matched."""

    ruleset: str
    ruleset_version: str
    mode: Mode
    rule: str
    matched: bool


def heads(verdicts: Iterable[Mapping[str, Any]]) -> Iterator[Head]:
    """Return the heads of verdicts that were read: all that is needed to count them."""
    if isinstance(verdicts, Told):
        return verdicts.heads()
    return (Head(*[one[name] for name in Head._fields]) for one in verdicts)


def read(stored: Any) -> Sequence[Mapping[str, Any]]:
    """Return the verdicts of what the ledger keeps, each as a mapping with the keys of Verdict; older rows, too.

    Raises ConfigError for what a newer version of this program wrote.
    """
    return Told(*parsed(stored)) if isinstance(stored, Mapping) else tuple(stored or ())


def parsed(stored: Mapping[str, Any]) -> tuple[Script, Said]:
    """Return script and outcome of a transcript. Raises ConfigError for one of a newer version of this program."""
    if stored.get("format") != FORMAT:
        raise _newer(f"format {stored.get('format')!r}, and this version reads {FORMAT}")
    script = _script(stored["script"])
    values, changed, unknown, matched, linked_by = stored["said"]
    old = list(values)
    for at, before in changed.items():
        old[int(at)] = before
    for at in unknown:
        old[at] = UNKNOWN
    return script, Said(int(stored["held"], 16), values, old, frozenset(matched), linked_by)


def _traces(part: Part, said: Said) -> tuple[ConditionTrace, ...]:
    """Return the conditions of a rule as they were judged."""
    values, olds = said.values, said.old
    held = said.held >> part.first
    traces = []
    for line in part.lines:
        value, old = values[line.field], olds[line.field]
        traces.append(
            ConditionTrace(
                line.name,
                line.operation,
                line.expected,
                value,
                None if old is UNKNOWN else old,
                bool(held & 1),
                line.remark(value, old),
            )
        )
        held >>= 1
    return tuple(traces)


def _verdict(
    part: Part, why: str, traces: tuple[ConditionTrace, ...] = (), *, matched: bool = False
) -> Verdict:
    return Verdict(part.ruleset, part.version, part.mode, part.name, matched, why, traces)


def _reason(part: Part, traces: Sequence[ConditionTrace], said: Said) -> str:
    """Return why a rule that was considered did not match: a condition, or whose pair it is."""
    if part.scope != "all" and part.ruleset not in said.linked_by:
        made = "is linked by another ruleset" if said.linked_by else "is not linked by any"
        return f"The rule is for pairs that '{part.ruleset}' made, and this one {made}."
    return reason_of_all(traces) if part.flat else reason(part.when, traces)[1]


def _flat(when: When) -> bool:
    if isinstance(when, Condition):
        return True
    return when.kind == "all" and all(isinstance(each, Condition) for each in when.members)


def _mapping(verdict: Verdict) -> dict[str, Any]:
    told = {name: getattr(verdict, name) for name in _OF_VERDICT}
    told["conditions"] = [
        {name: getattr(trace, name) for name in _OF_TRACE} for trace in verdict.conditions
    ]
    return told


_OF_VERDICT = tuple(each.name for each in fields(Verdict))
_OF_TRACE = tuple(each.name for each in fields(ConditionTrace))


def _tree(when: When, lines: Iterator[Line]) -> list[Any]:
    """Return a condition tree as JSON has it; takes the lines of its conditions."""
    if isinstance(when, Condition):
        line = next(lines)
        return [line.field, line.operation, line.expected, line.kind]
    return [when.kind, *(_tree(member, lines) for member in when.members)]


@lru_cache(maxsize=8)
def _script(text: str) -> Script:
    """Return the script of what `_constants` made; those read last are remembered."""
    stored = json.loads(text)
    rulesets, names = stored["rulesets"], stored["fields"]
    parts: list[Part] = []
    first = 0
    for told in stored["rules"]:
        lines: list[Line] = []
        when = _when(told["when"], names, lines)
        name, version, mode = rulesets[told["of"]]
        scope, stop = told.get("scope", "all"), told.get("stop", False)
        parts.append(
            Part(
                name,
                version,
                mode,
                told["rule"],
                scope,
                stop,
                when,
                first,
                tuple(lines),
                _flat(when),
            )
        )
        first += len(lines)
    return Script(parts, names)


def _when(tree: Sequence[Any], names: Sequence[str], lines: list[Line]) -> When:
    """Return a condition tree of what `_tree` made, and append its lines."""
    if isinstance(tree[0], str):
        return Group(tree[0], tuple([_when(each, names, lines) for each in tree[1:]]))  # type: ignore[arg-type]
    field, operation, expected, kind = tree
    if operation not in OPERATIONS:
        raise _newer(f"an operation '{operation}', which this version does not know")
    condition = Condition(names[field], _NO_REF, operation, expected)
    lines.append(_line(field, condition, kind))
    return condition


def _newer(what: str) -> ConfigError:
    return ConfigError(
        f"The verdicts that are kept have {what}.",
        hint="A newer version wrote them: read them with that one.",
    )


def _line(field: int, condition: Condition, kind: Kind) -> Line:
    remark = remarks(condition.operation, kind, condition.expected)
    return Line(field, condition.name, condition.operation, condition.expected, kind, remark)
