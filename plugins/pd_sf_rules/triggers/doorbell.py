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
from pd_sf_rules.systems.pagerduty.changes import newest_log_entry
from pd_sf_rules.systems.pagerduty.client import PagerDutyClient
from pd_sf_rules.systems.salesforce.changes import newest_changes
from pd_sf_rules.systems.salesforce.client import SalesforceClient

LOOK_BACK = timedelta(seconds=600)
"""From when rows are counted: a row that becomes visible late still changes the count."""

COMMENT_OBJECT = "CaseComment"

Seen = Mapping[str, Any]


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

    def rang(self) -> bool:
        """Say whether a watched object changed since the last look; the first look always rings."""
        objects = self._watched()
        if not objects:
            return False
        client = self._client = self._client or self.open_client()
        now = client.server_now()
        first = self._since is None
        since = self._since or now - LOOK_BACK
        seen = newest_changes(client, objects, since)
        changed = first or seen != self._seen
        if first or now - since > 2 * LOOK_BACK:
            since, seen = now - LOOK_BACK, newest_changes(client, objects, now - LOOK_BACK)
        self._since, self._seen = since, seen
        return changed

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
    """Asks for the newest log entry; one call a look."""

    integration: Integration
    open_client: Callable[[], PagerDutyClient]
    _client: PagerDutyClient | None = None
    _seen: Any = None
    _looked: bool = False

    def rang(self) -> bool:
        """Say whether there is a newer log entry than at the last look; the first look always rings."""
        client = self._client = self._client or self.open_client()
        newest = newest_log_entry(client, client.server_now() - LOOK_BACK)
        changed = not self._looked or (newest is not None and newest != self._seen)
        self._looked = True
        self._seen = newest or self._seen
        return changed

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
    _rung: frozenset[tuple[str, datetime]] = frozenset()

    def rang(self) -> bool:
        """Say whether an action of this side became due since the last look."""
        prefixes = (f"{self.system}:", "notes:")
        now = utc_now()
        with self.open_ledger().read() as c:
            due = frozenset(
                (one.id, one.retry_at)
                for one in actions.open_actions(c, self.integration.name)
                if one.state == "pending" and one.retry_at is not None and one.retry_at <= now
                if one.event_id.startswith(prefixes)
            )
        news = due - self._rung
        self._rung = due
        return bool(news)


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
