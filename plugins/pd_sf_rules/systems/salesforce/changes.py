"""What changed: rows by SystemModstamp, their current values, and the one cheap question before."""

import json
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from pd_sf_rules.errors import RefusedError, RetryableError, SkippableError
from pd_sf_rules.model import Change, Values, Window
from pd_sf_rules.systems.answers import Answer, Asked
from pd_sf_rules.systems.clock import parse_instant, second_text
from pd_sf_rules.systems.salesforce import soql
from pd_sf_rules.systems.salesforce.client import SalesforceClient
from pd_sf_rules.systems.salesforce.refusals import error_of
from pd_sf_rules.systems.salesforce.rows import flat_values, instant, person, record_id

_ALWAYS = ("Id", "CreatedDate", "LastModifiedDate", "LastModifiedById", "SystemModstamp")
_QUERIES_PER_COMPOSITE = 5
_UNKNOWN = re.compile(
    r"No such (?:column|relation) '([^']+)'"
    r"|Didn't understand relationship '([^']+)'"
    r"|sObject type '([^']+)' is not supported"
)
_log = logging.getLogger(__name__)
Newest = dict[str, tuple[int, datetime | None]]


def pull_changes(
    client: SalesforceClient,
    object_name: str,
    fields: Collection[str],
    window: Window,
    *,
    with_agent: bool = False,
) -> Iterator[list[Change]]:
    """Yield pages of the rows whose SystemModstamp lies in `window`, ascending by (stamp, Id).

    `fields` are paths ("Subject", "Account.Type") and the keys of `Change.values`, which keep what
    JSON gives: datetimes as Salesforce's text. Bounds are inclusive whole seconds, widened outwards.
    `agent` is the last modifier's name if `with_agent`, else their id.
    Raises RefusedError naming object and field when one of them does not exist for this user.
    """
    asked = [*_ALWAYS, "LastModifiedBy.Name"] if with_agent else [*_ALWAYS]
    for rows in _rows_between(client, object_name, [*asked, *fields], window.start, window.end):
        yield [_change(object_name, row, fields) for row in rows]


def fetch_records(
    client: SalesforceClient, object_name: str, ids: Iterable[str], fields: Collection[str]
) -> dict[str, Values]:
    """Return the current values of `fields` by record id, as the ids were given (15 or 18 long).

    A record that is deleted or hidden from this user is absent.
    """
    found: dict[str, Values] = {}
    for group in soql.chunks(ids):
        by_id: dict[str, Mapping[str, Any]] = {}
        query = soql.select(["Id", *fields], object_name, where=f"Id IN {soql.id_list(group)}")
        for rows in _query(client, object_name, query):
            for row in rows:
                by_id[record_id(row)] = by_id[record_id(row)[:15]] = row
        for one in group:
            row_found = by_id.get(one) or by_id.get(one[:15])
            if row_found is not None:
                found[one] = flat_values(row_found, fields)
    return found


def newest_changes(client: SalesforceClient, objects: Collection[str], since: datetime) -> Newest:
    """Return by object how many rows have a stamp at or after `since`, and the newest stamp.

    Several objects share one composite call (five queries each). An object that Salesforce refuses
    is logged and absent: its own pull tells the error, and the others go on. Raises the refusal
    only when every object was refused.
    """
    names = [soql.name(one) for one in dict.fromkeys(objects)]
    found: Newest = {}
    refusals: list[RefusedError] = []
    for start in range(0, len(names), _QUERIES_PER_COMPOSITE):
        group = names[start : start + _QUERIES_PER_COMPOSITE]
        for name, answer in _count_all(client, group, since).items():
            if isinstance(answer, RefusedError):
                _log.warning("%s is not watched: %s", name, answer)
                refusals.append(answer)
            else:
                found[name] = answer
    if refusals and not found:
        raise refusals[0]
    return found


def _rows_between(
    client: SalesforceClient,
    object_name: str,
    fields: Sequence[str],
    start: datetime,
    end: datetime,
) -> Iterator[list[dict[str, Any]]]:
    """Yield pages of rows; a window that takes Salesforce too long is read in halves."""
    where = soql.between(start, end)
    query = soql.select(fields, object_name, where=where, order="SystemModstamp, Id")
    try:
        yield from _query(client, object_name, query)
    except RetryableError as error:
        if "QUERY_TIMEOUT" not in error.message or end - start < timedelta(seconds=2):
            raise
        middle = start + (end - start) / 2
        yield from _rows_between(client, object_name, fields, start, middle)
        yield from _rows_between(client, object_name, fields, middle, end)


