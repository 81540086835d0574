"""Templates: what they show, what they refuse, and that they cannot run away."""

import contextlib
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pd_sf_rules.errors import ConfigError
from pd_sf_rules.model import Event
from pd_sf_rules.rules.template_errors import MAX_OUTPUT, TemplateError, UnknownNameError
from pd_sf_rules.rules.templates import check, names, render, render_params, template_context
from tests.unit.rule_strategies import PATIENT


def event(**changes: Any) -> Event:
    """Return a Salesforce event with the given parts replaced."""
    parts: dict[str, Any] = {
        "id": "e1",
        "integration": "default",
        "source": "salesforce",
        "type": "updated",
        "occurred_at": datetime(2026, 1, 31, 9, 30, tzinfo=UTC),
        "agent": "Dana",
        "object": "Case",
        "record_id": "500000000000001AAA",
        "record": {
            "Subject": "Checkout is down",
            "CaseNumber": "00001026",
            "Amount__c": 5000.0,
            "Count__c": 7,
            "Flag__c": True,
            "Empty__c": None,
            "Products__c": "A;B",
            "CloseDate": "2026-02-01",
            "Account.Name": "Acme",
            "Owner": None,
            "values": "a field with a method's name",
        },
        "old": {"Subject": "Checkout is slow"},
        "incident": {"status": "triggered", "priority": "P1", "priority.id": "PP1", "number": 7},
    }
    return Event(**{**parts, **changes})


