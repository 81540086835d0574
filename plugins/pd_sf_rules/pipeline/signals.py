"""Salesforce's change events, where they are switched on: tried now, and whether they are heard."""

from collections.abc import Iterator
from datetime import timedelta

from pd_sf_rules.errors import RefusedError, SyncError
from pd_sf_rules.ledger import Ledger
from pd_sf_rules.ledger.signals import Signal, signals_of
from pd_sf_rules.pipeline.checks import Check
from pd_sf_rules.pipeline.run import Connect, utc_now
from pd_sf_rules.pipeline.switching import load_switched
from pd_sf_rules.rules.evaluator import compile_rules
from pd_sf_rules.settings import Integration
from pd_sf_rules.systems.clock import second_text
from pd_sf_rules.systems.salesforce.pubsub.change_event import topic_of
from pd_sf_rules.systems.salesforce.pubsub.endpoint import check_packages

COMMENT_OBJECT = "CaseComment"
SILENT_LONG = timedelta(minutes=15)
"""How long a subscription may be down, or say nothing: the bus itself says something every 270 s."""

TRIED_SECONDS = 3.0
"""How long is waited at most for Salesforce to refuse a subscription."""


def signal_checks(ledger: Ledger, integration: Integration, connect: Connect) -> list[Check]:
    """Try the login, every topic and every subscription. Raises the errors of the ledger only."""
    name = f"{integration.name}: change events"
    every = f"changes are found by polling every {integration.poll_seconds:g} s"
    if integration.signals.salesforce is None:
        return [Check(name, True, f"Off: {every}. `signals` makes it quicker.")]
    objects = _objects(ledger, integration)
    if not objects:
        return [Check(name, True, "No rule watches an object of Salesforce.")]
    with ledger.read() as c:
        known = signals_of(c, integration.name)
    try:
        check_packages()
    except SyncError as error:
        return [Check(name, False, str(error))]
    from pd_sf_rules.systems.salesforce.pubsub.trial import tried  # noqa: PLC0415 - gRPC, when it is wanted

    topics = {one: topic_of(one) for one in objects}
    try:
        spec = connect(integration.salesforce_conn_id)
        found = tried(spec, list(topics.values()), TRIED_SECONDS)
    except SyncError as error:
        return [Check(name, False, f"{error} Meanwhile {every}.")]
    return [_told(name, one, found[topics[one]], known.get(one), every) for one in objects]


def unheard(ledger: Ledger, integration: Integration) -> Iterator[str]:
    """Say, a sentence for each object, whose change events have not been heard for long."""
    if integration.signals.salesforce is None:
        return
    every = f"Polling every {integration.poll_seconds:g} s goes on."
    try:
        check_packages()
    except SyncError as error:
        yield f"{integration.name}: {error} {every}"
        return
    with ledger.read() as c:
        known = signals_of(c, integration.name)
    until = utc_now() - SILENT_LONG
    for name in _objects(ledger, integration):
        signal = known.get(name, Signal(name))
        if name == COMMENT_OBJECT and signal.why:
            continue  # many orgs have no events for it
        if signal.broken_since is not None and signal.broken_since < until:
            since = second_text(signal.broken_since)
            yield f"{integration.name}: change events of {name} are not heard since {since}: {signal.why} {every}"
        elif signal.broken_since is None and signal.heard_at and signal.heard_at < until:
            since = second_text(signal.heard_at)
            said = (
                f"change events of {name} were last heard of at {since}. Is the triggerer running?"
            )
            yield f"{integration.name}: {said} {every}"


def _told(
    name: str, object_name: str, error: SyncError | None, signal: Signal | None, every: str
) -> Check:
    if error is None:
        return Check(name, True, f"{object_name}: {_heard(signal)}")
    if object_name == COMMENT_OBJECT and isinstance(error, RefusedError):
        return Check(name, True, f"{object_name}: this org has no change events for it; {every}.")
    return Check(name, False, f"{object_name}: {error} Meanwhile {every}.")


def _heard(signal: Signal | None) -> str:
    if signal is None or signal.heard_at is None:
        return "the subscription is accepted. The triggerer has not heard anything yet."
    last = f"last change at {second_text(signal.changed_at)}" if signal.changed_at else "no change"
    return f"the subscription is accepted; last heard of at {second_text(signal.heard_at)}, {last}."


def _objects(ledger: Ledger, integration: Integration) -> list[str]:
    """Return the objects that are to be listened to."""
    mine = [
        one
        for one in load_switched(ledger)[0]
        if one.enabled and one.integration == integration.name
    ]
    objects = set(compile_rules(mine).objects())
    if integration.comments.salesforce_to_pagerduty:
        objects.add(COMMENT_OBJECT)
    return sorted(objects)