def _query(
    client: SalesforceClient, object_name: str, query: str
) -> Iterator[list[dict[str, Any]]]:
    try:
        yield from client.query(query, doing=f"the query of {soql.name(object_name)}")
    except RefusedError as refusal:
        raise _naming(object_name, refusal) from None
    except SkippableError as missing:
        raise RefusedError(f"{object_name}: {missing.message}", code="INVALID_TYPE") from None


def _naming(object_name: str, refusal: RefusedError) -> RefusedError:
    """Say which object and field a query was refused for, where Salesforce tells."""
    found = _UNKNOWN.search(refusal.message)
    wrong = next((one for one in found.groups() if one), "") if found else ""
    where = object_name if wrong in {"", object_name} else f"{object_name}.{wrong}"
    return RefusedError(
        f"{where}: {refusal.message}", code=refusal.code, status=refusal.status, hint=refusal.hint
    )


def _change(object_name: str, row: Mapping[str, Any], fields: Collection[str]) -> Change:
    stamp = instant(row, "SystemModstamp")
    name, modifier = person(row, "LastModifiedBy")
    return Change(
        object=object_name,
        record_id=record_id(row),
        stamp=stamp,
        created_at=instant(row, "CreatedDate", "SystemModstamp"),
        modified_at=instant(row, "LastModifiedDate", "SystemModstamp"),
        agent=name or modifier,
        values=flat_values(row, fields),
    )


def _count_all(
    client: SalesforceClient, names: Sequence[str], since: datetime
) -> Mapping[str, tuple[int, datetime | None] | RefusedError]:
    if len(names) > 1:
        try:
            return _count_composite(client, names, since)
        except SkippableError as missing:
            _log.debug("no composite resource here: %s", missing)
        except RefusedError as refusal:
            if refusal.status not in {404, 405}:
                raise
    return {name: _count_one(client, name, since) for name in names}


def _count_one(
    client: SalesforceClient, name: str, since: datetime
) -> tuple[int, datetime | None] | RefusedError:
    try:
        body = client.get("query", {"q": _count_soql(name, since)}, doing=f"the count of {name}")
        return _counted(body)
    except RefusedError as refusal:
        return _naming(name, refusal)


def _count_composite(
    client: SalesforceClient, names: Sequence[str], since: datetime
) -> dict[str, tuple[int, datetime | None] | RefusedError]:
    address = f"/services/data/v{client.version}/query?q="
    requests = [
        {
            "method": "GET",
            "url": address + quote(_count_soql(name, since), safe=""),
            "referenceId": f"count{position}",
        }
        for position, name in enumerate(names)
    ]
    body = client.post(
        "composite",
        {"allOrNone": False, "compositeRequest": requests},
        doing="the counts",
        reads=True,
    )
    answers = body.get("compositeResponse") if isinstance(body, Mapping) else None
    if not isinstance(answers, list) or len(answers) != len(names):
        raise RetryableError("Salesforce's composite answer is incomplete.")
    parts: dict[str, Mapping[str, Any]] = {str(one.get("referenceId")): one for one in answers}
    return {
        name: _counted_part(client, name, parts.get(f"count{position}") or answers[position])
        for position, name in enumerate(names)
    }


def _counted_part(
    client: SalesforceClient, name: str, part: Mapping[str, Any]
) -> tuple[int, datetime | None] | RefusedError:
    status = int(part.get("httpStatusCode") or 0)
    if 200 <= status < 300:
        return _counted(part.get("body"))
    asked = Asked(client.conn_id, f"the count of {name}", write=False)
    error = error_of(Answer(status, part.get("body")), asked)
    if isinstance(error, RefusedError):
        return _naming(name, error)
    raise error


def _count_soql(name: str, since: datetime) -> str:
    bound = f"SystemModstamp >= {second_text(since)}"
    return " ".join(["SELECT COUNT(Id), MAX(SystemModstamp) FROM", soql.name(name), "WHERE", bound])


def _counted(body: Any) -> tuple[int, datetime | None]:
    """Read `expr0` and `expr1` of the one aggregate row; no row at all counts nothing."""
    records = body.get("records") if isinstance(body, Mapping) else None
    if not records:
        return 0, None
    count, newest = records[0].get("expr0"), records[0].get("expr1")
    if not isinstance(count, int):
        told = json.dumps(records[0])[:200]
        raise RefusedError(f"Salesforce's count is not understood: {told}", status=200)
    return count, parse_instant(newest) if isinstance(newest, str) else None