def shown(text: str, **changes: Any) -> str:
    """Render a text for the event."""
    rule = {"name": "R", "ruleset": "S", "object": "Case", "version": "abc"}
    links = {"record_url": "https://sf/1", "incident_url": "https://pd/1"}
    return render(text, template_context(event(**changes), rule=rule, links=links))


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("no template", "no template"),
        ("Case {{ record.CaseNumber }}: {{ record.Subject }}", "Case 00001026: Checkout is down"),
        ("{{ record.Account.Name }}", "Acme"),
        ("{{ record['Account'].Name }}", "Acme"),
        ("{{ record.values }}", "a field with a method's name"),
        ("[{{ record.Empty__c }}]", "[]"),
        ("[{{ record.Owner.Email }}]", "[]"),
        ("{{ record.Amount__c }}", "5000"),
        ("{{ record.Flag__c }}", "true"),
        ("{{ old.Subject }}", "Checkout is slow"),
        ("[{{ old.Amount__c }}]", "[]"),
        ("{{ incident.priority }} {{ incident.priority.id }}", "P1 PP1"),
        ("[{{ incident.title }}]", "[]"),
        ("[{{ incident.custom_fields.region }}]", "[]"),
        ("{{ event.type }} by {{ event.agent }} at {{ event.occurred_at }}",
         "updated by Dana at 2026-01-31T09:30:00Z"),
        ("{{ rule.name }}/{{ rule.ruleset }}/{{ rule.object }}/{{ rule.version }}", "R/S/Case/abc"),
        ("{{ links.record_url }} {{ links.incident_url }}", "https://sf/1 https://pd/1"),
        ("{{ record.Empty__c | default('none') }}", "none"),
        ("{{ record.Count__c + 1 }}", "8"),
        ("{{ record.Count__c * 2.5 }}", "17.5"),
        ("{{ 7 // 2 }}|{{ 7 % 2 }}|{{ 7 / 2 }}|{{ -7 }}", "3|1|3.5|-7"),
        ("{{ record.Subject ~ ' ' ~ record.Empty__c ~ record.Count__c }}", "Checkout is down 7"),
        ("{{ record.Subject + '!' }}", "Checkout is down!"),
        ("{{ record.Subject[:8] }}|{{ record.Subject[-4:] }}|{{ record.Subject[0] }}",
         "Checkout|down|C"),
        ("{{ record.Subject | upper }}", "CHECKOUT IS DOWN"),
        ("{{ record.Subject.upper() }}", "CHECKOUT IS DOWN"),
        ("{{ record.Subject.replace('down', 'up').title() }}", "Checkout Is Up"),
        ("{{ record.Subject | lower | capitalize }}", "Checkout is down"),
        ("{{ '  x ' | trim }}|{{ 'a b' | title }}", "x|A B"),
        ("{{ record.Products__c | replace(';', ', ') }}", "A, B"),
        ("{{ record.Products__c | join(' and ') }}", "A and B"),
        ("{{ record.Subject | truncate(8) }}", "Checkou…"),
        ("{{ record.Subject | truncate(8, end='') }}", "Checkout"),
        ("{{ record.Subject | length }}{{ record.Empty__c | count }}", "160"),
        ("{{ record.Subject | first }}{{ record.Subject | last }}", "Cn"),
        ("{{ 2.555 | round(2) }} {{ 2.5 | round }} {{ '7' | int }} {{ -1 | abs }}", "2.56 2 7 1"),
        ("{{ record.CloseDate | date('%d.%m.%Y') }}", "01.02.2026"),
        ("[{{ record.Empty__c | date }}]", "[]"),
        ("{{ '5' | float }} {{ 5 | string }}", "5 5"),
        ("{% if record.Flag__c %}yes{% else %}no{% endif %}", "yes"),
        ("{% if record.Count__c > 9 %}a{% elif record.Count__c > 5 %}b{% endif %}", "b"),
        ("{{ 'x' if record.Subject in ['a', 'Checkout is down'] else 'y' }}", "x"),
        ("{{ 'x' if 'down' in record.Subject and not record.Empty__c }}", "x"),
        ("{{ record.Nope is defined }}", "false"),
        ("{{ record.Nope | default('d') }}", "d"),
        ("{# a comment #}x", "x"),
        ("{% raw %}{{ record.Subject }}{% endraw %}", "{{ record.Subject }}"),
        ("line\n", "line\n"),
        ("{{ record.Subject }}\n", "Checkout is down\n"),
    ],
)  # fmt: skip
def test_what_a_template_shows(text: str, result: str) -> None:
    """Names, filters, conditions and arithmetic; a blank field shows as nothing."""
    check(text)
    assert shown(text) == result


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "{{ record.Subjct }}",
            "'record.Subjct' is not known here. Did you mean 'record.Subject'?",
        ),
        ("{{ record.Account.Nam }}", "Did you mean 'record.Account.Name'?"),
        ("{{ old.Subjct }}", "'old.Subjct'"),
        ("{{ record.Nope | upper }}", "'record.Nope'"),
        ("{{ record.Nope + 1 }}", "'record.Nope'"),
        ("{{ 'a' ~ record.Nope }}", "'record.Nope'"),
        ("{% if record.Nope %}x{% endif %}", "'record.Nope'"),
        ("{% if record.Nope == 'x' %}x{% endif %}", "'record.Nope'"),
        ("{{ record.__class__ }}", "'record.__class__'"),
        ("{{ record.lookup }}", "'record.lookup'"),
        ("{{ record.items }}", "'record.items'"),
        ("{{ incident.titel }}", "'incident.titel'"),
        ("{{ foo }}", "'foo' is undefined"),
    ],
)
def test_an_unknown_name_is_an_error_of_the_action(text: str, said: str) -> None:
    """A name that is not there is never an empty page; near names are offered."""
    with pytest.raises(UnknownNameError, match="In the template") as caught:
        shown(text)
    assert said in str(caught.value)
    assert isinstance(caught.value, ConfigError)


def test_a_custom_field_is_unknown_only_where_others_are_known() -> None:
    """An incident that came with custom fields has no others; one without has blank ones."""
    assert shown("{{ incident.custom_fields.region }}", incident={}) == ""
    with_one = {"custom_fields.region": "EU"}
    assert shown("{{ incident.custom_fields.region }}", incident=with_one) == "EU"
    with pytest.raises(UnknownNameError, match="regio"):
        shown("{{ incident.custom_fields.regio }}", incident=with_one)


def test_a_side_that_is_not_linked_is_blank() -> None:
    """A PagerDuty rule may template the record where none is linked: it shows as nothing."""
    unlinked = {"source": "pagerduty", "type": "trigger", "record": {}, "old": {}}
    assert shown("[{{ record.CaseNumber }}{{ record.Account.Name }}]", **unlinked) == "[]"


