"""Playground: a record or an incident, an event, and what today's rules or a draft would do about it, and why."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, Field, ValidationError

from pd_sf_rules.errors import ConfigError, SyncError
from pd_sf_rules.ledger import events
from pd_sf_rules.model import PAGERDUTY, SALESFORCE, Source, Values
from pd_sf_rules.pipeline.playground import Judgement, Scene, fetched, flat, judge_scene, scene_of
from pd_sf_rules.pipeline.rulebook import load_rulebook
from pd_sf_rules.pipeline.run import Run
from pd_sf_rules.pipeline.simulate import known_types
from pd_sf_rules.rules.diagnostics import Diagnostic, render, sort_key
from pd_sf_rules.rules.evaluator import CompiledRules, compile_rules
from pd_sf_rules.rules.fields import EVENT_TYPES
from pd_sf_rules.rules.lint import IntegrationFacts, lint_rulesets
from pd_sf_rules.rules.loader import load_text
from pd_sf_rules.settings import Integration
from pd_sf_rules.web import opened
from pd_sf_rules.web.access import Viewer, ViewerDep
from pd_sf_rules.web.forgery import UnforgedDep
from pd_sf_rules.web.rendering import page

router = APIRouter()

BODY_BYTES = 1_000_000
TEXT = 200_000
"""Characters of one text of the form."""

FINDINGS = 50
DRAFT = "draft.yaml"
EXAMPLE = {"Subject": "Checkout is down", "Priority": "High", "Status": "New"}


class Asked(BaseModel):
    """The form, as it was sent and as it is shown again."""

    integration: str = Field(default="", max_length=63)
    event: str = Field(default="salesforce/updated", max_length=60)
    object: str = Field(default="Case", max_length=80)
    values: str = Field(default="", max_length=TEXT)
    old: str = Field(default="", max_length=TEXT)
    other: str = Field(default="", max_length=TEXT)
    made_by: str = Field(default="", max_length=200)
    agent: str = Field(default="", max_length=200)
    named: str = Field(default="", max_length=300)
    rules: Literal["today", "draft"] = "today"
    draft: str = Field(default="", max_length=TEXT)
    do: Literal["judge", "fetch"] = "judge"

    @property
    def source(self) -> Source:
        """Whose event it is."""
        return PAGERDUTY if self.event.startswith("pagerduty/") else SALESFORCE

    @property
    def type(self) -> str:
        """The event's type."""
        return self.event.partition("/")[2]


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of lint: its sentence with place, excerpt and hint, as in a terminal."""

    severity: str
    text: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What comes of it: a judgement, or a problem; findings about the draft either way."""

    judgement: Judgement | None = None
    problem: str = ""
    findings: Sequence[Finding] = ()
    more: int = 0


async def _of_bearable_size(request: Request) -> None:
    """Refuse what is too large before any of it is read."""
    length = request.headers.get("content-length", "")
    if not length.isdigit():
        raise HTTPException(411, "The form has no length.")
    if int(length) > BODY_BYTES:
        raise HTTPException(
            413, f"The form is larger than {BODY_BYTES // 1000} kB: leave out what no rule names."
        )


async def _asked(request: Request) -> Asked:
    form = await request.form()
    try:
        return Asked.model_validate(
            {name: value for name, value in form.items() if isinstance(value, str)}
        )
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_input=False, include_url=False)) from None


AskedForm = Annotated[Asked, Depends(_asked)]


@router.get("/playground")
def show(
    request: Request,
    viewer: ViewerDep,
    integration: Annotated[str, Query(max_length=63)] = "",
    event: Annotated[str, Query(max_length=500)] = "",
) -> Response:
    """The form with an example in it, or with what a recorded `event` was."""
    if event:
        asked = _recorded(viewer, event)
        return _page(request, viewer, viewer.integration(asked.integration), asked, Shown())
    chosen = viewer.chosen(integration)
    asked = Asked(integration=chosen.name, values=_text(EXAMPLE), old='{ "Priority": "Medium" }')
    return _page(request, viewer, chosen, asked, Shown())


