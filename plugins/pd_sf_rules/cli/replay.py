"""Try failed actions again, or read a window again. Safe to repeat: nothing is done twice.

Examples:
  pdsf replay --failed                                 every failed action
  pdsf replay --action ID                              one failed or waiting action
  pdsf replay --record 5003X00002AbCdEQAV              what failed or waits for one record and its incidents
  pdsf replay --since 2026-11-22T20:00Z --until 2h     read a missed window again, as a backfill does
  pdsf replay --since 7d --reevaluate                  recorded events under today's rules: new actions only
  pdsf replay --failed --dry-run                       only show what would be done

It first shows what it will do. At a terminal it then asks; in a script (no terminal) or with --yes it goes on.

Exit codes: 0 done; 3 done, but an action failed or waits again; 1 the command failed; 2 wrong usage.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pd_sf_rules.cli import confirming
from pd_sf_rules.cli.connecting import open_ledger_here
from pd_sf_rules.cli.instants import HELP, instant
from pd_sf_rules.cli.printing import print_json, show, table
from pd_sf_rules.cli.usage import UsageError

if TYPE_CHECKING:
    from pd_sf_rules.errors import SyncError
    from pd_sf_rules.ledger import Ledger
    from pd_sf_rules.model import Action, Window
    from pd_sf_rules.pipeline.run import Direction, Run
    from pd_sf_rules.settings import Integration

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--failed", action="store_true", help="every failed action")
    which.add_argument("--action", nargs="+", metavar="ID", help="these actions")
    which.add_argument("--record", metavar="ID", help="what failed or waits for a record")
    which.add_argument("--since", type=instant, metavar="T", help=HELP)
    parser.add_argument("--until", type=instant, metavar="T", help=f"{HELP} (default: now)")
    parser.add_argument(
        "--reevaluate",
        action="store_true",
        help="with --since or --record: judge recorded events by today's rules, reading no window",
    )
    parser.add_argument("--integration", metavar="N", help="only this one (default: all)")
    parser.add_argument(
        "--direction",
        choices=["salesforce", "pagerduty", "notes", "both"],
        default="both",
        help="with --since: the side whose changes are read again",
    )
    confirming.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Replay; return 0, 3 when an action failed or waits again, 1 when a side could not be read."""
    from pd_sf_rules.settings import load_integration, load_integrations  # noqa: PLC0415

    _check(options)
    integrations = list(load_integrations().values())
    if options.integration:
        integrations = [load_integration(options.integration)]
    ledger = open_ledger_here()
    try:
        if options.reevaluate:
            return _reevaluate(options, ledger, integrations)
        if options.since:
            return _window(options, ledger, integrations)
        return _actions(options, ledger, integrations)
    finally:
        ledger.close()


def _check(options: argparse.Namespace) -> None:
    if options.until and not options.since:
        raise UsageError("--until needs --since.")
    if options.reevaluate and not (options.since or options.record):
        raise UsageError("--reevaluate needs --since or --record.")
    if options.since and (options.until or datetime.now(UTC)) < options.since:
        raise UsageError("--until comes before --since.")


def _actions(
    options: argparse.Namespace, ledger: "Ledger", integrations: Sequence["Integration"]
) -> int:
    """Queue failed and waiting actions anew, integration by integration."""
    from pd_sf_rules.pipeline import replay  # noqa: PLC0415
    from pd_sf_rules.pipeline.identifiers import find_record  # noqa: PLC0415

    record = ""
    if options.record:
        with ledger.read() as c:
            record = find_record(c, options.record)
    asked = replay.actions_to_replay(ledger, options.action) if options.action else []
    wanted: list[tuple[Integration, list[Any]]] = []
    for one in integrations:
        found = [action for action in asked if action.integration == one.name]
        if options.failed:
            found = replay.failed_actions(ledger, one.name)
        elif record:
            found = replay.actions_of_record(ledger, one.name, record)
        if found:
            wanted.append((one, found))
    planned = [action for _, found in wanted for action in found]
    if not _go_on(options, planned, f"Replay {len(planned)} action(s)?"):
        return 0
    runs: list[dict[str, Any]] = []
    for one, found in wanted:
        with _opened(one, ledger) as opened:
            runs += replay.replay_actions(opened, found)
    return _finish(options, runs)


def _window(
    options: argparse.Namespace, ledger: "Ledger", integrations: Sequence["Integration"]
) -> int:
    """Read a window again, after a look at what that would do."""
    from pd_sf_rules.model import Window  # noqa: PLC0415
    from pd_sf_rules.pipeline.replay import check_kept, replay_window  # noqa: PLC0415

    for one in integrations:
        check_kept(ledger, one.name, options.since)
    until = options.until or datetime.now(UTC)
    window = Window(options.since, until, moves_cursor=False)
    if options.dry_run or (sys.stdin.isatty() and not options.yes):
        previews = _previewed(options, ledger, integrations, window)
        if options.dry_run:
            return _finish(options, previews, dry_run=True)
        show(_runs_told(previews))
    if not confirming.confirmed(options, "Go on?"):
        return 0
    runs: list[dict[str, Any]] = []
    errors: list[SyncError] = []
    for one in integrations:
        for direction in _directions(options, one):
            with _opened(one, ledger) as opened:
                told, error = replay_window(opened, direction, window)
            runs.append(told)
            errors += [error] if error else []
    return _finish(options, runs, errors)


