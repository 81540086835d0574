"""Who may see and who may act, asked of Airflow's own auth manager.

    sees    may see plugin pages, and reads the integration's sync DAG       auditor        Viewer
    acts    may edit that DAG (retry, approve, discard, link)                user           User
    rules   may edit the integration's connection (pauses, switches)         manager        Op
    all                                                                      administrator  Admin

The names on the right are the roles of the original product and of Airflow's simple auth manager; with another auth
manager the permissions decide, whatever its roles are called.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import ConnectionDetails, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.connection import Connection
from airflow.models.dag import DagModel
from fastapi import Depends, HTTPException, status

from pd_sf_rules.errors import SettingsError
from pd_sf_rules.policies import dag_id
from pd_sf_rules.settings import Integration, usable_integrations

Right = Literal["act", "configure"]
_NEEDED = {
    "act": "edit the DAG {dag}",
    "configure": "edit the connection {conn_id}",
}


class Viewer:
    """The person behind a request, and what this person may do. Lives as long as the request."""

    def __init__(self, user: BaseUser) -> None:
        self.user = user
        self.name = user.get_name()
        self._known: dict[tuple[str, str], bool] = {}

    @cached_property
    def integrations(self) -> dict[str, Integration]:
        """The integrations whose sync DAG this person may read, by name, in file order."""
        return {n: i for n, i in self._files[0].items() if self._allowed(i, "see")}

    @cached_property
    def hidden(self) -> set[str]:
        """Names of the integrations that there are and that are not for this person."""
        return set(self._files[0]) - set(self.integrations)

    @property
    def broken(self) -> list[str]:
        """A sentence for each integration file that cannot be used."""
        return [str(error) for error in self._files[1]]

    @cached_property
    def _files(self) -> tuple[dict[str, Integration], list[SettingsError]]:
        return usable_integrations()

    def integration(self, name: str) -> Integration:
        """Return one by name, or refuse with 404 when it is not there or not for this person."""
        if name not in self.integrations:
            raise HTTPException(status.HTTP_404_NOT_FOUND, f"There is no integration '{name}'.")
        return self.integrations[name]

    def chosen(self, name: str = "") -> Integration:
        """Return the one named in an address, else the first; 404 when there is none.

        Raises SettingsError where no file can be used.
        """
        first = next(iter(self.integrations), "")
        if not name and not first and self._files[1]:
            raise self._files[1][0]
        return self.integration(name or first)

    def may_act(self, integration: Integration) -> bool:
        """Whether this person may retry, approve, discard, link: the right to edit the sync DAG."""
        return self._allowed(integration, "act")

    def may_configure(self, integration: Integration) -> bool:
        """Whether this person may pause and switch rulesets: the right to edit the connection."""
        return self._allowed(integration, "configure")

    def demand(self, right: Right, integration: Integration) -> None:
        """Refuse with 403 who has not that right on that integration."""
        if not self._allowed(integration, right):
            needed = _NEEDED[right].format(
                dag=sync_dag(integration), conn_id=integration.pagerduty_conn_id
            )
            raise HTTPException(
                status.HTTP_403_FORBIDDEN, f"This needs the right to {needed} in Airflow."
            )

    def _allowed(self, integration: Integration, right: str) -> bool:
        key = (integration.name, right)
        if key not in self._known:
            self._known[key] = (
                _edits_connection(self.user, integration.pagerduty_conn_id)
                if right == "configure"
                else _touches_dag(self.user, integration, "GET" if right == "see" else "PUT")
            )
        return self._known[key]


def sync_dag(integration: Integration) -> str:
    """Return the id of the DAG whose permissions stand for the integration's."""
    return dag_id("salesforce_to_pagerduty", integration)


def _touches_dag(user: BaseUser, integration: Integration, method: Literal["GET", "PUT"]) -> bool:
    name = sync_dag(integration)
    details = DagDetails(id=name, team_name=DagModel.get_team_name(name))
    return bool(get_auth_manager().is_authorized_dag(method=method, details=details, user=user))


def _edits_connection(user: BaseUser, conn_id: str) -> bool:
    details = ConnectionDetails(conn_id=conn_id, team_name=Connection.get_team_name(conn_id))
    return bool(
        get_auth_manager().is_authorized_connection(method="PUT", details=details, user=user)
    )


def viewer(user: GetUserDep) -> Viewer:
    """Dependency: whoever is signed in."""
    return Viewer(user)


ViewerDep = Annotated[Viewer, Depends(viewer)]


@dataclass(frozen=True, slots=True)
class Choice:
    """One integration of the drop-down on top of a page."""

    name: str
    current: bool


def choices(viewer: Viewer, current: str) -> Sequence[Choice]:
    """Return the integrations to choose from."""
    return [Choice(name, name == current) for name in viewer.integrations]
