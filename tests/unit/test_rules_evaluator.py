"""Events against rules: which match, in which order, and why not."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from operator import contains
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pd_sf_rules.errors import ConfigError
from pd_sf_rules.model import ConditionTrace, Event, Values
from pd_sf_rules.rules import transcript
from pd_sf_rules.rules.compiled import CompiledRule, compile_rule, subject_of
from pd_sf_rules.rules.evaluator import Evaluation, compile_rules
from pd_sf_rules.rules.fields import FieldTypes, event_values
from pd_sf_rules.rules.index import BucketIndex
from pd_sf_rules.rules.loader import load_text
from pd_sf_rules.rules.operations import OPERATIONS, UNKNOWN, TextTest, remark
from pd_sf_rules.rules.patterns import search_for
from pd_sf_rules.rules.reasons import reason
from pd_sf_rules.rules.ruleset import Group, Rule, Ruleset, When
from pd_sf_rules.rules.words import Parts
from tests.unit.rule_strategies import EVENTS, PATIENT, RECORDS, RULES, RULESETS, TYPES
from tests.unit.rule_texts import WHOLE_FILE, one_rule


def loaded(text: str, path: str = "a.yaml") -> Ruleset:
    """Return the ruleset of a text that must load."""
    ruleset, diagnostics = load_text(text, path)
    assert ruleset is not None, diagnostics
    return ruleset


def sf(
    record: Values,
    old: Values | None = None,
    *,
    type: str = "updated",  # noqa: A002 - the event's own word
    **parts: Any,
) -> Event:
    """Return a Salesforce event on a Case."""
    event = Event(
        id="e",
        integration="default",
        source="salesforce",
        type=type,
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
        agent="Dana",
        object="Case",
        record_id="5",
        record=record,
        old=dict.fromkeys(record) if type == "created" else old or {},
    )
    return dataclasses.replace(event, **parts)


def pd(event_type: str, incident: Values, old: Values | None = None, **parts: Any) -> Event:
    """Return a PagerDuty event."""
    event = Event(
        id="p",
        integration="default",
        source="pagerduty",
        type=event_type,
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
        agent="Noor",
        incident_id="P1",
        incident=incident,
        old_incident=old or {},
    )
    return dataclasses.replace(event, **parts)


def judge(text: str, event: Event, linked: Mapping[str, Values] | None = None) -> Evaluation:
    """Judge an event by a file's rules."""
    return compile_rules([loaded(text)]).evaluate(event, linked or {})


def matched(evaluation: Evaluation) -> list[str]:
    """Return the names of the rules that matched."""
    assert [rule.name for _, rule in evaluation.matches] == [
        verdict.rule for verdict in evaluation.verdicts if verdict.matched
    ]
    return [rule.name for _, rule in evaluation.matches]


MATCHING = {"Priority": "high", "Status": "Escalated", "Account.Type": None, "Subject": "outage"}


def test_the_documented_example_matches_and_says_why() -> None:
    """all, any and change conditions together; every condition is in the trace."""
    evaluation = judge(WHOLE_FILE, sf(MATCHING, {"Status": "New"}))
    assert matched(evaluation) == ["Page support on a critical case"]
    (verdict,) = evaluation.verdicts
    assert [
        (each.field, each.operation, each.value, each.old, each.held, each.note)
        for each in verdict.conditions
    ] == [
        ("Case.Priority", "equals", "high", None, True, ""),
        ("Case.Status", "changed_to", "Escalated", "New", True, ""),
        ("Case.Account.Type", "in", None, None, False, "the field is blank"),
        ("Case.Subject", "matches", "outage", None, True, ""),
    ]
    assert verdict.ruleset == "Critical cases"
    assert verdict.ruleset_version == loaded(WHOLE_FILE).version


NOT_ESCALATED = "Case.Status changed_to 'Escalated' does not hold: it is 'Escalated'"
NO_TYPE = "Case.Account.Type in [Enterprise, Strategic] does not hold: it is blank."


