"""Rulesets: every file as it stands and as it is in force, in sentences, with its history; a switch, and proposals."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated, Literal

from fastapi import APIRouter, Form, HTTPException, Query, Request, status
from fastapi.responses import Response

from pd_sf_rules.ledger.rulesets import RulesetVersion
from pd_sf_rules.pipeline import switching
from pd_sf_rules.pipeline.rulefiles import RuleFile, history, rule_files
from pd_sf_rules.rules.diagnostics import Diagnostic
from pd_sf_rules.rules.loader import version_of
from pd_sf_rules.rules.proposing import Proposal, difference, proposed, unified
from pd_sf_rules.rules.sentences import told
from pd_sf_rules.settings import PROJECT_ROOT
from pd_sf_rules.web import opened
from pd_sf_rules.web.access import Viewer, ViewerDep
from pd_sf_rules.web.audit import write_audit
from pd_sf_rules.web.forgery import UnforgedDep
from pd_sf_rules.web.rendering import back, page, segment

router = APIRouter()
Version = Annotated[str, Query(max_length=20)]
TO: dict[str, bool | None] = {"on": True, "off": False, "file": None}
SAID = {"on": "is switched on", "off": "is switched off", "file": "follows its file again"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a text or of a difference; `kind` is its class."""

    number: int
    text: str
    kind: str = "same"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of lint and the lines around the place."""

    said: Diagnostic
    excerpt: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Difference:
    """Two versions compared; `lines` is empty where they are equal."""

    old: str
    new: str
    lines: Sequence[Line]


@router.get("/rulesets")
def rulesets(
    request: Request, viewer: ViewerDep, integration: Annotated[str, Query(max_length=63)] = ""
) -> Response:
    """The page with every file; of one integration, if one is named."""
    chosen = viewer.integration(integration).name if integration else ""
    files = [one for one in _files(viewer) if _integration(one) in {"", chosen} or not chosen]
    return page(
        request,
        viewer,
        "rulesets.html",
        integration=chosen,
        files=files,
        configurable=_configurable(viewer),
    )


@router.get("/rulesets/{file}")
def ruleset(
    request: Request, viewer: ViewerDep, file: str, old: Version = "", new: Version = ""
) -> Response:
    """The page of one file; `old` and `new` are versions to compare ("now" is the file as it stands)."""
    found = _file(viewer, file)
    versions, turns = history(opened.ledger(), file)
    return page(
        request,
        viewer,
        "ruleset.html",
        tab="rulesets",
        file=found,
        rules=[told(rule) for rule in found.ruleset.rules] if found.ruleset else [],
        findings=[_finding(one, found.text) for one in found.findings],
        versions=versions,
        turns=turns,
        now=version_of(found.text),
        difference=_difference(found, versions, old, new),
        lines=_lines(found),
        may_configure=_integration(found) in _configurable(viewer),
    )


@router.post("/rulesets/{file}/switch")
def switch(
    request: Request,
    viewer: UnforgedDep,
    file: str,
    to: Annotated[Literal["on", "off", "file"], Form()],
    why: Annotated[str, Form(max_length=500)] = "",
    page_of: Annotated[Literal["", "list"], Form()] = "",
) -> Response:
    """Override what the file says of `enabled`, or take that back."""
    found = _file(viewer, file)
    chosen = viewer.integration(_integration(found))
    viewer.demand("configure", chosen)
    name = found.ruleset.name if found.ruleset else file
    write_audit(viewer, "pdsf.switch", chosen, file=file, ruleset=name, to=to, why=why)
    switching.turn(opened.ledger(), file, enabled=TO[to], who=viewer.name, why=why.strip())
    said = f"Ruleset '{name}' {SAID[to]}; it holds from the next run on."
    return back(request, "rulesets" if page_of else f"rulesets/{segment(file)}", said=said)


@router.get("/rulesets/{file}/propose/{proposal}")
def propose(viewer: ViewerDep, file: str, proposal: Proposal, whole: bool = False) -> Response:  # noqa: FBT001
    """Download the change of one setting: a patch for `git apply`, or the whole edited file. Nothing is changed."""
    found = _file(viewer, file)
    text = proposed(found.text, proposal)
    name = f"{PurePath(file).stem}-{proposal}.patch"
    if whole:
        name = file
    else:
        text = difference(found.text, text, _in_project(found))
    return Response(
        text,
        media_type="application/yaml" if whole else "text/x-diff",
        headers={"Content-Disposition": f"attachment; filename*=UTF-8''{segment(name)}"},
    )


def _files(viewer: Viewer) -> list[RuleFile]:
    """Return the files that this person may see: those of readable integrations, or of none that is known."""
    hidden = viewer.hidden
    seen = viewer.integrations
    return rule_files(opened.ledger(), seen, lambda name: name not in hidden)


def _file(viewer: Viewer, file: str) -> RuleFile:
    for one in _files(viewer):
        if one.file == file:
            return one
    raise HTTPException(status.HTTP_404_NOT_FOUND, f"There is no ruleset file '{file[:100]}'.")


def _integration(file: RuleFile) -> str:
    return file.ruleset.integration if file.ruleset else ""


def _configurable(viewer: Viewer) -> set[str]:
    return {name for name, one in viewer.integrations.items() if viewer.may_configure(one)}


def _in_project(file: RuleFile) -> PurePath:
    """Return the path as the project's repository has it, where the file lies in it."""
    inside = file.path.is_relative_to(PROJECT_ROOT)
    return (
        file.path.relative_to(PROJECT_ROOT) if inside else PurePath("include/rulesets", file.file)
    )


def _finding(said: Diagnostic, text: str) -> Finding:
    around = range(max(said.line - 2, 1), said.line + 2)
    lines = text.split("\n")
    return Finding(
        said,
        [
            Line(n, lines[n - 1], "hit" if n == said.line else "same")
            for n in around
            if n <= len(lines)
        ],
    )


def _lines(file: RuleFile) -> list[Line]:
    hit = {one.line for one in file.findings}
    texts = file.text.removesuffix("\n").split("\n")
    return [Line(n, text, "hit" if n in hit else "same") for n, text in enumerate(texts, 1)]


def _difference(
    file: RuleFile, versions: Sequence[RulesetVersion], old: str, new: str
) -> Difference | None:
    """Return what was asked for; without that the file against what is in force, if they differ."""
    texts = {one.version: one.text for one in versions} | {"now": file.text}
    if not old and file.version and file.version != version_of(file.text):
        old = file.version
    new = new or "now"
    if old not in texts or new not in texts:
        return None
    kinds = {"+": "add", "-": "del", "@": "at"}
    lines = unified(texts[old], texts[new], old, new)[2:]
    shown = [Line(0, line.rstrip("\n"), kinds.get(line[0], "same")) for line in lines]
    return Difference(old, new, shown)
