"""What rules name, looked up in the accounts: objects, fields, values, services, people, workflows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pd_sf_rules.errors import RefusedError
from pd_sf_rules.model import SALESFORCE
from pd_sf_rules.pipeline.incident_ids import without_field
from pd_sf_rules.pipeline.live_values import value_problem, wanted_values
from pd_sf_rules.pipeline.run import Connect
from pd_sf_rules.rules.diagnostics import Diagnostic, Severity, did_you_mean, sort_key
from pd_sf_rules.rules.ruleset import ActionSpec, Condition, Rule, Ruleset, When
from pd_sf_rules.rules.templates import is_template, names
from pd_sf_rules.rules.yaml_tree import Node, Path, locate, read_tree
from pd_sf_rules.settings import Integration
from pd_sf_rules.systems.pagerduty.client import PagerDutyClient
from pd_sf_rules.systems.pagerduty.lookups import Lookups
from pd_sf_rules.systems.salesforce.client import SalesforceClient
from pd_sf_rules.systems.salesforce.describe import FieldDescription, ObjectDescription, describe
from pd_sf_rules.systems.salesforce.incident_id import incident_id_field

LOOKED_UP: Mapping[str, Mapping[str, str]] = {
    "create_incident": {
        "service": "service",
        "priority": "priority",
        "escalation_policy": "escalation_policy",
        "assign_to": "user",
    },
    "set_priority": {"priority": "priority"},
    "reassign_incident": {"users": "user", "escalation_policy": "escalation_policy"},
    "run_incident_workflow": {"workflow": "workflow"},
    "run_response_play": {"response_play": "workflow"},
    "add_responders": {"users": "user", "escalation_policies": "escalation_policy"},
}
"""Which parameters of which action name something in PagerDuty, and what."""

NO_ID = "no-incident-id"
"""The code of the warning that an object cannot carry its incident's id."""


@dataclass(slots=True)
class Org:
    """What the Salesforce user sees, each object described once."""

    client: SalesforceClient
    _seen: dict[str, ObjectDescription | RefusedError] = field(default_factory=dict)
    _names: list[str] | None = None

    def described(self, name: str) -> ObjectDescription | RefusedError:
        """Return an object's description, or why there is none."""
        if name not in self._seen:
            try:
                self._seen[name] = describe(self.client, name)
            except RefusedError as refusal:
                self._seen[name] = refusal
        return self._seen[name]

    def near(self, name: str) -> str:
        """Return "Did you mean 'x'?" for an object that does not exist."""
        if self._names is None:
            body = self.client.get("sobjects", doing="the list of objects")
            rows = body.get("sobjects") if isinstance(body, Mapping) else None
            self._names = [str(row.get("name")) for row in rows or [] if isinstance(row, Mapping)]
        return did_you_mean(name, self._names)

    def field(self, name: str, path: str) -> FieldDescription | tuple[str, str]:
        """Return the field at a path of an object, or a sentence saying what is missing, and a hint."""
        found = self.described(name)
        if isinstance(found, RefusedError):
            return found.message, found.hint
        head, _, rest = path.partition(".")
        if not rest:
            one = found.field(head)
            hint = did_you_mean(head, found.fields) or "Check its API name and field permissions."
            return one or (
                f"{found.name} has no field '{head}' that the sync's user can read.",
                hint,
            )
        through = found.parent(head)
        if through is None:
            known = [
                one.relationship_name for one in found.fields.values() if one.relationship_name
            ]
            hint = did_you_mean(head, known) or "Custom relationships end in __r."
            return f"{found.name} has no relationship '{head}'.", hint
        answers = [self.field(target, rest) for target in through.reference_to]
        good = next((one for one in answers if isinstance(one, FieldDescription)), None)
        return good or next(iter(answers), (f"'{head}' of {found.name} leads nowhere.", ""))


@dataclass(frozen=True, slots=True)
class _File:
    """A ruleset, and where its parts stand in its text."""

    ruleset: Ruleset
    root: Node

    def finding(
        self, path: Path, message: str, hint: str, code: str, severity: Severity = "error"
    ) -> Diagnostic:
        line, column = locate(self.root, path)
        return Diagnostic(self.ruleset.path, line, column, message, hint, severity, code)


def lint_live(
    rulesets: Sequence[Ruleset], integrations: Mapping[str, Integration], connect: Connect
) -> list[Diagnostic]:
    """Return what the accounts of each ruleset's integration do not have.

    Reads only. Raises the errors of the systems when an account cannot be asked at all.
    """
    found: list[Diagnostic] = []
    for name in sorted({one.integration for one in rulesets} & set(integrations)):
        integration = integrations[name]
        salesforce = SalesforceClient(connect(integration.salesforce_conn_id))
        pagerduty = PagerDutyClient(connect(integration.pagerduty_conn_id))
        try:
            org, lookups = Org(salesforce), Lookups(pagerduty)
            for ruleset in (one for one in rulesets if one.integration == name):
                file = _File(ruleset, read_tree(ruleset.text)[0])
                for at, rule in enumerate(ruleset.rules):
                    found += _rule_findings(file, ("rules", at), rule, org)
                    found += _pagerduty_findings(file, ("rules", at), rule, lookups, integration)
        finally:
            salesforce.close()
            pagerduty.close()
    return sorted(dict.fromkeys(found), key=sort_key)


