"""Sessions and API usage: who is logged in, and how much of the allowance is used."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sandbox.salesforce import errors
from sandbox.salesforce.org import ORG_ID, Actor, Org


@dataclass(slots=True)
class Sessions:
    """The access tokens of an org; a session lives on with every call, until its time-out."""

    org: Org
    _live: dict[str, tuple[str, datetime]] = field(default_factory=dict)  # token: user, last use

    def __post_init__(self) -> None:
        for token, (user_id, used) in self.org.disk.setting("sessions", {}).items():
            self._live[token] = (user_id, datetime.fromisoformat(used))

    def open(self, user_id: str) -> str:
        """Start a session and return its token."""
        token = f"{ORG_ID[:15]}!{secrets.token_urlsafe(48)}"
        self._live[token] = (user_id, self.org.exact_now())
        self._save()
        return token

    def actor(self, header: str) -> Actor:
        """Return the user behind an ``Authorization`` header. Raises ApiError 401."""
        scheme, _, token = header.partition(" ")
        found = self._live.get(token) if scheme.lower() in {"bearer", "oauth"} else None
        if found is None:
            raise errors.invalid_session()
        user_id, used = found
        now = self.org.exact_now()
        user = self.org.user(user_id)
        expired = now - used > timedelta(seconds=self.org.settings.session_seconds)
        if expired or user is None or not user.get("IsActive"):
            self.close(token)
            raise errors.invalid_session()
        self._live[token] = (user_id, now)
        return self.org.actor(user_id, person=False)

    def close(self, token: str) -> None:
        """End one session, if it lives."""
        self._live.pop(token, None)
        self._save()

    def kill_all(self) -> int:
        """End every session and return how many there were."""
        count = len(self._live)
        self._live.clear()
        self._save()
        return count

    def _save(self) -> None:
        body = {token: [user, used.isoformat()] for token, (user, used) in self._live.items()}
        self.org.disk.keep("sessions", body)
        self.org.disk.commit()


@dataclass(slots=True)
class Usage:
    """API calls by hour, because the allowance counts the last 24 hours."""

    org: Org
    _hours: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._hours = dict(self.org.disk.setting("usage", {}))

    def used(self) -> int:
        """Return the calls of the last 24 hours."""
        oldest = (self.org.exact_now() - timedelta(hours=24)).isoformat()[:13]
        self._hours = {hour: count for hour, count in self._hours.items() if hour > oldest}
        return sum(self._hours.values())

    def count(self, calls: int = 1) -> None:
        """Count calls. Raises ApiError 403 when none is left."""
        if self.used() + calls > self.org.settings.daily_allowance:
            raise errors.ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
        hour = self.org.exact_now().isoformat()[:13]
        self._hours[hour] = self._hours.get(hour, 0) + calls
        self._save()

    def set(self, used: int) -> None:
        """Pretend that so many calls have been made."""
        self._hours = {self.org.exact_now().isoformat()[:13]: used}
        self._save()

    def header(self) -> str:
        """Return the ``Sforce-Limit-Info`` header."""
        text = f"api-usage={self.used()}/{self.org.settings.daily_allowance}"
        if self.org.settings.app_allowance is not None:
            part = f"{self.used()}/{self.org.settings.app_allowance}"
            text += f"; per-app-api-usage={part}(appName=sample-connected-app)"
        return text

    def limits(self) -> dict[str, Any]:
        """Return the body of ``/limits``."""
        most = self.org.settings.daily_allowance
        left = max(0, most - self.used())
        return {
            "DailyApiRequests": {"Max": most, "Remaining": left},
            "DailyAsyncApexExecutions": {"Max": 250_000, "Remaining": 250_000},
            "DataStorageMB": {"Max": 1024, "Remaining": 1000},
            "HourlyPublishedPlatformEvents": {"Max": 50_000, "Remaining": 50_000},
        }

    def _save(self) -> None:
        self.org.disk.keep("usage", self._hours)
        self.org.disk.commit()
