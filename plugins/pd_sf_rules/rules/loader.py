"""Ruleset files to frozen rulesets, and diagnostics for whatever cannot be used.

Nothing a file holds makes this raise: every problem is a Diagnostic with line and column.
"""

import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from pd_sf_rules.rules.checks import check_parts, checked_rule
from pd_sf_rules.rules.diagnostics import Diagnostic, sort_key
from pd_sf_rules.rules.ruleset import Rule, Ruleset
from pd_sf_rules.rules.schema import RuleModel, RulesetFile
from pd_sf_rules.rules.wording import Finding, finding
from pd_sf_rules.rules.yaml_tree import Node, Path, YamlProblem, locate, read_tree, to_data

MAX_BYTES = 8_000_000
TEST_ENDINGS = (".test.yaml", ".test.yml")


def version_of(text: str) -> str:
    """Return the version of a file: the first 12 hex digits of its text's SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def load_text(text: str, path: str) -> tuple[Ruleset | None, tuple[Diagnostic, ...]]:
    """Return the ruleset of a file's text, or None and why not. `path` is only named, never opened.

    An unchanged text is not read again: the same ruleset comes back.
    """
    return _loaded(text, path)


@lru_cache(maxsize=128)
def _loaded(text: str, path: str) -> tuple[Ruleset | None, tuple[Diagnostic, ...]]:
    try:
        root, problems = read_tree(text)
    except YamlProblem as problem:
        return None, (_of_yaml(problem, path),)
    found = [_of_yaml(problem, path) for problem in problems]
    data = to_data(root)
    header, models, findings = _validated(data)
    broken = [each.path for each in findings]
    for at, rule in _broken_rules(data, broken):
        check_parts(rule, ("rules", at), broken, root, findings.append)
    rules = [checked_rule(rule, ("rules", at), root, findings.append) for at, rule in models]
    findings += _same_names(rules, [at for at, _ in models])
    found += [_placed(each, root, path) for each in findings]
    if found or header is None:
        return None, tuple(dict.fromkeys(sorted(found, key=sort_key)))
    return _ruleset(header, tuple(rules), text, path), ()


def _validated(
    data: Any,
) -> tuple[RulesetFile | None, list[tuple[int, RuleModel]], list[Finding]]:
    """Return the file if it is sound, its sound rules with their places, and what is wrong with the rest."""
    if not isinstance(data, dict):
        what = "is empty" if data is None else "does not hold a mapping"
        hint = "Start it with 'version: 1', 'name: …' and 'rules:'."
        return None, [], [Finding((), f"The file {what}.", hint, "not-a-ruleset")]
    try:
        whole = RulesetFile.model_validate(data)
        return whole, list(enumerate(whole.rules)), []
    except ValidationError as error:
        findings = [finding(each) for each in error.errors(include_url=False)]
    broken = {at for at, _ in _broken_rules(data, [each.path for each in findings])}
    listed = data.get("rules")
    sound = enumerate(listed) if isinstance(listed, list) else ()
    rules = [(at, RuleModel.model_validate(rule)) for at, rule in sound if at not in broken]
    return None, rules, findings


def _broken_rules(data: Any, paths: Iterable[Path]) -> list[tuple[int, Any]]:
    """Return the rules that findings at these paths are about, with their places."""
    places = {path[1] for path in paths if len(path) > 1 and path[0] == "rules"}
    return [
        (at, data["rules"][at]) for at in sorted(each for each in places if isinstance(each, int))
    ]


def _same_names(rules: list[Rule], places: list[int]) -> list[Finding]:
    """Return a finding for each rule whose name an earlier rule of the file has."""
    first: dict[str, Rule] = {}
    findings = []
    for rule, at in zip(rules, places, strict=True):
        earlier = first.setdefault(rule.name, rule)
        if earlier is not rule:
            message = f"Another rule is called '{rule.name}': the one on line {earlier.line}."
            hint = "Give each rule of a file its own name."
            findings.append(Finding(("rules", at, "name"), message, hint, "duplicate-rule"))
    return findings


def _ruleset(model: RulesetFile, rules: tuple[Rule, ...], text: str, path: str) -> Ruleset:
    return Ruleset(
        path=path,
        name=model.name,
        version=version_of(text),
        text=text,
        enabled=model.enabled,
        integration=model.integration,
        mode=model.mode,
        rules=rules,
    )


def _of_yaml(problem: YamlProblem, path: str) -> Diagnostic:
    return Diagnostic(
        path, problem.line, problem.column, problem.message, problem.hint, code=problem.code
    )


def _placed(found: Finding, root: Node, path: str) -> Diagnostic:
    line, column = locate(root, found.path, key=found.on_key)
    return Diagnostic(path, line, column, found.message, found.hint, code=found.code)


def place_of(text: str, path: Path, *, key: bool = False) -> tuple[int, int]:
    """Return line and column of the value (or the key) at `path` of a file's text that loads."""
    return locate(read_tree(text)[0], path, key=key)


