"""What the play page shows: Cases and incidents as plain rows, newest first."""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sandbox import control_salesforce
from sandbox.pagerduty import entries, incidents, notes, rendering, timers
from sandbox.pagerduty.state import PagerDutyState

if TYPE_CHECKING:
    from sandbox.world import World

SHOWN = 40
LOG_LINES = 8
VERBS = {
    "trigger": "triggered",
    "acknowledge": "acknowledged",
    "unacknowledge": "unacknowledged",
    "resolve": "resolved",
    "reopen": "reopened",
    "assign": "assigned",
    "escalate": "escalated",
    "delegate": "delegated",
    "annotate": "added a note",
    "priority_change": "changed the priority",
    "urgency_change": "changed the urgency",
    "field_value_change": "changed a field",
    "custom_field_value_change": "changed a custom field",
    "snooze": "snoozed",
    "status_update": "published an update",
    "responder_request": "asked for a responder",
}


@dataclass(frozen=True, slots=True)
class Remark:
    """A comment, a note or a line of the log."""

    who: str
    text: str
    at: datetime
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """A Case or an incident as its card shows it; `key` is unique on the page."""

    key: str
    id: str
    number: str
    title: str
    status: str
    priority: str
    facts: tuple[tuple[str, str], ...]
    remarks: tuple[Remark, ...]
    log: tuple[Remark, ...]
    closed: bool
    changed: datetime

    @property
    def digest(self) -> str:
        """Changes whenever anything on the card does."""
        text = json.dumps(asdict(self), default=str, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _name(row: dict[str, Any] | None) -> str:
    return str((row or {}).get("Name") or "")


def case_cards(world: "World") -> list[Card]:
    """The newest Cases; their order never changes, so nothing jumps while somebody types."""
    return [_case_card(row) for row in control_salesforce.cases(world.salesforce, SHOWN)]


def _case_card(row: dict[str, Any]) -> Card:
    facts = (
        ("Account", _name(row["Account"])),
        ("Owner", _name(row["Owner"])),
        ("Last by", _name(row["LastModifiedBy"])),
        ("Incident", row["PagerDuty_Incident_Id__c"] or ""),
    )
    remarks = tuple(
        Remark(
            _name(comment["CreatedBy"]),
            comment["CommentBody"],
            _instant(comment["CreatedDate"]),
            "public" if comment["IsPublished"] else "internal",
        )
        for comment in row["comments"][:SHOWN]
    )
    return Card(
        key=f"case-{row['Id']}",
        id=row["Id"],
        number=row["CaseNumber"],
        title=row["Subject"] or "",
        status=row["Status"] or "",
        priority=row["Priority"] or "",
        facts=tuple(fact for fact in facts if fact[1]),
        remarks=remarks,
        log=(),
        closed=bool(row["IsClosed"]),
        changed=_instant(row["SystemModstamp"]),
    )


def incident_cards(world: "World") -> list[Card]:
    """The incidents created last."""
    state = world.pagerduty
    timers.run_due(state)
    newest = incidents.Search(order=(("number", "DESC"),))
    return [_incident_card(state, doc) for doc in incidents.search(state, newest, 0, SHOWN)]


def _incident_card(state: PagerDutyState, doc: dict[str, Any]) -> Card:
    shown = rendering.incident(state, doc)
    people = ", ".join(item["assignee"]["summary"] for item in shown["assignments"])
    facts = (
        ("Service", shown["service"]["summary"]),
        ("Assigned to", people),
        ("Urgency", doc["urgency"]),
        ("Key", doc["incident_key"] or ""),
    )
    return Card(
        key=f"incident-{doc['id']}",
        id=doc["id"],
        number=f"#{doc['incident_number']}",
        title=doc["title"],
        status=doc["status"],
        priority=shown["priority"]["summary"] if shown["priority"] else "",
        facts=tuple(fact for fact in facts if fact[1]),
        remarks=tuple(_note(state, note) for note in notes.of_incident(state, doc["id"])[:SHOWN]),
        log=_log(state, doc["id"]),
        closed=doc["status"] == "resolved",
        changed=_instant(doc["updated_at"]),
    )


def _note(state: PagerDutyState, note: dict[str, Any]) -> Remark:
    shown = notes.shown(state, note)
    return Remark(shown["user"]["summary"], note["content"], _instant(note["created_at"]))


def _log(state: PagerDutyState, incident_id: str) -> tuple[Remark, ...]:
    page, _ = entries.listing(state, entries.Window(incident_id=incident_id), 0, 4 * LOG_LINES)
    lines = []
    for doc, of in page:
        kind = doc["type"].removesuffix("_log_entry")
        if kind == "notify":
            continue
        entry = rendering.log_entry(state, doc, of, ("channels",))
        agent = (entry.get("agent") or {}).get("summary") or "PagerDuty"
        text = VERBS.get(kind, kind.replace("_", " "))
        lines.append(Remark(agent, text + _detail(kind, entry), _instant(doc["created_at"]),
                            entry["channel"]["type"]))  # fmt: skip
    return tuple(lines[:LOG_LINES])


def _detail(kind: str, entry: dict[str, Any]) -> str:
    channel = entry["channel"]
    if kind == "priority_change":
        names = [
            (channel[side] or {}).get("name", "none") for side in ("old_priority", "new_priority")
        ]
        return f": {names[0]} to {names[1]}"
    if kind in ("assign", "escalate", "delegate"):
        return " to " + ", ".join(user["summary"] for user in entry["assignees"])
    if kind == "urgency_change":
        return f": {channel['old_urgency']} to {channel['new_urgency']}"
    return ""


def choices(world: "World") -> dict[str, list[str]]:
    """What the forms offer: Case values, PagerDuty services and priorities, people of both."""
    case = world.salesforce.org.schema.get("Case")
    values = (
        {field.name: [value.value for value in field.values] for field in case.fields}
        if case
        else {}
    )
    store = world.pagerduty.store
    users = [row["Username"] for row in world.salesforce.records("User") if row["IsActive"]]
    return {
        "statuses": values.get("Status", []),
        "case_priorities": values.get("Priority", []),
        "accounts": [row["Name"] for row in world.salesforce.records("Account")],
        "salesforce_people": [name for name in users if not name.startswith("pagerduty-sync@")],
        "services": [doc["name"] for doc in store.all("service")],
        "priorities": [doc["name"] for doc in store.all("priority")],
        "pagerduty_people": [
            doc["name"] for doc in store.all("user")
            if doc["active"] and not doc["email"].startswith("salesforce-sync@")
        ],
    }  # fmt: skip


def calls(world: "World") -> dict[str, Any]:
    """The line under the columns: calls and writes of each system, faults in force."""
    counted = {name: world.traffic.totals(name) for name in ("salesforce", "pagerduty")}
    return {**counted, "faults": len(world.faults.faults())}
