"""What a draft ruleset would have done with recorded events, beside what really happened. Writes nothing.

Examples:
  pdsf simulate --ruleset draft.yaml --since 7d
  pdsf simulate --ruleset draft.yaml --since 2026-11-01 --until 2026-11-08 --against 'Critical cases'
  pdsf simulate --shadow --since 7d                   what rulesets with mode: shadow would have done

The draft is judged as if it were enabled. It is compared with the recorded doings of the ruleset of the same
name, or of the one that --against names. Only the ledger is read: neither service is asked anything. A rule
that names a field which no rule named then cannot be judged, and is counted as undecided.
"""

import argparse
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pd_sf_rules.cli.connecting import open_ledger_here
from pd_sf_rules.cli.instants import HELP, instant
from pd_sf_rules.cli.printing import clock, print_json, show, shown, table
from pd_sf_rules.cli.usage import UsageError, existing
from pd_sf_rules.errors import RulesetError

if TYPE_CHECKING:
    from pd_sf_rules.model import Action
    from pd_sf_rules.pipeline.shadow import ShadowReport
    from pd_sf_rules.pipeline.simulate import Difference, Simulation
    from pd_sf_rules.rules.ruleset import Ruleset

SHOWN = 20
HEADINGS = {
    "new": "New: it would act, and did not then",
    "gone": "Gone: it acted then, and would not",
    "changed": "Changed: it acts as then, but differently",
    "undecided": "Undecided: a field it names was not recorded then",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--ruleset", type=Path, metavar="FILE", help="the draft")
    what.add_argument(
        "--shadow",
        nargs="?",
        const="",
        metavar="NAME",
        help="compare what rulesets in shadow mode recorded (or the one of that name)",
    )
    parser.add_argument("--since", type=instant, required=True, metavar="T", help=HELP)
    parser.add_argument("--until", type=instant, metavar="T", help=f"{HELP} (default: now)")
    parser.add_argument("--against", default="", metavar="NAME", help="compare with this ruleset")
    parser.add_argument("--integration", default="default", metavar="N", help="for --shadow")
    parser.add_argument("--all", action="store_true", help=f"list all, not the first {SHOWN} each")


def run(options: argparse.Namespace) -> int:
    """Simulate; return 0. Raises RulesetError when the draft cannot be used."""
    from pd_sf_rules.pipeline.shadow import shadow_reports  # noqa: PLC0415
    from pd_sf_rules.pipeline.simulate import forgotten_until, simulate  # noqa: PLC0415

    until = options.until or datetime.now(UTC)
    if until < options.since:
        raise UsageError("--until comes before --since.")
    draft = _draft(options.ruleset) if options.ruleset else None
    window = {"since": options.since, "until": until, "against": options.against}
    ledger = open_ledger_here()
    try:
        if draft is not None:
            simulation = simulate(ledger, draft, **window)
        else:
            reports = shadow_reports(ledger, options.integration, ruleset=options.shadow, **window)
            gone = forgotten_until(ledger, options.integration, options.since)
    finally:
        ledger.close()
    limit = None if options.all else SHOWN
    if draft is not None and options.json:
        print_json(_simulation_json(simulation))
    elif draft is not None:
        show("\n".join(_simulation_told(simulation, limit)))
    elif options.json:
        told = [_shadow_json(one) for one in reports]
        print_json({"shadow": told, "forgotten_until": gone})
    else:
        show("\n".join([*_forgotten(gone), *_shadow_told(reports, limit)]))
    return 0


def _draft(path: Path) -> "Ruleset":
    from pd_sf_rules.rules.diagnostics import render_human  # noqa: PLC0415
    from pd_sf_rules.rules.loader import load_text, read_text  # noqa: PLC0415

    text, problem = read_text(existing(path))
    ruleset, found = load_text(text, str(path)) if text is not None else (None, ())
    if ruleset is None:
        wrong = [problem] if problem else list(found)
        raise RulesetError(render_human(wrong, {str(path): text or ""}))
    return ruleset


def _simulation_json(simulation: "Simulation") -> dict[str, Any]:
    outcomes = [one.outcome for one in simulation.differences]
    return {
        "ruleset": simulation.draft.name,
        "ruleset_version": simulation.draft.version,
        "against": simulation.against,
        "since": simulation.since,
        "until": simulation.until,
        "forgotten_until": simulation.forgotten_until,
        "events": simulation.judged,
        "counts": {name: outcomes.count(name) for name in ("same", *HEADINGS)},  # type: ignore[arg-type]
        "differences": [_difference_json(d) for d in simulation.differences],
    }


def _difference_json(one: "Difference") -> dict[str, Any]:
    return {
        "outcome": one.outcome,
        "event": one.event.id,
        "occurred_at": one.event.occurred_at,
        "record": one.event.record_id,
        "incident": one.event.incident_id,
        "rule": one.rule,
        "reason": one.reason,
        "missing": one.missing,
        "planned": [{"action": a.kind, "params": a.params} for a in one.planned],
        "done": [
            {"action": a.kind, "params": a.params, "outcome": a.state, "target": a.target}
            for a in one.done
        ],
    }


def _simulation_told(simulation: "Simulation", limit: int | None) -> Iterator[str]:
    draft = simulation.draft
    span = f"{clock(simulation.since)} to {clock(simulation.until)}"
    yield f"Draft '{draft.name}' (version {draft.version}) over {simulation.judged} events, {span},"
    yield f"beside what '{simulation.against}' did then:"
    yield from _forgotten(simulation.forgotten_until)
    yield ""
    names = dict.fromkeys([rule.name for rule in draft.rules])
    names |= dict.fromkeys(one.rule for one in simulation.differences)
    count = simulation.count
    rows = [
        (
            name,
            count(name, "same", "changed", "gone"),
            count(name, "same", "changed", "new"),
            *(count(name, one) for one in ("new", "gone", "changed", "undecided")),
        )
        for name in names
    ]
    yield table(("rule", "fired then", "fires now", "new", "gone", "changed", "undecided"), rows)
    for outcome, heading in HEADINGS.items():
        found = [one for one in simulation.differences if one.outcome == outcome]
        if found:
            yield ""
            yield f"{heading} ({len(found)})"
        for one in found[:limit]:
            yield from _difference_told(one)
        yield from _and_more(found, limit)
    if not simulation.differences:
        yield ""
        yield "No rule of it fires, and none of that name fired."


def _forgotten(until: datetime | None) -> Iterator[str]:
    """Say that the time asked for begins before what the ledger still knows."""
    if until is not None:
        yield f"What happened up to {clock(until)} was pruned (log.retention_days): it is not counted here."


def _difference_told(one: "Difference") -> Iterator[str]:
    about = one.event.record_id or f"incident {one.event.incident_id}"
    yield f"  {clock(one.event.occurred_at)}  {about}  {one.rule}: {one.reason}  [{one.event.id}]"
    for action in one.planned:
        yield f"      would: {_action_told(action)}"
    for done in one.done:
        yield f"      did:   {_action_told(done)}: {done.state} -> {done.target or '-'}"


def _action_told(action: "Action") -> str:
    params = ", ".join(f"{name} {_value(value)}" for name, value in action.params.items())
    return f"{action.kind} ({params})" if params else action.kind


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {shown(v)}" for k, v in value.items()) + "}"
    return shown(value)