def load_folder(folder: FilePath) -> tuple[tuple[Ruleset, ...], tuple[Diagnostic, ...]]:
    """Return the rulesets of a folder in file-name order; one bad file never stops the others.

    Files whose name ends in .test.yaml hold rule tests and are left alone. Of two files with one ruleset
    name the first keeps it, the second is an error.
    """
    try:
        files = list(ruleset_files(folder))
    except OSError as error:
        hint = "Create the folder, or set PDSF_RULESETS_DIR."
        return (), (_unreadable(folder, f"The folder cannot be read: {error.strerror}.", hint),)
    return load_files(files)


def load_files(files: Iterable[FilePath]) -> tuple[tuple[Ruleset, ...], tuple[Diagnostic, ...]]:
    """Return the rulesets of these files in the order given, and what is wrong with the others."""
    rulesets: dict[str, Ruleset] = {}
    diagnostics: list[Diagnostic] = []
    for file in files:
        text, problem = read_text(file)
        if problem or text is None:
            diagnostics += [problem] if problem else []
            continue
        ruleset, found = load_text(text, str(file))
        diagnostics += found
        if ruleset is None:
            continue
        if ruleset.name in rulesets:
            diagnostics.append(_same_ruleset(ruleset, rulesets[ruleset.name]))
        else:
            rulesets[ruleset.name] = ruleset
    return tuple(rulesets.values()), tuple(diagnostics)


def ruleset_files(folder: FilePath) -> Iterator[FilePath]:
    """Yield the ruleset files of a folder in file-name order. Raises OSError."""
    for file in sorted(folder.iterdir(), key=lambda each: each.name):
        known = file.suffix in (".yaml", ".yml") and not file.name.startswith(".")
        if known and not file.name.endswith(TEST_ENDINGS):
            yield file


def read_text(file: FilePath) -> tuple[str | None, Diagnostic | None]:
    """Return a file's text, or why it cannot be read."""
    try:
        if file.stat().st_size > MAX_BYTES:
            hint = "Split it into several files."
            return None, _unreadable(file, f"The file has more than {MAX_BYTES:,} bytes.", hint)
        raw = file.read_bytes()
    except OSError as error:
        hint = "Check that it exists and may be read."
        return None, _unreadable(file, f"The file cannot be read: {error.strerror}.", hint)
    try:
        return raw.decode("utf-8-sig"), None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        message = f"The byte 0x{raw[error.start]:02x} is not UTF-8 text."
        hint = "Save the file as UTF-8."
        return None, Diagnostic(str(file), line, column, message, hint, code="unreadable")


def _unreadable(file: FilePath, message: str, hint: str) -> Diagnostic:
    return Diagnostic(str(file), 1, 1, message, hint, code="unreadable")


def _same_ruleset(ruleset: Ruleset, earlier: Ruleset) -> Diagnostic:
    line, column = place_of(ruleset.text, ("name",))
    message = f"Another file is called '{ruleset.name}' too: {earlier.path}."
    hint = "Give each ruleset its own name. Until then this file is left out."
    return Diagnostic(ruleset.path, line, column, message, hint, code="duplicate-ruleset")
