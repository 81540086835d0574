"""What our own user made lately: the look that settles a creation whose answer was lost."""

from collections.abc import Collection
from datetime import datetime

from pd_sf_rules.model import Values
from pd_sf_rules.systems.clock import second_text
from pd_sf_rules.systems.salesforce import soql
from pd_sf_rules.systems.salesforce.client import SalesforceClient
from pd_sf_rules.systems.salesforce.rows import flat_values, record_id


def records_created(
    client: SalesforceClient,
    object_name: str,
    *,
    created_by: str,
    since: datetime,
    fields: Collection[str],
) -> dict[str, Values]:
    """Return the values of `fields` by id of the records that user `created_by` made at or after `since`."""
    where = f"CreatedById = {soql.literal(created_by)} AND CreatedDate >= {second_text(since)}"
    query = soql.select(["Id", *fields], object_name, where=where, order="CreatedDate, Id")
    found: dict[str, Values] = {}
    for rows in client.query(query, doing=f"the look for a created {object_name}"):
        found |= {record_id(row): flat_values(row, fields) for row in rows}
    return found
