"""Goto: leads on to a record or an incident, whose address is only asked for when somebody goes there."""

import re
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query
from fastapi.responses import RedirectResponse, Response

from pd_sf_rules.web import outward
from pd_sf_rules.web.access import ViewerDep

router = APIRouter()

Name = Annotated[str, Query(max_length=63)]
Id = Annotated[str, Path(max_length=80)]
_ID = re.compile(r"[A-Za-z0-9_-]+")


@router.get("/goto/record/{record_id}")
def record(viewer: ViewerDep, record_id: Id, integration: Name = "") -> Response:
    """To the record in Salesforce."""
    chosen = viewer.chosen(integration)
    return RedirectResponse(outward.record_url(chosen, _plain(record_id)), status_code=302)


@router.get("/goto/incident/{incident_id}")
def incident(viewer: ViewerDep, incident_id: Id, integration: Name = "") -> Response:
    """To the incident in PagerDuty."""
    chosen = viewer.chosen(integration)
    return RedirectResponse(outward.incident_url(chosen, _plain(incident_id)), status_code=302)


def _plain(name: str) -> str:
    if not _ID.fullmatch(name):
        raise HTTPException(404, f"'{name}' is no id.")
    return name
