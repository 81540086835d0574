"""Whether the sync's users may do far more than the sync needs: what leaks then is worth far more, too."""

from collections.abc import Collection, Iterator
from contextlib import suppress

from pd_sf_rules.errors import RefusedError, SkippableError, SyncError
from pd_sf_rules.ledger import Ledger
from pd_sf_rules.model import PAGERDUTY, SALESFORCE
from pd_sf_rules.pipeline.checks import Check
from pd_sf_rules.pipeline.opening import open_run
from pd_sf_rules.pipeline.run import Connect
from pd_sf_rules.settings import Integration
from pd_sf_rules.systems.pagerduty.client import PagerDutyClient
from pd_sf_rules.systems.salesforce.client import SalesforceClient

RIGHTS = {
    "PermissionsModifyAllData": "Modify All Data",
    "PermissionsViewAllData": "View All Data",
    "PermissionsManageUsers": "Manage Users",
    "PermissionsCustomizeApplication": "Customize Application",
}
"""Rights over the whole org that no rule needs. `UserPermissionAccess` tells any user its own (API 41 and later)."""

QUERY = f"SELECT {', '.join(RIGHTS)} FROM UserPermissionAccess"  # noqa: S608 - constants
ADMINS = {"owner": "Account Owner", "admin": "Global Admin"}
"""PagerDuty's base roles, as its API and its pages name them, that may change everything."""


def too_wide(
    ledger: Ledger, integration: Integration, connect: Connect, reached: Collection[str]
) -> Iterator[Check]:
    """Yield a warning for each side whose user has rights over everything; where that is not told, none.

    `reached` names the sides that answered just before: no other is asked.
    """
    with open_run(integration, ledger, connect=connect) as run, suppress(SyncError):
        if SALESFORCE in reached and (held := held_rights(run.salesforce)):
            said = (
                f"The sync's user has {_listed(held)} over the whole org. Give it the permission set PagerDuty_Sync "
                "and a minimum-access profile instead."
            )
            yield Check(f"{integration.name}: salesforce rights", True, said, warning=True)
    with open_run(integration, ledger, connect=connect) as run, suppress(SyncError):
        if PAGERDUTY in reached and (role := admin_role(run.pagerduty)):
            said = (
                f"The sync's user is {role}. The base role Responder or Manager is enough, and an app with scopes "
                "may do less than any key."
            )
            yield Check(f"{integration.name}: pagerduty rights", True, said, warning=True)


def held_rights(client: SalesforceClient) -> list[str]:
    """Return which of RIGHTS the logged-in user has, in Salesforce's words. Raises the errors of the client."""
    rows = [row for page in client.query(QUERY, doing="the user's own rights") for row in page]
    return [said for name, said in RIGHTS.items() if any(row.get(name) is True for row in rows)]


def admin_role(client: PagerDutyClient) -> str:
    """Return the role of the user whose key it is, else of the `from_email`, where it may change everything.

    "" otherwise. Raises the errors of the client.
    """
    try:
        told = client.get("users/me", doing="the key's own user")
    except (
        RefusedError,
        SkippableError,
    ):  # a key of the account has no user, and an app has none either
        user_id = client.user_id()
        told = client.get(f"users/{user_id}", doing="the sync's user") if user_id else None
    user = told.get("user") if isinstance(told, dict) else None
    return ADMINS.get(str(user.get("role")), "") if isinstance(user, dict) else ""


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
