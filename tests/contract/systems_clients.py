"""Our clients, pointed at the sandbox or at a scripted server."""

from typing import Any

from pd_sf_rules.connections import ConnectionSpec
from pd_sf_rules.systems.pagerduty.client import PagerDutyClient
from pd_sf_rules.systems.salesforce.client import SalesforceClient
from sandbox.demo_key import of_this_process
from sandbox.world import World
from tests.contract.scripted import Answering, Reply, Request, Scripted, Silence

DATA = "/services/data/v66.0"
TOKEN = "00Dxx!secret.session.token"
PRIVATE_KEY = of_this_process().private_key


def salesforce_spec(login_url: str, **extra: Any) -> ConnectionSpec:
    """Return a JWT connection to `login_url`; an extra of None takes one away."""
    members = {"consumer_key": "KEY", "private_key": PRIVATE_KEY, "login_url": login_url, **extra}
    given = {name: value for name, value in members.items() if value is not None}
    return ConnectionSpec(
        "salesforce_default", "salesforce", login="sync@acme.example", extra=given
    )


def pagerduty_spec(base_url: str, **extra: Any) -> ConnectionSpec:
    """Return a connection to `base_url` by API key."""
    members = {"from_email": "sync@acme.example", "base_url": base_url, **extra}
    return ConnectionSpec(
        "pagerduty_default", "pagerduty", password="secret-api-key", extra=members
    )


def sandbox_salesforce(world: World, **options: Any) -> SalesforceClient:
    """Return our client for the sandbox's org."""
    made = world.salesforce_connection()
    extra = made["extra"]
    assert isinstance(extra, dict)
    spec = ConnectionSpec("salesforce_default", "salesforce", str(made["login"]), extra=extra)
    return SalesforceClient(spec, **options)


def sandbox_pagerduty(world: World, **options: Any) -> PagerDutyClient:
    """Return our client for the sandbox's account."""
    made = world.pagerduty_connection()
    extra = made["extra"]
    assert isinstance(extra, dict)
    spec = ConnectionSpec(
        "pagerduty_default", "pagerduty", password=str(made["password"]), extra=extra
    )
    return PagerDutyClient(spec, **options)


def scripted_salesforce(server: Scripted, **options: Any) -> SalesforceClient:
    """Return our client for a scripted org that admits everybody."""
    admit(server)
    made = SalesforceClient(salesforce_spec(server.url), **{"timeout": 10.0, **options})
    server.closing.append(made.close)
    return made


def scripted_pagerduty(server: Scripted, **options: Any) -> PagerDutyClient:
    """Return our client for a scripted account."""
    made = PagerDutyClient(
        pagerduty_spec(server.url), **{"timeout": 10.0, "patience": 0.0, **options}
    )
    server.closing.append(made.close)
    return made


def timeout_for(*answers: Answering) -> float:
    """Return the seconds to wait for these answers: few only where none will come."""
    return 0.3 if any(isinstance(one, Silence) for one in answers) else 10.0


def admit(server: Scripted, token: str = TOKEN) -> None:
    """Let every login succeed, with the server itself as the instance."""

    def granted(_request: Request) -> Reply:
        identity = f"{server.url}/id/00Dxx0000001gEREAY/005xx000001SwiUAAS"
        return Reply(
            200, {"access_token": token, "instance_url": server.url, "id": identity, "scope": "api"}
        )

    server.on("POST", "/services/oauth2/token", granted)


def rows(*records: dict[str, Any], done: bool = True, following: str | None = None) -> Reply:
    """Return a page of query results."""
    body: dict[str, Any] = {"totalSize": len(records), "done": done, "records": list(records)}
    if following is not None:
        body["nextRecordsUrl"] = following
    return Reply(200, body)
