"""The rules in force: the valid files of one integration, and the last good version of a broken one."""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Connection

from pd_sf_rules.errors import RefusedError, SyncError
from pd_sf_rules.ledger import actions, cursors, switches
from pd_sf_rules.ledger import rulesets as versions
from pd_sf_rules.pipeline.outcomes import CONFIG
from pd_sf_rules.pipeline.run import Run, utc_now
from pd_sf_rules.pipeline.switching import switched
from pd_sf_rules.rules.diagnostics import Diagnostic
from pd_sf_rules.rules.evaluator import CompiledRules, compile_rules
from pd_sf_rules.rules.loader import load_folder, load_text
from pd_sf_rules.rules.ruleset import ActionSpec, Rule, Ruleset, conditions_of
from pd_sf_rules.settings import rulesets_folder
from pd_sf_rules.systems.salesforce.describe import field_types

_log = logging.getLogger(__name__)

DESCRIBE_FOR = timedelta(hours=24)
"""How long field types are believed; a query that names a missing field refreshes them at once."""

ASK_AGAIN = timedelta(minutes=5)
"""How long a field is believed to be missing."""


SEEN_AGAIN = timedelta(minutes=1)
"""How long a version stays known to be in force before that is written again."""


@dataclass(frozen=True, slots=True)
class Rulebook:
    """`rulesets` of one integration in file-name order, compiled; `diagnostics` of all files, valid or not.

    `missing` holds the field paths by object that rules name and the org does not show: a rule whose condition
    names one rests, an action that names one fails by itself.
    """

    rulesets: Sequence[Ruleset]
    compiled: CompiledRules
    diagnostics: Sequence[Diagnostic]
    missing: Mapping[str, Collection[str]]

    def record_fields(self, name: str) -> frozenset[str]:
        """Return the fields of an object that rules name, either direction, and that the org has."""
        return self.compiled.record_fields(name).difference(self.missing.get(name, ()))

    def linked_fields(self, name: str) -> frozenset[str]:
        """Return the fields that PagerDuty rules need of a linked record of an object, and that the org has."""
        return self.compiled.needs_record(name).difference(self.missing.get(name, ()))

    @property
    def names_agent(self) -> bool:
        """Whether a rule asks who changed a record, which costs a join."""
        return any("event.agent" in ruleset.text for ruleset in self.rulesets)


def load_rulebook(run: Run, *, refresh_fields: bool = False, record: bool = True) -> Rulebook:
    """Load the rules of the run's integration. A broken file is reported, and its last good version stays in force.
    A person's switch overrides what a file says of `enabled`.

    Field types come from describe, remembered for a day; `refresh_fields` asks again now. Without `record` the
    ledger is left as it is. Raises SettingsError
    when the folder is missing and the errors of systems.salesforce when the org cannot be asked.
    """
    valid, diagnostics = load_folder(rulesets_folder())
    _report(diagnostics)
    with run.ledger.read() as c:
        turned = switches.in_force(c)
    everything = switched(_with_last_good(run, valid, diagnostics), turned)
    mine = [one for one in everything if one.integration == run.name and one.enabled]
    shapes = _shapes(run, compile_rules(mine), refresh=refresh_fields, record=record)
    mine = _without_resting(mine, shapes)
    compiled = compile_rules(mine, {name: shape.types for name, shape in shapes.items()})
    missing = {name: shape.lacks(compiled.record_fields(name)) for name, shape in shapes.items()}
    if record:
        _record(run, valid, mine)
    rulebook = Rulebook(tuple(mine), compiled, diagnostics, missing)
    run.watched = {name: rulebook.record_fields(name) for name in _objects(mine)}
    return rulebook


def describe_stream(name: str) -> str:
    """Name the cursor under which the ledger keeps what describe told of an object."""
    return f"describe:{name}"


def learn_watched(run: Run) -> None:
    """Learn which fields rules name, where this process has not loaded the rules; what is in its way is logged."""
    if run.watched:
        return
    try:
        load_rulebook(run, record=False)
    except SyncError as error:
        _log.warning("The rules cannot be read for the moment: %s", error)


def _record(run: Run, valid: Sequence[Ruleset], mine: Sequence[Ruleset]) -> None:
    """Keep the versions in force, and try mended actions again: mostly there is nothing to write."""
    now = utc_now()
    with run.ledger.read() as c:
        stated = {_key(one.path): one.version for one in valid}
        known = versions.seen_since(c, stated, now - SEEN_AGAIN)
        mended = any(_mended(c, run, mine))
    fresh = [one for one in valid if _key(one.path) not in known]
    if not fresh and not mended:
        return
    with run.ledger.begin() as c:
        for one in fresh:
            versions.remember(c, _key(one.path), one.name, one.version, one.text, now=now)
        for stored, spec, version in _mended(c, run, mine):
            actions.replan(c, stored.id, params=spec.params, ruleset_version=version)