def _recorded(viewer: Viewer, event_id: str) -> Asked:
    with opened.ledger().read() as c:
        stored = events.get_event(c, event_id)
    if stored is None or stored.integration not in viewer.integrations:
        raise HTTPException(404, f"There is no event '{event_id}'.")
    scene = scene_of(stored)
    asked = Asked(
        integration=stored.integration,
        event=f"{scene.source}/{scene.type}",
        object=scene.object,
        agent=scene.agent,
    )
    return _with(asked, scene)


@router.post("/playground", dependencies=[Depends(_of_bearable_size)])
def judge(request: Request, viewer: UnforgedDep, asked: AskedForm) -> Response:
    """The form again, with what was fetched or what the rules say. Nothing is changed anywhere."""
    chosen = viewer.chosen(asked.integration)
    if asked.type not in EVENT_TYPES[asked.source]:
        raise HTTPException(422, f"There is no event '{asked.event}'.")
    findings: list[Finding] = []
    try:
        with _reading(chosen) as run:
            rules = _rules(run, asked, findings)
            if asked.do == "fetch":
                viewer.demand("act", chosen)
                asked = _with(
                    asked, fetched(run, _scene(chosen, asked, empty=True), asked.named, rules)
                )
        judgement = judge_scene(_scene(chosen, asked), rules)
        shown = Shown(judgement=judgement)
    except SyncError as error:
        shown = Shown(problem=str(error))
    shown = replace(shown, findings=findings[:FINDINGS], more=max(0, len(findings) - FINDINGS))
    return _page(request, viewer, chosen, asked, shown)


def _page(
    request: Request, viewer: Viewer, chosen: Integration, asked: Asked, shown: Shown
) -> Response:
    return page(
        request,
        viewer,
        "playground.html",
        status=422 if shown.problem else 200,
        integration=chosen.name,
        asked=asked,
        shown=shown,
        event_types=EVENT_TYPES,
        may_fetch=viewer.may_act(chosen),
    )


@contextmanager
def _reading(integration: Integration) -> Iterator[Run]:
    """A run that leaves no trace: not even the API figures are kept."""
    run = opened.open_run(integration)
    try:
        yield run
    finally:
        run.close(keep_usage=False)


def _rules(run: Run, asked: Asked, findings: list[Finding]) -> CompiledRules:
    """Return the rules to judge by; lint on a draft goes into `findings`. Raises ConfigError for a broken draft."""
    if asked.rules == "today":
        return load_rulebook(run, record=False).compiled
    ruleset, diagnostics = load_text(asked.draft, DRAFT)
    findings += [_finding(one, asked.draft) for one in sorted(diagnostics, key=sort_key)]
    if ruleset is None:
        raise ConfigError("The draft cannot be used.", hint="Mend what is found below.")
    facts = {run.name: IntegrationFacts(run.integration.response_plays)}
    judged = replace(ruleset, enabled=True, integration=run.name)
    findings += [_finding(one, asked.draft) for one in lint_rulesets([judged], facts)]
    return compile_rules([judged], known_types(run.ledger, run.name))


def _finding(one: Diagnostic, text: str) -> Finding:
    return Finding(one.severity, render(one, text))


def _scene(integration: Integration, asked: Asked, *, empty: bool = False) -> Scene:
    """Return the scene that the form describes; `empty` leaves out the values, which are to be fetched."""
    scene = Scene(
        integration=integration.name,
        source=asked.source,
        type=asked.type,
        object=asked.object.strip(),
        values={},
        made_by=asked.made_by.strip(),
        agent=asked.agent.strip(),
    )
    if empty:
        if not asked.named.strip():
            raise ConfigError(
                "Fetch: nothing is named.", hint="Give an id, an address or a number."
            )
        return scene
    values = flat(asked.values, "Values")
    return replace(
        scene, values=values, old=flat(asked.old, "Before"), other=flat(asked.other, "Other side")
    )


def _with(asked: Asked, scene: Scene) -> Asked:
    told = {"values": _text(scene.values), "old": _text(scene.old), "other": _text(scene.other)}
    return asked.model_copy(update={**told, "made_by": scene.made_by})


def _text(values: Values) -> str:
    return json.dumps(dict(values), indent=2, ensure_ascii=False, default=str) if values else ""
