"""Acting in the simulated PagerDuty as a named person in the browser."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.pagerduty import changes, coordination, creation, notes, rendering
from sandbox.pagerduty.shapes import Actor, Doc
from sandbox.pagerduty.state import PagerDutyState


def _found(state: PagerDutyState, kind: str, id_or_name: str) -> Doc:
    doc = state.find_user(id_or_name) if kind == "user" else state.find_named(kind, id_or_name)
    if doc is None:
        raise LookupError(f"no {kind.replace('_', ' ')} named {id_or_name!r} in the sandbox")
    return doc


@dataclass(frozen=True, slots=True)
class Person:
    """A user at the website; every method returns the incident (or note) as REST shows it.

    Methods raise `shapes.Refusal` as the API would, and LookupError for unknown names.
    """

    state: PagerDutyState
    actor: Actor

    def create_incident(
        self,
        service: str,
        title: str,
        *,
        priority: str | None = None,
        urgency: str | None = None,
        details: str | None = None,
    ) -> Doc:
        """A new incident on a service given by id or name."""
        body: Doc = {
            "type": "incident",
            "title": title,
            "service": {"id": _found(self.state, "service", service)["id"]},
            "urgency": urgency,
            "priority": {"id": _found(self.state, "priority", priority)["id"]}
            if priority
            else None,
            "body": {"type": "incident_body", "details": details} if details else None,
        }
        return rendering.incident(self.state, creation.create(self.state, self.actor, body))

    def _update(self, incident_id: str, **members: Any) -> Doc:
        body = {"type": "incident_reference", **members}
        doc = changes.update(self.state, self.actor, incident_id, body)
        return rendering.incident(self.state, doc)

    def acknowledge(self, incident_id: str) -> Doc:
        """Acknowledge, which also takes the incident over (and reopens a resolved one)."""
        return self._update(incident_id, status="acknowledged")

    def unacknowledge(self, incident_id: str) -> Doc:
        """Back to triggered; a resolved incident is reopened."""
        return self._update(incident_id, status="triggered")

    def resolve(self, incident_id: str, resolution: str | None = None) -> Doc:
        """Resolve, with a note if given."""
        return self._update(incident_id, status="resolved", resolution=resolution)

    def reopen(self, incident_id: str) -> Doc:
        """Reopen a resolved incident."""
        return self._update(incident_id, status="triggered")

    def set_title(self, incident_id: str, title: str) -> Doc:
        """Another title."""
        return self._update(incident_id, title=title)

    def set_priority(self, incident_id: str, priority: str | None) -> Doc:
        """A priority by id or name; None clears it."""
        found = _found(self.state, "priority", priority)["id"] if priority else None
        return self._update(incident_id, priority={"id": found} if found else None)

    def set_urgency(self, incident_id: str, urgency: str) -> Doc:
        """high or low."""
        return self._update(incident_id, urgency=urgency)

    def reassign(self, incident_id: str, *users: str) -> Doc:
        """Assign to people by id, e-mail or name."""
        people = [{"assignee": {"id": _found(self.state, "user", user)["id"]}} for user in users]
        return self._update(incident_id, assignments=people)

    def delegate(self, incident_id: str, escalation_policy: str) -> Doc:
        """Hand over to an escalation policy by id or name."""
        policy = _found(self.state, "escalation_policy", escalation_policy)
        return self._update(incident_id, escalation_policy={"id": policy["id"]})

    def escalate(self, incident_id: str, level: int) -> Doc:
        """Escalate to a level of the current policy."""
        return self._update(incident_id, escalation_level=level)

    def add_note(self, incident_id: str, content: str) -> Doc:
        """Add a note."""
        note = notes.add(self.state, self.actor, incident_id, {"content": content})
        return notes.shown(self.state, note)

    def snooze(self, incident_id: str, seconds: int) -> Doc:
        """Snooze for so many seconds."""
        doc = coordination.snooze(self.state, self.actor, incident_id, seconds)
        return rendering.incident(self.state, doc)

    def merge(self, incident_id: str, sources: Sequence[str]) -> Doc:
        """Merge other incidents into this one."""
        pointers = [{"id": source} for source in sources]
        doc = coordination.merge(self.state, self.actor, incident_id, pointers)
        return rendering.incident(self.state, doc)

    def publish_status_update(self, incident_id: str, message: str) -> Doc:
        """Publish a status update."""
        return coordination.update_status(self.state, self.actor, incident_id, message)

    def set_custom_fields(self, incident_id: str, values: Mapping[str, Any]) -> list[Doc]:
        """Set custom fields by name; all values afterwards."""
        body = [{"name": name, "value": value} for name, value in values.items()]
        return coordination.set_custom_fields(self.state, self.actor, incident_id, body)

    def run_workflow(self, incident_id: str, workflow: str) -> Doc:
        """Start an incident workflow by id or name."""
        found = _found(self.state, "incident_workflow", workflow)
        body = {"incident": {"id": incident_id}}
        return coordination.start_workflow(self.state, self.actor, found["id"], body)


def person(state: PagerDutyState, name: str) -> Person:
    """The person with this name, e-mail or id; raises LookupError."""
    user = _found(state, "user", name)
    return Person(state, Actor("user", user["id"], "website"))
