"""Actions that failed or wait for their next try, by cause, with the server's words and what to do.

Examples:
  pdsf errors
  pdsf errors --json
  pdsf errors --discard ACTION [ACTION ...]       give up on actions; what waits behind them goes on
  pdsf errors --release 'Critical cases / Page'   let a storm's incidents go out at the next sync
  pdsf errors --summary 'Critical cases / Page'   create one incident for all that a storm holds
  pdsf errors --drop 'Critical cases / Page'      give up on all that a storm holds

Exit codes: 0 nothing failed (something may wait); 3 actions failed for good or are held by a breaker;
1 the command failed.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pd_sf_rules.cli.connecting import open_ledger_here
from pd_sf_rules.cli.printing import clock, print_json, show
from pd_sf_rules.errors import ConfigError

if TYPE_CHECKING:
    from pd_sf_rules.ledger import Ledger
    from pd_sf_rules.pipeline.troubles import Trouble

SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--integration", metavar="N", help="only this one (default: all)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--discard", nargs="+", metavar="ACTION", help="give up on these actions")
    what.add_argument("--release", metavar="STORM", help="let what a breaker holds go out")
    what.add_argument("--summary", metavar="STORM", help="one incident for all a breaker holds")
    what.add_argument("--drop", metavar="STORM", help="give up on what a breaker holds")
    parser.add_argument("--all", action="store_true", help=f"list all, not the first {SHOWN} each")


def run(options: argparse.Namespace) -> int:
    """List what is wrong; return 3 when an action is failed, else 0."""
    from pd_sf_rules.pipeline.troubles import troubles  # noqa: PLC0415
    from pd_sf_rules.settings import load_integration, load_integrations  # noqa: PLC0415

    names = list(load_integrations())
    if options.integration:
        names = [load_integration(options.integration).name]
    ledger = open_ledger_here()
    try:
        if options.discard:
            return _discard(ledger, options)
        if options.release or options.summary or options.drop:
            return _decide(ledger, options, names)
        every = options.all or options.json
        found = troubles(ledger, names, each=None if every else SHOWN)
    finally:
        ledger.close()
    counts = {"failed": sum(t.failed for t in found), "held": sum(t.held for t in found)}
    counts["waiting"] = sum(t.count for t in found) - sum(counts.values())
    if options.json:
        print_json({**counts, "errors": [_as_json(one) for one in found]})
    else:
        show("\n".join(_told(found, counts)))
    return 3 if counts["failed"] or counts["held"] else 0


def _decide(ledger: "Ledger", options: argparse.Namespace, names: Sequence[str]) -> int:
    """Carry out what a person decides about a storm."""
    from pd_sf_rules.cli.connecting import connect  # noqa: PLC0415
    from pd_sf_rules.pipeline import storms  # noqa: PLC0415
    from pd_sf_rules.pipeline.opening import open_run  # noqa: PLC0415
    from pd_sf_rules.settings import load_integration  # noqa: PLC0415

    storm = options.release or options.summary or options.drop
    touched = 0
    incidents: list[str] = []
    for name in names:
        with open_run(load_integration(name), ledger, connect=connect) as one:
            if options.release:
                touched += storms.release(one, storm)
            elif options.drop:
                touched += storms.discard(one, storm, reason="by hand (pdsf errors --drop)")
            elif made := storms.release_as_summary(one, storm):
                incidents.append(made)
    if not touched and not incidents:
        hint = "`pdsf errors` lists them with their names."
        raise ConfigError(f"No breaker holds a storm '{storm}'.", hint=hint)
    done = "released" if options.release else "dropped" if options.drop else "summarised"
    if options.json:
        print_json({"storm": storm, "decision": done, "actions": touched, "incidents": incidents})
    elif options.summary:
        show(f"One incident for all of them: {', '.join(incidents)}.")
    else:
        then = " The next sync carries them out." if options.release else ""
        show(f"{touched} {done}.{then}")
    return 0


def _discard(ledger: "Ledger", options: argparse.Namespace) -> int:
    from pd_sf_rules.pipeline.troubles import discard  # noqa: PLC0415

    gone = discard(ledger, options.discard, reason="discarded by hand (pdsf errors --discard)")
    left = [one for one in options.discard if one not in gone]
    if options.json:
        print_json({"discarded": sorted(gone), "left": left})
    else:
        show(f"{len(gone)} discarded.")
    if left:
        hint = "Only failed and waiting actions can be discarded; `pdsf errors` lists them."
        raise ConfigError(f"Not discarded: {', '.join(left)}.", hint=hint)
    return 0


def _as_json(trouble: "Trouble") -> dict[str, Any]:
    return {
        "error_kind": trouble.error_kind,
        "action": trouble.kind,
        "ruleset": trouble.ruleset,
        "rule": trouble.rule,
        "message": trouble.words,
        "fix": trouble.fix,
        "count": trouble.count,
        "failed": trouble.failed,
        "held": trouble.held,
        "storm": trouble.storm,
        "waiting_behind": trouble.behind,
        "next_try": trouble.next_try,
        "actions": [
            {
                "id": one.id,
                "integration": one.integration,
                "event": one.event_id,
                "object": one.object,
                "record": one.record_id,
                "incident": one.incident_id,
                "state": one.state,
                "attempt": one.attempt,
                "message": one.message,
                "next_try": one.retry_at,
                "updated_at": one.updated_at,
            }
            for one in trouble.actions
        ],
    }


def _told(found: Sequence["Trouble"], counts: Mapping[str, int]) -> Iterator[str]:
    if not found:
        yield "Nothing failed, and nothing waits for another try."
        return
    held = f"{counts['held']} held by a breaker, " if counts["held"] else ""
    yield f"{counts['failed']} failed, {held}{counts['waiting']} waiting for another try."
    for trouble in found:
        yield ""
        yield f"{trouble.kind} of {trouble.ruleset} / {trouble.rule} ({trouble.error_kind})"
        yield f"  {trouble.words}"
        yield f"  fix: {trouble.fix}"
        if trouble.storm:
            yield f"  storm: {trouble.storm}"
        if trouble.behind:
            yield f"  {trouble.behind} more of the same rule wait behind."
        for one in trouble.actions:
            about = (
                f"{one.object} {one.record_id}" if one.record_id else f"incident {one.incident_id}"
            )
            then = "" if one.state == "failed" else f", next try {clock(one.retry_at)}"
            stands = "held" if trouble.storm else one.state
            yield (
                f"    {stands:<8} {about}  action {one.id}, attempt {one.attempt},"
                f" {clock(one.updated_at)}{then}"
            )
        if trouble.count > len(trouble.actions):
            yield f"    ... and {trouble.count - len(trouble.actions)} more; --all lists them."
