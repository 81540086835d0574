"""The one cheap question a trigger asks: did anything change since the last look, or is anything due?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pd_sf_rules.ledger import Ledger, actions
from pd_sf_rules.model import SALESFORCE, Source
from pd_sf_rules.pipeline.run import utc_now
from pd_sf_rules.rules.evaluator import compile_rules
from pd_sf_rules.rules.loader import load_folder
from pd_sf_rules.settings import Integration, rulesets_folder
from pd_sf_rules.systems.pagerduty.client import PagerDutyClient
from pd_sf_rules.systems.pagerduty.newest import newest_log_entries
from pd_sf_rules.systems.salesforce.changes import newest_changes
from pd_sf_rules.systems.salesforce.client import SalesforceClient

LOOK_BACK = timedelta(seconds=600)
"""From when rows are counted: a row that becomes visible late still changes the count."""

COMMENT_OBJECT = "CaseComment"

Seen = Mapping[str, Any]
Topics = frozenset[str]
RULES, NOTES = "rules", "notes"
NOTHING: Topics = frozenset()
EVERYTHING: Topics = frozenset({RULES, NOTES})


@dataclass(slots=True)
class SalesforceBell:
    """Counts the rows of every watched object since a fixed instant; one call a look."""

    integration: Integration
    open_client: Callable[[], SalesforceClient]
    _client: SalesforceClient | None = None
    _since: datetime | None = None
    _seen: Seen = field(default_factory=dict)
    _files: tuple[Any, ...] = ()
    _objects: tuple[str, ...] = ()

    def rang(self) -> Topics:
        """Return what changed since the last look; the first look rings for everything that is watched."""
        objects = self._watched()
        if not objects:
            return NOTHING
        client = self._client = self._client or self.open_client()
        now = client.server_now()
        first = self._since is None
        since = self._since or now - LOOK_BACK
        seen = newest_changes(client, objects, since)
        changed = {name for name in objects if first or seen.get(name) != self._seen.get(name)}
        if first or now - since > 2 * LOOK_BACK:
            since, seen = now - LOOK_BACK, newest_changes(client, objects, now - LOOK_BACK)
        self._since, self._seen = since, seen
        return frozenset(NOTES if name == COMMENT_OBJECT else RULES for name in changed)

    def close(self) -> None:
        """Forget the connection; the next look opens a new one."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _watched(self) -> tuple[str, ...]:
        folder = rulesets_folder()
        files = tuple((p.name, p.stat().st_mtime_ns, p.stat().st_size) for p in _yaml(folder))
        if files != self._files:
            self._files, self._objects = files, self._objects_of(folder)
        return self._objects

    def _objects_of(self, folder: Path) -> tuple[str, ...]:
        rulesets, _ = load_folder(folder)
        mine = [one for one in rulesets if one.enabled and one.integration == self.integration.name]
        objects = set(compile_rules(mine).objects())
        if self.integration.comments.salesforce_to_pagerduty:
            objects.add(COMMENT_OBJECT)
        return tuple(sorted(objects))


@dataclass(slots=True)
class PagerDutyBell:
    """Looks at the newest log entries; one call a look."""

    integration: Integration
    open_client: Callable[[], PagerDutyClient]
    _client: PagerDutyClient | None = None
    _seen: frozenset[str] | None = None

    def rang(self) -> Topics:
        """Return what the entries that are new since the last look are about; the first look rings for everything."""
        client = self._client = self._client or self.open_client()
        entries = newest_log_entries(client, client.server_now() - LOOK_BACK)
        seen, self._seen = self._seen, frozenset(entry.id for entry in entries)
        if seen is None:
            return EVERYTHING
        fresh = [entry for entry in entries if entry.id not in seen]
        if not fresh:
            return NOTHING
        noted = any(entry.raw_type.startswith(("annotate", "resolve")) for entry in fresh)
        more = len(fresh) == len(entries)  # a page full of news may hide a note behind it
        return EVERYTHING if noted or more else frozenset({RULES})

    def close(self) -> None:
        """Forget the connection; the next look opens a new one."""
        if self._client is not None:
            self._client.close()
            self._client = None


@dataclass(slots=True)
class DueBell:
    """Looks into the ledger for actions whose next try is due; rings once for each time that was set."""

    integration: Integration
    system: Source
    open_ledger: Callable[[], Ledger]
    _rung: frozenset[tuple[str, str, datetime]] = frozenset()

    def rang(self) -> Topics:
        """Return what became due since the last look."""
        now = utc_now()
        with self.open_ledger().read() as c:
            due = frozenset(
                (one.event_id, one.id, one.retry_at)
                for one in actions.open_actions(c, self.integration.name)
                if one.state == "pending" and one.retry_at is not None and one.retry_at <= now
            )
        news, self._rung = due - self._rung, due
        owners = {event_id.partition(":")[0] for event_id, _, _ in news}
        return frozenset({NOTES} & owners | ({RULES} if self.system in owners else set()))


Bell = SalesforceBell | PagerDutyBell


def bell_for(
    system: Source,
    integration: Integration,
    salesforce: Callable[[], SalesforceClient],
    pagerduty: Callable[[], PagerDutyClient],
) -> Bell:
    """Return the doorbell of one side of an integration."""
    if system == SALESFORCE:
        return SalesforceBell(integration, salesforce)
    return PagerDutyBell(integration, pagerduty)


def _yaml(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
