"""What can be said about rule files without an account: errors, and warnings about rules that look wrong together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pd_sf_rules.model import Mode, Source
from pd_sf_rules.rules.contradictions import both_can_hold, why_never
from pd_sf_rules.rules.diagnostics import Diagnostic, Severity, did_you_mean, sort_key
from pd_sf_rules.rules.effects import effects_of
from pd_sf_rules.rules.loops import loops
from pd_sf_rules.rules.ruleset import Rule, Ruleset
from pd_sf_rules.rules.templates import is_template
from pd_sf_rules.rules.yaml_tree import Node, Path, locate, read_tree


@dataclass(frozen=True, slots=True)
class IntegrationFacts:
    """What lint must know of an integration file: which response plays it maps to workflows."""

    response_plays: Mapping[str, str] = field(default_factory=dict)


Integrations = Mapping[str, IntegrationFacts]


def lint_rulesets(
    rulesets: Sequence[Ruleset], integrations: Integrations | None = None
) -> tuple[Diagnostic, ...]:
    """Return what is wrong or doubtful about rulesets that load."""
    files = [_File(ruleset, read_tree(ruleset.text)[0]) for ruleset in rulesets]
    found: list[Diagnostic] = []
    for file in files:
        if integrations is not None:
            found += _integration_findings(file, integrations)
        found += _rule_warnings(file)
    found += _conflict_warnings(files)
    found += _loop_warnings(files)
    return _sorted(found)


def _sorted(found: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    return tuple(dict.fromkeys(sorted(found, key=sort_key)))


Meeting = tuple[str, Mode, Source, str, str]


@dataclass(frozen=True, slots=True)
class Writer:
    """A rule that writes `value` (a template as its text) into something."""

    ruleset: Ruleset
    rule: Rule
    value: str


@dataclass(frozen=True, slots=True)
class _File:
    """A ruleset with the tree of its text, to say where things stand."""

    ruleset: Ruleset
    root: Node

    def finding(
        self,
        path: Path,
        message: str,
        hint: str,
        code: str,
        *,
        severity: Severity = "warning",
        key: bool = False,
    ) -> Diagnostic:
        """Return a finding about the value (or key) at a path of the file."""
        line, column = locate(self.root, path, key=key)
        return Diagnostic(self.ruleset.path, line, column, message, hint, severity, code)


def _integration_findings(file: _File, integrations: Integrations) -> Iterator[Diagnostic]:
    """Yield errors about the integration a file names, and the response plays it must map."""
    name = file.ruleset.integration
    facts = integrations.get(name)
    if facts is None:
        listed = ", ".join(sorted(integrations)) or "none"
        hint = did_you_mean(name, integrations) or f"Known integrations: {listed}."
        message = f"There is no integration '{name}'."
        yield file.finding(("integration",), message, hint, "unknown-integration", severity="error")
        return
    for at, rule in enumerate(file.ruleset.rules):
        for index, action in enumerate(rule.actions):
            play = action.params.get("response_play", "")
            if not play or play in facts.response_plays or is_template(play):
                continue
            path = ("rules", at, "actions", index, action.kind, "response_play")
            message = f"PagerDuty has no response plays any more, and '{play}' is not mapped."
            hint = (
                did_you_mean(play, facts.response_plays)
                or f"Add it to response_plays of the integration '{name}', with the workflow's name."
            )
            yield file.finding(path, message, hint, "unmapped-response-play", severity="error")


def _rule_warnings(file: _File) -> Iterator[Diagnostic]:
    """Yield warnings about single rules: never true, writing a field twice, comments on what has none."""
    for at, rule in enumerate(file.ruleset.rules):
        reason = why_never(rule.when, rule.run_on)
        if reason:
            message = f"The rule '{rule.name}' can never match: {reason}."
            hint = "Use any: for alternatives, or remove one of the conditions."
            yield file.finding(("rules", at, "when"), message, hint, "never-matches", key=True)
        yield from _action_warnings(file, at, rule)


def _action_warnings(file: _File, at: int, rule: Rule) -> Iterator[Diagnostic]:
    written: dict[str, str] = {}
    for index, action in enumerate(rule.actions):
        path: Path = ("rules", at, "actions", index)
        if action.kind == "post_comment" and rule.object != "Case":
            message = f"Salesforce has comments on Case, not on {rule.object}."
            hint = "Use create_record with a Task or a FeedItem instead."
            yield file.finding(path, message, hint, "comment-target")
        if action.kind != "update_record":
            continue
        for name, value in action.params["fields"].items():
            before = written.setdefault(name, str(value))
            if before != str(value):
                message = f"The rule '{rule.name}' writes {rule.object}.{name} twice."
                place = (*path, action.kind, "fields", name)
                hint = "Only the last value stays: keep one."
                yield file.finding(place, message, hint, "write-conflict", key=True)


def _writes(rule: Rule) -> dict[str, str]:
    """Return what a rule writes: target and value (or its template), as text."""
    return {
        effect.target: str(effect.value)
        for effect in effects_of(rule)
        if effect.target and effect.event_type != "created"
    }


def _conflict_warnings(files: Sequence[_File]) -> Iterator[Diagnostic]:
    """Yield a warning for each rule that writes something which an earlier rule writes differently."""
    earlier: dict[Meeting, list[Writer]] = {}
    for file in files:
        for at, rule in enumerate(file.ruleset.rules):
            told: dict[int, Writer] = {}
            names: dict[int, list[str]] = {}
            for target, value in _writes(rule).items():
                writers = earlier.setdefault(_meeting(file.ruleset, rule, target), [])
                this = Writer(file.ruleset, rule, value)
                other = next((each for each in writers if _disagree(each, this)), None)
                if other:
                    told[id(other.rule)] = other
                    names.setdefault(id(other.rule), []).append(target)
                writers.append(this)
            for key, other in told.items():
                yield _conflict(file, at, rule, other, names[key])


def _conflict(
    file: _File, at: int, rule: Rule, other: Writer, targets: Sequence[str]
) -> Diagnostic:
    where = "" if other.ruleset is file.ruleset else f" of '{other.ruleset.name}'"
    message = (
        f"One event can make both '{rule.name}' and '{other.rule.name}'{where} write"
        f" {', '.join(targets)}, each its own value."
    )
    hint = "The later rule wins. Make their conditions exclude each other, or give one stop: true."
    return file.finding(("rules", at, "actions"), message, hint, "write-conflict", key=True)


def _meeting(ruleset: Ruleset, rule: Rule, target: str) -> Meeting:
    """Return what two rules share that judge the same events and write the same thing."""
    return ruleset.integration, ruleset.mode, rule.run_on, rule.object, target


def _disagree(first: Writer, second: Writer) -> bool:
    """Tell whether one event can make both write, each another value."""
    own_pairs = first.rule.scope == second.rule.scope == "created_by_ruleset"
    if first.value == second.value or first.rule.stop:
        return False
    if own_pairs and first.ruleset.name != second.ruleset.name:
        return False
    return both_can_hold(first.rule.when, second.rule.when, first.rule.run_on)


def _loop_warnings(files: Sequence[_File]) -> Iterator[Diagnostic]:
    """Yield a warning for each loop, at the rule it is first met in."""
    for loop in loops([file.ruleset for file in files]):
        at, index = loop.places[0]
        names = [files[a].ruleset.rules[i].name for a, i in (*loop.places, loop.places[0])]
        message = f"These rules can feed each other in a loop: {' → '.join(names)}."
        hint = "Let a condition of one exclude what the other writes."
        yield files[at].finding(("rules", index, "name"), message, hint, "loop")
