"""`pdsf setup`: a webhook from nothing to proven against the sandbox, its secret where it belongs, and a key pair."""

import json
import logging
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pd_sf_rules.cli import env_file
from pd_sf_rules.cli.usage import UsageError
from pd_sf_rules.dotenv import read_dotenv
from pd_sf_rules.pipeline import webhooks
from pd_sf_rules.webhooks import keys
from sandbox.salesforce.settings import ConnectedApp
from sandbox.salesforce_side import API_USER, CONSUMER_KEY
from tests.integration.cli_world import Shell
from tests.integration.webhook_endpoint import Endpoint, running_endpoint

pytest_plugins = [
    "tests.integration.ledger_databases",
    "tests.integration.pipeline_fixtures",
    "tests.integration.cli_fixtures",
]

NAME = "AIRFLOW_CONN_PAGERDUTY_DEFAULT"


@pytest.fixture
def endpoint(pdsf: Shell, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """The endpoint that PagerDuty is to reach; it takes a changed secret up at once."""
    monkeypatch.setattr(keys, "FRESH_SECONDS", 0.0)
    with running_endpoint(pdsf.world.ledger, "") as running:
        yield running


@pytest.fixture
def env(pdsf: Shell, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `.env` file with a connection that has no secret yet, which the shell's environment has too."""
    connection = json.loads(pdsf.world.sandbox.connections[NAME])
    del connection["extra"]["webhook_secret"]
    monkeypatch.setenv(NAME, json.dumps(connection))
    path = pdsf.world.home / ".env"
    path.write_text(f"# Ours\nexport {NAME} = '{json.dumps(connection)}'\nPORT=8080\n")
    return path


def restarted(env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow, and the shell, take the file's connection up."""
    monkeypatch.setenv(NAME, read_dotenv(env)[NAME])


def secrets_in(env: Path) -> list[str]:
    """The secrets of the file's connection."""
    return str(json.loads(read_dotenv(env)[NAME])["extra"]["webhook_secret"]).split(",")


def subscribed(pdsf: Shell) -> list[dict[str, Any]]:
    """The account's subscriptions, secrets included."""
    return pdsf.world.sandbox.pagerduty.store.all("webhook_subscription")


def test_a_webhook_from_nothing_to_proven(
    pdsf: Shell, endpoint: Endpoint, env: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Made, its secret put where it was asked for and nowhere else, proven by a ping; then incidents ring."""
    caplog.set_level(logging.DEBUG)
    assert pdsf("setup", "webhook", "--check").code == 3
    made = pdsf("--debug", "setup", "webhook", "--url", endpoint.url, "--write-env", str(env))
    assert made.code == 0, made.err
    (subscription,) = subscribed(pdsf)
    secret = subscription["delivery_method"]["secret"]
    assert subscription["delivery_method"]["url"] == endpoint.address()
    assert secrets_in(env) == [secret]
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    assert [line[:6] for line in env.read_text().splitlines()] == ["# Ours", "export", "PORT=8"]
    monkeypatch.setattr(webhooks, "PING_SECONDS", 0.5)
    refused = pdsf("setup", "webhook", "--check")
    assert refused.code == 3
    assert "has no webhook_secret" in refused.out
    restarted(env, monkeypatch)
    monkeypatch.setattr(webhooks, "PING_SECONDS", 20.0)
    proven = pdsf("setup", "webhook", "--check")
    assert proven.code == 0, proven.out
    assert "It arrived after" in proven.out
    pdsf.world.ana().create_incident("Checkout", "Slow")
    _wait_for(endpoint, 2)
    assert endpoint.newest().event_type == "incident.triggered"
    told = f"{made.out}{made.err}{refused.out}{proven.out}{proven.err}{caplog.text}"
    assert secret not in told
    assert secret.encode() not in b"".join(p.read_bytes() for p in pdsf.world.home.glob("*.db*"))


def _wait_for(endpoint: Endpoint, many: int) -> None:
    until = datetime.now(UTC) + timedelta(seconds=20)
    while len(endpoint.rung()) < many:
        assert datetime.now(UTC) < until


def test_a_secret_is_changed_without_losing_a_webhook(
    pdsf: Shell, endpoint: Endpoint, env: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two subscriptions and two secrets for a while; each is proven; then the older one is ended."""
    pdsf("setup", "webhook", "--url", endpoint.url, "--write-env", str(env))
    again = pdsf("setup", "webhook", "--url", endpoint.url, "--write-env", str(env))
    assert again.code == 2
    assert "is subscribed already" in again.err
    rotated = pdsf("setup", "webhook", "--rotate", "--write-env", str(env))
    assert rotated.code == 0, rotated.err
    old, new = (one["delivery_method"]["secret"] for one in subscribed(pdsf))
    assert secrets_in(env) == [new, old]
    restarted(env, monkeypatch)
    proven = pdsf("setup", "webhook", "--check", "--json")
    assert [one["ok"] for one in proven.json["checks"]] == [True, True, True]
    assert len(pdsf("setup", "webhook", "--retire", "--json").json["ended"]) == 1
    assert [one["delivery_method"]["secret"] for one in subscribed(pdsf)] == [new]


def test_a_switched_off_subscription_is_told_and_switched_on(
    pdsf: Shell, endpoint: Endpoint, env: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three refused deliveries end it for a day: the doctor says so, --enable mends it."""
    pdsf("setup", "webhook", "--url", endpoint.url, "--write-env", str(env))
    for number in range(3):
        pdsf.world.ana().create_incident("Checkout", f"Slow {number}")
    store = pdsf.world.sandbox.pagerduty.store
    until = time.monotonic() + 20
    while not subscribed(pdsf)[0]["delivery_method"]["temporarily_disabled"]:
        assert time.monotonic() < until, store.rows("SELECT * FROM deliveries")
        time.sleep(0.02)
    restarted(env, monkeypatch)
    (check,) = [one for one in _doctor(pdsf) if one["name"] == "default: webhook"]
    assert check["ok"] is False
    assert "has switched subscription" in check["said"]
    assert pdsf("setup", "webhook", "--enable").code == 0
    assert pdsf("setup", "webhook", "--check").code == 0
    (check,) = [one for one in _doctor(pdsf) if one["name"] == "default: webhook"]
    assert check["ok"] is True
    assert "The last one arrived at" in check["said"]


def _doctor(pdsf: Shell, *options: str) -> list[dict[str, Any]]:
    said = pdsf("status", "--doctor", "--json", *options)
    assert said.out, said.err
    checks: list[dict[str, Any]] = said.json["checks"]
    return checks


def test_without_a_webhook_nothing_is_wrong(pdsf: Shell) -> None:
    """Polling does; the doctor says that it could be quicker."""
    (check,) = [one for one in _doctor(pdsf) if one["name"] == "default: webhook"]
    assert check["ok"] is True
    assert "polling every 10 s" in check["said"]


def test_nothing_is_made_whose_secret_could_not_be_kept(
    pdsf: Shell, env: Path, tmp_path: Path
) -> None:
    """No place named, a place that is taken, a file without the connection: each is said before PagerDuty is asked."""
    taken = tmp_path / "taken"
    taken.write_text("x")
    other = tmp_path / "other.env"
    other.write_text("PORT=1\n")
    uri = tmp_path / "uri.env"
    uri.write_text(f"{NAME}=pagerduty://:key@\n")
    for place, said in (
        ([], "say where the secret goes"),
        (["--write-file", str(taken)], "exists already"),
        (["--write-env", str(other)], f"sets no {NAME}"),
        (["--write-env", str(uri)], "line 1"),
        (["--write-env", str(tmp_path / "none")], "cannot be read"),
    ):
        told = pdsf("setup", "webhook", "--url", "https://airflow.example", *place)
        assert told.code == 2, place
        assert said in told.err
    assert pdsf("setup", "webhook", "--url", "http://airflow.example", "--show-secret").code == 1
    assert pdsf("setup", "webhook", "--show-secret").code == 2
    assert subscribed(pdsf) == []


def test_a_secret_can_go_to_a_file_or_to_the_terminal(
    pdsf: Shell, env: Path, tmp_path: Path
) -> None:
    """A new file for its owner only; on the terminal and in JSON only where --show-secret says so."""
    kept = tmp_path / "secret"
    asked = ("setup", "webhook", "--url", "https://airflow.example", "--service", "Support P1")
    pdsf(*asked, "--write-file", str(kept))
    (made,) = subscribed(pdsf)
    assert made["filter"] == {"id": "PSUPP01", "type": "service_reference"}
    assert kept.read_text().strip() == made["delivery_method"]["secret"]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    told = pdsf("setup", "webhook", "--rotate", "--show-secret", "--json")
    assert told.json["secret"] == subscribed(pdsf)[1]["delivery_method"]["secret"]
    assert subscribed(pdsf)[1]["filter"] == made["filter"]
    hidden = pdsf("setup", "webhook", "--rotate", "--write-file", f"{kept}2", "--json")
    assert "secret" not in hidden.json
    assert subscribed(pdsf)[2]["delivery_method"]["secret"] not in hidden.out


def test_a_lost_answer_leaves_no_subscription_behind(pdsf: Shell, env: Path) -> None:
    """Its secret was in the answer: what was made is removed, and the command says what happened."""
    pdsf.world.fault("timeout_after", "pagerduty", "POST", "^/webhook_subscriptions$", seconds=0.1)
    told = pdsf("setup", "webhook", "--url", "https://airflow.example", "--show-secret")
    assert told.code == 1
    assert "No answer" in told.err
    assert subscribed(pdsf) == []


def test_other_airflows_are_left_alone(pdsf: Shell, env: Path, tmp_path: Path) -> None:
    """Two Airflows with an integration of one name share an account: without --url it is not guessed which."""
    for number, url in enumerate(("https://one.example", "https://two.example")):
        made = pdsf("setup", "webhook", "--url", url, "--write-file", str(tmp_path / f"s{number}"))
        assert made.code == 0, made.err
    assert "several addresses" in pdsf("setup", "webhook", "--retire").err
    rotate = ("setup", "webhook", "--rotate", "--url", "https://two.example")
    assert pdsf(*rotate, "--show-secret").code == 0
    ended = pdsf("setup", "webhook", "--retire", "--url", "https://two.example", "--json").json
    assert len(ended["ended"]) == 1
    urls = [one["delivery_method"]["url"].split("/")[2] for one in subscribed(pdsf)]
    assert urls == ["one.example", "two.example"]


def test_an_env_file_keeps_what_else_it_says(tmp_path: Path) -> None:
    """Packed extras stay packed, quotes in values end nothing, and only the last line of a name counts."""
    connection = {"conn_type": "pagerduty", "password": "it's", "extra": json.dumps({"a": "ü"})}
    path = tmp_path / ".env"
    path.write_text(f"{NAME}=broken\nA=1\n{NAME}='{json.dumps(connection)}'\n")
    env_file.add_webhook_secret(path, "pagerduty_default", "s3")
    told = json.loads(read_dotenv(path)[NAME])
    assert told["password"] == "it's"
    assert json.loads(told["extra"]) == {"a": "ü", "webhook_secret": "s3"}
    assert path.read_text().count("'") == 2
    path.write_text(f"{NAME}='{{\"extra\": 7}}'")
    with pytest.raises(UsageError, match="JSON form"):
        env_file.check_connection_line(path, "pagerduty_default")


def test_a_key_pair_for_salesforce(pdsf: Shell, tmp_path: Path) -> None:
    """An RSA key for its owner only, a certificate that fits it, what to do next, and never twice."""
    made = pdsf("setup", "keypair", "--out", str(tmp_path), "--days", "100")
    assert made.code == 0, made.err
    key_path, certificate_path = tmp_path / "salesforce.key", tmp_path / "salesforce.crt"
    assert stat.S_IMODE(key_path.stat().st_mode) == 0o600
    key = load_pem_private_key(key_path.read_bytes(), None)
    certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
    assert certificate.public_key() == key.public_key()
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    assert timedelta(days=99) < left <= timedelta(days=100)
    assert "consumer_key" in made.out
    assert "PRIVATE KEY" not in made.out
    before = key_path.read_bytes()
    for arguments in ((), ("--name", "salesforce")):
        again = pdsf("setup", "keypair", "--out", str(tmp_path), *arguments)
        assert (again.code, key_path.read_bytes()) == (2, before)
    key_path.unlink()
    assert pdsf("setup", "keypair", "--out", str(tmp_path)).code == 2
    assert not key_path.exists()
    assert pdsf("setup", "keypair", "--out", str(tmp_path / "none" / "deeper")).code == 2
    assert pdsf("setup", "keypair", "--out", str(tmp_path), "--days", "0").code == 2


def test_the_key_pair_logs_in(pdsf: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its certificate in the org's app, the connection logs in by the key's file."""
    pdsf("setup", "keypair", "--out", str(tmp_path))
    sandbox = pdsf.world.sandbox
    connection = json.loads(sandbox.connections["AIRFLOW_CONN_SALESFORCE_DEFAULT"])
    del connection["extra"]["private_key"]
    connection["extra"]["private_key_file_path"] = str(tmp_path / "salesforce.key")
    monkeypatch.setenv("AIRFLOW_CONN_SALESFORCE_DEFAULT", json.dumps(connection))
    assert _salesforce(pdsf)["ok"] is False
    app = ConnectedApp(
        consumer_key=CONSUMER_KEY,
        certificate=(tmp_path / "salesforce.crt").read_text(),
        usernames=[API_USER],
    )
    sandbox.salesforce.register_app(app)
    assert _salesforce(pdsf)["ok"] is True


def _salesforce(pdsf: Shell) -> dict[str, Any]:
    (one,) = [one for one in _doctor(pdsf) if one["name"] == "default: salesforce"]
    return one


SALESFORCE, PAGERDUTY = "AIRFLOW_CONN_SALESFORCE_DEFAULT", NAME


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        (SALESFORCE, {"login": "nobody@acme.example"}, "pre-authorized"),
        (SALESFORCE, {"extra.consumer_key": "another"}, "consumer_key"),
        (SALESFORCE, {"extra.private_key": ""}, "private_key_file_path"),
        (SALESFORCE, {"extra.login_url": "http://127.0.0.1:1"}, "Check the address"),
        (SALESFORCE, {"extra.login_url": "http://example.com"}, "is not https"),
        (PAGERDUTY, {"password": "another"}, "does not accept our key"),
        (PAGERDUTY, {"password": ""}, "REST API key"),
        (PAGERDUTY, {"extra.from_email": "nobody@acme.example"}, "from_email"),
    ],
)
def test_the_doctor_names_each_wrong_step(
    pdsf: Shell, monkeypatch: pytest.MonkeyPatch, name: str, wrong: dict[str, str], said: str
) -> None:
    """One thing is wrong in a connection: its side does not hold, and the sentence says what to mend."""
    pdsf.world.clock.ahead = timedelta()
    connection = json.loads(pdsf.world.sandbox.connections[name])
    for path, value in wrong.items():
        place = connection["extra"] if path.startswith("extra.") else connection
        place[path.removeprefix("extra.")] = value
    monkeypatch.setenv(name, json.dumps(connection))
    broken = {one["name"]: one["said"] for one in _doctor(pdsf) if not one["ok"]}
    side = "default: salesforce" if name == SALESFORCE else "default: pagerduty"
    assert said in broken[side]
    assert set(broken) == {side, "default: lag"}


def test_the_doctor_knows_files_and_alerts(pdsf: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """An integration file that cannot be used is named; that nobody would be alerted is said."""
    pdsf.world.settings()
    (pdsf.world.home / "integrations" / "eu.yaml").write_text("name: [broken")
    checks = {one["name"]: one for one in _doctor(pdsf)}
    assert checks["integration files"]["ok"] is False
    assert "eu.yaml" in checks["integration files"]["said"]
    assert "routing_key" in checks["default: alerts"]["said"]
    connection = json.loads(pdsf.world.sandbox.connections[NAME])
    del connection["extra"]["routing_key"]
    monkeypatch.setenv(NAME, json.dumps(connection))
    checks = {one["name"]: one for one in _doctor(pdsf, "--integration", "default")}
    assert "Nobody is alerted" in checks["default: alerts"]["said"]
