"""REST operations on incidents, log entries and notes."""

from datetime import timedelta
from typing import Any

from sandbox.pagerduty import changes, coordination, creation, entries, incidents, notes, rendering
from sandbox.pagerduty.calls import Answer, Call, page
from sandbox.pagerduty.shapes import (
    Actor,
    Doc,
    Refusal,
    in_zone,
    invalid,
    not_found,
    parse_instant,
    to_seconds,
)

MONTH = timedelta(days=31)
HALF_YEAR = timedelta(days=184)


def _range(call: Call) -> tuple[str | None, str | None]:
    """Creation range of GET /incidents: a month by default, half a year at most."""
    if call.query.get("date_range") == "all":
        return None, None
    since, until = call.instant("since"), call.instant("until")
    end = parse_instant(until) if until else call.state.now()
    start = parse_instant(since) if since else end - MONTH
    if end < start:
        raise Refusal(400, 2005, "Invalid Date Range", ["until must be after since"])
    if end - start > HALF_YEAR:
        raise invalid(" is invalid.")
    return to_seconds(start), until


def _order(call: Call) -> tuple[tuple[str, str], ...]:
    wanted = [part for part in ",".join(call.query.getlist("sort_by")).split(",") if part]
    if len(wanted) > 2:
        raise invalid("sort_by takes at most two fields")
    order = []
    for part in wanted:
        name, _, direction = part.partition(":")
        if name not in incidents.SORTS or direction not in ("", "asc", "desc"):
            raise invalid("sort_by is invalid")
        order.append((incidents.SORTS[name], direction.upper() or "ASC"))
    return (*order, ("number", "ASC"))


def list_incidents(call: Call) -> Answer:
    """GET /incidents: by creation time, never by change."""
    wanted_page = page(call)
    since, until = _range(call)
    statuses, users = call.several("statuses"), call.several("user_ids")
    search = incidents.Search(
        since=since,
        until=until,
        statuses=statuses or (incidents.OPEN if users else ()),
        urgencies=call.several("urgencies"),
        service_ids=call.several("service_ids"),
        priority_ids=call.several("priority_ids"),
        team_ids=call.several("team_ids"),
        user_ids=users,
        incident_key=call.query.get("incident_key"),
        order=_order(call),
    )
    found = incidents.search(call.state, search, wanted_page.offset, wanted_page.limit + 1)
    include = tuple(name for name in call.include if name != "custom_fields")
    shown = [rendering.incident(call.state, doc, include) for doc in found[: wanted_page.limit]]
    return wanted_page.answer(
        "incidents",
        shown,
        more=len(found) > wanted_page.limit,
        total=lambda: incidents.count(call.state, search),
    )


def create_incident(call: Call) -> Answer:
    """POST /incidents."""
    doc = creation.create(call.state, call.user, call.member("incident"))
    return 201, {"incident": rendering.incident(call.state, doc)}


def get_incident(call: Call) -> Answer:
    """GET /incidents/{id} by id or number."""
    doc = incidents.get(call.state, call.path["incident_id"])
    return {"incident": rendering.incident(call.state, doc, call.include)}


def update_incident(call: Call) -> Answer:
    """PUT /incidents/{id}."""
    doc = changes.update(call.state, call.user, call.path["incident_id"], call.member("incident"))
    return {"incident": rendering.incident(call.state, doc)}


def update_incidents(call: Call) -> Answer:
    """PUT /incidents: all or nothing."""
    docs = changes.update_many(call.state, call.user, call.member("incidents"))
    return {"incidents": [rendering.incident(call.state, doc) for doc in docs]}


def merge_incidents(call: Call) -> Answer:
    """PUT /incidents/{id}/merge."""
    sources = call.member("source_incidents")
    doc = coordination.merge(call.state, call.user, call.path["incident_id"], sources)
    return {"incident": rendering.incident(call.state, doc)}


def snooze_incident(call: Call) -> Answer:
    """POST /incidents/{id}/snooze."""
    duration = call.member("duration")
    doc = coordination.snooze(call.state, call.user, call.path["incident_id"], duration)
    return 201, {"incident": rendering.incident(call.state, doc)}


def _window(call: Call, incident_id: str | None) -> entries.Window:
    return entries.Window(
        since=call.instant("since"),
        until=call.instant("until"),
        incident_id=incident_id,
        team_ids=() if incident_id else call.several("team_ids"),
        overview=call.flag("is_overview"),
    )


def _entries(call: Call, incident_id: str | None) -> Answer:
    wanted_page = page(call)
    window = _window(call, incident_id)
    found, more = entries.listing(call.state, window, wanted_page.offset, wanted_page.limit)
    zone = call.zone
    shown = [
        _zoned(rendering.log_entry(call.state, doc, of, call.include), zone) for doc, of in found
    ]
    return wanted_page.answer(
        "log_entries", shown, more=more, total=lambda: entries.count(call.state, window)
    )