@pytest.mark.parametrize(
    ("record", "old", "reason"),
    [
        (
            {**MATCHING, "Priority": "Low"},
            {"Status": "New"},
            "Case.Priority equals 'High' does not hold: it is 'Low'.",
        ),
        (
            {**MATCHING, "Priority": None},
            {"Status": "New"},
            "Case.Priority equals 'High' does not hold: it is blank.",
        ),
        (
            MATCHING,
            {"Status": "Escalated"},
            f"{NOT_ESCALATED}, and was 'Escalated'.",
        ),
        (
            MATCHING,
            {},
            f"{NOT_ESCALATED}, no old value is known.",
        ),
        (
            {**MATCHING, "Subject": "slow"},
            {"Status": "New"},
            f"{NO_TYPE} Nor does any other of 2.",
        ),
    ],
)
def test_the_first_reason_against_is_one_sentence(record: Values, old: Values, reason: str) -> None:
    """A verdict that does not match names the first condition that failed, with what was there."""
    (verdict,) = judge(WHOLE_FILE, sf(record, old)).verdicts
    assert not verdict.matched
    assert verdict.reason == reason


def test_not_wraps_a_condition_or_a_group() -> None:
    """not holds where what it wraps does not, and says so where it does."""
    text = one_rule(
        when="{ not: { any: [{ field: Case.A, operation: equals, value: x },"
        " { not: { field: Case.B, operation: is_blank } }] } }"
    )
    assert matched(judge(text, sf({"A": "y", "B": None})))
    refusal = judge(text, sf({"A": "x", "B": None})).verdicts[0]
    assert refusal.reason == "What stands under 'not' holds (any of 2)."
    assert [each.held for each in refusal.conditions] == [True, True]


def test_on_a_creation_the_old_value_is_blank() -> None:
    """A new record has changed every field that has a value, from blank."""
    changed = one_rule(when="{ field: Case.Status, operation: changed }")
    from_new = one_rule(when="{ field: Case.Status, operation: changed_from, value: New }")
    from_blank = one_rule(when="{ field: Case.Status, operation: changed_from, value: null }")
    rising = one_rule(when="{ field: Case.N, operation: increased }")
    new = sf({"Status": "New", "N": 5}, type="created")
    assert matched(judge(changed, new))
    assert not matched(judge(changed, sf({"Status": None}, type="created")))
    assert not matched(judge(from_new, new))
    assert matched(judge(from_blank, new))
    assert not matched(judge(rising, new))


def test_a_record_seen_for_the_first_time_has_changed_nothing() -> None:
    """Without a known old value no change operation holds, but level conditions do."""
    seen = sf({"Status": "New", "N": 5})
    for operation in ("changed", "increased", "decreased"):
        text = one_rule(when=f"{{ field: Case.N, operation: {operation} }}")
        assert not matched(judge(text, seen))
    level = one_rule(when="{ field: Case.Status, operation: equals, value: new }")
    assert matched(judge(level, seen))


def test_a_rule_of_either_direction_sees_both_sides() -> None:
    """A Salesforce rule tests the linked incident, a PagerDuty rule the linked record of its object."""
    text = one_rule(
        when="{ all: [{ field: Case.Status, operation: equals, value: New },"
        " { field: incident.status, operation: equals, value: Triggered }] }"
    )
    mirrored = text.replace("run_on: salesforce", "run_on: pagerduty")
    assert matched(judge(text, sf({"Status": "New"}, incident={"status": "triggered"})))
    assert not matched(judge(text, sf({"Status": "New"})))
    incident = {"status": "triggered"}
    linked = {"Case": {"Status": "New"}, "Account": {"Status": "Old"}}
    assert matched(judge(mirrored, pd("trigger", incident), linked))
    assert not matched(judge(mirrored, pd("trigger", incident), {"Account": {"Status": "New"}}))
    own = pd("trigger", incident, object="Case", record={"Status": "New"})
    assert matched(judge(mirrored, own))


