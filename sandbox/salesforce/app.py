"""The simulated org as an ASGI app: login, REST and the control surface."""

import json
import re
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.salesforce import control, oauth
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.rest import ApiCall, ApiReply, split_url
from sandbox.salesforce.state import API_VERSION, SalesforceState

OLDEST_VERSION, NEWEST_VERSION = 31, int(float(API_VERSION))
SEASONS = ("Winter", "Spring", "Summer")
LONGEST_HEAD = 16_384  # bytes of URI and headers
SOAP_FAULT = """<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"
 xmlns:sf="urn:fault.partner.soap.sforce.com"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body><soapenv:Fault>
<faultcode>sf:{code}</faultcode><faultstring>{code}: {text}</faultstring>
<detail><sf:UnexpectedErrorFault xsi:type="sf:UnexpectedErrorFault">
<sf:exceptionCode>{code}</sf:exceptionCode><sf:exceptionMessage>{text}</sf:exceptionMessage>
</sf:UnexpectedErrorFault></detail></soapenv:Fault></soapenv:Body></soapenv:Envelope>"""
EVERY_METHOD = ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"]


def create_app(state: SalesforceState) -> Starlette:
    """Return the app that serves one org.

    Replies carry their own ``Date`` (the org's clock may be skewed), so serve it with uvicorn's
    ``date_header=False``.
    """
    app = Starlette(
        routes=[
            Route("/services/oauth2/token", _token, methods=EVERY_METHOD),
            Route("/services/oauth2/userinfo", _userinfo, methods=["GET", "POST"]),
            Route("/services/oauth2/revoke", _revoke, methods=["POST"]),
            Route("/id/{org}/{user}", _userinfo, methods=["GET", "POST"]),
            Route("/services/Soap/{rest:path}", _soap, methods=EVERY_METHOD),
            Route("/services/data", _versions, methods=["GET"]),
            Route("/services/data/", _versions, methods=["GET"]),
            Route("/services/data/{rest:path}", _rest, methods=EVERY_METHOD),
            Route("/__sandbox__/{rest:path}", control.serve, methods=EVERY_METHOD),
        ]
    )
    app.state.salesforce = state
    return app


def _state(request: Request) -> SalesforceState:
    state: SalesforceState = request.app.state.salesforce
    return state


def _json(state: SalesforceState, status: int, body: Any, **headers: str) -> Response:
    content = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
    response = Response(content, status, media_type="application/json;charset=UTF-8")
    response.headers["date"] = f"{state.org.exact_now():%a, %d %b %Y %H:%M:%S} GMT"
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = value
    return response


def _base(request: Request) -> str:
    return f"{request.url.scheme}://{request.headers.get('host', request.url.netloc)}"


async def _token(request: Request) -> Response:
    state = _state(request)
    if request.method != "POST":
        refusal = oauth.OAuthError("invalid_request", "must use HTTP POST")
        return _json(state, 400, refusal.body())
    form = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
    form |= oauth.basic_credentials(request.headers.get("authorization", ""))
    base = _base(request)

    def grant() -> Response:
        with state.at_work():
            try:
                return _json(state, 200, oauth.token(state.org, state.sessions, form, base))
            except oauth.OAuthError as refusal:
                return _json(state, refusal.status, refusal.body())

    return await run_in_threadpool(grant)


async def _userinfo(request: Request) -> Response:
    state = _state(request)

    def tell() -> Response:
        with state.at_work():
            try:
                actor = state.sessions.actor(request.headers.get("authorization", ""))
            except ApiError:
                return _json(state, 403, None)
            user = state.org.row(actor.user_id) or {}
            return _json(state, 200, oauth.identity(user, _base(request)))

    return await run_in_threadpool(tell)


async def _revoke(request: Request) -> Response:
    state = _state(request)
    form = dict(parse_qsl((await request.body()).decode()))

    def end() -> Response:
        with state.at_work():
            state.sessions.close(form.get("token", ""))
            return _json(state, 200, None)

    return await run_in_threadpool(end)


async def _soap(request: Request) -> Response:
    version = re.search(r"/u/(\d+)", request.url.path)
    code, text = "INVALID_OPERATION", "SOAP API login() is disabled by default in this org."
    if version and int(version[1]) >= 65:
        code, text = "UNSUPPORTED_API_VERSION", "login() is not supported in this API version."
    return Response(SOAP_FAULT.format(code=code, text=text), 500, media_type="text/xml")


async def _versions(request: Request) -> Response:
    listed = [
        {
            "label": f"{SEASONS[(number - 65) % 3]} '{(number - 65) // 3 + 26}",
            "url": f"/services/data/v{number}.0",
            "version": f"{number}.0",
        }
        for number in range(OLDEST_VERSION, NEWEST_VERSION + 1)
    ]
    return _json(_state(request), 200, listed)


async def _rest(request: Request) -> Response:
    state = _state(request)
    head = len(request.scope["raw_path"]) + len(request.scope["query_string"])
    head += sum(len(name) + len(value) for name, value in request.headers.raw)
    if head > LONGEST_HEAD:
        return Response("<h1>Bad Message 431</h1>", 431, media_type="text/html")
    body = await request.body()
    return await run_in_threadpool(_answer, state, request, body)


def _answer(state: SalesforceState, request: Request, body: bytes) -> Response:
    with state.at_work():
        reply = _reply(state, request, body)
        headers = {**reply.headers, "Sforce-Limit-Info": state.usage.header()}
        return _json(state, reply.status, reply.body, **headers)


def _reply(state: SalesforceState, request: Request, body: bytes) -> ApiReply:
    raw_path = request.scope["raw_path"].split(b"?")[0].decode()
    version, segments, query = split_url(f"{raw_path}?{request.scope['query_string'].decode()}")
    try:
        _check_version(version)
        actor = state.sessions.actor(request.headers.get("authorization", ""))
        state.usage.count()
        call = ApiCall(
            method=request.method,
            segments=segments,
            version=version or API_VERSION,
            actor=actor,
            query=query,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=_parse(request, body),
            host=_base(request),
        )
    except ApiError as refusal:
        return ApiReply(refusal.status, [refusal.rest()])
    return state.answer(call)


def _check_version(version: str | None) -> None:
    number = int(float(version)) if version else 0
    if 7 <= number < OLDEST_VERSION:
        text = f"API version v{version} is no longer available"
        raise ApiError(410, "UNSUPPORTED_API_VERSION", text)
    if not OLDEST_VERSION <= number <= NEWEST_VERSION:
        raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")


def _form(kind: str, body: bytes) -> dict[str, bytes]:
    """Return the parts of a multipart form by name, as bytes."""
    message = BytesParser(policy=HTTP).parsebytes(
        b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body
    )
    return {
        str(part.get_param("name", header="content-disposition")): bytes(
            part.get_payload(decode=True) or b""
        )
        for part in message.iter_parts()
    }


def _parse(request: Request, body: bytes) -> Any:
    if not body:
        return None
    kind = request.headers.get("content-type", "")
    if kind.startswith("multipart/form-data") and "/metadata/" in request.url.path:
        return _form(kind, body)
    if "json" not in kind:
        raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", "Content-Type header must be JSON")
    try:
        return json.loads(body)
    except ValueError as mistake:
        at = f"[line:{getattr(mistake, 'lineno', 1)}, column:{getattr(mistake, 'colno', 1)}]"
        text = f"Unexpected character or end of input: {mistake} at {at}"
        raise ApiError(400, "JSON_PARSER_ERROR", text) from None
