"""Finding records by what they hold, and objects by how their ids begin."""

from collections.abc import Iterable, Mapping

from pd_sf_rules.systems.salesforce import soql
from pd_sf_rules.systems.salesforce.client import SalesforceClient
from pd_sf_rules.systems.salesforce.rows import flat_values, record_id


def records_with(
    client: SalesforceClient, object_name: str, field: str, values: Iterable[str]
) -> dict[str, str]:
    """Return by record id the value of `field` of every record that holds one of the values."""
    found: dict[str, str] = {}
    for group in soql.chunks(values):
        where = f"{soql.name(field)} IN {soql.id_list(group)}"
        query = soql.select(["Id", field], object_name, where=where)
        for rows in client.query(query, doing=f"the look for {object_name} by {field}"):
            for row in rows:
                found[record_id(row)] = str(flat_values(row, [field])[field])
    return found


def objects_by_prefix(client: SalesforceClient) -> dict[str, str]:
    """Return object names by the first three characters of their record ids, for all that our user sees."""
    body = client.get("sobjects", doing="the list of objects")
    rows = body.get("sobjects") if isinstance(body, Mapping) else None
    return {
        str(row["keyPrefix"]): str(row.get("name"))
        for row in rows or []
        if isinstance(row, Mapping) and row.get("keyPrefix")
    }
