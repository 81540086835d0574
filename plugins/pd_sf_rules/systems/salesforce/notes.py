"""Case comments. CaseComment has no field of our own, so what we posted is known by id and text."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pd_sf_rules.errors import RefusedError, SkippableError
from pd_sf_rules.model import Window
from pd_sf_rules.systems.clock import second_text
from pd_sf_rules.systems.results import WriteResult, failed
from pd_sf_rules.systems.salesforce import soql
from pd_sf_rules.systems.salesforce.actions import RecordCreate, create_records
from pd_sf_rules.systems.salesforce.client import SalesforceClient
from pd_sf_rules.systems.salesforce.refusals import naming, unknown_name
from pd_sf_rules.systems.salesforce.rows import instant, person, record_id

_FIELDS = (
    "Id",
    "ParentId",
    "CommentBody",
    "IsPublished",
    "CreatedById",
    "CreatedDate",
    "SystemModstamp",
)


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment on a Case as it stands now. `public` means that customers see it.

    `agent` is the author's name ("" where not told), `agent_id` their id. `stamp` moves with edits.
    """

    id: str
    record_id: str
    body: str
    public: bool
    agent: str
    agent_id: str
    created_at: datetime
    stamp: datetime


@dataclass(frozen=True, slots=True)
class NewComment:
    """A comment to post on a Case; at most 4,000 bytes of UTF-8 (object reference, CaseComment)."""

    record_id: str
    body: str
    public: bool


def pull_comments(client: SalesforceClient, window: Window) -> Iterator[list[Comment]]:
    """Yield pages of comments created or edited in `window`, ascending by (stamp, Id)."""
    yield from _comments(client, soql.between(window.start, window.end))


def comments_of(
    client: SalesforceClient, record_id: str, since: datetime | None = None
) -> list[Comment]:
    """Return a Case's comments created at or after `since`, oldest first; all of them for None."""
    where = f"ParentId = {soql.literal(record_id)}"
    if since is not None:
        where += f" AND CreatedDate >= {second_text(since)}"
    return [comment for page in _comments(client, where) for comment in page]


def comments_on(client: SalesforceClient, record_ids: Iterable[str]) -> Iterator[list[Comment]]:
    """Yield the comments on many Cases, page by page, a query for 200 Cases."""
    for group in soql.chunks(record_ids):
        yield from _comments(client, f"ParentId IN {soql.id_list(group)}")


def post_comments(client: SalesforceClient, comments: Sequence[NewComment]) -> list[WriteResult]:
    """Post comments, each settled alone; results in order.

    An UncertainError in a result means that it may be there: look with `comments_of` before posting
    it again. A comment on a deleted Case is a SkippableError.
    """
    creates = [
        RecordCreate(
            "CaseComment",
            {"ParentId": one.record_id, "CommentBody": one.body, "IsPublished": one.public},
        )
        for one in comments
    ]
    results = create_records(client, creates)
    return [_without_case(one, result) for one, result in zip(comments, results, strict=True)]


def _without_case(comment: NewComment, result: WriteResult) -> WriteResult:
    """Take an invalid reference for what it is here: the comment's only reference is its Case."""
    refusal = result.error
    if isinstance(refusal, RefusedError) and refusal.code == "INVALID_CROSS_REFERENCE_KEY":
        return failed(SkippableError(f"There is no Case {comment.record_id}: {refusal.message}"))
    return result


def _comments(client: SalesforceClient, where: str) -> Iterator[list[Comment]]:
    try:
        for rows in _query(client, [*_FIELDS, "CreatedBy.Name"], where):
            yield [_comment(row) for row in rows]
    except RefusedError as refusal:
        if not unknown_name(refusal).lower().startswith("createdby"):
            raise naming("CaseComment", refusal) from None
        # The author's name is not readable here: their id has to do.
        for rows in _query(client, _FIELDS, where):
            yield [_comment(row) for row in rows]


def _query(
    client: SalesforceClient, fields: Sequence[str], where: str
) -> Iterator[list[dict[str, Any]]]:
    query = soql.select(fields, "CaseComment", where=where, order="SystemModstamp, Id")
    yield from client.query(query, doing="the query of CaseComment")


def _comment(row: Mapping[str, Any]) -> Comment:
    name, author = person(row, "CreatedBy")
    return Comment(
        id=record_id(row),
        record_id=str(row.get("ParentId") or ""),
        body=str(row.get("CommentBody") or ""),
        public=row.get("IsPublished") is True,
        agent=name,
        agent_id=author,
        created_at=instant(row, "CreatedDate", "SystemModstamp"),
        stamp=instant(row, "SystemModstamp", "CreatedDate"),
    )
