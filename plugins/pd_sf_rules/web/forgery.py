"""No other site can make a signed-in person's browser change anything: a token in every form, and the browser's word.

The token is an HMAC over the person's name and the day with Airflow's own `[api] secret_key`, so it needs no store
and works on every api-server worker. It lives in a hidden field (`csrf_token`) or the header `X-CSRF-Token`.
"""

import hashlib
import hmac
import time
from typing import Annotated
from urllib.parse import urlsplit

from airflow.api_fastapi.auth.tokens import get_signing_key
from airflow.configuration import conf
from fastapi import Depends, HTTPException, Request, status

from pd_sf_rules.web.access import Viewer, ViewerDep

FIELD = "csrf_token"
HEADER = "x-csrf-token"
DAY = 86_400
"""Seconds. A page left open stays good until the end of the next UTC day."""


def token_for(name: str, *, day: int | None = None) -> str:
    """Return the token of a person for a UTC day (days since 1970; default today)."""
    number = int(time.time() // DAY) if day is None else day
    key = get_signing_key("api", "secret_key").encode()
    return hmac.new(key, f"pd-sf-rules\n{number}\n{name}".encode(), hashlib.sha256).hexdigest()


async def unforged(request: Request, viewer: ViewerDep) -> Viewer:
    """Dependency of every POST: whoever is signed in, and really sent this form. Refuses with 403 otherwise."""
    if not _same_origin(request):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "This form was sent from another site.")
    given = request.headers.get(HEADER, "") or str((await request.form()).get(FIELD, ""))
    today = int(time.time() // DAY)
    good = [token_for(viewer.name, day=day) for day in (today, today - 1)]
    if not any(hmac.compare_digest(given.encode(), one.encode()) for one in good):
        message = "The form has no valid token: load the page again and repeat what you did."
        raise HTTPException(status.HTTP_403_FORBIDDEN, message)
    return viewer


UnforgedDep = Annotated[Viewer, Depends(unforged)]


def _same_origin(request: Request) -> bool:
    """Believe the browser's Sec-Fetch-Site; an older browser's Origin is compared; a script sends neither."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin")
    if origin is None:
        return True
    ours = {
        request.headers.get("host", ""),
        urlsplit(conf.get("api", "base_url", fallback="")).netloc,
    }
    return urlsplit(origin).netloc in ours - {""}
