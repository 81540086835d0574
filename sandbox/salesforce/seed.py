"""What an org holds when it is new, and a little more for a demo."""

from datetime import timedelta
from typing import TYPE_CHECKING

from sandbox.salesforce.org import Org
from sandbox.salesforce.schema import Value
from sandbox.salesforce.store import Change

if TYPE_CHECKING:
    from sandbox.salesforce.state import SalesforceState

API_USER = "pagerduty-sync@acme.example"
ADMIN = "pat.admin@acme.example"
AGENT = "sam.agent@acme.example"
PEOPLE = (
    (API_USER, "PagerDuty", "Integration", "pdint", True),
    (ADMIN, "Pat", "Admin", "padmin", True),
    (AGENT, "Sam", "Agent", "sagent", True),
    ("robin.agent@acme.example", "Robin", "Agent", "ragent", True),
    ("gone@acme.example", "Gone", "Colleague", "gcoll", False),
)
ACCOUNTS = (
    ("Acme", "Enterprise", "Technology"),
    ("Globex", "Strategic", "Energy"),
    ("Initech", "Customer", "Technology"),
    ("Umbrella Retail", "Prospect", "Retail"),
)
CONTACTS = (("Ada", "Byron", "Acme"), ("Max", "Planck", "Globex"))


def plant(state: "SalesforceState") -> None:
    """Fill a new org: users, a queue, case statuses, a few accounts and contacts; no cases."""
    org = state.org
    with org.store.transaction():
        for username, first, last, alias, active in PEOPLE:
            _put(
                org,
                "User",
                {
                    "Username": username,
                    "Email": username,
                    "FirstName": first,
                    "LastName": last,
                    "Name": f"{first} {last}",
                    "Alias": alias,
                    "IsActive": active,
                    "TimeZoneSidKey": "UTC",
                    "UserType": "Standard",
                },
            )
        queue = {"Name": "Support", "DeveloperName": "Support", "Type": "Queue"}
        _put(org, "Group", {**queue, "Email": "support@acme.example"})
        _plant_statuses(org)
    org.settings.modify_all = [ADMIN]
    org.save_settings()
    with org.store.transaction():
        accounts = {
            name: state.create("Account", {"Name": name, "Type": kind, "Industry": industry})
            for name, kind, industry in ACCOUNTS
        }
        for first, last, account in CONTACTS:
            state.create(
                "Contact",
                {
                    "FirstName": first,
                    "LastName": last,
                    "Email": f"{first}.{last}@example.com".lower(),
                    "AccountId": accounts[account],
                },
            )


def plant_demo(state: "SalesforceState") -> None:
    """Add a handful of everyday Cases and an outage, written by people some time ago."""
    accounts = {row["Name"]: row["Id"] for row in state.soql("SELECT Id, Name FROM Account")}
    cases = (
        ("Cannot download invoices", "Medium", "Working", "Acme"),
        ("How do I add a user?", "Low", "Closed", "Initech"),
        ("Dashboard is slow on Mondays", "Medium", "New", "Globex"),
    )
    skew = state.org.settings.skew_seconds
    with state.org.lock:
        state.org.settings.skew_seconds = skew - timedelta(days=2).total_seconds()
        try:
            for subject, priority, status, account in cases:
                fields = {"Subject": subject, "Priority": priority, "Status": status}
                more = {"AccountId": accounts[account], "Origin": "Web"}
                case_id = state.create("Case", {**fields, **more}, by=AGENT)
                state.comment(case_id, f"Looking into: {subject}", by=AGENT)
            state.create("Outage__c", {"Name": "Mail delays", "State__c": "Closed"}, by=AGENT)
        finally:
            state.org.settings.skew_seconds = skew


def _plant_statuses(org: Org) -> None:
    case = org.schema.get("Case")
    field = case.field("Status") if case else None
    for order, each in enumerate(field.values if field else (), start=1):
        _put(
            org,
            "CaseStatus",
            {
                "MasterLabel": each.label,
                "ApiName": each.value,
                "SortOrder": order,
                "IsDefault": each.default,
                "IsClosed": each.closed,
            },
        )


def _put(org: Org, name: str, values: dict[str, Value]) -> None:
    """Write a row of an object that no API call can create."""
    sobject = org.schema.get(name)
    assert sobject is not None
    record_id = org.store.new_id(sobject.key_prefix)
    now = org.now()
    row = {
        **values,
        "Id": record_id,
        "IsDeleted": False,
        "CreatedDate": now,
        "LastModifiedDate": now,
        "SystemModstamp": now,
    }
    org.store.put(Change(name, record_id, None, row, "setup", org.exact_now()))
