"""The one cheap question of a watcher: has anything changed since?"""

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from pd_sf_rules.errors import RefusedError, RetryableError, SkippableError, SyncError
from pd_sf_rules.systems.answers import Answer, Asked
from pd_sf_rules.systems.clock import parse_instant, second_text
from pd_sf_rules.systems.salesforce import soql
from pd_sf_rules.systems.salesforce.client import SalesforceClient
from pd_sf_rules.systems.salesforce.refusals import error_of, naming

OBJECTS_PER_CALL = 5
"""Queries that a composite call may hold."""

_log = logging.getLogger(__name__)
Counted = tuple[int, datetime | None]


def newest_changes(
    client: SalesforceClient, objects: Collection[str], since: datetime
) -> dict[str, Counted]:
    """Return by object how many rows have a stamp at or after `since`, and the newest stamp.

    Several objects share one composite call (five queries each). An object that Salesforce refuses
    is logged and absent: its own pull tells the error, and the others go on. Raises the refusal
    only when every object was refused.
    """
    names = [soql.name(one) for one in dict.fromkeys(objects)]
    found: dict[str, Counted] = {}
    refusals: list[RefusedError] = []
    for start in range(0, len(names), OBJECTS_PER_CALL):
        group = names[start : start + OBJECTS_PER_CALL]
        for name, answer in _count_all(client, group, since).items():
            if isinstance(answer, RefusedError):
                _log.warning("%s is not watched: %s", name, answer)
                refusals.append(answer)
            else:
                found[name] = answer
    if refusals and not found:
        raise refusals[0]
    return found


def newest_stamp(client: SalesforceClient, object_name: str, since: datetime) -> datetime | None:
    """Return the newest stamp at or after `since`, None where there is no such row or it cannot be asked."""
    try:
        return newest_changes(client, [object_name], since)[object_name][1]
    except RefusedError as refusal:
        _log.debug("the newest %s is not told: %s", object_name, refusal)
        return None


def _count_all(
    client: SalesforceClient, names: Sequence[str], since: datetime
) -> Mapping[str, Counted | RefusedError]:
    counted: dict[str, Counted | RefusedError] = {}
    if len(names) > 1:
        try:
            counted = _count_composite(client, names, since)
        except RefusedError as refusal:
            if refusal.status not in {404, 405}:
                raise
            _log.debug("no composite resource here: %s", refusal)
    for name in names:
        told = counted.get(name)
        if told is None or (isinstance(told, RefusedError) and told.code == "MALFORMED_QUERY"):
            counted[name] = _count_one(client, name, since)
    return counted


def _count_one(client: SalesforceClient, name: str, since: datetime) -> Counted | RefusedError:
    def ask(query: str, read: Callable[[Any], Counted]) -> Counted:
        return read(client.get("query/", {"q": query}, doing=f"the count of {name}"))

    try:
        return ask(_count_soql(name, since), _counted)
    except RefusedError as refusal:
        if refusal.code != "MALFORMED_QUERY":
            return naming(name, refusal)
    # An object (or a server) without aggregates: the first of all rows, and how many they are.
    bound = f"SystemModstamp >= {second_text(since)}"
    columns = ["Id", "SystemModstamp"]
    query = soql.select(columns, name, where=bound, order="SystemModstamp DESC")
    try:
        return ask(query, _first_of_all)
    except RefusedError as refusal:
        return naming(name, refusal)


def _count_composite(
    client: SalesforceClient, names: Sequence[str], since: datetime
) -> dict[str, Counted | RefusedError]:
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
    parts = {str(one.get("referenceId")): one for one in answers if isinstance(one, Mapping)}
    return {
        name: _counted_part(client, name, parts.get(f"count{position}", {}))
        for position, name in enumerate(names)
    }


def _counted_part(
    client: SalesforceClient, name: str, part: Mapping[str, Any]
) -> Counted | RefusedError:
    status = part.get("httpStatusCode")
    answer = Answer(status if isinstance(status, int) else 0, part.get("body"))
    error: SyncError
    try:
        if answer.ok:
            return _counted(answer.body)
        error = error_of(answer, Asked(client.conn_id, f"the count of {name}", write=False))
    except RefusedError as refusal:
        error = refusal
    if isinstance(error, SkippableError):
        error = RefusedError(error.message, status=answer.status)
    if isinstance(error, RefusedError):
        return naming(name, error)
    raise error


def _count_soql(name: str, since: datetime) -> str:
    bound = f"SystemModstamp >= {second_text(since)}"
    return " ".join(["SELECT COUNT(Id), MAX(SystemModstamp) FROM", soql.name(name), "WHERE", bound])


def _counted(body: Any) -> Counted:
    """Read `expr0` and `expr1` of the one aggregate row; no row at all counts nothing."""
    row = _first_row(body)
    if row is None:
        return 0, None
    count = row.get("expr0")
    if not isinstance(count, int):
        told = json.dumps(row)[:200]
        raise RefusedError(f"Salesforce's count is not understood: {told}", code="MALFORMED_QUERY")
    return count, _stamp(row.get("expr1"))


def _first_of_all(body: Any) -> Counted:
    row = _first_row(body)
    total = body.get("totalSize") if isinstance(body, Mapping) else 0
    if row is None:
        return 0, None
    return total if isinstance(total, int) else 1, _stamp(row.get("SystemModstamp"))


def _first_row(body: Any) -> Mapping[str, Any] | None:
    records = body.get("records") if isinstance(body, Mapping) else None
    row = records[0] if isinstance(records, list) and records else None
    return row if isinstance(row, Mapping) else None


def _stamp(text: Any) -> datetime | None:
    try:
        return parse_instant(text) if isinstance(text, str) else None
    except ValueError:
        raise RefusedError(f"Salesforce's stamp '{text}' is not an instant.") from None