def _and_more(found: Sequence[Any], limit: int | None) -> Iterator[str]:
    if limit is not None and len(found) > limit:
        yield f"  ... and {len(found) - limit} more; --all lists them."


def _shadow_json(report: "ShadowReport") -> dict[str, Any]:
    return {
        "ruleset": report.ruleset,
        "events": report.judged,
        "matched": report.matched,
        "counts": {n: report.count(n) for n in ("agree", "differ", "only_shadow", "only_live")},
        "actions": [
            {
                "standing": one.standing,
                "event": one.event.id,
                "occurred_at": one.event.occurred_at,
                "record": one.event.record_id,
                "incident": one.event.incident_id,
                "shadow": _side(one.shadow),
                "live": _side(one.live),
            }
            for one in report.compared
        ],
    }


def _side(action: Any) -> dict[str, Any] | None:
    if action is None:
        return None
    facts = ("ruleset", "ruleset_version", "rule", "kind", "params", "state", "target")
    return {name: getattr(action, name) for name in facts}


def _shadow_told(reports: Sequence["ShadowReport"], limit: int | None) -> Iterator[str]:
    if not reports:
        yield "No ruleset in shadow mode judged an event in that time."
        return
    standings: tuple[Any, ...] = ("agree", "differ", "only_shadow", "only_live")
    rows = [(r.ruleset, r.judged, r.matched, *(r.count(s) for s in standings)) for r in reports]
    yield table(
        ("shadow ruleset", "events", "matched", "agree", "differ", "only shadow", "only live"), rows
    )
    for report in reports:
        odd = [one for one in report.compared if one.standing != "agree"]
        if odd:
            yield ""
            yield f"{report.ruleset}: where it differs from what was done ({len(odd)})"
        for one in odd[:limit]:
            about = one.event.record_id or f"incident {one.event.incident_id}"
            yield f"  {clock(one.event.occurred_at)}  {about}  [{one.event.id}]"
            if one.shadow:
                yield f"      shadow: {one.shadow.rule}: {_action_told(one.shadow)}"
            if one.live:
                did = f"{one.live.state} -> {one.live.target or '-'}"
                yield f"      live:   {one.live.ruleset} / {one.live.rule}: {_action_told(one.live)}: {did}"
        yield from _and_more(odd, limit)
