"""A stranger's wrong step in the set-up is named by `pdsf status --doctor`, with the field and what to do."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pd_sf_rules.cli.main import main
from sandbox.pagerduty.seed import INTEGRATION_USER
from sandbox.salesforce.seed import AGENT, API_USER
from tests.integration.pipeline_world import PAGE_HIGH, PipelineWorld

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

NAMES = {
    "salesforce": "AIRFLOW_CONN_SALESFORCE_DEFAULT",
    "pagerduty": "AIRFLOW_CONN_PAGERDUTY_DEFAULT",
}
Spec = dict[str, Any]


def another_key(world: PipelineWorld, spec: Spec) -> None:
    """The key of another certificate."""
    assert main(["setup", "keypair", "--out", str(world.home), "--name", "other"]) == 0
    del spec["extra"]["private_key"]
    spec["extra"]["private_key_file_path"] = str(world.home / "other.key")


def extra(**values: str) -> Callable[[PipelineWorld, Spec], None]:
    """Other extras."""
    return lambda _, spec: spec["extra"].update(values)


def field(**values: str) -> Callable[[PipelineWorld, Spec], None]:
    """Other fields."""
    return lambda _, spec: spec.update(values)


WRONG = [
    ("salesforce", extra(consumer_key="3MVG9of-another-app"), "field 'consumer_key'"),
    ("salesforce", another_key, "Use the private key of the certificate"),
    ("salesforce", extra(private_key="", private_key_file_path="/nowhere/x.key"), "cannot be read"),
    ("salesforce", field(login="nobody@acme.example"), "field 'login'"),
    ("salesforce", field(login=AGENT), "attach the user's"),
    ("salesforce", extra(login_url="http://salesforce.example"), "is not https"),
    ("pagerduty", field(password="u+wrong-key-of-nobody"), "pagerduty_default"),
    ("pagerduty", extra(from_email="nobody@acme.example"), "field 'from_email'"),
    ("pagerduty", extra(base_url="http://pagerduty.example"), "is not https"),
]


@pytest.mark.parametrize(
    ("system", "change", "said"), WRONG, ids=lambda one: one if isinstance(one, str) else ""
)
def test_a_wrong_step_is_named(
    world: PipelineWorld,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    system: str,
    change: Callable[[PipelineWorld, Spec], None],
    said: str,
) -> None:
    """The connection's own line is BROKEN and tells the field; the other side's is ok."""
    world.rules(PAGE_HIGH)
    spec = json.loads(world.sandbox.connections[NAMES[system]])
    change(world, spec)
    monkeypatch.setenv(NAMES[system], json.dumps(spec))
    capsys.readouterr()
    assert main(["status", "--doctor"]) == 3
    lines = capsys.readouterr().out.splitlines()
    told = [
        line for line in lines if line.strip().startswith("BROKEN") and f"{system}_default" in line
    ]
    assert told, lines
    assert said.casefold() in told[0].casefold()
    other = "pagerduty" if system == "salesforce" else "salesforce"
    assert any(line.strip().startswith("ok") and f"{other}_default" in line for line in lines)


def test_every_right_step_is_ok(
    world: PipelineWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The guides' own way: a key pair of one's own, its certificate uploaded, a first pass; then all checks hold."""
    assert main(["setup", "keypair", "--out", str(world.home)]) == 0
    _upload(world, world.home / "salesforce.crt")
    spec = json.loads(world.sandbox.connections[NAMES["salesforce"]])
    del spec["extra"]["private_key"]
    spec["extra"] |= {
        "consumer_key": "ours",
        "private_key_file_path": str(world.home / "salesforce.key"),
    }
    monkeypatch.setenv(NAMES["salesforce"], json.dumps(spec))
    world.rules(PAGE_HIGH)
    assert main(["lint", "--live"]) == 0
    assert main(["sync"]) == 0
    capsys.readouterr()
    main(["status", "--doctor"])
    lines = capsys.readouterr().out.splitlines()
    broken = [line for line in lines if line.startswith("BROKEN")]
    # The sandbox's clock runs hours behind in these tests, which the doctor rightly says.
    assert [line for line in broken if "clock" not in line and "lag" not in line] == []
    assert any(INTEGRATION_USER in line for line in lines)
    assert any(API_USER in line for line in lines)


def _upload(world: PipelineWorld, certificate: Path) -> None:
    from sandbox.salesforce.settings import ConnectedApp  # noqa: PLC0415 - what the administrator does in Setup

    world.sandbox.salesforce.register_app(
        ConnectedApp(consumer_key="ours", certificate=certificate.read_text(), usernames=[API_USER])
    )
