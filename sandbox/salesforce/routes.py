"""Which function answers which REST path."""

from typing import TYPE_CHECKING

from sandbox.salesforce import deploying
from sandbox.salesforce import rest_collections as collections
from sandbox.salesforce import rest_composite as composite
from sandbox.salesforce import rest_query as queries
from sandbox.salesforce import rest_rows as rows
from sandbox.salesforce.org import ORG_ID
from sandbox.salesforce.rest import ApiCall, ApiReply, Route

if TYPE_CHECKING:
    from sandbox.salesforce.state import SalesforceState

RESOURCES = ("sobjects", "query", "queryAll", "limits", "composite", "recent", "search")


def resources(_state: "SalesforceState", call: ApiCall) -> ApiReply:
    """Answer the root of a version."""
    listed = {name: f"{call.path}/{name}" for name in RESOURCES}
    return ApiReply(200, {**listed, "identity": f"{call.host}/id/{ORG_ID}/{call.actor.user_id}"})


def limits(state: "SalesforceState", _call: ApiCall) -> ApiReply:
    """Answer ``GET limits``."""
    return ApiReply(200, state.usage.limits())


def composite_root(_state: "SalesforceState", call: ApiCall) -> ApiReply:
    """Answer ``GET composite``."""
    names = ("sobjects", "batch", "graph")
    return ApiReply(200, {name: f"{call.path}/composite/{name}" for name in names})


ROUTES = (
    Route("", {"GET": resources}),
    Route("limits", {"GET": limits}),
    Route("query", {"GET": queries.query}),
    Route("queryAll", {"GET": queries.query_all}),
    Route("query/{place}", {"GET": queries.next_page}),
    Route("queryAll/{place}", {"GET": queries.next_page}),
    Route("sobjects", {"GET": rows.describe_all}),
    Route("sobjects/{name}", {"GET": rows.basic, "POST": rows.create}),
    Route("sobjects/{name}/describe", {"GET": rows.describe_one}),
    Route("sobjects/{name}/updated", {"GET": rows.updated}),
    Route("sobjects/{name}/deleted", {"GET": rows.deleted}),
    Route("sobjects/{name}/{id}", {"GET": rows.read, "PATCH": rows.change, "DELETE": rows.remove}),
    Route(
        "sobjects/{name}/{field}/{value}",
        {"GET": rows.read_by_key, "PATCH": rows.upsert, "DELETE": rows.remove_by_key},
    ),
    Route("composite", {"GET": composite_root, "POST": composite.composite}, writes=False),
    Route("composite/batch", {"POST": composite.batch}, writes=False),
    Route("composite/graph", {"POST": composite.graph}, writes=False),
    Route(
        "composite/sobjects",
        {"POST": collections.create, "PATCH": collections.update, "DELETE": collections.remove},
    ),
    Route(
        "composite/sobjects/{name}",
        {"GET": collections.retrieve, "POST": collections.retrieve},
        writes=False,
    ),
    Route("composite/sobjects/{name}/{field}", {"PATCH": collections.upsert}),
    Route("metadata/deployRequest", {"POST": deploying.start}, writes=False),
    Route("metadata/deployRequest/{id}", {"GET": deploying.progress}),
)
