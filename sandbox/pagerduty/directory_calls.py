"""REST operations on what incidents refer to: people, services, priorities, workflows, webhooks."""

from sandbox.pagerduty import coordination, rendering, webhooks
from sandbox.pagerduty.calls import Answer, Call, Operation, page
from sandbox.pagerduty.seed import ABILITIES
from sandbox.pagerduty.shapes import Doc, Refusal, not_found

LISTS = {
    "users": "user",
    "services": "service",
    "escalation_policies": "escalation_policy",
    "teams": "team",
}


def lister(plural: str) -> Operation:
    """GET of a whole collection with the fuzzy `query` over names (and e-mails of users)."""
    kind = LISTS[plural]

    def operation(call: Call) -> Answer:
        query = call.query.get("query", "").casefold()
        teams = call.several("team_ids")
        found = [
            rendering.resource(call.state, kind, doc, _whole(call))
            for doc in call.state.store.all(kind)
            if _matches(doc, query) and _in_teams(doc, teams)
        ]
        return page(call).of(plural, found)

    return operation


def _whole(call: Call) -> tuple[str, ...]:
    names = {"escalation_policies": "escalation_policy"}
    return tuple(names.get(name, name) for name in call.include)


def _matches(doc: Doc, query: str) -> bool:
    return query in f"{doc['name']} {doc.get('email', '')}".casefold() and doc.get("active", True)


def _in_teams(doc: Doc, teams: tuple[str, ...]) -> bool:
    return not teams or any(team["id"] in teams for team in doc.get("teams", ()))


def getter(plural: str) -> Operation:
    """GET of one resource by id."""
    kind = LISTS[plural]

    def operation(call: Call) -> Answer:
        doc = call.state.store.get(kind, call.path["id"])
        if doc is None:
            raise not_found(kind.replace("_", " ").capitalize())
        return {kind: rendering.resource(call.state, kind, doc, _whole(call))}

    return operation


def me(call: Call) -> Answer:
    """GET /users/me: only a user's own credential has one."""
    user = call.state.store.get("user", call.caller.user_id or "")
    if user is None:
        message = "Client's session is an account-level access token and has no user"
        raise Refusal(400, 2001, "Invalid Input Provided", [message])
    return {"user": rendering.resource(call.state, "user", user)}


def list_priorities(call: Call) -> Answer:
    """GET /priorities: most severe first; names may repeat."""
    coordination.require_ability(call.state, "incident_priority_activated")
    known = sorted(call.state.store.all("priority"), key=lambda doc: -int(doc["order"]))
    shown = [rendering.resource(call.state, "priority", doc) for doc in known]
    return page(call).of("priorities", shown)


def list_abilities(call: Call) -> Answer:
    """GET /abilities."""
    return {"abilities": call.state.abilities}


def check_ability(call: Call) -> Answer:
    """GET /abilities/{name}: 204 yes, 402 no, 404 unknown."""
    name = call.path["name"]
    if name not in {*ABILITIES, *call.state.abilities}:
        raise not_found("Ability")
    coordination.require_ability(call.state, name)
    return 204, None


def list_incident_types(call: Call) -> Answer:
    """GET /incidents/types?filter=enabled|disabled|all, not paged."""
    wanted = call.query.get("filter", "enabled")
    shown = [
        rendering.resource(call.state, "incident_type", doc)
        for doc in call.state.store.all("incident_type")
        if wanted == "all" or doc["enabled"] == (wanted == "enabled")
    ]
    return {"incident_types": shown}


def list_custom_fields(call: Call) -> Answer:
    """GET /incidents/types/{id_or_name}/custom_fields, not paged."""
    wanted = call.path["type"]
    types = call.state.store.all("incident_type")
    if not any(wanted in (doc["id"], doc["name"]) for doc in types):
        raise not_found("Incident type")
    # Fields of the base type are inherited by every other type.
    shown = [
        rendering.resource(call.state, "custom_field", doc)
        for doc in call.state.store.all("custom_field")
    ]
    return {"fields": shown}


def list_workflows(call: Call) -> Answer:
    """GET /incident_workflows."""
    coordination.require_ability(call.state, "incident_workflows")
    query = call.query.get("query", "").casefold()
    shown = []
    for doc in call.state.store.all("incident_workflow"):
        if query in doc["name"].casefold():
            workflow = rendering.resource(call.state, "incident_workflow", doc)
            shown.append(workflow if "steps" in call.include else _without(workflow, "steps"))
    return page(call).of("incident_workflows", shown)


def _without(doc: Doc, name: str) -> Doc:
    return {key: value for key, value in doc.items() if key != name}


def get_workflow(call: Call) -> Answer:
    """GET /incident_workflows/{id}."""
    coordination.require_ability(call.state, "incident_workflows")
    doc = call.state.store.get("incident_workflow", call.path["id"])
    if doc is None:
        raise not_found("Incident workflow")
    return {"incident_workflow": rendering.resource(call.state, "incident_workflow", doc)}


def start_workflow(call: Call) -> Answer:
    """POST /incident_workflows/{id}/instances."""
    body = call.member("incident_workflow_instance")
    instance = coordination.start_workflow(call.state, call.actor, call.path["id"], body)
    return 201, {"incident_workflow_instance": instance}


def list_subscriptions(call: Call) -> Answer:
    """GET /webhook_subscriptions, filtered by `filter_type` and `filter_id`."""
    kind, identifier = call.query.get("filter_type"), call.query.get("filter_id")
    found = [
        webhooks.shown(call.state, doc)
        for doc in call.state.store.all("webhook_subscription")
        if kind in (None, doc["filter"]["type"].removesuffix("_reference"))
        and identifier in (None, doc["filter"]["id"])
    ]
    return page(call).of("webhook_subscriptions", found)


def create_subscription(call: Call) -> Answer:
    """POST /webhook_subscriptions: the only answer that tells the secret."""
    doc = webhooks.subscribe(call.state, call.member("webhook_subscription"))
    return 201, {"webhook_subscription": webhooks.shown(call.state, doc, with_secret=True)}


def get_subscription(call: Call) -> Answer:
    """GET /webhook_subscriptions/{id}."""
    return _shown(call, webhooks.get(call.state, call.path["id"]))


def change_subscription(call: Call) -> Answer:
    """PUT /webhook_subscriptions/{id}."""
    body = call.member("webhook_subscription")
    return _shown(call, webhooks.change(call.state, call.path["id"], body))


def delete_subscription(call: Call) -> Answer:
    """DELETE /webhook_subscriptions/{id}."""
    webhooks.get(call.state, call.path["id"])
    call.state.store.delete("webhook_subscription", call.path["id"])
    return 204, None


def ping_subscription(call: Call) -> Answer:
    """POST /webhook_subscriptions/{id}/ping."""
    webhooks.ping(call.state, call.path["id"])
    return 202, None


def enable_subscription(call: Call) -> Answer:
    """POST /webhook_subscriptions/{id}/enable."""
    return _shown(call, webhooks.enable(call.state, call.path["id"]))


def _shown(call: Call, doc: Doc) -> Answer:
    return {"webhook_subscription": webhooks.shown(call.state, doc)}