def test_the_other_side_never_counts_as_changed() -> None:
    """Only the side an event comes from has old values."""
    incident = one_rule(when="{ field: incident.status, operation: changed }")
    record = one_rule(when="{ field: Case.Status, operation: changed }", run_on="pagerduty")
    values = {"status": "resolved"}
    assert not matched(judge(incident, sf({}, incident=values, old_incident={"status": "x"})))
    assert matched(
        judge(
            incident.replace("run_on: salesforce", "run_on: pagerduty"),
            pd("resolve", values, {"status": "triggered"}),
        )
    )
    event = pd("resolve", values, old={"Status": "x"})
    assert not matched(judge(record, event, {"Case": {"Status": "New"}}))


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("{ field: event.source, operation: equals, value: pagerduty }", True),
        ("{ field: event.type, operation: in, value: [resolve, trigger] }", True),
        ("{ field: event.type, operation: not_equals, value: trigger }", False),
        ("{ field: event.agent, operation: starts_with, value: noo }", True),
        ("{ field: event.occurred_at, operation: greater_than, value: 2025-12-31 }", True),
        ("{ field: event.occurred_at, operation: less_than, value: 2026-01-01 }", False),
        ("{ field: incident.title, operation: contains, value: pay }", True),
        ("{ field: incident.status, operation: equals, value: triggered }", True),
        ("{ field: incident.urgency, operation: equals, value: high }", True),
        ("{ field: incident.priority, operation: equals, value: p1 }", True),
        ("{ field: incident.priority.id, operation: equals, value: PP1 }", True),
        ("{ field: incident.service.id, operation: equals, value: PS1 }", True),
        ("{ field: incident.service.name, operation: equals, value: checkout }", True),
        ("{ field: incident.escalation_policy.id, operation: is_not_blank }", True),
        ("{ field: incident.escalation_policy.name, operation: ends_with, value: ops }", True),
        ("{ field: incident.number, operation: greater_than, value: 6 }", True),
        ("{ field: incident.html_url, operation: matches, value: '^https://' }", True),
        ("{ field: incident.assignees, operation: contains, value: Mia }", True),
        ("{ field: incident.custom_fields.region, operation: in, value: [eu, us] }", True),
        ("{ field: incident.custom_fields.tags, operation: includes, value: b }", True),
        ("{ field: incident.custom_fields.nope, operation: is_blank }", True),
        ("{ field: Case.Account.Type, operation: equals, value: Enterprise }", True),
    ],
)
def test_every_field_a_condition_can_name(condition: str, holds: bool) -> None:
    """Each documented name reads its value."""
    incident = {
        "title": "Card payments fail",
        "status": "triggered",
        "urgency": "high",
        "priority": "P1",
        "priority.id": "PP1",
        "service.id": "PS1",
        "service.name": "Checkout",
        "escalation_policy.id": "PE1",
        "escalation_policy.name": "Web ops",
        "number": 7,
        "html_url": "https://acme.pagerduty.com/incidents/P1",
        "assignees": "Noor, Mia",
        "custom_fields.region": "EU",
        "custom_fields.tags": ["a", "b"],
    }
    text = one_rule(when=condition, run_on="pagerduty")
    found = judge(text, pd("trigger", incident), {"Case": {"Account.Type": "Enterprise"}})
    assert bool(matched(found)) is holds


def test_an_sobject_called_incident_or_event_is_not_ours() -> None:
    """Case of letters tells Incident.Status (an sObject's) from incident.status."""
    text = one_rule(
        when="{ all: [{ field: Incident.Status, operation: equals, value: New },"
        " { field: incident.status, operation: is_blank }] }"
    ).replace("object: Case", "object: Incident")
    assert matched(judge(text, sf({"Status": "New"}, object="Incident")))
    assert not matched(judge(text, sf({"Status": "New"}, object="Case")))


def file(name: str, *rules: str, header: str = "enabled: true") -> Ruleset:
    """Return a ruleset of rules that match every Case event with a Status."""
    body = "".join(
        f"  - name: {rule.split()[0]}\n    object: Case\n    run_on: salesforce\n"
        + ("    stop: true\n" if rule.endswith("stop") else "")
        + "    when: { field: Case.Status, operation: is_not_blank }\n"
        "    actions: [{ reopen_incident: }]\n"
        for rule in rules
    )
    return loaded(f"name: {name}\n{header}\nrules:\n{body}", f"{name}.yaml")


EVENT = sf({"Status": "New"})


def test_every_matching_rule_acts_in_the_order_written() -> None:
    """Rulesets in the order given, rules in the order written, no stop on a match."""
    compiled = compile_rules([file("a", "a1", "a2"), file("b", "b1")])
    assert matched(compiled.evaluate(EVENT)) == ["a1", "a2", "b1"]


def test_stop_ends_the_event_for_later_rules() -> None:
    """After a matching rule with stop no later rule is considered, in later files neither."""
    compiled = compile_rules([file("a", "a1", "a2 stop", "a3"), file("b", "b1")])
    evaluation = compiled.evaluate(EVENT)
    assert matched(evaluation) == ["a1", "a2"]
    assert [each.reason for each in evaluation.verdicts[2:]] == [
        "Not considered: 'a2' matched before and says stop."
    ] * 2


