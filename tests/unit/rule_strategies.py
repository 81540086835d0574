"""Rules, events and field types for property tests."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from pd_sf_rules.model import Event
from pd_sf_rules.rules.fields import FieldRef, Side
from pd_sf_rules.rules.operations import OPERATIONS
from pd_sf_rules.rules.ruleset import ActionSpec, Condition, Group, Rule, Ruleset, When

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""On a busy machine a slow example is no failure."""

PATHS = ("A", "B", "Rel.C")
VALUES = st.sampled_from(
    [None, "", "x", "X", "y", "x;y", 1, 2, 2.0, True, "2", "2026-01-01", "2026-01-01T00:00:00Z"]
)
EXPECTED: dict[str, st.SearchStrategy[Any]] = {
    "nothing": st.none(),
    "scalar": VALUES.filter(lambda value: value not in (None, "")),
    "state": VALUES,
    "text": st.sampled_from(["x", "2", "y"]),
    "list": st.tuples(st.sampled_from(["x", 2, True]), st.sampled_from(["y", "2026-01-01"])),
    "list_or_text": st.one_of(st.just("x"), st.just(("x;y", "z"))),
    "ordered": st.sampled_from([1, 1.5, 2.0, "2026-01-01", "12:30"]),
    "pattern": st.sampled_from(["x", "^2", "(?i)X$"]),
}


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    """Draw one condition."""
    operation = OPERATIONS[draw(st.sampled_from(list(OPERATIONS)))]
    side: Side = draw(st.sampled_from(["record", "record", "incident", "event"]))
    paths = {"record": PATHS, "incident": ("status", "type"), "event": ("type", "agent")}
    path = draw(st.sampled_from(paths[side]))
    ref = FieldRef(side, path)
    return Condition(f"{side}.{path}", ref, operation.name, draw(EXPECTED[operation.takes]))


@st.composite
def conjunctions(draw: st.DrawFn) -> When:
    """Draw conditions on one field that must all hold, some negated: many of them exclude each other."""
    ref = FieldRef("record", "A")
    members: list[When] = []
    for _ in range(draw(st.integers(2, 4))):
        operation = OPERATIONS[draw(st.sampled_from(list(OPERATIONS)))]
        expected = draw(EXPECTED[operation.takes])
        condition = Condition("record.A", ref, operation.name, expected)
        members.append(Group("not", (condition,)) if draw(st.booleans()) else condition)
    return Group("all", tuple(members))


TREES: st.SearchStrategy[When] = st.recursive(
    conditions(),
    lambda inner: st.one_of(
        st.builds(
            Group,
            st.sampled_from(["all", "any"]),
            st.lists(inner, min_size=1, max_size=3).map(tuple),
        ),
        st.builds(Group, st.just("not"), st.tuples(inner)),
    ),
    max_leaves=6,
)
RULES = st.builds(
    Rule,
    name=st.sampled_from(["r1", "r2", "r3"]),
    object=st.sampled_from(["Case", "Account"]),
    run_on=st.sampled_from(["salesforce", "pagerduty"]),
    scope=st.sampled_from(["all", "all", "created_by_ruleset"]),
    stop=st.sampled_from([False, False, False, True]),
    when=TREES,
    actions=st.just((ActionSpec("reopen_incident", {}),)),
)
RULESETS = st.builds(
    Ruleset,
    path=st.just("p"),
    name=st.sampled_from(["one", "two"]),
    version=st.uuids().map(str),
    text=st.just(""),
    enabled=st.sampled_from([True, True, False]),
    integration=st.sampled_from(["default", "other"]),
    mode=st.sampled_from(["live", "live", "shadow"]),
    rules=st.lists(RULES, max_size=4).map(tuple),
)
LISTS = st.sampled_from([["x"], ["x", "y"], [1], [True], []])
RECORDS = st.dictionaries(st.sampled_from(PATHS), st.one_of(VALUES, VALUES, LISTS))
INCIDENTS = st.dictionaries(st.sampled_from(["status", "type"]), VALUES)
EVENTS = st.builds(
    Event,
    id=st.just("e"),
    integration=st.sampled_from(["default", "other"]),
    source=st.sampled_from(["salesforce", "pagerduty"]),
    type=st.sampled_from(["created", "x"]),
    occurred_at=st.just(datetime(2026, 1, 1, tzinfo=UTC)),
    agent=st.just("x"),
    object=st.sampled_from(["Case", "Account"]),
    record=RECORDS,
    old=RECORDS,
    incident=INCIDENTS,
    old_incident=INCIDENTS,
    linked_by=st.lists(st.sampled_from(["one", "two"])),
)
TYPES = st.dictionaries(
    st.sampled_from(["Case", "Account"]),
    st.dictionaries(
        st.sampled_from(PATHS),
        st.sampled_from(["string", "double", "datetime", "boolean", "multipicklist", "id"]),
    ),
)