def list_log_entries(call: Call) -> Answer:
    """GET /log_entries: the whole account, newest first."""
    return _entries(call, None)


def list_incident_log_entries(call: Call) -> Answer:
    """GET /incidents/{id}/log_entries."""
    return _entries(call, incidents.get(call.state, call.path["incident_id"])["id"])


def get_log_entry(call: Call) -> Answer:
    """GET /log_entries/{id}."""
    doc, of = _entry(call)
    entry = rendering.log_entry(call.state, doc, of, call.include)
    return {"log_entry": _zoned(entry, call.zone)}


def _zoned(shown: Doc, zone: str) -> Doc:
    """Stamps of log entries and notes follow the account's time zone; incidents are in UTC."""
    stamps: Doc = {
        name: in_zone(shown[name], zone) for name in ("created_at", "updated_at") if name in shown
    }
    return {**shown, **stamps}


def _entry(call: Call) -> tuple[dict[str, Any], dict[str, Any]]:
    found = entries.by_id(call.state, call.path["entry_id"])
    if found is None:
        raise not_found("Log entry")
    return found


def rewrite_channel(call: Call) -> Answer:
    """PUT /log_entries/{id}/channel: the details of a web or mobile trigger can be rewritten."""
    doc, _ = _entry(call)
    channel = call.member("channel")
    if not isinstance(channel, dict) or channel.get("type") not in ("web_trigger", "mobile"):
        raise invalid("Channel type must be web_trigger or mobile")
    if doc["channel"]["type"] != channel["type"]:
        raise invalid("Channel type cannot be changed")
    doc["channel"]["details"] = channel.get("details")
    entries.replace(call.state, doc)
    return 202, None


def list_notes(call: Call) -> Answer:
    """GET /incidents/{id}/notes, not paged."""
    found = notes.of_incident(call.state, call.path["incident_id"])
    return {"notes": [_zoned(notes.shown(call.state, note), call.zone) for note in found]}


def add_note(call: Call) -> Answer:
    """POST /incidents/{id}/notes."""
    note = notes.add(call.state, call.user, call.path["incident_id"], call.member("note"))
    return {"note": _zoned(notes.shown(call.state, note), call.zone)}


def edit_note(call: Call) -> Answer:
    """PUT /incidents/{id}/notes/{note_id}."""
    incident_id, note_id = call.path["incident_id"], call.path["note_id"]
    note = notes.edit(call.state, incident_id, note_id, call.member("note"))
    return {"note": _zoned(notes.shown(call.state, note), call.zone)}


def delete_note(call: Call) -> Answer:
    """DELETE /incidents/{id}/notes/{note_id}."""
    notes.delete(call.state, call.path["incident_id"], call.path["note_id"])
    return 204, None


def publish_status_update(call: Call) -> Answer:
    """POST /incidents/{id}/status_updates."""
    message = call.member("message")
    update = coordination.update_status(call.state, call.user, call.path["incident_id"], message)
    return {"status_update": update}


def request_responders(call: Call) -> Answer:
    """POST /incidents/{id}/responder_requests: the requester is named in the body."""
    requester = call.state.store.get("user", str(call.member("requester_id")))
    if requester is None:
        raise invalid("Requester can't be blank")
    actor = Actor("user", requester["id"], "api")
    incident_id = call.path["incident_id"]
    request = coordination.request_responders(call.state, actor, incident_id, call.body)
    return {"responder_request": rendering.expand(call.state, request)}


def get_custom_fields(call: Call) -> Answer:
    """GET /incidents/{id}/custom_fields/values."""
    doc = incidents.get(call.state, call.path["incident_id"])
    return {"custom_fields": rendering.custom_field_values(call.state, doc)}


def set_custom_fields(call: Call) -> Answer:
    """PUT /incidents/{id}/custom_fields/values; without From the service is the agent."""
    doc = incidents.get(call.state, call.path["incident_id"])
    actor = call.actor or Actor("service", doc["service"]["id"], "api")
    values = coordination.set_custom_fields(
        call.state, actor, doc["id"], call.member("custom_fields")
    )
    return 201, {"custom_fields": values}


def list_alerts(call: Call) -> Answer:
    """GET /incidents/{id}/alerts."""
    doc = incidents.get(call.state, call.path["incident_id"])
    found = call.state.store.docs(
        "SELECT doc FROM alerts WHERE incident_id = ? ORDER BY seq", (doc["id"],)
    )
    return page(call).of("alerts", [rendering.expand(call.state, alert) for alert in found])
