"""What a step read and wrote, as data sets of a lineage graph: addresses and counts, no field of any record."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pd_sf_rules.ledger import actions, cursors
from pd_sf_rules.ledger.actions import StoredAction
from pd_sf_rules.model import SALESFORCE
from pd_sf_rules.pipeline.pull_notes import COMMENT_STREAM, NOTE_STREAM
from pd_sf_rules.pipeline.pulled import Pulled
from pd_sf_rules.pipeline.rulebook import load_rulebook
from pd_sf_rules.pipeline.run import ADDRESS, Direction, Run
from pd_sf_rules.planning import kinds

MOST = 1000
"""Most actions of a run that are counted: their objects and rulesets repeat themselves long before."""

COMMENT, LOG_ENTRIES, NOTES, INCIDENTS = "CaseComment", "log_entries", "notes", "incidents"
UNKNOWN_ORG = "unknown"
"""Stands for the org's host where no login of this run or an earlier one told it."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """One data set: `namespace` says where ("salesforce://acme.my.salesforce.com"), `name` what ("Case").

    `rows` counts what this step read of it or wrote to it, None where that is not counted.
    """

    namespace: str
    name: str
    rows: int | None = None

    @property
    def uri(self) -> str:
        """The address of an Airflow asset."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Touched:
    """What one step read and wrote; `facts` are integration, counts, windows and ruleset versions."""

    inputs: Sequence[Dataset]
    outputs: Sequence[Dataset]
    facts: Mapping[str, Any]


def of_pull(run: Run, direction: Direction, pulled: Sequence[Pulled]) -> Touched:
    """Return the streams that were read, and the ledger's inbox."""
    new = sum(one.new for one in pulled)
    windows = {
        one.stream: [one.window.start.isoformat(), one.window.end.isoformat()] for one in pulled
    }
    facts = {**_facts(run, direction, {"pulled": new}), "windows": windows}
    read = [_of_stream(run, one) for one in pulled]
    return Touched(read, [_ledger(run, "events", new)], facts)


def of_evaluation(run: Run, direction: Direction, counts: Mapping[str, int]) -> Touched:
    """Return the inbox, the outbox, and every ruleset that judged."""
    judged = load_rulebook(run, record=False).rulesets
    versions = {one.name: one.version for one in judged}
    return Touched(
        [_ledger(run, "events", counts.get("evaluated", 0))],
        [_ledger(run, "actions", counts.get("planned", 0))],
        {**_facts(run, direction, counts), "rulesets": versions},
    )


def of_application(run: Run, direction: Direction, counts: Mapping[str, int]) -> Touched:
    """Return the outbox, what was written to either system, and the rulesets whose rules it was."""
    with run.ledger.read() as c:
        touched = actions.actions_of_run(c, run.name, run.id, limit=MOST)
    applied = Counter(_written(run, one) for one in touched if one.state == "applied")
    facts = {**_facts(run, direction, counts), "rulesets": _versions(touched)}
    wrote = [Dataset(*place, rows) for place, rows in sorted(applied.items())]
    return Touched([_ledger(run, "actions", len(touched))], wrote, facts)


def of_report(run: Run, told: Mapping[str, Any]) -> Touched:
    """Return the outbox and the ledger's runs, with the counts of the whole run."""
    versions = {one["ruleset"]: one["ruleset_version"] for one in told["actions"]}
    facts = {**_facts(run, told["direction"], told["counts"]), "rulesets": versions}
    return Touched([_ledger(run, "actions")], [_ledger(run, "runs", 1)], facts)


def _facts(run: Run, direction: Direction, counts: Mapping[str, int]) -> dict[str, Any]:
    return {
        "integration": run.name,
        "direction": direction,
        "run_id": run.id,
        "counts": dict(counts),
    }


def _versions(touched: Iterable[StoredAction]) -> dict[str, str]:
    return {one.ruleset: one.ruleset_version for one in touched if one.ruleset_version}


def _ledger(run: Run, table: str, rows: int | None = None) -> Dataset:
    return Dataset("pdsf://ledger", f"{run.name}/{table}", rows)


def _of_stream(run: Run, pulled: Pulled) -> Dataset:
    if pulled.stream == COMMENT_STREAM:
        return Dataset(_salesforce(run), COMMENT, pulled.new)
    if pulled.stream == NOTE_STREAM:
        return Dataset(*_pagerduty(run, NOTES), pulled.new)
    system, _, name = pulled.stream.partition(":")
    if system == SALESFORCE:
        return Dataset(_salesforce(run), name, pulled.new)
    return Dataset(*_pagerduty(run, LOG_ENTRIES), pulled.new)


def _written(run: Run, action: StoredAction) -> tuple[str, str]:
    """Return namespace and name of what an action writes to."""
    if kinds.WRITES_TO[action.kind] != SALESFORCE:
        noted = action.kind in {kinds.ADD_NOTE, kinds.COPY_COMMENT}
        return _pagerduty(run, NOTES if noted else INCIDENTS)
    if action.kind in {kinds.POST_COMMENT, kinds.COPY_NOTE}:
        return _salesforce(run), COMMENT
    return _salesforce(run), str(action.params.get("object") or action.object or "records")


def _salesforce(run: Run) -> str:
    """Name the org: by this run's login, else as the ledger knows it."""
    address = run.salesforce.address
    if not address:
        with run.ledger.read() as c:
            kept = cursors.get_cursor(c, run.name, ADDRESS)
        address = str(kept.extra.get("url") or "") if kept else ""
    return f"salesforce://{_host(address) or UNKNOWN_ORG}"


def _pagerduty(run: Run, name: str) -> tuple[str, str]:
    """Name the account by host and connection: its own name is in no address of the API."""
    address = _host(run.pagerduty.address)
    return f"pagerduty://{address}", f"{run.integration.pagerduty_conn_id}/{name}"


def _host(url: str) -> str:
    """Return host and port of a URL, without what else it may hold."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or ""
