"""Links: which record and which incident belong together, how both are, and where they drifted apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response

from pd_sf_rules.errors import SyncError
from pd_sf_rules.ledger.links import Place
from pd_sf_rules.pipeline.identifiers import find_incident, find_record
from pd_sf_rules.pipeline.pairs import Show, pairs_page
from pd_sf_rules.pipeline.relink import add_by_hand, remove_by_hand
from pd_sf_rules.policies import dag_id
from pd_sf_rules.settings import Integration
from pd_sf_rules.web import opened
from pd_sf_rules.web.access import Viewer, ViewerDep
from pd_sf_rules.web.audit import write_audit
from pd_sf_rules.web.forgery import UnforgedDep
from pd_sf_rules.web.rendering import back, page

router = APIRouter()
SIZE = 50
Named = Annotated[str, Form(max_length=500)]
KINDS = {
    "record_missing": "the record is gone",
    "incident_missing": "the incident is gone",
    "record_changed": "a change of the record was missed",
    "incident_changed": "a change of the incident was missed",
    "rule_not_applied": "a rule's effect is missing",
    "comment_not_copied": "a comment was not copied",
    "note_not_copied": "a note was not copied",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What part of the links an address asks for."""

    show: Show = "linked"
    text: str = ""
    before: str = ""

    def query(self, integration: str) -> dict[str, str]:
        """Return the address's values again, without the place."""
        show = "" if self.show == "linked" else self.show
        return {"integration": integration, "show": show, "text": self.text}


EVERYTHING = Wanted()
NOTHING_TYPED = {"record": "", "incident": "", "wrong": ""}


@router.get("/links")
def links(
    request: Request,
    viewer: ViewerDep,
    integration: Annotated[str, Query(max_length=63)] = "",
    show: Show = "linked",
    text: Annotated[str, Query(max_length=500)] = "",
    before: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """The page."""
    chosen = viewer.chosen(integration)
    return _page(request, viewer, chosen, Wanted(show, text, before))


@router.post("/links/add")
def add(
    request: Request,
    viewer: UnforgedDep,
    integration: Annotated[str, Form()],
    record: Named,
    incident: Named,
    unchecked: Annotated[Literal["", "yes"], Form()] = "",
) -> Response:
    """Link two by hand, as `pdsf links add` does."""
    chosen = viewer.integration(integration)
    viewer.demand("act", chosen)
    write_audit(viewer, "pdsf.link", chosen, record=record, incident=incident)
    try:
        with opened.open_run(chosen) as run:
            with run.ledger.read() as c:
                found = find_record(c, record), find_incident(c, incident)
            link, fresh = add_by_hand(run, *found, unchecked=bool(unchecked))
    except SyncError as error:
        form = {"record": record, "incident": incident, "wrong": str(error)}
        return _page(request, viewer, chosen, status=409, form=form)
    word = "linked" if fresh else "linked already"
    said = f"{link.object} {link.record_id} and incident {link.incident_id}: {word}."
    return back(request, "links", said=said, integration=chosen.name)


@router.post("/links/remove")
def remove(
    request: Request,
    viewer: UnforgedDep,
    integration: Annotated[str, Form()],
    record: Named,
    incident: Named,
) -> Response:
    """Part two, as `pdsf links remove` does; neither the record nor the incident is changed."""
    chosen = viewer.integration(integration)
    viewer.demand("act", chosen)
    write_audit(viewer, "pdsf.unlink", chosen, record=record, incident=incident)
    try:
        with opened.open_run(chosen) as run:
            link = remove_by_hand(run, record, incident)
    except SyncError as error:
        form = NOTHING_TYPED | {"wrong": str(error)}
        return _page(request, viewer, chosen, status=409, form=form)
    said = f"{link.object} {link.record_id} and incident {link.incident_id} are parted."
    return back(request, "links", said=said, integration=chosen.name)


def _page(
    request: Request,
    viewer: Viewer,
    chosen: Integration,
    wanted: Wanted = EVERYTHING,
    *,
    status: int = 200,
    form: Mapping[str, str] = NOTHING_TYPED,
) -> Response:
    place = _place(wanted.before)
    found = pairs_page(
        opened.ledger(),
        chosen.name,
        show=wanted.show,
        text=wanted.text,
        before=place,
        limit=SIZE,
    )
    return page(
        request,
        viewer,
        "links.html",
        status=status,
        integration=chosen.name,
        found=found,
        asked=wanted.query(chosen.name if len(viewer.integrations) > 1 else ""),
        show=wanted.show,
        text=wanted.text,
        is_first=place is None,
        older=_told(found.older),
        kinds=KINDS,
        form=form,
        reconcile=dag_id("reconcile", chosen),
        may_act=viewer.may_act(chosen),
    )


def _place(text: str) -> Place | None:
    """Return the place that an address names, None for the newest links and for an address that is none."""
    at, _, rest = text.partition("|")
    record, _, incident = rest.partition("|")
    try:
        stamp = datetime.fromisoformat(at)
    except ValueError:
        return None
    return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC), record, incident)


def _told(place: Place | None) -> str:
    return "" if place is None else f"{place[0].isoformat()}|{place[1]}|{place[2]}"
