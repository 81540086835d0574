"""Deeper checks than `status`: they take longer, and read all of the ledger and every rule against the accounts."""

from collections.abc import Iterator, Sequence

from pd_sf_rules.errors import SyncError
from pd_sf_rules.ledger import Ledger, maintenance
from pd_sf_rules.pipeline.checks import Check
from pd_sf_rules.pipeline.live_lint import NO_ID, lint_live
from pd_sf_rules.pipeline.privileges import too_wide
from pd_sf_rules.pipeline.run import Connect
from pd_sf_rules.pipeline.signals import signal_checks
from pd_sf_rules.pipeline.status import ConnectionState, IntegrationState, Status, late_streams
from pd_sf_rules.pipeline.switching import load_switched
from pd_sf_rules.pipeline.webhooks import webhook_state
from pd_sf_rules.settings import Integration, usable_integrations

CLOCKS_APART = 60.0
"""Seconds. The cursors use the servers' clocks; leases and log-ins (a JWT lives 180 s) use this machine's."""


def checks(
    ledger: Ledger, integrations: Sequence[Integration], connect: Connect, found: Status
) -> list[Check]:
    """Return every check, in the order in which a person would mend what does not hold."""
    told = [_ledger(ledger), *_files()]
    by_name = {one.name: one for one in integrations}
    for state in found.integrations:
        told += _connections(state)
        reached = {one.system for one in state.connections if one.ok}
        told += too_wide(ledger, by_name[state.name], connect, reached)
        told.append(_lag(state))
        told.append(_webhook(ledger, by_name[state.name], connect))
        told += _signals(ledger, by_name[state.name], connect)
        told += _alerts(by_name[state.name], connect)
    told += _rules(ledger, integrations, connect)
    return told


def _webhook(ledger: Ledger, integration: Integration, connect: Connect) -> Check:
    """Say how PagerDuty's webhook is; one that is not set up, or cannot be asked about, is nothing to mend."""
    name = f"{integration.name}: webhook"
    try:
        state = webhook_state(ledger, integration, connect)
    except SyncError as error:
        return Check(name, False, str(error))
    return Check(name, state.ok, state.said)


def _signals(ledger: Ledger, integration: Integration, connect: Connect) -> list[Check]:
    """Say how Salesforce's change events are; where they are off, there is nothing to mend."""
    try:
        return signal_checks(ledger, integration, connect)
    except SyncError as error:
        return [Check(f"{integration.name}: change events", False, str(error))]


def _alerts(integration: Integration, connect: Connect) -> Iterator[Check]:
    """Say whom a broken sync tells; nobody is a choice, but one to be made knowingly."""
    try:
        spec = connect(integration.pagerduty_conn_id)
    except SyncError:
        return  # told with the connection itself
    told = "A broken sync alerts the service of the connection's routing_key."
    silent = "Nobody is alerted when the sync breaks: give the connection the `routing_key` of a service of its own."
    yield Check(f"{integration.name}: alerts", True, told if spec.text("routing_key") else silent)


def _files() -> Iterator[Check]:
    """Say which integration files cannot be used, and so have no DAGs."""
    usable, broken = usable_integrations()
    for error in broken:
        yield Check("integration files", False, str(error))
    if not broken:
        yield Check(
            "integration files", True, f"{len(usable)} in use: {', '.join(sorted(usable))}."
        )


def _ledger(ledger: Ledger) -> Check:
    try:
        broken = maintenance.damage(ledger)
    except SyncError as error:
        return Check("ledger", False, str(error))
    if broken:
        hint = "Restore a backup; or move it away, sync, and run `pdsf links rebuild`."
        return Check("ledger", False, f"{ledger.name} is damaged: {broken[0]}. {hint}")
    return Check("ledger", True, f"{ledger.name} is sound.")


def _connections(state: IntegrationState) -> Iterator[Check]:
    for one in state.connections:
        yield Check(f"{state.name}: {one.system}", one.ok, _reached(one))
        if one.skew is not None and abs(one.skew) > CLOCKS_APART:
            said = f"This machine's clock is {abs(one.skew):.0f} s {'behind' if one.skew > 0 else 'ahead of'} it."
            yield Check(f"{state.name}: {one.system} clock", False, f"{said} Set it by NTP.")


def _reached(one: ConnectionState) -> str:
    if one.ok or one.conn_id in one.said:
        return one.said
    return f"{one.said} Check the address in connection '{one.conn_id}', and the way there (DNS, proxy, firewall)."


def _lag(state: IntegrationState) -> Check:
    name = f"{state.name}: lag"
    if state.paused:
        return Check(name, True, "Paused: changes queue in the services.")
    if not state.streams:
        return Check(name, False, "Nothing was read yet. Start the DAGs, or run `pdsf sync`.")
    late = late_streams(state)
    if late:
        return Check(name, False, f"{' '.join(late)} Is the scheduler running, and the DAG on?")
    return Check(name, True, f"{len(state.streams)} stream(s), read {_ago(state)} s ago at most.")


def _ago(state: IntegrationState) -> int:
    return round(max(one.lag for one in state.streams))


def _rules(
    ledger: Ledger, integrations: Sequence[Integration], connect: Connect
) -> Iterator[Check]:
    rulesets = [one for one in load_switched(ledger)[0] if one.enabled]
    if not rulesets:
        yield Check("rules against the accounts", True, "No ruleset is enabled.")
        return
    try:
        found = lint_live(rulesets, {one.name: one for one in integrations}, connect)
    except SyncError as error:
        yield Check("rules against the accounts", False, str(error))
        return
    for said in dict.fromkeys(f"{one.message} {one.hint}" for one in found if one.code == NO_ID):
        yield Check("incident id", True, said)
    wrong = [one for one in found if one.severity == "error"]
    for one in wrong:
        place = f"{one.path}:{one.line}:{one.column}"
        yield Check("rules against the accounts", False, f"{place}: {one.message} {one.hint}")
    if not wrong:
        yield Check("rules against the accounts", True, "All that they name is there.")
