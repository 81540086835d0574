"""A V3 webhook as it arrives: the signature over its raw body, and the few words that a signal needs.

Shape and signature are those of the vendor's pages "Webhooks V3: Overview" and "Verifying Signatures".
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pd_sf_rules.connections import ConnectionSpec
from pd_sf_rules.systems.clock import parse_instant

SIGNATURE_HEADER = "X-PagerDuty-Signature"
VERSION = "v1="
UNKNOWN_TYPE = "unknown"

_EVENT_ID = re.compile(r"[\x21-\x7e]{1,128}")
_TYPE = re.compile(r"[a-z0-9_.\-]{1,100}")
_INCIDENT_ID = re.compile(r"[A-Za-z0-9]{1,32}")


@dataclass(frozen=True, slots=True)
class Signal:
    """What is kept of a webhook. `occurred_at` is None where the body does not tell it."""

    event_id: str
    type: str
    incident_id: str | None
    occurred_at: datetime | None


def webhook_secrets(spec: ConnectionSpec) -> tuple[str, ...]:
    """Return the secrets in a connection's extra `webhook_secret`: several, comma-separated, while rotating."""
    return tuple(one for one in map(str.strip, spec.text("webhook_secret").split(",")) if one)


def signature(body: bytes, secret: str) -> str:
    """Return what PagerDuty puts into the header for `secret`: `v1=` and the hex HMAC-SHA256 of the raw body."""
    return VERSION + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def is_signed(body: bytes, header: str, secrets: Iterable[str]) -> bool:
    """Say whether any of the header's values (comma-separated) signs `body` with any of the secrets.

    Every pair is compared, in constant time each, so that the time taken tells nothing about which one fits.
    A blank secret signs nothing.
    """
    presented = [one.strip().encode("utf-8", "replace") for one in header.split(",")]
    found = False
    for secret in secrets:
        expected = signature(body, secret).encode()
        for one in presented:
            found |= hmac.compare_digest(one, expected) and bool(secret)
    return found


def read_signal(body: bytes) -> Signal:
    """Return the signal in a body whose signature was checked; one that cannot be read is a signal all the same.

    Its id is then the digest of the body, so that it counts once.
    """
    event = _event(body)
    event_id, kind = event.get("id"), event.get("event_type")
    return Signal(
        event_id=_fitting(_EVENT_ID, event_id) or f"sha256:{hashlib.sha256(body).hexdigest()}",
        type=_fitting(_TYPE, kind) or UNKNOWN_TYPE,
        incident_id=_incident_id(event.get("data")),
        occurred_at=_instant(event.get("occurred_at")),
    )


def _event(body: bytes) -> Mapping[str, Any]:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    event = told.get("event") if isinstance(told, Mapping) else None
    return event if isinstance(event, Mapping) else {}


def _incident_id(data: Any) -> str | None:
    """Return the incident's id: of notes, responders and the like the incident is a member, not the thing itself."""
    if not isinstance(data, Mapping):
        return None
    incident = data.get("incident") if data.get("type") != "incident" else data
    return _fitting(_INCIDENT_ID, incident.get("id")) if isinstance(incident, Mapping) else None


def _instant(value: Any) -> datetime | None:
    try:
        return parse_instant(value) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None


def _fitting(shape: re.Pattern[str], value: Any) -> str | None:
    return value if isinstance(value, str) and shape.fullmatch(value) else None
