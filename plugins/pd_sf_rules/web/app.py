"""The pages as one FastAPI app, mounted by the plugin at /pd-sf-rules; nothing answers without Airflow's login."""

from collections.abc import Awaitable, Callable
from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import requires_access_view
from fastapi import Depends, FastAPI, HTTPException, Request, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException as StarletteHTTPException

from pd_sf_rules.errors import ConfigError, SyncError
from pd_sf_rules.web.pages import routers
from pd_sf_rules.web.rendering import HEADERS, environment, to_root
from pd_sf_rules.web.resources import static_files

_TITLES = {
    401: "Please sign in",
    403: "Not allowed",
    404: "Not found",
    405: "Not found",
    409: "Not possible now",
    422: "This address is not right",
    503: "Not available",
}


def pages_app() -> FastAPI:
    """Build the app: every route, also one that does not exist, asks for Airflow's login first."""
    app = FastAPI(
        title="PagerDuty and Salesforce",
        dependencies=[Depends(requires_access_view(AccessView.PLUGINS))],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.middleware("http")(_with_headers)
    for router in routers():
        app.include_router(router)
    app.include_router(static_files)
    app.add_api_route("/", _to_summary, methods=["GET"])
    app.add_api_route(
        "/{path:path}", _nothing_here, methods=["GET", "POST", "PUT", "DELETE", "PATCH"]
    )
    app.add_exception_handler(StarletteHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _misread)
    app.add_exception_handler(SyncError, _broken)
    return app


def _to_summary() -> Response:
    return RedirectResponse("summary", status_code=302)


def _nothing_here(path: str) -> Response:
    raise HTTPException(status.HTTP_404_NOT_FOUND, f"There is no page '{path[:100]}'.")


async def _with_headers(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await call_next(request)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


async def _refused(request: Request, error: Any) -> Response:
    if error.status_code == 401 and request.headers.get("sec-fetch-dest") == "document":
        return RedirectResponse(_login(request), status_code=302)
    return told(request, error.status_code, str(error.detail), headers=error.headers)


async def _misread(request: Request, error: Any) -> Response:
    first = error.errors()[0]
    return told(request, 422, f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}.")


async def _broken(request: Request, error: Any) -> Response:
    return told(request, 409 if isinstance(error, ConfigError) else 503, str(error))


def told(
    request: Request, code: int, message: str, headers: dict[str, str] | None = None
) -> HTMLResponse:
    """Return the page that says what went wrong, in one sentence."""
    text = (
        environment()
        .get_template("refused.html")
        .render(
            root=to_root(request),
            title=_TITLES.get(code, "Something went wrong"),
            message=message,
            login=_login(request) if code == 401 else "",
        )
    )
    return HTMLResponse(text, status_code=code, headers=headers)


def _login(request: Request) -> str:
    return get_auth_manager().get_url_login(next_url=str(request.url))