def test_stop_of_a_rule_that_does_not_match_stops_nothing() -> None:
    """Only a match stops."""
    compiled = compile_rules([file("a", "a1 stop", "a2")])
    other = sf({"Status": None})
    assert matched(compiled.evaluate(other)) == []
    assert len(compiled.evaluate(other).verdicts) == 2


def test_a_shadow_rule_stops_only_shadow_rules() -> None:
    """What is only tried out never keeps a live rule from acting."""
    shadow = file("b", "b1 stop", header="enabled: true\nmode: shadow")
    other = file("d", "d1", header="enabled: true\nmode: shadow")
    live = file("c", "c1 stop")
    compiled = compile_rules([shadow, live, other, file("e", "e1")])
    evaluation = compiled.evaluate(EVENT)
    assert matched(evaluation) == ["b1", "c1"]
    assert [each.mode for each in evaluation.verdicts] == ["shadow", "live", "shadow", "live"]


def test_a_ruleset_that_is_off_takes_no_part() -> None:
    """Without enabled: true there is not even a verdict."""
    compiled = compile_rules([file("a", "a1", header=""), file("b", "b1")])
    assert [each.rule for each in compiled.evaluate(EVENT).verdicts] == ["b1"]


def test_only_rules_of_the_event_are_considered() -> None:
    """Another integration, direction or object gets no verdict."""
    compiled = compile_rules(
        [file("a", "a1"), file("b", "b1", header="enabled: true\nintegration: x")]
    )
    assert matched(compiled.evaluate(EVENT)) == ["a1"]
    assert matched(compiled.evaluate(dataclasses.replace(EVENT, integration="x"))) == ["b1"]
    assert compiled.evaluate(dataclasses.replace(EVENT, object="Account")).verdicts == ()
    assert compiled.evaluate(pd("trigger", {"status": "triggered"})).verdicts == ()


def test_scope_limits_a_rule_to_the_pairs_its_ruleset_made() -> None:
    """created_by_ruleset fits only where the ruleset's own name is among the makers of the link."""
    text = one_rule(extra="    scope: created_by_ruleset\n", name="Mine")
    event = sf({"Status": "New"})
    linked = dataclasses.replace(event, linked_by=("Other", "Mine"))
    assert matched(judge(text, linked))
    for by, said in (((), "is not linked by any"), (("Other",), "another ruleset")):
        (verdict,) = judge(text, dataclasses.replace(event, linked_by=by)).verdicts
        assert not verdict.matched
        assert said in verdict.reason
        assert verdict.conditions[0].held


def test_field_types_decide_where_they_are_known() -> None:
    """A text field compares as text even with a number beside it."""
    ruleset = loaded(one_rule(when="{ field: Case.CaseNumber, operation: equals, value: 1026 }"))
    event = sf({"CaseNumber": "00001026"})
    assert matched(compile_rules([ruleset]).evaluate(event))
    typed = compile_rules([ruleset], {"Case": {"CaseNumber": "string"}})
    assert not matched(typed.evaluate(event))


def test_compiling_is_remembered_by_content() -> None:
    """The same content and types compile once; a changed file compiles anew."""
    text = one_rule()
    first = compile_rules([loaded(text)], {"Case": {"Status": "picklist"}})
    again = compile_rules([loaded(text)], {"Case": {"Status": "picklist"}})
    assert first is again
    assert compile_rules([loaded(text + "# edited\n")]) is not compile_rules([loaded(text)])
    assert compile_rules([loaded(text)], {"Case": {"Status": "string"}}) is not first
    fewer = dataclasses.replace(loaded(text), rules=())
    assert compile_rules([fewer]).evaluate(EVENT).verdicts == ()
    assert matched(compile_rules([loaded(text)]).evaluate(EVENT)) == ["Only rule"]


NEEDS = one_rule(
    when="{ all: [{ field: Case.Priority, operation: changed },"
    " { field: Case.Account.Type, operation: is_not_blank },"
    " { field: incident.status, operation: is_blank }] }",
    actions="[{ create_incident: { service: S, title: '{{ record.Subject }} {{ old.Reason }}' } },"
    " { update_record: { fields: { Status: x } } },"
    " { create_record: { object: Task, fields: { Subject: '{{ record.Origin }}' } } }]",
)
MIRROR = one_rule(
    name="Mirror",
    run_on="pagerduty",
    when="{ all: [{ field: event.type, operation: equals, value: resolve },"
    " { field: Case.IsClosed, operation: equals, value: false }] }",
    actions="[{ update_record: { fields: { Reason: '{{ old.priority }}' } } },"
    " { post_comment: { body: '{{ record.CaseNumber }}"
    " {{ incident.custom_fields.region }}' } }]",
)


