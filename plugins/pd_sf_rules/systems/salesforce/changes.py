"""What changed: rows by SystemModstamp, their current values, and the one cheap question before."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pd_sf_rules.errors import RefusedError, RetryableError, SkippableError
from pd_sf_rules.model import Change, Values, Window
from pd_sf_rules.systems.salesforce import soql
from pd_sf_rules.systems.salesforce.client import SalesforceClient
from pd_sf_rules.systems.salesforce.newest import newest_changes
from pd_sf_rules.systems.salesforce.refusals import naming, unknown_name
from pd_sf_rules.systems.salesforce.rows import flat_values, instant, person, record_id

_ALWAYS = ("Id", "CreatedDate", "SystemModstamp")
# Not every object has these, and not every user may see them: a pull does without.
_WELCOME = ("LastModifiedDate", "LastModifiedById")
_TWO_SECONDS = timedelta(seconds=2)
__all__ = ["fetch_records", "newest_changes", "pull_changes", "read_changes"]


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
    welcome = [*_WELCOME, "LastModifiedBy.Name"] if with_agent else [*_WELCOME]
    for rows in _rows_between(client, object_name, window, [*_ALWAYS, *fields], welcome):
        yield [_change(object_name, row, fields) for row in rows]
        del rows  # memory holds one page at a time


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


def read_changes(
    client: SalesforceClient,
    object_name: str,
    ids: Iterable[str],
    fields: Collection[str],
    *,
    with_agent: bool = False,
) -> Iterator[list[Change]]:
    """Yield records by id as they are now, in the form of `pull_changes`, a query for 200 ids.

    A record that is deleted or hidden from this user is absent.
    """
    welcome = [*_WELCOME, "LastModifiedBy.Name"] if with_agent else [*_WELCOME]
    for group in soql.chunks(ids):
        where = f"Id IN {soql.id_list(group)}"
        for rows in _rows_where(client, object_name, where, [*_ALWAYS, *fields], welcome):
            yield [_change(object_name, row, fields) for row in rows]


def _rows_where(
    client: SalesforceClient,
    object_name: str,
    where: str,
    fields: Sequence[str],
    welcome: Sequence[str],
) -> Iterator[list[dict[str, Any]]]:
    """Yield pages of rows with `fields`, and with those of `welcome` that the object has."""
    query = soql.select([*fields, *welcome], object_name, where=where, order="SystemModstamp, Id")
    try:
        yield from _query(client, object_name, query)
    except RefusedError as refusal:
        left = _without_unknown(welcome, fields, refusal)
        if len(left) == len(welcome):
            raise
        yield from _rows_where(client, object_name, where, fields, left)


def _rows_between(
    client: SalesforceClient,
    object_name: str,
    window: Window,
    fields: Sequence[str],
    welcome: Sequence[str],
) -> Iterator[list[dict[str, Any]]]:
    """Yield pages of the rows of a window. One that takes Salesforce too long is read in halves."""
    where = soql.between(window.start, window.end)
    try:
        yield from _rows_where(client, object_name, where, fields, welcome)
    except RetryableError as error:
        if "QUERY_TIMEOUT" not in error.message or window.end - window.start < _TWO_SECONDS:
            raise
        middle = window.start + (window.end - window.start) / 2
        for half in (replace(window, end=middle), replace(window, start=middle)):
            yield from _rows_between(client, object_name, half, fields, welcome)


def _without_unknown(
    welcome: Sequence[str], fields: Sequence[str], refusal: RefusedError
) -> list[str]:
    """Return the welcome fields without the one that a refusal names, unless a rule needs it."""
    unknown = unknown_name(refusal).lower()
    if not unknown or any(one.split(".")[0].lower() == unknown for one in fields):
        return list(welcome)
    return [one for one in welcome if unknown not in {one.lower(), one.split(".")[0].lower()}]


def _query(
    client: SalesforceClient, object_name: str, query: str
) -> Iterator[list[dict[str, Any]]]:
    try:
        yield from client.query(query, doing=f"the query of {soql.name(object_name)}")
    except RefusedError as refusal:
        raise naming(object_name, refusal) from None
    except SkippableError as missing:
        raise RefusedError(f"{object_name}: {missing.message}", code="INVALID_TYPE") from None


def _change(object_name: str, row: Mapping[str, Any], fields: Collection[str]) -> Change:
    stamp = instant(row, "SystemModstamp")
    name, modifier = person(row, "LastModifiedBy")
    return Change(
        object=object_name,
        record_id=record_id(row),
        stamp=stamp,
        created_at=instant(row, "CreatedDate"),
        modified_at=instant(row, "LastModifiedDate", "SystemModstamp"),
        agent=name or modifier,
        values=flat_values(row, fields),
    )
