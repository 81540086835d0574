"""Why a rule did not match, in one sentence, from the traces of its conditions."""

from collections.abc import Iterator, Sequence
from typing import Any

from pd_sf_rules.model import ConditionTrace
from pd_sf_rules.rules.operations import OPERATIONS
from pd_sf_rules.rules.ruleset import Condition, When
from pd_sf_rules.rules.values import as_text

HOLDS = "Its conditions hold."


def reason(when: When, traces: Sequence[ConditionTrace]) -> tuple[bool, str]:
    """Return whether a condition tree holds, and the first reason why not.

    `traces` are those of its conditions, in the order written.
    """
    against = _judged(when, iter(traces))
    return (True, HOLDS) if against is None else (False, _told(against))


def reason_of_all(traces: Sequence[ConditionTrace]) -> str:
    """Return the first reason why not all of these conditions hold: the same sentence, the short way."""
    for trace in traces:
        if not trace.held:
            return _sentence(trace)
    return HOLDS


_Against = tuple[ConditionTrace | When, int]
"""What keeps a tree from holding: a condition, or what a `not` wraps; the first of so many alternatives."""


def _judged(when: When, traces: Iterator[ConditionTrace]) -> _Against | None:
    """Return what keeps a tree from holding, None if it holds; consumes the traces of all its leaves."""
    if isinstance(when, Condition):
        trace = next(traces)
        return None if trace.held else (trace, 1)
    judged = [_judged(member, traces) for member in when.members]
    if when.kind == "not":
        return None if judged[0] else (when.members[0], 1)
    if when.kind == "all":
        for each in judged:
            if each:
                return each
        return None
    first = judged[0]
    return (first[0], len(judged)) if first and all(judged) else None


def _told(against: _Against) -> str:
    """Return the sentence."""
    about, alternatives = against
    if isinstance(about, ConditionTrace):
        said = _sentence(about)
    else:
        said = f"What stands under 'not' holds ({_summary(about)})."
    return said + (f" Nor does any other of {alternatives}." if alternatives > 1 else "")


def _sentence(trace: ConditionTrace) -> str:
    """Return one false condition in words: what was asked, and what was there."""
    operation = OPERATIONS[trace.operation]
    asked = f"{trace.field} {trace.operation}"
    if operation.takes != "nothing":
        asked += f" {shown(trace.expected)}"
    there = f"it is {shown(trace.value)}"
    if operation.needs_old and not trace.note:
        there += f", and was {shown(trace.old)}"
    because = f", {trace.note}" if trace.note and trace.note != "the field is blank" else ""
    return f"{asked} does not hold: {there}{because}."


def shown(value: Any) -> str:
    """Return a value as a sentence shows it: quoted, cut at 80 characters, or "blank"."""
    if isinstance(value, tuple | list):
        return "[" + ", ".join(as_text(each) for each in value) + "]"
    text = as_text(value)
    return "blank" if text == "" else f"'{text[:77]}...'" if len(text) > 80 else f"'{text}'"


def _summary(when: When) -> str:
    """Return a group or condition in a few words."""
    if isinstance(when, Condition):
        expected = "" if when.expected is None else f" {shown(when.expected)}"
        return f"{when.name} {when.operation}{expected}"
    return f"{when.kind} of {len(when.members)}"
