"""Our hooks over the providers' own: what a connection test says, and the clients they hand out."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from pd_sf_rules import notifications
from pd_sf_rules.errors import ConnectionConfigError
from pd_sf_rules.hooks.pagerduty import PagerDutyRulesHook
from pd_sf_rules.hooks.runs import ledger_connection_url, ledger_of_process
from pd_sf_rules.hooks.salesforce import SalesforceRulesHook
from pd_sf_rules.hooks.stored import stored_connection
from pd_sf_rules.pipeline.opening import open_the_ledger
from pd_sf_rules.settings import Integration
from pd_sf_rules.systems.pagerduty.transport import PagerDutySession
from pd_sf_rules.systems.salesforce.transport import DirectSalesforce, HardenedSession
from tests.integration.pipeline_world import PipelineWorld

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

Changed = dict[str, Any]


def connect(
    patch: pytest.MonkeyPatch, conn_id: str, made: dict[str, Any], extra: Changed, **top: Any
) -> None:
    """Put a connection into the environment, changed here and there."""
    body = {**made, **top, "extra": {**made["extra"], **extra}}
    patch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(body))


def test_good_connections_say_who_and_where(world: PipelineWorld) -> None:
    """One sentence names the host that answered and who we are there."""
    good, said = PagerDutyRulesHook().test_connection()
    assert good, said
    assert "salesforce-sync@acme.example" in said
    good, said = SalesforceRulesHook().test_connection()
    assert good, said
    assert "pagerduty-sync@acme.example" in said


@pytest.mark.parametrize(
    ("top", "extra", "words"),
    [
        ({"password": "no-such-key"}, {}, "password"),
        ({"password": ""}, {}, "field 'password': is missing"),
        ({}, {"from_email": "nobody@acme.example"}, "no PagerDuty user has the address nobody@"),
        ({}, {"base_url": "http://127.0.0.1:9"}, "127.0.0.1:9"),
        ({}, {"base_url": "http://pagerduty.example"}, "field 'base_url'"),
    ],
)
def test_a_wrong_pagerduty_connection_is_one_sentence(
    world: PipelineWorld, monkeypatch: pytest.MonkeyPatch, top: Changed, extra: Changed, words: str
) -> None:
    """It says what to mend, and never the key."""
    connect(monkeypatch, "pagerduty_default", world.sandbox.pagerduty_connection(), extra, **top)
    good, said = PagerDutyRulesHook().test_connection()
    assert not good
    assert words in said
    assert "\n" not in said
    assert "no-such-key" not in said


@pytest.mark.parametrize(
    ("top", "extra", "words"),
    [
        ({}, {"consumer_key": "nobody"}, "consumer_key"),
        ({}, {"private_key": "no key at all"}, "private_key"),
        ({"login": "nobody@acme.example"}, {}, "login"),
        ({}, {"login_url": "http://127.0.0.1:9"}, "127.0.0.1:9"),
    ],
)
def test_a_wrong_salesforce_connection_is_one_sentence(
    world: PipelineWorld, monkeypatch: pytest.MonkeyPatch, top: Changed, extra: Changed, words: str
) -> None:
    """It says what to mend, and never the private key."""
    connect(monkeypatch, "salesforce_default", world.sandbox.salesforce_connection(), extra, **top)
    good, said = SalesforceRulesHook().test_connection()
    assert not good
    assert words in said
    assert "\n" not in said
    assert "no key at all" not in said


def test_no_connection_says_where_to_add_it(
    world: PipelineWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is nowhere, and a variable that cannot be read, are told apart."""
    monkeypatch.delenv("AIRFLOW_CONN_PAGERDUTY_DEFAULT")
    with pytest.raises(ConnectionConfigError, match=r"not defined.*AIRFLOW_CONN_PAGERDUTY_DEFAULT"):
        stored_connection("pagerduty_default")
    monkeypatch.setenv("AIRFLOW_CONN_PAGERDUTY_DEFAULT", '{"password": "very-secret"')
    with pytest.raises(ConnectionConfigError, match="not valid JSON") as raised:
        stored_connection("pagerduty_default")
    assert "very-secret" not in str(raised.value)


def test_the_providers_own_methods_use_our_sessions(world: PipelineWorld) -> None:
    """`client()` and `get_conn()` work for people who know the official libraries, and are hardened."""
    client = PagerDutyRulesHook().client()
    assert isinstance(client, PagerDutySession)
    assert "Support P1" in [one["name"] for one in client.list_all("services")]
    hook = SalesforceRulesHook()
    salesforce = hook.get_conn()
    assert isinstance(salesforce, DirectSalesforce)
    assert isinstance(salesforce.session, HardenedSession)
    assert "Subject" in hook.get_available_fields("Case")
    assert hook.make_query("SELECT Id FROM Account")["totalSize"] > 0


def test_an_official_post_is_sent_once(world: PipelineWorld) -> None:
    """The official client alone sends a POST again after a lost answer; ours does not."""
    client = PagerDutyRulesHook().client()
    fault = world.fault("reset_after", "pagerduty", "POST", "/incidents", times=None)
    body = {
        "type": "incident",
        "title": "Once",
        "service": {"id": "PSUPP01", "type": "service_reference"},
    }
    with pytest.raises(Exception, match=r".+"):
        client.rpost("incidents", json=body)
    assert world.hits(fault) == 1
    assert [one["title"] for one in world.incidents()] == ["Once"]


