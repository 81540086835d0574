"""The control surface of the org under ``/__sandbox__/``: seed, plan trouble, look, reset."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.salesforce import planned
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.field_kinds import system_fields
from sandbox.salesforce.org import field_from_json
from sandbox.salesforce.schema import SObject
from sandbox.salesforce.settings import ConnectedApp, ValidationRule

if TYPE_CHECKING:
    from sandbox.salesforce.state import SalesforceState

Body = dict[str, Any]
Command = Callable[["SalesforceState", Body], Any]


def _index(_state: "SalesforceState", _body: Body) -> Any:
    """Return this list."""
    return {f"{method} {path}": command.__doc__ for (method, path), command in COMMANDS.items()}


def _app(state: "SalesforceState", body: Body) -> Any:
    """Upload a certificate: consumer_key, certificate (PEM), usernames, consumer_secret..."""
    state.register_app(ConnectedApp(**body))


def _kill_sessions(state: "SalesforceState", _body: Body) -> Any:
    """End every session."""
    return {"ended": state.faults.kill_sessions()}


def _expire_locators(state: "SalesforceState", _body: Body) -> Any:
    """Forget the results whose later pages could be asked for."""
    state.faults.expire_locators()


def _refuse(state: "SalesforceState", body: Body) -> Any:
    """Plan a refusal: code, message, status, times, object, record_id, operation, position."""
    state.faults.refuse(planned.Refusal(**body))


def _clear_refusals(state: "SalesforceState", _body: Body) -> Any:
    """Drop every planned refusal."""
    state.faults.clear_refusals()


def _lock(state: "SalesforceState", body: Body) -> Any:
    """Lock a row for the next writes: id, times."""
    state.faults.lock_row(body["id"], int(body.get("times", 1)))


def _settings(state: "SalesforceState", body: Body) -> Any:
    """Set switches: daily_allowance, skew_seconds, page_size, session_seconds, instance_url..."""
    state.faults.set(**body)
    return state.org.settings.to_json()


def _usage(state: "SalesforceState", body: Body) -> Any:
    """Pretend that so many calls were made: used."""
    state.faults.set_usage(int(body["used"]))


def _limits(state: "SalesforceState", _body: Body) -> Any:
    """Return the calls used and allowed."""
    return {"used": state.usage.used(), "allowed": state.org.settings.daily_allowance}


def _rule(state: "SalesforceState", body: Body) -> Any:
    """Add a validation rule: object, when (a SOQL condition), message, field."""
    state.faults.add_validation_rule(ValidationRule(**body))


def _access(state: "SalesforceState", body: Body) -> Any:
    """Set a user's access: object, field (or none), level (none, read, edit), user."""
    more = {"user": body["user"]} if "user" in body else {}
    state.faults.set_access(body["object"], body.get("field"), body["level"], **more)


def _hide(state: "SalesforceState", body: Body) -> Any:
    """Hide a record from the API user: id."""
    state.faults.hide_record(body["id"])


def _user(state: "SalesforceState", body: Body) -> Any:
    """Activate or deactivate a user: user, active."""
    state.faults.set_user_active(body["user"], active=bool(body["active"]))


def _touch(state: "SalesforceState", body: Body) -> Any:
    """Move SystemModstamp of records without a change: ids."""
    state.touch(body["ids"])


def _hold(state: "SalesforceState", body: Body) -> Any:
    """Write in a transaction that stays open: writes, by, release_after (seconds)."""
    number, ids = state.faults.hold(body["writes"], body.get("by"), body.get("release_after"))
    return {"transaction": number, "ids": ids}


def _release(state: "SalesforceState", body: Body) -> Any:
    """Commit a held transaction: transaction."""
    state.faults.release(str(body["transaction"]))


def _roll_back(state: "SalesforceState", body: Body) -> Any:
    """Drop a held transaction: transaction."""
    state.faults.roll_back(str(body["transaction"]))


def _create(state: "SalesforceState", body: Body) -> Any:
    """Create a record as a person: object, fields, by; or many: object, records, by."""
    if "records" in body:
        with state.at_work(), state.org.store.transaction():
            made = [state.create(body["object"], each, body.get("by")) for each in body["records"]]
        return {"ids": made}
    return {"id": state.create(body["object"], body.get("fields", {}), body.get("by"))}


def _update(state: "SalesforceState", body: Body) -> Any:
    """Change a record as a person: id, fields, by."""
    state.update(body["id"], body["fields"], body.get("by"))


def _delete(state: "SalesforceState", body: Body) -> Any:
    """Delete a record as a person: id, by; purge true leaves nothing in the recycle bin."""
    if body.get("purge"):
        state.purge(body["id"], body.get("by"))
    else:
        state.delete(body["id"], body.get("by"))


