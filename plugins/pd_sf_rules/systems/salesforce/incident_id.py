"""The field in which a record keeps its incident's id, where the org has one: `salesforce/` here ships it."""

from pd_sf_rules.systems.salesforce import soql
from pd_sf_rules.systems.salesforce.client import SalesforceClient
from pd_sf_rules.systems.salesforce.describe import FieldDescription, ObjectDescription
from pd_sf_rules.systems.salesforce.rows import flat_values, record_id

FIELD = "PagerDuty_Incident_Id__c"


def incident_id_field(found: ObjectDescription) -> FieldDescription | None:
    """Return the field if creations can rely on it: a unique external id that our user may fill in."""
    one = found.field(FIELD)
    good = one is not None and one.unique and one.external_id and one.createable
    return one if good else None


def record_of_incident(client: SalesforceClient, object_name: str, incident_id: str) -> str | None:
    """Return the id of the record that holds exactly this incident's id, None where our user sees none."""
    where = f"{FIELD} = {soql.literal(incident_id)}"
    query = soql.select(["Id", FIELD], object_name, where=where)
    for rows in client.query(query, doing=f"the look for the {object_name} of {incident_id}"):
        for row in rows:
            # SOQL compares the text of a field that is not case-sensitive without its case.
            if flat_values(row, [FIELD])[FIELD] == incident_id:
                return record_id(row)
    return None
