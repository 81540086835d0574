"""Incidents as flat values, named as rulesets name them."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from pd_sf_rules.errors import RefusedError, RetryableError, SkippableError
from pd_sf_rules.model import Values
from pd_sf_rules.systems.pagerduty.client import PAGE_LIMIT, PagerDutyClient

OPEN_STATUSES = ("triggered", "acknowledged")
_FEW = 10
_POOR_PAGES = 5
_log = logging.getLogger(__name__)


def incident_values(raw: Mapping[str, Any]) -> Values:
    """Return an incident's values: `title`, `status`, `priority`, `service.name`, `assignees`...

    Also `id`, `incident_key`, `created_at`, `assignee_ids` (a list) and `custom_fields.<name>` where
    the answer had them. What is null or missing is None; `assignees` is text, names joined by ", ".
    """
    priority, service = _object(raw.get("priority")), _object(raw.get("service"))
    policy = _object(raw.get("escalation_policy"))
    people = _assignees(raw)
    values: dict[str, Any] = {
        "id": raw.get("id"),
        "incident_key": raw.get("incident_key"),
        "created_at": raw.get("created_at"),
        "number": raw.get("incident_number", raw.get("number")),
        "title": raw.get("title") or raw.get("summary"),
        "status": raw.get("status"),
        "urgency": raw.get("urgency"),
        "html_url": raw.get("html_url"),
        "priority": priority.get("name") or priority.get("summary"),
        "priority.id": priority.get("id"),
        "service.id": service.get("id"),
        "service.name": service.get("name") or service.get("summary"),
        "escalation_policy.id": policy.get("id"),
        "escalation_policy.name": policy.get("name") or policy.get("summary"),
        "assignees": ", ".join(name_of(one) for one in people) or None,
        "assignee_ids": [str(one.get("id") or "") for one in people],
    }
    return values | custom_field_values(raw.get("custom_fields"))


def custom_field_values(raw: Any) -> dict[str, Any]:
    """Return `custom_fields.<name>` values of the list that PagerDuty gives, {} for none."""
    rows = [one for one in raw or [] if isinstance(one, Mapping)] if isinstance(raw, list) else []
    return {f"custom_fields.{one['name']}": one.get("value") for one in rows if one.get("name")}


def name_of(reference: Mapping[str, Any]) -> str:
    """Return how a user, service or policy is called."""
    return str(reference.get("name") or reference.get("summary") or reference.get("id") or "")


def incident_path(incident_id: str, *rest: str) -> str:
    """Return the path of one incident or of something below it."""
    return "/".join(["incidents", quote(incident_id, safe=""), *rest])


def fetch_incidents(
    client: PagerDutyClient, ids: Iterable[str], *, custom_fields: bool = False
) -> dict[str, Values]:
    """Return the current values of incidents by id; one that PagerDuty does not know is absent.

    A few are read one by one. Of many, the open ones are read in pages first, unless custom fields
    are wanted: lists cannot carry those.
    """
    wanted = list(dict.fromkeys(ids))
    found: dict[str, Values] = {}
    if len(wanted) > _FEW and not custom_fields:
        found = _among_open(client, set(wanted))
    for one in wanted:
        if one not in found:
            values = _fetch_one(client, one, custom_fields=custom_fields)
            if values is not None:
                found[one] = values
    return found


def incidents_by_key(
    client: PagerDutyClient, key: str, *, service_id: str | None = None, open_only: bool = True
) -> list[Values]:
    """Return the incidents whose `incident_key` is exactly `key`, newest first.

    The key is compared here too: a server that does not know a filter ignores it silently.
    """
    params: dict[str, Any] = {"incident_key": key, "date_range": "all"}
    if service_id:
        params["service_ids"] = [service_id]
    if open_only:
        params["statuses"] = list(OPEN_STATUSES)
    found: dict[str, Values] = {}
    for page in client.pages("incidents", "incidents", params, doing="the incidents of a key"):
        for raw in page:
            values = incident_values(raw)
            fits = not open_only or values["status"] in OPEN_STATUSES
            same_service = not service_id or values["service.id"] in {None, service_id}
            if values["incident_key"] == key and fits and same_service:
                found[str(values["id"])] = values
    return sorted(found.values(), key=_age, reverse=True)


def open_incidents(client: PagerDutyClient) -> Iterator[list[Values]]:
    """Yield pages of the values of every open incident of the account, whatever its age.

    Raises RefusedError with code PAGING_CAP when there are more than paging reaches (10,000).
    """
    params = {"statuses": list(OPEN_STATUSES), "date_range": "all"}
    for page in client.pages("incidents", "incidents", params, doing="the open incidents"):
        yield [incident_values(raw) for raw in page]


def _age(values: Values) -> int:
    number = values["number"]
    return number if isinstance(number, int) else 0


def _among_open(client: PagerDutyClient, wanted: set[str]) -> dict[str, Values]:
    """Read pages of open incidents while that is cheaper than asking for each one."""
    params = {"statuses": list(OPEN_STATUSES), "date_range": "all"}
    found: dict[str, Values] = {}
    allowed = max(len(wanted) // 2, 1)
    pages = client.pages("incidents", "incidents", params, doing="the open incidents")
    for number, page in enumerate(pages, start=1):
        for raw in page:
            if raw.get("id") in wanted:
                found[str(raw["id"])] = incident_values(raw)
        poor = number - len(found) > _POOR_PAGES  # of many open incidents few are wanted
        if len(found) == len(wanted) or number >= allowed or poor or len(page) < PAGE_LIMIT:
            break
    return found


def _fetch_one(client: PagerDutyClient, incident_id: str, *, custom_fields: bool) -> Values | None:
    params = {"include": ["custom_fields"]} if custom_fields else None
    try:
        body = client.get(incident_path(incident_id), params, doing=f"incident {incident_id}")
    except SkippableError:
        return None
    raw = body.get("incident") if isinstance(body, Mapping) else None
    if not isinstance(raw, Mapping):
        raise RetryableError(f"PagerDuty's answer to incident {incident_id} holds no incident.")
    values = dict(incident_values(raw))
    if custom_fields and "custom_fields" not in raw:
        values |= _fetch_custom_fields(client, incident_id)
    return values


def _fetch_custom_fields(client: PagerDutyClient, incident_id: str) -> dict[str, Any]:
    """Ask for the values by themselves; {} in an account that has no custom fields."""
    path = incident_path(incident_id, "custom_fields", "values")
    try:
        body = client.get(path, doing=f"the custom fields of {incident_id}")
    except (SkippableError, RefusedError) as refusal:
        _log.debug("no custom fields: %s", refusal)
        return {}
    return custom_field_values(body.get("custom_fields") if isinstance(body, Mapping) else None)


def _assignees(raw: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return who is assigned: REST has `assignments[].assignee`, webhooks have `assignees`."""
    rows = raw.get("assignments")
    if isinstance(rows, list):
        people = [one.get("assignee") for one in rows if isinstance(one, Mapping)]
    else:
        told = raw.get("assignees")
        people = list(told) if isinstance(told, list) else []
    return [one for one in people if isinstance(one, Mapping)]


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
