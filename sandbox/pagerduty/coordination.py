"""Around an incident: snooze, merge, status updates, responders, custom fields, workflows."""

from collections.abc import Mapping
from typing import Any

from sandbox.pagerduty import changes, entries, incidents, pending, rendering, webhooks
from sandbox.pagerduty.shapes import Actor, Doc, Refusal, invalid, not_found, ref
from sandbox.pagerduty.state import PagerDutyState

MAX_SNOOZE_SECONDS = 604_800
MAX_STRING = 255


def require_ability(state: PagerDutyState, name: str) -> None:
    """Raise Refusal 402 (code 2014) unless the account's plan includes the ability."""
    if name not in state.abilities:
        raise Refusal(
            402, 2014, "Missing Account Ability", ["Account does not have the ability to do this"],
            {"missing_abilities": [name]},
        )  # fmt: skip


def snooze(state: PagerDutyState, actor: Actor, incident_id: str, duration: Any) -> Doc:
    """POST snooze: acknowledged for `duration` seconds (1 to 604800), then triggered again."""
    if not isinstance(duration, int) or not 1 <= duration <= MAX_SNOOZE_SECONDS:
        raise invalid(f"Duration must be between 1 and {MAX_SNOOZE_SECONDS}")
    with state.transaction():
        doc = incidents.get(state, incident_id)
        if doc["status"] == "resolved":
            raise Refusal(400, 1001, "Incident Already Resolved", ["Incident Already Resolved"])
        if doc["status"] != "acknowledged":
            changes.set_status(state, actor, doc, "acknowledged", None)
        wake_up = pending.action("unacknowledge", state.now().timestamp() + duration)
        doc["pending_actions"] = [wake_up]
        entries.record(
            state, doc, "snooze", actor, "Snoozed", channel={"duration": duration},
            changed_actions=[{"type": "unacknowledge", "at": wake_up["at"]}],
        )  # fmt: skip
        doc["updated_at"] = state.stamp()
        incidents.save(state, doc)
        return doc


def merge(state: PagerDutyState, actor: Actor, incident_id: str, sources: Any) -> Doc:
    """PUT merge: the sources are resolved into the open target."""
    if not isinstance(sources, list) or not sources:
        raise invalid("Source incidents can't be blank")
    with state.transaction():
        target = incidents.get(state, incident_id)
        if target["status"] == "resolved":
            raise Refusal(400, 1001, "Incident Already Resolved", ["Incident Already Resolved"])
        for source in sources:
            identifier = str(source.get("id")) if isinstance(source, Mapping) else ""
            _merge_one(state, actor, target, incidents.get(state, identifier))
        target["updated_at"] = state.stamp()
        incidents.save(state, target)
        return target


def _merge_one(state: PagerDutyState, actor: Actor, target: Doc, source: Doc) -> None:
    if source["id"] == target["id"]:
        raise invalid("An incident cannot be merged into itself")
    if (source["resolve_reason"] or {}).get("type") == "merge_resolve_reason":
        raise Refusal(400, 1019, "Incident Already Merged")
    state.store.execute(
        "UPDATE alerts SET incident_id = ? WHERE incident_id = ?", (target["id"], source["id"])
    )
    reason = {
        "type": "merge_resolve_reason",
        "incident": {"id": target["id"], "type": "incident_reference"},
    }
    if source["status"] == "resolved":
        source["resolve_reason"] = reason
    else:
        changes.resolve(state, actor, source, reason=reason)
    source["updated_at"] = state.stamp()
    incidents.save(state, source)


def update_status(state: PagerDutyState, actor: Actor, incident_id: str, message: Any) -> Doc:
    """POST status_updates: the published update."""
    if not isinstance(message, str) or not message.strip():
        raise invalid("Message can't be blank")
    with state.transaction():
        doc = incidents.get(state, incident_id)
        update = {
            "id": state.new_id("P", 14),
            "message": message,
            "created_at": state.stamp(),
            "sender": rendering.reference(state, actor.pointer),
            "subject": None,
            "html_message": None,
        }
        doc.setdefault("_status_updates", []).append(update)
        incidents.save(state, doc)
        entries.record(
            state, doc, "status_update", actor, "Status update published",
            channel={"summary": message},
        )  # fmt: skip
        data = {"id": update["id"], "message": message, "trimmed": False, "type": "status_update"}
        webhooks.announce(state, "incident.status_update_published", doc, actor, data)
        return update


def request_responders(state: PagerDutyState, actor: Actor, incident_id: str, body: Any) -> Doc:
    """POST responder_requests for users and escalation policies."""
    require_ability(state, "coordinated_responding")
    values = body if isinstance(body, Mapping) else {}
    targets = values.get("responder_request_targets") or []
    if not isinstance(targets, list) or not targets:
        raise invalid("Responder request targets can't be blank")
    with state.transaction():
        doc = incidents.get(state, incident_id)
        asked = [_responder_target(state, target) for target in targets]
        request = {
            "incident": {"id": doc["id"], "type": "incident_reference"},
            "requester": actor.pointer,
            "requested_at": state.stamp(),
            "message": values.get("message"),
            "responder_request_targets": [{"responder_request_target": item} for item in asked],
        }
        doc["responder_requests"].append(request)
        for pointer in asked:
            _add_responder(state, actor, doc, pointer, values.get("message"))
        incidents.save(state, doc)
        return request


