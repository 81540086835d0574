"""Control of the simulated Salesforce: act as a person on Cases, and look at them.

Everything else (held transactions, row locks, access, clock skew...) is planned on the org's own
surface under `/__sandbox__/` of its port.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from sandbox.salesforce.state import SalesforceState

Answering = Callable[[Callable[[Request, Any], Any]], Callable[[Request], Awaitable[Response]]]
CASE_FIELDS = (
    "Id, CaseNumber, Subject, Status, Priority, Origin, IsClosed, Description, CreatedDate,"
    " LastModifiedDate, SystemModstamp, Account.Name, Owner.Name, LastModifiedBy.Name,"
    " PagerDuty_Incident_Id__c, PagerDuty_Incident_URL__c"
)
FEW = 100
COMMENT_FIELDS = "Id, ParentId, CommentBody, IsPublished, CreatedDate, CreatedBy.Name"


def cases(state: SalesforceState, limit: int = 10_000) -> list[dict[str, Any]]:
    """Cases, newest first, each with its `comments`, newest first."""
    text = f"SELECT {CASE_FIELDS} FROM Case ORDER BY CreatedDate DESC, Id DESC LIMIT {limit}"
    found = state.soql(text)
    some = ", ".join(f"'{row['Id']}'" for row in found) if len(found) <= FEW else ""
    where = f"WHERE ParentId IN ({some}) " if some else ""
    comments: dict[str, list[dict[str, Any]]] = {}
    for row in state.soql(
        f"SELECT {COMMENT_FIELDS} FROM CaseComment {where}ORDER BY CreatedDate DESC, Id DESC"
    ):
        comments.setdefault(row["ParentId"], []).append(row)
    return [{**row, "comments": comments.get(row["Id"], [])} for row in found]


def case(state: SalesforceState, case_id: str) -> dict[str, Any]:
    """One Case with its comments; raises LookupError for an unknown one."""
    wanted = state.id(case_id)
    for row in cases(state):
        if row["Id"] == wanted:
            return row
    raise LookupError(f"the simulated Salesforce has no Case {case_id}")


def routes(state: SalesforceState, answering: Answering) -> list[BaseRoute]:
    """The routes under /salesforce/."""

    def everything(_request: Request, _body: Any) -> Any:
        return {"cases": cases(state)}

    def create(_request: Request, body: Any) -> Any:
        case_id = state.create(body.get("object", "Case"), body["fields"], body.get("as"))
        return {"id": case_id, "record": state.record(case_id)}

    def one(request: Request, _body: Any) -> Any:
        return case(state, request.path_params["id"])

    def edit(request: Request, body: Any) -> Any:
        state.update(request.path_params["id"], body["fields"], body.get("as"))
        return {"record": state.record(request.path_params["id"])}

    def comment(request: Request, body: Any) -> Any:
        public = bool(body.get("public"))
        case_id = request.path_params["id"]
        return {"id": state.comment(case_id, body["body"], public=public, by=body.get("as"))}

    return [
        Route("/salesforce/cases", answering(everything), methods=["GET"]),
        Route("/salesforce/cases/{id}", answering(one), methods=["GET"]),
        Route("/salesforce/records", answering(create), methods=["POST"]),
        Route("/salesforce/records/{id}", answering(edit), methods=["PATCH", "POST"]),
        Route("/salesforce/cases/{id}/comments", answering(comment), methods=["POST"]),
    ]
