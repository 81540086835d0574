"""The open route, by real HTTP: what is believed, what is kept, and how little a stranger learns or gets done."""

import json
import logging
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from pd_sf_rules.ledger import Ledger, open_ledger
from pd_sf_rules.pipeline.opening import connect_from_environment
from pd_sf_rules.systems.pagerduty.webhooks import SIGNATURE_HEADER, signature
from pd_sf_rules.webhooks import app as endpoint_app
from pd_sf_rules.webhooks import keys, limits
from tests.integration.webhook_endpoint import (
    PREFIX,
    Endpoint,
    body_of,
    event,
    running_endpoint,
    served,
)

pytest_plugins = ["tests.integration.ledger_databases"]

SECRET = "canary-webhook-secret-of-pagerduty"
OLD_SECRET = "canary-webhook-secret-before"
WRONG = "v1=" + "0" * 64


def connection(secret: str) -> str:
    """An `AIRFLOW_CONN_…` value whose webhooks are signed by `secret`."""
    extra = {"webhook_secret": secret} if secret else {}
    return json.dumps({"conn_type": "pagerduty", "password": "k", "extra": extra})


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two integrations: `default` with two secrets, `silent` with none."""
    folder = tmp_path / "integrations"
    folder.mkdir()
    (folder / "default.yaml").write_text("name: default\n")
    (folder / "silent.yaml").write_text("name: silent\npagerduty_conn_id: pagerduty_silent\n")
    monkeypatch.setenv("PDSF_INTEGRATIONS_DIR", str(folder))
    monkeypatch.setenv("AIRFLOW_CONN_PAGERDUTY_DEFAULT", connection(f"{SECRET}, {OLD_SECRET}"))
    monkeypatch.setenv("AIRFLOW_CONN_PAGERDUTY_SILENT", connection(""))
    return folder


@pytest.fixture
def endpoint(ledger: Ledger, settings: Path) -> Iterator[Endpoint]:
    """The endpoint over SQLite and, in a second run, PostgreSQL."""
    with running_endpoint(ledger, SECRET) as running:
        yield running


@pytest.fixture
def sqlite_endpoint(migrated_file: Path, settings: Path, tmp_path: Path) -> Iterator[Endpoint]:
    """The endpoint over SQLite alone."""
    path = tmp_path / "only.db"
    path.write_bytes(migrated_file.read_bytes())
    ledger = open_ledger(f"sqlite:///{path}")
    with running_endpoint(ledger, SECRET) as running:
        yield running
    ledger.close()


def test_a_signed_webhook_is_kept_as_a_doorbell(endpoint: Endpoint) -> None:
    """202 and an empty answer; id, type, incident and times are kept, and nothing else of the body."""
    envelope = event("incident.annotated", data={"incident": {"id": "Q9"}, "type": "incident_note"})
    answer = endpoint.send(body_of(envelope))
    assert (answer.status_code, answer.content) == (202, b"")
    kept = endpoint.newest()
    assert kept.event_id == envelope["event"]["id"]
    assert (kept.event_type, kept.incident_id) == ("incident.annotated", "Q9")
    assert kept.occurred_at == datetime.fromisoformat(envelope["event"]["occurred_at"])
    assert abs(kept.received_at - datetime.now(UTC)) < timedelta(seconds=30)


def test_the_same_event_counts_once(endpoint: Endpoint) -> None:
    """A repeated or replayed delivery is answered 202 and rings nothing."""
    body = body_of(event())
    assert [endpoint.send(body).status_code for _ in range(3)] == [202, 202, 202]
    assert len(endpoint.rung()) == 1


def test_any_secret_and_any_signature_will_do(sqlite_endpoint: Endpoint) -> None:
    """While a secret is changed, two secrets and two signatures are in use at once."""
    body = body_of(event())
    both = f"{WRONG},{signature(body, OLD_SECRET)}"
    assert sqlite_endpoint.send(body, signed=both).status_code == 202
    assert len(sqlite_endpoint.rung()) == 1


@pytest.mark.parametrize("kind", ["pagey.ping", "service.updated", "incident.something.new", ""])
def test_pings_and_unknown_types_are_taken(sqlite_endpoint: Endpoint, kind: str) -> None:
    """PagerDuty's list of types is open: what is not known yet is no reason to be switched off."""
    assert sqlite_endpoint.send(body_of(event(kind))).status_code == 202


@pytest.mark.parametrize("body", [b"", b"not json", b"[1]", b'{"event": 7}', b"[" * 100_000])
def test_a_signed_body_of_any_shape_is_taken(sqlite_endpoint: Endpoint, body: bytes) -> None:
    """Whoever knows the secret rang; that the body cannot be read costs nothing but the look."""
    assert sqlite_endpoint.send(body).status_code == 202
    assert sqlite_endpoint.send(body).status_code == 202
    assert len(sqlite_endpoint.rung()) == 1


