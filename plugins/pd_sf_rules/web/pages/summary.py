"""Summary: how every integration is, at a glance."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from pd_sf_rules.web.access import ViewerDep
from pd_sf_rules.web.rendering import page

router = APIRouter()


@router.get("/summary")
def summary(
    request: Request, viewer: ViewerDep, integration: Annotated[str, Query(max_length=63)] = ""
) -> Response:
    """The page."""
    chosen = viewer.chosen(integration)
    return page(request, viewer, "summary.html", integration=chosen.name)