def test_the_rules_say_which_fields_they_need() -> None:
    """A pull asks for what conditions, templates and writes name, and for nothing more."""
    compiled = compile_rules([loaded(NEEDS), loaded(MIRROR, "b.yaml")])
    watched = {"Priority", "Account.Type", "Subject", "Reason", "Status", "Origin"}
    assert compiled.objects() == {"Case"}
    assert compiled.watched_fields("Case") == watched
    assert compiled.record_fields("Case") == watched | {"IsClosed", "CaseNumber"}
    assert compiled.record_fields("Task") == {"Subject"}
    assert compiled.needs_record("Case") == {"IsClosed", "CaseNumber"}
    assert compiled.needs_record("Task") == frozenset()
    assert compiled.needs_incident("Case")
    assert not compiled.needs_incident("Task")
    assert compiled.needs_custom_fields()


def test_nothing_is_needed_of_the_other_side_unless_named() -> None:
    """Rules that name one side only cost no look at the other."""
    compiled = compile_rules([loaded(one_rule())])
    assert not compiled.needs_incident("Case")
    assert not compiled.needs_custom_fields()
    assert compiled.needs_record("Case") == frozenset()
    assert compile_rules([]).objects() == frozenset()


# --- the compiled rules against a plain reading of them -------------------------------------


def reference(when: When, event: Event, record: Values, types: FieldTypes, name: str) -> bool:
    """Judge a condition tree by walking it, looking everything up anew."""
    if isinstance(when, Group):
        told = [reference(member, event, record, types, name) for member in when.members]
        return {"all": all(told), "any": any(told), "not": not told[0]}[when.kind]
    own = event.source == "salesforce"
    values: dict[str, tuple[Values, Values]] = {
        "event": (event_values(event), {}),
        "record": (record, event.old if own else {}),
        "incident": (event.incident, {} if own else event.old_incident),
    }
    now, before = values[when.ref.side]
    kind = when.ref.kind(name, types)
    judge_one = OPERATIONS[when.operation].build(kind, when.expected)
    return judge_one(now.get(when.ref.path), before.get(when.ref.path, UNKNOWN))


def holds(
    each: CompiledRule, event: Event, linked: Mapping[str, Values], types: FieldTypes
) -> bool:
    """Tell whether a rule holds by the plain reading; its own compiled test must say the same."""
    about = each.rule.object
    subject = subject_of(event, linked, about)
    plain = reference(each.rule.when, event, subject[0], types, about)
    assert each.holds(subject) is plain
    return plain


def reference_matches(
    rulesets: Sequence[Ruleset], event: Event, linked: Mapping[str, Values], types: FieldTypes
) -> list[tuple[str, str]]:
    """Return (ruleset, rule) of every match, without buckets."""
    found = []
    stopped: set[str] = set()
    for ruleset in rulesets:
        for rule in ruleset.rules:
            if "live" in stopped or ruleset.mode in stopped:
                continue
            fits = (
                ruleset.enabled
                and ruleset.integration == event.integration
                and rule.run_on == event.source
                and (event.source == "pagerduty" or rule.object == event.object)
                and (rule.scope == "all" or ruleset.name in event.linked_by)
            )
            record = event.record
            if event.source == "pagerduty":
                record = linked.get(rule.object, {})
            if fits and reference(rule.when, event, record, types, rule.object):
                found.append((ruleset.name, rule.name))
                if rule.stop:
                    stopped.add(ruleset.mode)
    return found


@settings(PATIENT, max_examples=40)
@given(st.lists(RULES, min_size=1, max_size=12), st.lists(EVENTS, max_size=6), TYPES)
def test_the_index_finds_the_rules_that_hold(
    rules: list[Rule], events: list[Event], types: FieldTypes
) -> None:
    """Masks and remembered tables give, for a page of events, what a plain reading gives."""
    ruleset = Ruleset("p", "n", "v", "", True, "default", "live", tuple(rules))
    compiled = [compile_rule(ruleset, rule, types) for rule in rules]
    index = BucketIndex(compiled)
    for source in ("salesforce", "pagerduty"):
        page = [event for event in events if event.source == source]
        if page:
            page += page  # once more, now that the tables remember
            linked = [{"Account": event.old} for event in page]
            assert index.fitting(index.subjects(page, linked)) == [
                [each for each in compiled if holds(each, event, records, types)]
                for event, records in zip(page, linked, strict=True)
            ]