def _rule_findings(file: _File, at: Path, rule: Rule, org: Org) -> Iterator[Diagnostic]:
    """Yield what Salesforce does not have of what a rule names."""
    described = org.described(rule.object)
    if isinstance(described, RefusedError):
        hint = org.near(rule.object) or described.hint
        message = f"Salesforce has no object '{rule.object}' for the sync's user."
        yield file.finding((*at, "object"), message, hint, "unknown-object")
        return
    for path, condition in _conditions(rule.when, (*at, "when")):
        if condition.ref.side == "record":
            yield from _condition_findings(file, path, rule, condition, org)
    for index, action in enumerate(rule.actions):
        yield from _action_findings(file, (*at, "actions", index, action.kind), rule, action, org)


def _conditions(when: When, path: Path) -> Iterator[tuple[Path, Condition]]:
    if isinstance(when, Condition):
        yield path, when
    elif when.kind == "not":
        yield from _conditions(when.members[0], (*path, "not"))
    else:
        for index, member in enumerate(when.members):
            yield from _conditions(member, (*path, when.kind, index))


def _condition_findings(
    file: _File, path: Path, rule: Rule, condition: Condition, org: Org
) -> Iterator[Diagnostic]:
    found = org.field(rule.object, condition.ref.path)
    if not isinstance(found, FieldDescription):
        yield file.finding((*path, "field"), *found, "unknown-field")
        return
    for place, value, severity in wanted_values(condition):
        known = {one.casefold() for one in found.picklist}
        if known and str(value).casefold() not in known:
            message = f"{condition.name} has no value '{value}'."
            hint = did_you_mean(str(value), found.picklist) or f"It has {_some(found.picklist)}."
            yield file.finding((*path, *place), message, hint, "unknown-picklist-value", severity)


def _some(values: Sequence[str]) -> str:
    listed = ", ".join(f"'{one}'" for one in values[:12])
    return listed + (", ..." if len(values) > 12 else "")


def _action_findings(
    file: _File, at: Path, rule: Rule, action: ActionSpec, org: Org
) -> Iterator[Diagnostic]:
    heads = ("record.", "old.") if rule.run_on == SALESFORCE else ("record.",)
    for path, text in _texts(action.params, at):
        for name in sorted(names(text)):
            if not name.startswith(heads):
                continue
            found = org.field(rule.object, name.partition(".")[2])
            if not isinstance(found, FieldDescription):
                yield file.finding(path, *found, "unknown-field")
    if action.kind not in {"update_record", "create_record"}:
        return
    target = str(action.params.get("object") or rule.object)
    described = org.described(target)
    if isinstance(described, RefusedError):
        hint = org.near(target) or described.hint
        message = f"Salesforce has no object '{target}' for the sync's user."
        yield file.finding((*at, "object"), message, hint, "unknown-object")
        return
    yield from _write_findings(file, at, action, described)


def _texts(value: object, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, (*path, key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _texts(inner, (*path, index))


def _write_findings(
    file: _File, at: Path, action: ActionSpec, target: ObjectDescription
) -> Iterator[Diagnostic]:
    """Yield what an update or a creation would be refused for."""
    creates = action.kind == "create_record"
    verb = "create" if creates else "update"
    hint = "Give the sync's user that permission."
    if not (target.createable if creates else target.updateable):
        yield file.finding(
            at, f"The sync's user may not {verb} {target.name}.", hint, "not-allowed"
        )
    given: Mapping[str, object] = action.params["fields"]
    for name, value in given.items():
        place = (*at, "fields", name)
        one = target.field(name)
        if one is None:
            near = did_you_mean(name, target.fields) or "Check its API name and field permissions."
            message = f"{target.name} has no field '{name}' that the sync's user can read."
            yield file.finding(place, message, near, "unknown-field")
        elif not (one.createable if creates else one.updateable):
            message = f"{target.name}.{one.name} cannot be written when records are {verb}d."
            yield file.finding(place, message, "Remove it, or " + hint.lower(), "not-writable")
        elif problem := value_problem(target.name, one, value):
            yield file.finding(place, *problem)
    if creates:
        written = {name.casefold() for name in given}
        required = [f.name for f in target.fields.values() if f.required_on_create]
        missing = [name for name in required if name.casefold() not in written]
        if missing:
            listed = ", ".join(missing)
            message = f"A new {target.name} needs a value for {listed}."
            yield file.finding((*at, "fields"), message, "Add it to fields.", "missing-required")
        if action.params.get("when_linked") != "create" and incident_id_field(target) is None:
            said, _, hint = without_field(target.name).partition(". ")
            yield file.finding(at, f"{said}.", hint, NO_ID, "warning")


def _pagerduty_findings(
    file: _File, at: Path, rule: Rule, lookups: Lookups, integration: Integration
) -> Iterator[Diagnostic]:
    """Yield what PagerDuty does not have of what a rule's actions name."""
    for index, action in enumerate(rule.actions):
        for parameter, thing in LOOKED_UP.get(action.kind, {}).items():
            value = action.params.get(parameter)
            for name in value if isinstance(value, list | tuple) else [value]:
                wanted = str(name or "")
                if action.kind == "run_response_play":
                    wanted = integration.response_plays.get(wanted, "")
                if not wanted or is_template(wanted):
                    continue
                try:
                    getattr(lookups, thing)(wanted)
                except RefusedError as refusal:
                    path = (*at, "actions", index, action.kind, parameter)
                    code = f"unknown-{thing.replace('_', '-')}"
                    yield file.finding(path, refusal.message, refusal.hint, code)