def test_strangers_all_get_the_same_answer(sqlite_endpoint: Endpoint) -> None:
    """Unknown integration, no secret, wrong, broken or missing signature: one answer, to the byte."""
    body = body_of(event())
    blank = signature(body, "")
    tries = [
        sqlite_endpoint.send(body, integration="nowhere"),
        sqlite_endpoint.send(
            body, integration="nowhere", signed=signature(body, endpoint_app.BLANK)
        ),
        sqlite_endpoint.send(body, integration="silent"),
        sqlite_endpoint.send(body, integration="silent", signed=blank),
        sqlite_endpoint.send(body, signed=WRONG),
        sqlite_endpoint.send(body, signed=blank),
        sqlite_endpoint.send(body, signed=signature(body + b" ", SECRET)),
        sqlite_endpoint.send(body, signed=signature(body, SECRET).removeprefix("v1=")),
        sqlite_endpoint.send(body, signed=""),
        sqlite_endpoint.client.post(
            sqlite_endpoint.address(),
            content=body,
            headers={SIGNATURE_HEADER.encode(): b"v1=\xfc\xff"},
        ),
        sqlite_endpoint.client.post(sqlite_endpoint.address(), content=body),
    ]
    seen = {(one.status_code, one.content, *_headers(one)) for one in tries}
    assert seen == {(401, b"", "content-length: 0", "server: uvicorn")}
    assert sqlite_endpoint.rung() == []


def _headers(answer: httpx.Response) -> list[str]:
    return sorted(f"{k}: {v}" for k, v in answer.headers.items() if k != "date")


def test_only_two_routes_answer(sqlite_endpoint: Endpoint) -> None:
    """Health says alive and nothing more; there is no other page, and no documentation of the API."""
    get = sqlite_endpoint.client.get
    alive = get(f"{sqlite_endpoint.url}{PREFIX}/health")
    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
    for path in ("/", "/docs", "/openapi.json", "/pagerduty", "/pagerduty/default/x"):
        assert get(f"{sqlite_endpoint.url}{PREFIX}{path}").status_code == 404, path
    assert get(sqlite_endpoint.address()).status_code == 405


def test_an_old_event_is_a_replay(sqlite_endpoint: Endpoint) -> None:
    """Older than PagerDuty repeats anything: answered, and not kept, for the ledger may have forgotten its id."""
    old = datetime.now(UTC) - timedelta(hours=50)
    assert sqlite_endpoint.send(body_of(event(occurred_at=old.isoformat()))).status_code == 202
    late = datetime.now(UTC) - timedelta(hours=47)
    assert sqlite_endpoint.send(body_of(event(occurred_at=late.isoformat()))).status_code == 202
    assert len(sqlite_endpoint.rung()) == 1


def test_a_long_body_is_refused_unread(sqlite_endpoint: Endpoint) -> None:
    """By its stated length at once; a chunked one as soon as it is too long. What PagerDuty may send is taken."""
    long = b"x" * (limits.MOST_BYTES + 1)
    assert sqlite_endpoint.send(long).status_code == 413
    with _raw(sqlite_endpoint, "Content-Length: 99999999999") as wire:
        assert wire.recv(100).startswith(b"HTTP/1.1 413")
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with _raw(sqlite_endpoint, "Transfer-Encoding: chunked") as wire:
        sent = 0
        try:
            for _ in range(1000):
                wire.sendall(chunk)
                sent += 0x10000
        except OSError:
            assert sent < 16 * limits.MOST_BYTES
        else:
            pytest.fail("64 MB were read")
    body = body_of(event(data={"text": "y" * 256 * 1024}))
    assert sqlite_endpoint.send(body).status_code == 202


def _raw(endpoint: Endpoint, header: str) -> socket.socket:
    """An open request without its body."""
    place = urlsplit(endpoint.url)
    wire = socket.create_connection((place.hostname or "", place.port or 0), timeout=20)
    head = f"POST {PREFIX}/pagerduty/default HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n"
    wire.sendall(head.encode())
    return wire