ALPHABET = st.text("aA\u00df.*\\n \x00|(\ud800\u0130", min_size=1, max_size=3).map(str.casefold)
TESTS = st.sampled_from([contains, str.startswith, str.endswith])


@settings(PATIENT, max_examples=60)
@given(st.lists(st.tuples(TESTS, ALPHABET), min_size=12, max_size=20), st.lists(ALPHABET))
def test_parts_sought_in_one_pass_are_those_sought_one_by_one(
    parts: list[tuple[TextTest, str]], pieces: list[str]
) -> None:
    """Whatever signs they hold, many parts are found in a text at once where each test finds its own."""
    text = "".join(pieces)
    found = sorted(search_for(parts)(text))
    assert found == [at for at, (holds, part) in enumerate(parts) if holds(text, part)]


def test_more_parts_than_one_pass_has_room_for_are_found_all_the_same() -> None:
    """Long texts, or very many, are sought in several passes instead of stopping every rule."""
    parts = [f"{at}{chr(97 + at) * 9_000}" for at in range(26)]
    search = search_for([(contains, part) for part in parts])
    for at, part in enumerate(parts):
        assert sorted(search(f"x{part}y")) == [at]
    assert sorted(search("".join(parts))) == list(range(26))
    assert search("x") == []


@settings(PATIENT, max_examples=60)
@given(
    st.lists(st.tuples(TESTS, ALPHABET), min_size=1, max_size=20, unique=True), st.lists(ALPHABET)
)
def test_parts_sought_by_words_are_those_sought_one_by_one(
    parts: list[tuple[TextTest, str]], pieces: list[str]
) -> None:
    """Whatever stands between words, in them and at the ends, the words of a text tell what each test finds."""
    sought = Parts({part: 1 << at for at, part in enumerate(parts)})
    for text in ("".join(pieces), "".join(pieces), " ".join(pieces), "".join(pieces) * 2_000):
        found = sum(1 << at for at, (holds, part) in enumerate(parts) if holds(text, part))
        assert sought.bits_in(text) == found


def test_the_words_that_are_remembered_are_bounded() -> None:
    """Texts that never repeat do not fill the memory: words go when there are too many, long ones do not stay."""
    sought = Parts({(contains, "7"): 1})
    for number in range(9_000):
        assert sought.bits_in(f"a{number} {number}" + "x" * 100) == ("7" in str(number))
    remembered = [word for each in vars(sought).values() if isinstance(each, dict) for word in each]
    assert 0 < len(remembered) <= 2_048
    assert max(map(len, remembered)) <= 64


def test_the_index_does_not_mix_up_true_and_one() -> None:
    """Values that Python calls equal but that compare differently have places of their own."""
    rules = "".join(
        f"  - name: r{at}\n    object: Case\n    run_on: salesforce\n"
        f"    when: {{ field: Case.F, operation: equals, value: {value} }}\n"
        "    actions: [{ reopen_incident: }]\n"
        for at, value in enumerate(["true", "1", "'1'", "x", "2026-01-01", "5", "6", "7"])
    )
    compiled = compile_rules([loaded(f"name: N\nenabled: true\nrules:\n{rules}")])
    for value, expected in ((True, ["r0"]), (1, ["r1", "r2"]), (1.0, ["r1", "r2"]), ("X", ["r3"])):
        assert matched(compiled.evaluate(sf({"F": value}))) == expected
    assert matched(compiled.evaluate(sf({"F": ["x"]}))) == ["r3"]
    for value in range(2_000):
        compiled.evaluate(sf({"F": f"filler {value}"}))
    assert matched(compiled.evaluate(sf({"F": True}))) == ["r0"]


def test_a_text_of_a_rule_may_be_any_sign() -> None:
    """No text stands for "all others": a rule that names the sign NUL matches it, and nothing else."""
    rules = "".join(
        f"  - name: r{at}\n    object: Case\n    run_on: salesforce\n"
        f"    when: {{ field: Case.F, operation: equals, value: {value} }}\n"
        "    actions: [{ reopen_incident: }]\n"
        for at, value in enumerate(['"\\0"', '"\\0\\0"', "b", "c", "d", "e"])
    )
    compiled = compile_rules([loaded(f"name: N\nenabled: true\nrules:\n{rules}")])
    for value, expected in (("z", []), (None, []), ("\0", ["r0"]), ("\0\0", ["r1"]), ("B", ["r2"])):
        said = compiled.evaluate(sf({"F": value}))
        assert matched(said) == expected
        assert [each.rule for each in said.verdicts if each.conditions[0].held] == expected