def _previewed(
    options: argparse.Namespace,
    ledger: "Ledger",
    integrations: Sequence["Integration"],
    window: "Window",
) -> list[dict[str, Any]]:
    from pd_sf_rules.pipeline.preview import preview  # noqa: PLC0415

    previews: list[dict[str, Any]] = []
    for one in integrations:
        for direction in _directions(options, one):
            if direction == "notes":
                continue  # notes are copied by policy: there are no rules to try
            with _opened(one, ledger) as opened:
                previews.append(preview(opened, direction, given=window))
    return previews


def _reevaluate(
    options: argparse.Namespace, ledger: "Ledger", integrations: Sequence["Integration"]
) -> int:
    """Judge recorded events by the rules in force now."""
    from pd_sf_rules.pipeline.identifiers import find_record  # noqa: PLC0415
    from pd_sf_rules.pipeline.replay import (  # noqa: PLC0415
        check_kept,
        judge_again,
        plan_again,
    )

    if options.since:
        for one in integrations:
            check_kept(ledger, one.name, options.since)
    record = None
    if options.record:
        with ledger.read() as c:
            record = find_record(c, options.record)
    since = options.since or EARLIEST
    until = options.until or datetime.now(UTC)
    found: list[tuple[Integration, list[Any]]] = []
    for one in integrations:
        with _opened(one, ledger) as opened:
            again = judge_again(opened, since=since, until=until, record_id=record)
        if again:
            found.append((one, again))
    planned = [action for _, again in found for event in again for action in event.actions]
    if not _go_on(options, planned, f"Do {len(planned)} new action(s)?"):
        return 0
    runs: list[dict[str, Any]] = []
    for one, again in found:
        with _opened(one, ledger) as opened:
            runs += plan_again(opened, again)
    return _finish(options, runs)


def _opened(integration: "Integration", ledger: "Ledger") -> "Run":
    from pd_sf_rules.cli.connecting import connect  # noqa: PLC0415
    from pd_sf_rules.pipeline.opening import open_run  # noqa: PLC0415

    return open_run(integration, ledger, connect=connect)


def _directions(options: argparse.Namespace, integration: "Integration") -> list["Direction"]:
    if options.direction != "both":
        return [options.direction]
    crossing = integration.comments
    notes = crossing.salesforce_to_pagerduty or crossing.pagerduty_to_salesforce
    return ["salesforce", "pagerduty", "notes"] if notes else ["salesforce", "pagerduty"]


def _go_on(options: argparse.Namespace, planned: Sequence["Action"], question: str) -> bool:
    """Show the plan and say whether to do it; a dry run, and a plan without actions, end here."""
    if options.json and (options.dry_run or not planned):
        listed = [_action_json(one) for one in planned]
        print_json({"dry_run": options.dry_run, "actions": listed, "runs": []})
    elif not options.json:
        show("\n".join(_planned_told(planned)))
    return bool(planned) and confirming.confirmed(options, question)


def _action_json(action: Any) -> dict[str, Any]:
    facts = ("id", "integration", "ruleset", "ruleset_version", "rule", "kind", "params")
    return {
        **{name: getattr(action, name) for name in facts},
        "event": action.event_id,
        "record": action.record_id,
        "incident": action.incident_id,
        "state": getattr(action, "state", "new"),
        "message": getattr(action, "message", ""),
    }


def _planned_told(planned: Sequence[Any]) -> Iterator[str]:
    if not planned:
        yield "Nothing to do."
        return
    rows = [
        (
            getattr(one, "state", "new"),
            one.kind,
            f"{one.ruleset} / {one.rule}",
            one.record_id or one.incident_id,
            getattr(one, "message", ""),
        )
        for one in planned
    ]
    yield table(("state", "action", "rule", "of", "said"), rows)


def _runs_told(runs: Sequence[dict[str, Any]]) -> str:
    from pd_sf_rules.cli.sync import runs_table  # noqa: PLC0415

    return runs_table(runs)


def _finish(
    options: argparse.Namespace,
    runs: Sequence[dict[str, Any]],
    errors: Sequence["SyncError"] = (),
    *,
    dry_run: bool = False,
) -> int:
    if options.json:
        print_json({"dry_run": dry_run, "runs": runs})
    else:
        show(_runs_told(runs))
    for error in errors:
        print(f"pdsf: {error}", file=sys.stderr)
    if errors:
        return 1
    return 3 if any(one["counts"]["failed"] for one in runs) else 0