def test_old_is_the_incident_in_a_pagerduty_rule() -> None:
    """`old` holds the earlier values of the side the event came from."""
    parts = {"source": "pagerduty", "type": "priority_change", "old_incident": {"priority": "P3"}}
    assert shown("{{ old.priority }} → {{ incident.priority }}", **parts) == "P3 → P1"
    assert shown("[{{ old.status }}]", **parts) == "[]"


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ record.Subject.__init__.__globals__ }}",
        "{{ ''['__class__'] }}",
        "{{ (1).__class__ }}",
        "{{ [].append }}",
        "{{ record.Subject | attr('__class__') }}",
        "{{ record.Subject.format(record) }}",
        "{{ '%s' % record }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 'x' | format }}",
        "{{ self }}",
        "{{ self.__init__ }}",
        "{{ range(1000000000) | list }}",
        "{{ range }}",
        "{{ dict(a=1) }}",
        "{{ lipsum(n=100000) }}",
        "{{ cycler('a').next() }}",
        "{{ namespace() }}",
        "{{ 'a' * 1000000000 }}",
        "{{ [1] * 1000000000 }}",
        "{{ 10 ** 10 ** 10 }}",
        "{{ 'a' | center(1000000000) }}",
        "{{ 'a' | indent(1000000000) }}",
        "{{ 'a' | ljust(10) }}",
        "{{ 'a' | map('upper') }}",
        "{{ 'abc' | batch(1) }}",
        "{{ 1 | date('%999999999d') }}",
        "{{ record.CloseDate | date('%999999999d') }}",
        "{% for a in record.Subject %}{% for b in record.Subject %}x{% endfor %}{% endfor %}",
        "{% set a = 'x' %}{{ a }}",
        "{% set a %}x{% endset %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% include 'etc/passwd' %}",
        "{% import 'os' as os %}",
        "{% from 'os' import system %}",
        "{% extends 'x' %}",
        "{% block a %}{% endblock %}",
        "{% call record.Subject() %}{% endcall %}",
        "{% filter upper %}x{% endfilter %}",
        "{% with a = 1 %}{{ a }}{% endwith %}",
        "{% autoescape true %}x{% endautoescape %}",
        "{% do 1 %}",
        "{{ record }}",
        "{{ record | string }}",
        "{{ {'a': 1} }}",
        "{{ record.Subject is callable }}",
        "{{ record.Subject is filter }}",
        "{{ record.Empty__c + 1 }}",
        "{{ record.Subject - 1 }}",
        "{{ 1 / 0 }}",
        "{{ 'a' < 1 }}",
        "{{ 1 in 2 }}",
        "{{ 'x' | int }}",
        "{{ record.Subject['a'] }}",
        "{{ 'a' | round('x') }}",
        "{{ 'a' | truncate(length='x') }}",
        "{{ 'a' | replace }}",
        "{{ 'a' | upper(1) }}",
        "{{ true + 1 }}",
        "{{ record.Subject",
        "{% if x %}",
        "{{ }}",
        "{{ " + "(" * 4000 + "1" + ")" * 4000 + " }}",
        "{{ " + "-" * 4000 + "1 }}",
        "{{ " + "not " * 2000 + "1 }}",
        "{{ " + "[" * 2000 + "]" * 2000 + " }}",
        "{% if 1 %}" * 500 + "{% endif %}" * 500,
        "x" * 10_001 + "{{ 1 }}",
    ],
)
def test_tricks_are_refused_quickly(text: str) -> None:
    """Attributes, calls, loops, imports, format tricks and bombs end in an error, at once."""
    started = time.process_time()
    with pytest.raises(TemplateError):
        shown(text)
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'aaaaaaaaaa'" + " | replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')" * 20 + " }}",
        "{{ 'a' | replace('', '" + "b" * 5_000 + "') | replace('b', '" + "c" * 1_000 + "') }}",
        "{{ record.Long__c }}" * 60,
        "{{ " + " ~ ".join(["record.Long__c"] * 60) + " }}",
        "{{ " + " + ".join(["record.Long__c"] * 60) + " }}",
        "{{ 'a;a;a' | replace('a', 'a;a;a;a;a;a;a;a') | join('" + "x" * 5_000 + "') }}",
    ],
)
def test_a_rendering_is_bounded(text: str) -> None:
    """No rendering grows past the bound, and none builds something far larger on the way."""
    with pytest.raises(TemplateError, match="more than"):
        shown(text, record={"Long__c": "x" * 2_000})