def _responder_target(state: PagerDutyState, value: Any) -> Doc:
    target = value.get("responder_request_target", value) if isinstance(value, Mapping) else {}
    kind = str(target.get("type", "")).removesuffix("_reference")
    if kind not in ("user", "escalation_policy") or not state.store.get(
        kind, str(target.get("id"))
    ):
        raise invalid("Responder request target is invalid")
    return ref(kind, str(target["id"]))


def _add_responder(
    state: PagerDutyState, actor: Actor, doc: Doc, pointer: Doc, message: str | None
) -> None:
    entries.record(
        state, doc, "responder_request", actor, "Responders requested",
        channel={"summary": message}, requested_of=pointer,
    )  # fmt: skip
    if pointer["ref"] == "user":
        doc["incidents_responders"].append(
            {
                "state": "pending", "user": pointer, "requester": actor.pointer,
                "message": message, "requested_at": state.stamp(), "updated_at": state.stamp(),
            }
        )  # fmt: skip
    data = {
        "type": "incident_responder", "state": "pending", "message": message,
        "user": rendering.reference(state, pointer) if pointer["ref"] == "user" else None,
        "escalation_policy": None if pointer["ref"] == "user" else rendering.reference(state, pointer),
    }  # fmt: skip
    webhooks.announce(state, "incident.responder.added", doc, actor, data)


def set_custom_fields(
    state: PagerDutyState, actor: Actor, incident_id: str, body: Any
) -> list[Doc]:
    """PUT custom_fields/values by name or id; the values of all fields afterwards."""
    if not isinstance(body, list):
        raise invalid("Custom fields must be a list")
    with state.transaction():
        doc = incidents.get(state, incident_id)
        changed = []
        for item in body:
            field = _custom_field(state, item if isinstance(item, Mapping) else {})
            old, new = doc["_custom_fields"].get(field["id"]), item.get("value")
            _check_value(field, new)
            if old != new:
                doc["_custom_fields"][field["id"]] = new
                changed.append(
                    {"id": field["id"], "name": field["name"], "value": new, "old_value": old}
                )
        if changed:
            _log_custom_fields(state, actor, doc, changed)
        return rendering.custom_field_values(state, doc)


def _log_custom_fields(state: PagerDutyState, actor: Actor, doc: Doc, changed: list[Doc]) -> None:
    changeset = [f"{field['name']} changed" for field in changed]
    entries.record(
        state, doc, "custom_field_value_change", actor, "Custom fields changed",
        channel={"changeset": changeset, "customer_fields": changed}, changeset=changeset,
    )  # fmt: skip
    doc["updated_at"] = state.stamp()
    incidents.save(state, doc)
    data = {
        "type": "incident_custom_field_values",
        "custom_fields": rendering.custom_field_values(state, doc),
        "changed_fields": [field["name"] for field in changed],
    }
    webhooks.announce(state, "incident.custom_field_values.updated", doc, actor, data)


def _custom_field(state: PagerDutyState, item: Mapping[str, Any]) -> Doc:
    for field in state.store.all("custom_field"):
        known = field["enabled"] and (
            item.get("id") == field["id"] or item.get("name") == field["name"]
        )
        if known:
            return field
    raise invalid(f"Custom field {item.get('name') or item.get('id')!r} does not exist")


def _check_value(field: Mapping[str, Any], value: Any) -> None:
    kinds: dict[str, type | tuple[type, ...]] = {
        "string": str, "integer": int, "float": (int, float), "boolean": bool, "url": str,
        "datetime": str,
    }  # fmt: skip
    values = value if isinstance(value, list) else [value]
    for item in values:
        if item is not None and not isinstance(item, kinds.get(field["data_type"], object)):
            raise invalid(f"Value of {field['name']} must be of type {field['data_type']}")
        if isinstance(item, str) and len(item) > MAX_STRING:
            raise invalid(f"Value of {field['name']} is longer than {MAX_STRING} characters")


def start_workflow(state: PagerDutyState, actor: Actor | None, workflow_id: str, body: Any) -> Doc:
    """POST /incident_workflows/{id}/instances: the started instance."""
    require_ability(state, "incident_workflows")
    workflow = state.store.get("incident_workflow", workflow_id)
    if workflow is None:
        raise not_found("Incident workflow")
    if not workflow["is_enabled"]:
        raise invalid("Incident workflow is disabled")
    values = body if isinstance(body, Mapping) else {}
    incident = values.get("incident")
    if not isinstance(incident, Mapping) or not incident.get("id"):
        raise invalid("Incident can't be blank")
    with state.transaction():
        doc = incidents.get(state, str(incident["id"]))
        instance = {
            "id": str(values.get("id") or state.new_id("P", 14)),
            "workflow": workflow_id,
            "incident": doc["id"],
            "started_at": state.stamp(),
        }
        state.store.put("workflow_instance", {**instance, "id": state.new_id("P", 14),
                                              "given_id": instance["id"]})  # fmt: skip
        pointer = rendering.reference(state, ref("incident_workflow", workflow_id))
        for event in ("started", "completed"):
            data = {"type": "incident_workflow_instance", "id": instance["id"],
                    "incident_workflow": pointer, "summary": workflow["name"]}  # fmt: skip
            webhooks.announce(state, f"incident.workflow.{event}", doc, actor, data)
        return {
            "id": instance["id"],
            "type": "incident_workflow_instance",
            "incident": rendering.incident_reference(state, doc),
        }