def _report(diagnostics: Iterable[Diagnostic]) -> None:
    for one in diagnostics:
        log = _log.error if one.severity == "error" else _log.info
        log("%s:%s:%s: %s %s", one.path, one.line, one.column, one.message, one.hint)


def _key(path: str) -> str:
    """Name a file in the ledger without the folder, which differs from machine to machine."""
    return Path(path).name


def _with_last_good(
    run: Run, valid: Sequence[Ruleset], diagnostics: Iterable[Diagnostic]
) -> list[Ruleset]:
    loaded = {ruleset.path for ruleset in valid}
    broken = {d.path for d in diagnostics if d.severity == "error"} - loaded
    kept: list[Ruleset] = list(valid)
    for path in sorted(broken):
        with run.ledger.read() as c:
            last = versions.last_good(c, _key(path))
        if last is None:
            continue
        ruleset, _ = load_text(last[1], path)
        if ruleset is not None and ruleset.name not in {one.name for one in kept}:
            _log.warning("%s is broken: its last good version %s stays in force.", path, last[0])
            kept.append(ruleset)
    return sorted(kept, key=lambda one: one.path)


def _objects(rulesets: Iterable[Ruleset]) -> list[str]:
    return sorted({rule.object for ruleset in rulesets for rule in ruleset.rules})


@dataclass(frozen=True, slots=True)
class _Shape:
    """What describe told of one object: the type word of each field asked for that exists.

    `gone`: there is no such object for this user. Types that are not known (`known` False) lack nothing.
    """

    types: Mapping[str, str]
    gone: bool = False
    known: bool = True

    def lacks(self, fields: Collection[str]) -> frozenset[str]:
        """Return those of the fields that do not exist."""
        return frozenset(fields).difference(self.types) if self.known else frozenset()


def _shapes(run: Run, compiled: CompiledRules, *, refresh: bool, record: bool) -> dict[str, _Shape]:
    return {
        name: _shape(run, name, compiled.record_fields(name), refresh=refresh, record=record)
        for name in _objects(compiled.rulesets)
    }


def _shape(run: Run, name: str, fields: Collection[str], *, refresh: bool, record: bool) -> _Shape:
    stream = describe_stream(name)
    now = utc_now()
    with run.ledger.read() as c:
        cursor = cursors.get_cursor(c, run.name, stream)
    if cursor is not None and not refresh and set(fields) <= set(cursor.extra.get("asked", ())):
        shape = _Shape(cursor.extra["types"])
        believed = ASK_AGAIN if shape.lacks(fields) else DESCRIBE_FOR
        if now - cursor.position < believed:
            return shape
    try:
        shape = _Shape(field_types(run.salesforce, name, sorted(fields)))
    except RefusedError as error:
        _log.warning("The fields of %s cannot be described: %s", name, error)
        return _Shape({}, gone=error.code == "INVALID_TYPE", known=False)
    if record:
        extra = {"types": dict(shape.types), "asked": sorted(fields)}
        with run.ledger.begin() as c:
            cursors.start_cursor(c, run.name, stream, now)
            cursors.move_cursor(c, run.name, stream, now, extra=extra)
    return shape


def _without_resting(rulesets: Sequence[Ruleset], shapes: Mapping[str, _Shape]) -> list[Ruleset]:
    """Leave out the rules that cannot be judged, because the org lacks what their conditions name."""
    return [
        replace(ruleset, rules=tuple(one for one in ruleset.rules if _works(ruleset, one, shapes)))
        for ruleset in rulesets
    ]


def _works(ruleset: Ruleset, rule: Rule, shapes: Mapping[str, _Shape]) -> bool:
    shape = shapes[rule.object]
    gone = {rule.object} if shape.gone else set[str]()
    tested = {c.ref.path for c in conditions_of(rule.when) if c.ref.side == "record"}
    gone |= {f"{rule.object}.{path}" for path in shape.lacks(tested)}
    if gone:
        _log.error(
            "%s: rule '%s' rests: %s does not exist or is not readable for the sync's user.",
            ruleset.path,
            rule.name,
            ", ".join(sorted(gone)),
        )
    return not gone


def _mended(
    c: Connection, run: Run, rulesets: Sequence[Ruleset]
) -> Iterator[tuple[actions.StoredAction, ActionSpec, str]]:
    """Yield what failed for its ruleset's sake, with what the mended file says now, and that file's version."""
    by_name = {ruleset.name: ruleset for ruleset in rulesets}
    for stored in actions.open_actions(c, run.name, state="failed", error_kind=CONFIG):
        ruleset = by_name.get(stored.ruleset)
        if ruleset is None:
            continue
        if ruleset.version == stored.ruleset_version:
            continue
        rule = next((one for one in ruleset.rules if one.name == stored.rule), None)
        if rule is None or stored.position >= len(rule.actions):
            continue
        spec = rule.actions[stored.position]
        if spec.kind == stored.kind:
            yield stored, spec, ruleset.version