@settings(PATIENT, max_examples=40)
@given(st.lists(RULESETS, max_size=3), EVENTS, RECORDS, TYPES)
def test_compiled_rules_say_what_a_plain_reading_says(
    rulesets: list[Ruleset], event: Event, record: Values, types: FieldTypes
) -> None:
    """Compiled and walked, any rules give the same matches; traces and reasons agree with them."""
    linked = {"Case": record}
    if event.source == "pagerduty" and event.object != "Case":
        event = dataclasses.replace(event, object=None)
    evaluation = compile_rules(rulesets, types).evaluate(event, {**linked, "Account": {}})
    found = [(ruleset.name, rule.name) for ruleset, rule in evaluation.matches]
    assert found == [(each.ruleset, each.rule) for each in evaluation.verdicts if each.matched]
    assert found == reference_matches(rulesets, event, linked, types)
    for verdict in evaluation.verdicts:
        assert verdict.reason.endswith(".")
        assert (verdict.reason == "Its conditions hold.") is verdict.matched


def as_told_one_by_one(
    compiled: CompiledRule, event: Event, linked: Mapping[str, Values]
) -> tuple[str, list[ConditionTrace]]:
    """Return the reason why a rule's conditions hold or not, and each condition judged on its own."""
    subject = subject_of(event, linked, compiled.rule.object)
    traces = []
    for leaf in compiled.leaves:
        value, old = leaf.read(subject)
        condition = leaf.condition
        asked = (condition.name, condition.operation, condition.expected)
        known = None if old is UNKNOWN else old
        note = remark(condition.operation, leaf.kind, condition.expected, value, old)
        traces.append(ConditionTrace(*asked, value, known, leaf.judge(value, old), note))
    return reason(compiled.rule.when, traces)[1], traces


@settings(PATIENT, max_examples=40)
@given(st.lists(RULESETS, max_size=3), st.lists(EVENTS, max_size=6), TYPES)
def test_what_is_stored_says_what_every_condition_says_by_itself(
    rulesets: list[Ruleset], events: list[Event], types: FieldTypes
) -> None:
    """Verdicts of a page are those of each condition judged alone, and what is stored of them is read as it was."""
    rules = compile_rules(rulesets, types)
    linked = [{"Account": event.old} for event in events]
    page = rules.evaluate_all(events, linked)
    for at, event in enumerate(events):
        about = event.object if event.source == "salesforce" else None
        bucket = rules.buckets.get((event.integration, event.source, about))
        verdicts = page.verdicts(at)
        for verdict, compiled in zip(verdicts, bucket.rules if bucket else (), strict=True):
            why, traces = as_told_one_by_one(compiled, event, linked[at])
            if verdict.reason.startswith("Not considered"):
                assert verdict.conditions == ()
                continue
            assert repr(list(verdict.conditions)) == repr(traces)
            foreign = compiled.rule.scope != "all" and verdict.ruleset not in event.linked_by
            assert ("is for pairs that" in verdict.reason) is foreign
            assert foreign or verdict.reason == why
        stored = transcript.read(json.loads(page.transcript(at)))
        assert json.dumps(list(stored)) == json.dumps([dataclasses.asdict(one) for one in verdicts])
        assert page.verdicts_of_matches(at) == tuple(one for one in verdicts if one.matched)
        assert page[at].verdicts == rules.evaluate(event, linked[at]).verdicts


def test_a_transcript_outlives_the_rules_it_is_of() -> None:
    """What is read back needs no ruleset file: names, version, conditions and values are all in it."""
    event = sf({**MATCHING, "Subject": "slow", "Tags": ["a"]}, {"Status": "New"})
    text = judge(WHOLE_FILE, event).transcript
    (verdict,) = transcript.read(json.loads(text))
    assert verdict["ruleset"] == "Critical cases"
    assert verdict["ruleset_version"] == loaded(WHOLE_FILE).version
    assert verdict["reason"] == f"{NO_TYPE} Nor does any other of 2."
    assert verdict["conditions"][1] == {
        "field": "Case.Status",
        "operation": "changed_to",
        "expected": "Escalated",
        "value": "Escalated",
        "old": "New",
        "held": True,
        "note": "",
    }