def _undelete(state: "SalesforceState", body: Body) -> Any:
    """Bring a record back from the recycle bin: id, by."""
    state.undelete(body["id"], body.get("by"))


def _comment(state: "SalesforceState", body: Body) -> Any:
    """Comment on a case as a person: id, body, public, by."""
    public = bool(body.get("public"))
    return {"id": state.comment(body["id"], body["body"], public=public, by=body.get("by"))}


def _dump(state: "SalesforceState", body: Body) -> Any:
    """Return records: object, deleted; or the record of an id."""
    if "id" in body:
        return state.record(body["id"])
    return state.records(body["object"], deleted=str(body.get("deleted", "")).lower() == "true")


def _soql(state: "SalesforceState", body: Body) -> Any:
    """Run a query that sees everything: q."""
    return state.soql(body["q"])


def _writes(state: "SalesforceState", _body: Body) -> Any:
    """Return the write requests received."""
    return state.writes()


def _forget_writes(state: "SalesforceState", _body: Body) -> Any:
    """Empty the list of write requests."""
    state.forget_writes()


def _changes(state: "SalesforceState", body: Body) -> Any:
    """Return every committed row change, or those of an id."""
    return state.changes(body.get("id"))


def _object(state: "SalesforceState", body: Body) -> Any:
    """Define an object, or add fields to one: name, key_prefix, label, plural, fields."""
    fields = tuple(field_from_json(each) for each in body.get("fields", ()))
    with state.org.lock:
        known = state.org.schema.get(body["name"])
        if known is None:
            rest = {key: value for key, value in body.items() if key != "fields"}
            known = SObject(**{**rest, "fields": system_fields()})
        state.org.define(known.with_fields(fields))


def _drop_fields(state: "SalesforceState", body: Body) -> Any:
    """Take custom fields away from an object, as in an org where nobody has made them: name, fields."""
    with state.org.lock:
        known = state.org.schema.get(body["name"])
        if known is None:
            raise LookupError(f"no object named {body['name']!r}")
        state.org.define(known.without_fields(body["fields"]))


def _reset(state: "SalesforceState", body: Body) -> Any:
    """Return to a new org; demo true adds everyday records."""
    state.reset()
    if body.get("demo"):
        state.seed_demo()


COMMANDS: dict[tuple[str, str], Command] = {
    ("GET", ""): _index,
    ("POST", "apps"): _app,
    ("POST", "sessions/kill"): _kill_sessions,
    ("POST", "locators/expire"): _expire_locators,
    ("POST", "refusals"): _refuse,
    ("DELETE", "refusals"): _clear_refusals,
    ("POST", "locks"): _lock,
    ("POST", "settings"): _settings,
    ("GET", "usage"): _limits,
    ("POST", "usage"): _usage,
    ("POST", "rules"): _rule,
    ("POST", "access"): _access,
    ("POST", "hide"): _hide,
    ("POST", "users"): _user,
    ("POST", "touch"): _touch,
    ("POST", "held"): _hold,
    ("POST", "held/release"): _release,
    ("POST", "held/rollback"): _roll_back,
    ("GET", "records"): _dump,
    ("POST", "records"): _create,
    ("PATCH", "records"): _update,
    ("DELETE", "records"): _delete,
    ("POST", "undelete"): _undelete,
    ("POST", "comments"): _comment,
    ("GET", "soql"): _soql,
    ("GET", "writes"): _writes,
    ("DELETE", "writes"): _forget_writes,
    ("GET", "changes"): _changes,
    ("POST", "objects"): _object,
    ("DELETE", "objects"): _drop_fields,
    ("POST", "reset"): _reset,
}


async def serve(request: Request) -> Response:
    """Answer one control call; a mistake in it is a 400 with one sentence."""
    path = str(request.path_params["rest"]).strip("/")
    command = COMMANDS.get((request.method, path))
    if command is None:
        return JSONResponse({"error": f"no control {request.method} {path!r}"}, 404)
    raw = await request.body()
    try:
        body = {**dict(request.query_params), **(json.loads(raw) if raw else {})}
        result = await run_in_threadpool(command, request.app.state.salesforce, body)
    except ApiError as refusal:
        return JSONResponse({"error": str(refusal)}, 400)
    except KeyError as missing:
        return JSONResponse({"error": f"{path}: {missing.args[0]!r} is missing"}, 400)
    except (LookupError, TypeError, ValueError) as mistake:
        return JSONResponse({"error": f"{path}: {mistake}"}, 400)
    return JSONResponse({"ok": True} if result is None else result)
