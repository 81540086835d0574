"""REST: several calls in one: composite, batch and graph."""

import re
from typing import TYPE_CHECKING, Any

from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.rest import ApiCall, ApiReply, split_url

if TYPE_CHECKING:
    from sandbox.salesforce.state import SalesforceState

MOST_CALLS = 25
MOST_HEAVY = 5  # queries and collections among them
MOST_NODES = 500
REFERENCE = re.compile(r"@\{(\w+)((?:\.\w+|\[\d+\])*)\}")
HALTED = ApiError(
    400,
    "PROCESSING_HALTED",
    "The transaction was rolled back since another operation in the same transaction failed.",
)


def composite(state: "SalesforceState", call: ApiCall) -> ApiReply:
    """Answer ``POST composite``: up to 25 calls that may refer to earlier results."""
    body = call.object_body()
    parts = _parts(body, "compositeRequest", MOST_CALLS)
    heavy = sum(1 for each in parts if _is_heavy(str(each.get("url", ""))))
    if heavy > MOST_HEAVY:
        text = f"Limit exceeded. Maximum of {MOST_HEAVY} queries and collections are allowed"
        raise ApiError(400, "LIMIT_EXCEEDED", text)
    results = _sequence(state, call, parts, all_or_none=body.get("allOrNone") is True)
    return ApiReply(200, {"compositeResponse": results})


def graph(state: "SalesforceState", call: ApiCall) -> ApiReply:
    """Answer ``POST composite/graph``: groups of calls, each all or nothing."""
    graphs = _parts(call.object_body(), "graphs", 75)
    answers = []
    for each in graphs:
        parts = _parts(each, "compositeRequest", MOST_NODES)
        results = _sequence(state, call, parts, all_or_none=True)
        answers.append(
            {
                "graphId": each.get("graphId"),
                "graphResponse": {"compositeResponse": results},
                "isSuccessful": all(one["httpStatusCode"] < 300 for one in results),
            }
        )
    return ApiReply(200, {"graphs": answers})


def batch(state: "SalesforceState", call: ApiCall) -> ApiReply:
    """Answer ``POST composite/batch``: up to 25 independent calls, each counted."""
    body = call.object_body()
    parts = _parts(body, "batchRequests", MOST_CALLS)
    state.usage.count(max(0, len(parts) - 1))
    results: list[dict[str, Any]] = []
    failed = False
    for each in parts:
        if failed and body.get("haltOnError"):
            halt = ApiError(412, "BATCH_PROCESSING_HALTED", "Batch processing halted per request")
            results.append({"statusCode": 412, "result": [halt.rest()]})
            continue
        url = str(each.get("url", ""))
        url = url if url.startswith("/services") else f"/services/data/{url.lstrip('/')}"
        reply = _run(state, call, each, url, each.get("richInput"))
        failed = failed or reply.status >= 400
        results.append({"statusCode": reply.status, "result": reply.body})
    return ApiReply(200, {"hasErrors": failed, "results": results})


def _sequence(
    state: "SalesforceState", call: ApiCall, parts: list[dict[str, Any]], *, all_or_none: bool
) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    answers: dict[str, Any] = {}
    with state.org.store.transaction() as start:
        for each in parts:
            result = _part(state, call, each, answers)
            results.append(result)
            answers[result["referenceId"]] = result["body"]
            if all_or_none and result["httpStatusCode"] >= 300:
                state.org.store.take_back(start)
                place = len(results) - 1
                halted = [_halted(other) for other in parts]
                return [*halted[:place], result, *halted[place + 1 :]]
    return results


def _part(
    state: "SalesforceState", call: ApiCall, part: dict[str, Any], answers: dict[str, Any]
) -> dict[str, Any]:
    try:
        url = str(_resolve(part.get("url", ""), answers))
        reply = _run(state, call, part, url, _resolve(part.get("body"), answers))
    except ApiError as refusal:
        reply = ApiReply(refusal.status, [refusal.rest()])
    return {
        "body": reply.body,
        "httpHeaders": dict(reply.headers),
        "httpStatusCode": reply.status,
        "referenceId": str(part.get("referenceId", "")),
    }


def _run(
    state: "SalesforceState", call: ApiCall, part: dict[str, Any], url: str, body: Any
) -> ApiReply:
    version, segments, query = split_url(url)
    headers = {str(k).lower(): str(v) for k, v in (part.get("httpHeaders") or {}).items()}
    inner = ApiCall(
        method=str(part.get("method", "GET")).upper(),
        segments=segments,
        version=version or call.version,
        actor=call.actor,
        query=query,
        headers={**call.headers, **headers},
        body=body,
        host=call.host,
    )
    if version is None or (segments[:1] == ("composite",) and segments[1:2] != ("sobjects",)):
        return ApiReply(400, [ApiError(400, "INVALID_REQUEST", f"not allowed here: {url}").rest()])
    return state.answer(inner)


def _resolve(value: Any, answers: dict[str, Any]) -> Any:
    """Put earlier results in place of ``@{reference.path}``, in keys' values at any depth."""
    if isinstance(value, dict):
        return {key: _resolve(each, answers) for key, each in value.items()}
    if isinstance(value, list):
        return [_resolve(each, answers) for each in value]
    if not isinstance(value, str):
        return value
    whole = REFERENCE.fullmatch(value)
    if whole:
        return _look_up(whole, answers)
    return REFERENCE.sub(lambda match: str(_look_up(match, answers)), value)


def _look_up(match: re.Match[str], answers: dict[str, Any]) -> Any:
    found = answers.get(match[1])
    for step in re.findall(r"\w+", match[2]):
        if isinstance(found, dict) and step in found:
            found = found[step]
        elif isinstance(found, list) and step.isdigit() and int(step) < len(found):
            found = found[int(step)]
        else:
            found = None
    if found is None:
        path = f"{match[1]}{match[2]}"
        text = f"Invalid reference specified. No value for {path} found in {match[1]}"
        raise ApiError(400, "PROCESSING_HALTED", text)
    return found


def _parts(body: dict[str, Any], key: str, most: int) -> list[dict[str, Any]]:
    parts = body.get(key)
    if not isinstance(parts, list) or not parts or not all(isinstance(p, dict) for p in parts):
        raise ApiError(400, "JSON_PARSER_ERROR", f"{key} must be a list of requests")
    if len(parts) > most:
        text = f"Limit exceeded. Maximum of {most} requests are allowed in {key}"
        raise ApiError(400, "LIMIT_EXCEEDED", text)
    return parts


def _is_heavy(url: str) -> bool:
    _, segments, _ = split_url(url)
    return segments[:2] == ("composite", "sobjects") or segments[:1] in {("query",), ("queryAll",)}


def _halted(part: dict[str, Any]) -> dict[str, Any]:
    return {
        "body": [HALTED.rest()],
        "httpHeaders": {},
        "httpStatusCode": 400,
        "referenceId": str(part.get("referenceId", "")),
    }