def test_a_slow_body_is_not_waited_for(
    sqlite_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with 408 after some seconds, and holds nobody else up meanwhile."""
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.5)
    with _raw(sqlite_endpoint, "Content-Length: 10") as wire:
        wire.sendall(b"x")
        assert sqlite_endpoint.send().status_code == 202
        assert wire.recv(100).startswith(b"HTTP/1.1 408")


def test_many_slow_callers_are_bounded(
    sqlite_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond a number of open requests the next is told to come later, and may as soon as they are gone."""
    monkeypatch.setattr(endpoint_app, "MOST_AT_ONCE", 3)
    monkeypatch.setattr(limits, "BODY_SECONDS", 30.0)
    wires = [_raw(sqlite_endpoint, "Content-Length: 10") for _ in range(3)]
    _until(lambda: sqlite_endpoint.send().status_code == 503)
    for wire in wires:
        wire.close()
    _until(lambda: sqlite_endpoint.send().status_code == 202)


def _until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_caller_that_guesses_is_slowed_down(sqlite_endpoint: Endpoint) -> None:
    """After some dozens of refused requests the caller is read no more, and told when to come again."""
    answers = [sqlite_endpoint.send(signed=WRONG) for _ in range(120)]
    codes = [one.status_code for one in answers]
    assert codes[:50] == [401] * 50
    assert 429 in codes
    assert next(one for one in answers if one.status_code == 429).headers["Retry-After"] == "10"


def test_a_flood_of_believed_webhooks_is_bounded(
    settings: Path, migrated_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than the rate is answered 429, which PagerDuty repeats later; nothing is dropped by it."""
    (tmp_path / "flood.db").write_bytes(migrated_file.read_bytes())
    ledger = open_ledger(f"sqlite:///{tmp_path}/flood.db")
    door = endpoint_app.Door(
        lambda: ledger,
        keys.Keys(connect_from_environment),
        deliveries=limits.Buckets(per_second=0.001, burst=5),
    )
    with served(door.app()) as url:
        endpoint = Endpoint(url, ledger, SECRET)
        codes = [endpoint.send().status_code for _ in range(8)]
        endpoint.client.close()
    assert codes == [202] * 5 + [429] * 3
    ledger.close()


def test_a_ledger_that_is_locked_costs_a_503(
    sqlite_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PagerDuty is answered in time and comes again; health answers meanwhile, and the next one is kept."""
    monkeypatch.setattr(endpoint_app, "STORE_SECONDS", 0.3)
    body = body_of(event())
    path = str(sqlite_endpoint.ledger.name).removeprefix("sqlite:///")
    with sqlite3.connect(path) as lock:
        lock.execute("BEGIN IMMEDIATE")
        answer = sqlite_endpoint.send(body)
        assert (answer.status_code, answer.content) == (503, b"")
        assert sqlite_endpoint.client.get(f"{sqlite_endpoint.url}{PREFIX}/health").is_success
        lock.rollback()
    _until(lambda: sqlite_endpoint.send(body).status_code == 202)
    assert len(sqlite_endpoint.rung()) == 1


def test_it_answers_at_once(sqlite_endpoint: Endpoint) -> None:
    """Nine of ten answers take less than 100 ms, ledger included."""
    sqlite_endpoint.send()
    taken = []
    for _ in range(50):
        body = body_of(event())
        header = signature(body, SECRET)
        started = time.perf_counter()
        assert sqlite_endpoint.send(body, signed=header).status_code == 202
        taken.append(time.perf_counter() - started)
    assert sorted(taken)[44] < 0.1, sorted(taken)


def test_a_changed_secret_is_taken_up(
    sqlite_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a restart, and the one before counts no longer."""
    monkeypatch.setattr(keys, "FRESH_SECONDS", 0.0)
    assert sqlite_endpoint.send().status_code == 202
    monkeypatch.setenv("AIRFLOW_CONN_PAGERDUTY_DEFAULT", connection("quite-another"))
    body = body_of(event())
    assert sqlite_endpoint.send(body).status_code == 401
    assert sqlite_endpoint.send(body, signed=signature(body, "quite-another")).status_code == 202


def test_a_connection_that_is_gone_for_a_while_loses_nothing(
    sqlite_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three 401s would switch the subscription off for a day: the last secrets known count for some minutes."""
    monkeypatch.setattr(keys, "FRESH_SECONDS", 0.0)
    assert sqlite_endpoint.send().status_code == 202
    monkeypatch.delenv("AIRFLOW_CONN_PAGERDUTY_DEFAULT")
    assert sqlite_endpoint.send().status_code == 202
    monkeypatch.setattr(keys, "KEPT_SECONDS", 0.0)
    assert sqlite_endpoint.send().status_code == 401


def test_no_secret_is_told(
    sqlite_endpoint: Endpoint, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Not in answers, logs or the ledger; neither is what a webhook says. That it was refused is logged once."""
    caplog.set_level(logging.DEBUG)
    wrong = "canary-guessed-secret"
    body = body_of(event())
    answers = [
        sqlite_endpoint.send(),
        sqlite_endpoint.send(body, signed=signature(body, wrong)),
        sqlite_endpoint.send(body, signed=signature(body, wrong)),
        sqlite_endpoint.send(body, integration="canary-name-of-a-stranger"),
    ]
    files = b"".join(path.read_bytes() for path in tmp_path.glob("only.db*"))
    ours = [one.getMessage() for one in caplog.records if not one.name.startswith("http")]
    told = "\n".join(ours) + "".join(str(one.headers) + one.text for one in answers)
    told += files.decode("latin-1")
    secrets = (SECRET, OLD_SECRET, wrong, "canary-name", signature(body, wrong), "Do not keep this")
    assert [one for one in secrets if one in told] == []
    refused = [one for one in ours if "was refused: none of its secrets signs it" in one]
    assert len(refused) == 1
