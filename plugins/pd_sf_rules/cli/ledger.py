"""Look after the ledger: the database of what was seen, decided and done.

Examples:
  pdsf ledger upgrade                 bring its tables to this version (every command does that too)
  pdsf ledger stats                   what it holds
  pdsf ledger prune                   forget what is older than log.retention_days of the integrations
  pdsf ledger prune --days 30         the same with another age

Pruning keeps everything that keeps an action from being done twice.
"""

import argparse
from datetime import UTC, datetime, timedelta
from typing import Any

from pd_sf_rules.cli.connecting import open_ledger_here
from pd_sf_rules.cli.instants import days
from pd_sf_rules.cli.printing import clock, print_json, show, table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("what", choices=["upgrade", "prune", "stats"])
    parser.add_argument("--days", type=days, metavar="N", help="for prune: keep the last N days")


def run(options: argparse.Namespace) -> int:
    """Upgrade, prune or count; return 0."""
    from pd_sf_rules.ledger import maintenance  # noqa: PLC0415 - database imports are slow

    ledger = open_ledger_here()
    try:
        if options.what == "upgrade":
            told: dict[str, Any] = {"database": ledger.name, "revision": ledger.upgrade()}
        elif options.what == "stats":
            told = maintenance.stats(ledger)
        else:
            before = datetime.now(UTC) - (options.days or _retention())
            told = {"before": before, "removed": maintenance.prune(ledger, before=before)}
    finally:
        ledger.close()
    if options.json:
        print_json(told)
    else:
        show(_TELL[options.what](told))
    return 0


def _retention() -> timedelta:
    """Return the longest retention of all integrations: one ledger serves them all."""
    from pd_sf_rules.settings import load_integrations  # noqa: PLC0415

    kept = (one.log.retention_days for one in load_integrations().values())
    return timedelta(days=max(kept))


def _upgraded(told: dict[str, Any]) -> str:
    return f"{told['database']} has revision {told['revision']}, the newest."


def _pruned(told: dict[str, Any]) -> str:
    removed = ", ".join(f"{count} {name}" for name, count in told["removed"].items())
    return f"Forgotten of what is older than {clock(told['before'])}: {removed}."


def _counted(told: dict[str, Any]) -> str:
    lines = [
        f"{told['database']}  revision {told['revision']}  {told['bytes'] / 1_000_000:.1f} MB",
        "",
        table(("table", "rows"), told["rows"].items()),
        "",
        table(("events", "count"), told["events"].items()),
        "",
        table(("actions", "count"), told["actions"].items()),
        "",
        f"oldest pending event: {told['oldest_pending_event'] or '-'}",
        f"oldest open action:   {told['oldest_open_action'] or '-'}",
    ]
    return "\n".join(lines)


_TELL = {"upgrade": _upgraded, "prune": _pruned, "stats": _counted}