def test_rows_of_before_the_transcript_are_read_as_they_are() -> None:
    """A list of verdicts, nothing at all, and the transcript of no rule are read by the same function."""
    old = [{"ruleset": "A", "rule": "B", "matched": True, "conditions": []}]
    assert transcript.read(old) == tuple(old)
    assert transcript.read(None) == transcript.read([]) == ()
    nobody = compile_rules([]).evaluate(EVENT)
    assert transcript.read(json.loads(nobody.transcript)) == ()
    assert nobody.verdicts == ()


def test_who_matched_is_told_without_making_the_verdicts() -> None:
    """A page of events is counted by the heads of its verdicts, of transcripts and of older rows alike."""
    said = compile_rules([file("a", "a1", "a2 stop", "a3"), file("b", "b1")]).evaluate(EVENT)
    kept = transcript.read(json.loads(said.transcript))
    older = json.loads(json.dumps([dataclasses.asdict(one) for one in said.verdicts]))
    version = said.matches[0][0].version
    names = [(one.ruleset, one.rule, one.matched) for one in said.verdicts]
    assert list(transcript.heads(kept)) == list(transcript.heads(transcript.read(older)))
    assert [(one.ruleset, one.rule, one.matched) for one in transcript.heads(kept)] == names
    assert next(iter(transcript.heads(kept))) == ("a", version, "live", "a1", True)
    assert len(kept) == 4


def test_what_a_newer_version_kept_is_refused_in_one_sentence() -> None:
    """Another format, or an operation that is not known here, is an error that says what to do, not a wrong verdict."""
    kept = judge(WHOLE_FILE, sf(MATCHING)).transcript
    for newer, said in (
        ({"format": 3}, "format 3"),
        ({}, "format None"),
        (json.loads(kept.replace("changed_to", "rhymes_with")), "operation 'rhymes_with'"),
    ):
        with pytest.raises(ConfigError, match=said) as refused:
            transcript.read(newer)
        assert "newer version" in refused.value.hint


def test_a_value_within_a_value_changes_as_its_condition_says() -> None:
    """The parts of an address, too: that a rule matched and that its condition held are one answer."""
    for count in (1, 8):
        rules = "".join(
            f"  - name: r{at}\n    object: Case\n    run_on: salesforce\n"
            "    when: { field: Case.F, operation: changed }\n"
            "    actions: [{ reopen_incident: }]\n"
            for at in range(count)
        )
        said = judge(
            f"name: N\nenabled: true\nrules:\n{rules}", sf({"F": {"a": 1}}, {"F": {"a": True}})
        )
        assert len(matched(said)) == count
        assert all(verdict.conditions[0].held for verdict in said.verdicts)


def test_numbers_of_many_digits_are_compared_digit_by_digit() -> None:
    """A text that spells a whole number is that number, not the nearest that a float can hold."""
    named = one_rule(when="{ field: Case.F, operation: equals, value: 9007199254740993 }")
    for value, count in (("9007199254740993", 1), (9007199254740993, 1), ("9007199254740992", 0)):
        assert len(matched(judge(named, sf({"F": value})))) == count


@pytest.mark.parametrize("kind", ["string", "id", "double"])
def test_what_has_not_changed_has_not_increased_either(kind: str) -> None:
    """By the same rules: a rule that matched is told of with the condition that held, whatever the field's type."""
    ruleset = loaded(one_rule(when="{ field: Case.F, operation: increased }"))
    ids = sf({"F": 100_000_000_000_000_001}, {"F": 100_000_000_000_000_000})
    said = compile_rules([ruleset], {"Case": {"F": kind}}).evaluate(ids)
    assert bool(matched(said)) is said.verdicts[0].conditions[0].held is (kind != "id")


def test_verdicts_of_matches_look_at_no_other_rule() -> None:
    """At log level error nothing is made ready to tell of conditions of rules that did not match."""
    rules = compile_rules([file("only here", "one", "two"), file("here, too", "three")])
    said = rules.evaluate(EVENT)
    assert [each.rule for each in said.verdicts_of_matches] == ["one", "two", "three"]
    (bucket,) = rules.buckets.values()
    assert vars(bucket)["_observer"] is None
    assert said.verdicts_of_matches == said.verdicts