@pytest.mark.parametrize(
    ("stated", "url"),
    [
        ({"conn_type": "generic", "extra": {"url": "sqlite:////tmp/l.db"}}, "sqlite:////tmp/l.db"),
        ({"conn_type": "sqlite", "host": "/tmp/l.db"}, "sqlite:////tmp/l.db"),
        (
            {"conn_type": "postgres", "host": "db", "port": 5433, "login": "u", "password": "p@s", "schema": "l"},
            "postgres://u:p%40s@db:5433/l",
        ),
        ("postgresql://u:p%40s@db:5433/l", "postgresql://u:p%40s@db:5433/l"),
    ],
)  # fmt: skip
def test_a_ledger_connection_is_a_database_url(
    monkeypatch: pytest.MonkeyPatch, stated: Any, url: str
) -> None:
    """However the connection is written, Airflow and the command line open the same database."""
    text = stated if isinstance(stated, str) else json.dumps(stated)
    monkeypatch.delenv("PDSF_LEDGER_URL", raising=False)
    monkeypatch.setenv("AIRFLOW_CONN_PDSF_LEDGER", text)
    assert ledger_connection_url() == url


def test_the_command_line_opens_the_same_ledger(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A ledger that only the connection names is opened without Airflow, too."""
    monkeypatch.delenv("PDSF_LEDGER_URL", raising=False)
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "home"))
    stated = {"conn_type": "sqlite", "host": str(tmp_path / "elsewhere.db")}
    monkeypatch.setenv("AIRFLOW_CONN_PDSF_LEDGER", json.dumps(stated))
    open_the_ledger().close()
    assert (tmp_path / "elsewhere.db").exists()
    assert not (tmp_path / "home").exists()


@pytest.fixture
def alerting(world: PipelineWorld) -> Iterator[PipelineWorld]:
    """A world whose ledger this process opens anew."""
    ledger_of_process.cache_clear()
    yield world
    ledger_of_process().close()
    ledger_of_process.cache_clear()


class _Named:
    """As much of a DAG or a task as a callback looks at."""

    dag_id = "salesforce_to_pagerduty"
    task_id = "apply_actions"
    downstream_task_ids: frozenset[str] = frozenset()
    try_number = 1


def context_of(**more: Any) -> Any:
    """What Airflow hands to a callback."""
    return {
        "dag": _Named(), "ti": _Named(), "task": _Named(), "run_id": "r1", "params": {},
        "exception": AirflowFailException("It broke."),
    } | more  # fmt: skip


def events_sent(world: PipelineWorld) -> list[Any]:
    """The bodies that the Events API received."""
    return [one.body for one in world.writes("pagerduty", path="/v2/enqueue")]


def test_an_alert_says_what_broke_and_is_resolved_once(alerting: PipelineWorld) -> None:
    """Two failures are one incident, a dry run resolves nothing, the next good run does, and then there is silence."""
    integration = Integration(name="default")
    fail = notifications.alert_on_failure(integration)
    succeed = notifications.resolve_on_success(integration)
    succeed(context_of())
    assert events_sent(alerting) == []
    fail(context_of())
    fail(context_of())
    (incident,) = alerting.incidents()
    assert incident["title"] == "salesforce_to_pagerduty: It broke."
    succeed(context_of(params={"dry_run": True}))
    middle = _Named()
    middle.downstream_task_ids = frozenset({"later"})
    succeed(context_of(task=middle))
    assert alerting.incidents()[0]["status"] == "triggered"
    succeed(context_of())
    succeed(context_of())
    assert alerting.incidents()[0]["status"] == "resolved"
    assert [one["event_action"] for one in events_sent(alerting)] == ["trigger"] * 2 + ["resolve"]


def test_a_strange_error_is_only_named(alerting: PipelineWorld) -> None:
    """The text of an error that is not ours may hold anything, so that it stays in the log."""
    fail = notifications.alert_on_failure(Integration(name="default"))
    fail(context_of(exception=ValueError("password=hunter2")))
    (event,) = events_sent(alerting)
    assert "hunter2" not in json.dumps(event)
    assert "ValueError" in event["payload"]["summary"]


def test_without_a_routing_key_there_is_silence(
    alerting: PipelineWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No key, no alert, no error."""
    made: dict[str, Any] = alerting.sandbox.pagerduty_connection()
    connect(monkeypatch, "pagerduty_default", made, {"routing_key": ""})
    notifications.alert_on_failure(Integration(name="default"))(context_of())
    notifications.resolve_on_success(Integration(name="default"))(context_of())
    assert events_sent(alerting) == []


def test_an_alert_that_cannot_be_sent_hides_nothing(
    alerting: PipelineWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A dead Events API is logged; the failure that it should have told of stays what it is."""
    made: dict[str, Any] = alerting.sandbox.pagerduty_connection()
    connect(monkeypatch, "pagerduty_default", made, {"events_url": "http://127.0.0.1:9"})
    notifications.alert_on_failure(Integration(name="default"))(context_of())
    assert "The alert of salesforce_to_pagerduty" in caplog.text
    assert made["extra"]["routing_key"] not in caplog.text