def test_numbers_are_bounded() -> None:
    """Repeated multiplication cannot grow a number without end."""
    with pytest.raises(TemplateError):
        shown("{{ " + " * ".join(["99999999999999999"] * 60) + " }}")


def test_a_record_cannot_smuggle_a_template() -> None:
    """What a record holds is shown, never run."""
    hostile = "{{ ''.__class__ }}{% for x in y %}"
    assert shown("{{ record.Subject }}", record={"Subject": hostile}) == hostile


def test_parameters_are_rendered_in_place() -> None:
    """Texts at any depth are rendered; fields keep the type of a lone expression, titles do not."""
    context = template_context(event(), rule={}, links={})
    params = {
        "title": "{{ record.Count__c }}",
        "users": ["{{ event.agent }}", "b"],
        "when_linked": "skip",
        "fields": {
            "Number": "{{ record.Count__c }}",
            "Sum": "{{ record.Count__c + 1 }}",
            "Flag": "{{ record.Flag__c }}",
            "Nothing": "{{ record.Empty__c }}",
            "Text": "{{ record.CaseNumber }}",
            "Mixed": "n{{ record.Count__c }}",
            "Choice": "{{ 'a' if record.Flag__c else 'b' }}",
            "Plain": 5,
            "Null": None,
        },
        "custom_fields": {"n": "{{ record.Count__c }}", "list": ["{{ record.Count__c }}", "x"]},
    }
    assert render_params(params, context) == {
        "title": "7",
        "users": ["Dana", "b"],
        "when_linked": "skip",
        "fields": {
            "Number": 7,
            "Sum": 8,
            "Flag": True,
            "Nothing": None,
            "Text": "00001026",
            "Mixed": "n7",
            "Choice": "a",
            "Plain": 5,
            "Null": None,
        },
        "custom_fields": {"n": 7, "list": [7, "x"]},
    }
    assert params["title"] == "{{ record.Count__c }}"


def test_a_lone_unknown_name_in_fields_is_an_error_too() -> None:
    """A typed template does not turn an unknown name into a null."""
    context = template_context(event(), rule={}, links={})
    with pytest.raises(UnknownNameError):
        render_params({"fields": {"A": "{{ record.Nope }}"}}, context)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("plain", set()),
        ("{{ record.Account.Name }}{{ incident.html_url }}",
         {"record.Account.Name", "incident.html_url"}),
        ("{% if old['A'].B %}{{ links.record_url | upper }}{% endif %}",
         {"old.A.B", "links.record_url"}),
        ("{{ record.Subject.upper() }}{{ record.Subject[:3] }}", {"record.Subject"}),
        ("{{ incident.priority.id ~ record.A + record.B }}",
         {"incident.priority.id", "record.A", "record.B"}),
    ],
)  # fmt: skip
def test_names_are_what_a_template_uses(text: str, found: set[str]) -> None:
    """The pipeline asks which fields a template needs before it is rendered."""
    assert names(text) == found


@settings(PATIENT, max_examples=80)
@given(st.text("{}%#|.()[]'~+-*/ abrecordSubject0_\n", max_size=60))
def test_no_template_text_escapes_as_another_error(text: str) -> None:
    """Any text renders, or is refused with a TemplateError."""
    with contextlib.suppress(TemplateError):
        assert len(shown("{{" + text + "}}")) <= MAX_OUTPUT


@settings(PATIENT, max_examples=60)
@given(st.text(max_size=50))
def test_a_value_is_shown_unchanged(value: str) -> None:
    """Whatever text a field holds comes out as it went in: no escaping, no trimming."""
    assert shown("{{ record.Subject }}", record={"Subject": value}) == value
