"""The objects of the org out of the box, as data tables."""

from dataclasses import replace

from sandbox.salesforce.field_kinds import (
    computed,
    flag,
    long_text,
    number,
    picklist,
    reference,
    system_fields,
    text,
    typed,
)
from sandbox.salesforce.schema import PERMISSIONS, POLYMORPHIC, Field, Schema, SObject


def _named(length: int = 255) -> Field:
    return replace(text("Name", length, required=True), name_field=True)


def _owner(*targets: str) -> Field:
    return replace(reference("OwnerId", *targets), nillable=False)


USER = SObject(
    name="User",
    key_prefix="005",
    createable=False,
    updateable=False,
    deletable=False,
    fields=(
        *system_fields(),
        replace(text("Username", 80, required=True), unique=True),
        text("FirstName", 40),
        text("LastName", 80, required=True),
        replace(computed("Name", "string", 121), name_field=True),
        typed("Email", "email", 128),
        text("Alias", 8),
        text("Title", 80),
        typed("Phone", "phone", 40),
        flag("IsActive"),
        text("TimeZoneSidKey", 40),
        text("UserType", 40),
    ),
)
GROUP = SObject(
    name="Group",
    key_prefix="00G",
    createable=False,
    updateable=False,
    deletable=False,
    fields=(
        *system_fields(),
        replace(text("Name", 40, required=True), name_field=True),
        text("DeveloperName", 80),
        picklist("Type", "Queue", "Regular"),
        typed("Email", "email", 255),
    ),
)
ACCOUNT_TYPES = (
    "Prospect", "Customer - Direct", "Customer - Channel", "Channel Partner / Reseller", "Installation Partner",
    "Technology Partner", "Other",
    "Customer", "Partner", "Enterprise", "Strategic",  # this org's own
)  # fmt: skip
STAGES = (
    "Prospecting", "Qualification", "Needs Analysis", "Value Proposition", "Id. Decision Makers",
    "Perception Analysis", "Proposal/Price Quote", "Negotiation/Review", "Negotiation", "Closed Won", "Closed Lost",
)  # fmt: skip
ACCOUNT = SObject(
    name="Account",
    key_prefix="001",
    fields=(
        *system_fields(),
        replace(_named(), label="Account Name"),
        picklist("Type", *ACCOUNT_TYPES),
        picklist("Rating", "Hot", "Warm", "Cold"),
        picklist("Industry", "Banking", "Energy", "Retail", "Technology", "Other"),
        reference("ParentId", "Account", children="ChildAccounts"),
        typed("Phone", "phone", 40),
        typed("Website", "url", 255),
        text("AccountNumber", 40),
        number("AnnualRevenue", 18, 0, "currency"),
        number("NumberOfEmployees", 8, 0, "int"),
        text("BillingCity", 40),
        text("BillingCountry", 80),
        long_text("Description"),
        _owner("User"),
    ),
)
CONTACT = SObject(
    name="Contact",
    key_prefix="003",
    fields=(
        *system_fields(),
        text("FirstName", 40),
        text("LastName", 80, required=True),
        replace(computed("Name", "string", 121), name_field=True),
        typed("Email", "email", 80),
        typed("Phone", "phone", 40),
        text("Title", 128),
        reference("AccountId", "Account", children="Contacts"),
        long_text("Description"),
        _owner("User"),
    ),
)
CASE_CUSTOM = (
    Field(
        name="PagerDuty_Incident_Id__c",
        type="string",
        length=32,
        label="PagerDuty Incident Id",
        external_id=True,
        unique=True,
        case_sensitive=True,
    ),
    typed("PagerDuty_Incident_URL__c", "url", 255, "PagerDuty Incident URL"),
    number("Severity__c", 18, 0),
    picklist("Regions__c", "EMEA", "AMER", "APAC", "LATAM", restricted=True, multiple=True),
    typed("Due__c", "date"),
    typed("Escalation_Time__c", "datetime"),
    flag("Critical__c"),
)
CASE = SObject(
    name="Case",
    key_prefix="500",
    fields=(
        *system_fields(),
        replace(
            computed("CaseNumber", "string", 30),
            auto_number="{00000000}",
            name_field=True,
            nillable=False,
        ),
        reference("ContactId", "Contact", children="Cases"),
        reference("AccountId", "Account", children="Cases"),
        reference("AssetId", "Asset", children="Cases"),
        reference("ParentId", "Case", children="Cases"),
        text("Subject", 255),
        picklist(
            "Status",
            "New",
            "Working",
            "On Hold",
            "Escalated",
            "Closed",
            default="New",
            closed=("Closed",),
        ),
        picklist(
            "Priority", "Critical", "High", "Medium", "Low", default="Medium", restricted=True
        ),
        picklist("Origin", "Phone", "Email", "Web", "PagerDuty"),
        picklist("Type", "Question", "Problem", "Feature Request"),
        picklist("Reason", "Installation", "Performance", "Breakdown", "Other"),
        long_text("Description"),
        computed("IsClosed", "boolean"),
        computed("ClosedDate", "datetime"),
        flag("IsEscalated"),
        text("SuppliedName", 80),
        typed("SuppliedEmail", "email", 80),
        text("SuppliedCompany", 80),
        replace(long_text("Comments", 4000, "Internal Comments"), byte_limit=4000),
        _owner("Group", "User"),
        *CASE_CUSTOM,
    ),
)
CASE_COMMENT = SObject(
    name="CaseComment",
    key_prefix="00a",
    fields=(
        *system_fields(),
        replace(
            reference("ParentId", "Case", children="CaseComments", required=True),
            updateable=False,
            cascade_delete=True,
        ),
        flag("IsPublished", "Published"),
        replace(long_text("CommentBody", 4000, "Body"), byte_limit=4000),
    ),
)
CASE_STATUS = SObject(
    name="CaseStatus",
    key_prefix="01J",
    createable=False,
    updateable=False,
    deletable=False,
    fields=(
        system_fields()[0],
        text("MasterLabel"),
        text("ApiName"),
        number("SortOrder", 9, 0, "int"),
        flag("IsDefault"),
        flag("IsClosed"),
        *system_fields()[2:],
    ),
)
OPPORTUNITY = SObject(
    name="Opportunity",
    key_prefix="006",
    fields=(
        *system_fields(),
        _named(120),
        reference("AccountId", "Account", children="Opportunities"),
        replace(
            picklist("StageName", *STAGES, closed=("Closed Won", "Closed Lost")),
            nillable=False,
        ),
        number("Amount", 18, 2, "currency"),
        number("Probability", 3, 0, "percent"),
        replace(typed("CloseDate", "date"), nillable=False),
        text("NextStep", 255),
        picklist("Type", "Existing Business", "New Business"),
        picklist("LeadSource", "Web", "Phone Inquiry", "Partner Referral", "Other"),
        computed("IsClosed", "boolean"),
        computed("IsWon", "boolean"),
        long_text("Description"),
        _owner("User"),
    ),
)
ASSET = SObject(
    name="Asset",
    key_prefix="02i",
    fields=(
        *system_fields(),
        _named(),
        reference("AccountId", "Account", children="Assets"),
        reference("ContactId", "Contact", children="Assets"),
        text("SerialNumber", 80),
        picklist("Status", "Shipped", "Installed", "Registered", "Obsolete"),
        _owner("User"),
    ),
)
TASK = SObject(
    name="Task",
    key_prefix="00T",
    fields=(
        *system_fields(),
        text("Subject", 255),
        picklist(
            "Status",
            "Not Started",
            "In Progress",
            "Completed",
            default="Not Started",
            closed=("Completed",),
        ),
        picklist("Priority", "High", "Normal", "Low", default="Normal"),
        typed("ActivityDate", "date"),
        reference(
            "WhatId", "Account", "Case", "Opportunity", "Asset", "Outage__c", children="Tasks"
        ),
        computed("IsClosed", "boolean"),
        long_text("Description"),
        _owner("User"),
    ),
)
OUTAGE = SObject(
    name="Outage__c",
    key_prefix="a00",
    label="Outage",
    plural="Outages",
    fields=(
        *system_fields(),
        _named(80),
        picklist("State__c", "Open", "Mitigated", "Closed", default="Open", restricted=True),
        typed("Started__c", "datetime"),
        number("Affected_Users__c", 9, 0),
        reference("Case__c", "Case", children="Outages__r"),
        reference("Account__c", "Account", children="Outages__r"),
        long_text("Summary__c", 32768),
        Field(
            name="External_Key__c",
            type="string",
            length=64,
            external_id=True,
            unique=True,
        ),
        _owner("Group", "User"),
    ),
)
USER_PERMISSION_ACCESS = SObject(
    name=PERMISSIONS,
    key_prefix="0UP",
    createable=False,
    updateable=False,
    deletable=False,
    fields=(
        system_fields()[0],
        flag("PermissionsModifyAllData"),
        flag("PermissionsViewAllData"),
        flag("PermissionsManageUsers"),
        flag("PermissionsCustomizeApplication"),
        flag("PermissionsApiEnabled"),
    ),
)
NAME = SObject(
    name=POLYMORPHIC,
    key_prefix="???",
    queryable=False,
    createable=False,
    updateable=False,
    deletable=False,
    fields=(
        system_fields()[0],
        replace(text("Name"), name_field=True),
        text("FirstName"),
        text("LastName"),
        text("Type"),
        text("Username"),
        typed("Email", "email", 128),
        text("Alias"),
        text("Title"),
        typed("Phone", "phone", 40),
        flag("IsActive"),
    ),
)
STANDARD = (
    ACCOUNT, ASSET, CASE, CASE_COMMENT, CASE_STATUS, CONTACT, GROUP, NAME, OPPORTUNITY, OUTAGE,
    TASK, USER, USER_PERMISSION_ACCESS,
)  # fmt: skip


def standard_schema() -> Schema:
    """Return the schema a new org starts with."""
    return Schema(STANDARD)
