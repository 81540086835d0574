"""The difference between the actions a rule test expects and those it got, for people to read."""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from pd_sf_rules.model import Verdict
from pd_sf_rules.rules.values import as_text

Actions = Sequence[tuple[str, Mapping[str, Any]]]


def difference(expected: Actions, planned: Actions) -> str:
    """Return a diff (`-` expected, `+` got), "" where they agree. Only parameters that are expected are compared."""
    wanted: list[str] = []
    got: list[str] = []
    for one, other in zip_longest(expected, planned):
        if one:
            wanted += _lines(one[0], one[1])
        if other:
            compared = other[1]
            if one and one[0] == other[0]:
                compared = {key: value for key, value in other[1].items() if key in one[1]}
            got += _lines(other[0], compared)
    if wanted == got:
        return ""
    changed = [line for line in difflib.ndiff(wanted, got) if not line.startswith("?")]
    return "\n".join(["- expected   + got", *changed])


def _lines(kind: str, params: Mapping[str, Any]) -> list[str]:
    """Return an action as lines: its name, then each parameter in a fixed order."""
    lines = [kind]
    for key in sorted(params):
        value = params[key]
        if isinstance(value, Mapping):
            lines.append(f"    {key}:")
            lines += [f"        {name}: {_shown(value[name])}" for name in sorted(value)]
        else:
            listed = [value] if key in ("users", "escalation_policies", "assign_to") else value
            shown = listed if isinstance(value, str) and isinstance(listed, list) else value
            lines.append(f"    {key}: {_shown(shown)}")
    return lines


def _shown(value: Any) -> str:
    """Return a value so that 5 and 5.0 look alike, but 5 and "5" do not."""
    if isinstance(value, float) and value.is_integer():
        return as_text(value)
    return json.dumps(value, ensure_ascii=False)


def said(verdicts: Iterable[Verdict]) -> str:
    """Return what each rule said."""
    lines = [
        f"  rule '{verdict.rule}' {'matched' if verdict.matched else 'did not match'}: {verdict.reason}"
        for verdict in verdicts
    ]
    return "\n".join(lines) or "  no rule is for this event"
