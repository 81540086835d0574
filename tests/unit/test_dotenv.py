"""`.env` and the Airflow of `make up`, as `pdsf` in the same folder takes them up."""

import json
from pathlib import Path

import pytest

from pd_sf_rules.dotenv import complete, read_dotenv
from pd_sf_rules.errors import SettingsError


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """A checkout in which `make up` has run; returns its home."""
    home = tmp_path / ".run" / "airflow"
    home.mkdir(parents=True)
    (home / "airflow.db").touch()
    (home / "secrets.json").write_text(json.dumps({"fernet_key": "its-own-key"}))
    return home


def test_values_are_taken_as_they_are(tmp_path: Path) -> None:
    """Quotes around a value go, everything inside stays, comments and blank lines say nothing."""
    (tmp_path / ".env").write_text(
        '# a comment\n\nPLAIN=a b # c\n export TOLD = told\nJSON=\'{"a": "$b"}\'\nQ="x=y"\nEMPTY=\n'
    )
    assert read_dotenv(tmp_path / ".env") == {
        "PLAIN": "a b # c",
        "TOLD": "told",
        "JSON": '{"a": "$b"}',
        "Q": "x=y",
        "EMPTY": "",
    }


def test_a_wrong_line_is_named_but_not_its_secret(tmp_path: Path) -> None:
    """A line that is no NAME=value is named by its number; what it says is not repeated."""
    (tmp_path / ".env").write_text("A=1\nsecret-without-a-name\n")
    with pytest.raises(SettingsError, match="line 2") as raised:
        read_dotenv(tmp_path / ".env")
    assert "secret-without" not in str(raised.value)


def test_nothing_there_is_no_error(tmp_path: Path) -> None:
    """Without a `.env` and without a `make up` the environment stays as it is."""
    environ = {"HOME": "/home/ana"}
    complete(environ, tmp_path)
    assert environ == {"HOME": "/home/ana"}


def test_the_shell_goes_before_the_file(tmp_path: Path) -> None:
    """What the environment says stands, an empty value too; the file fills in the rest."""
    (tmp_path / ".env").write_text("PDSF_LEDGER_URL=sqlite:///of-the-file.db\nMORE=1\nOFF=1\n")
    environ = {"PDSF_LEDGER_URL": "sqlite:///of-the-shell.db", "OFF": ""}
    complete(environ, tmp_path)
    assert environ == {"PDSF_LEDGER_URL": "sqlite:///of-the-shell.db", "MORE": "1", "OFF": ""}


def test_another_file_or_none_can_be_named(tmp_path: Path) -> None:
    """PDSF_ENV_FILE names another file; empty it switches `.env` off; a wrong name is told."""
    (tmp_path / ".env").write_text("A=of .env\n")
    (tmp_path / "other").write_text("A=of other\n")
    for named, expected in ((str(tmp_path / "other"), "of other"), ("", None)):
        environ = {"PDSF_ENV_FILE": named}
        complete(environ, tmp_path)
        assert environ.get("A") == expected
    with pytest.raises(SettingsError, match="PDSF_ENV_FILE names 'gone'"):
        complete({"PDSF_ENV_FILE": "gone"}, tmp_path)


def test_the_airflow_of_make_up_is_the_one_that_is_meant(tmp_path: Path, ran: Path) -> None:
    """Its home and its key are taken where nobody names an Airflow, and left alone where somebody does."""
    environ: dict[str, str] = {}
    complete(environ, tmp_path)
    assert environ["AIRFLOW_HOME"] == str(ran)
    assert environ["AIRFLOW_CONFIG"] == str(ran / "airflow.cfg")
    assert environ["AIRFLOW__CORE__FERNET_KEY"] == "its-own-key"
    for name in ("AIRFLOW_HOME", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"):
        environ = {name: "somewhere else"}
        complete(environ, tmp_path)
        assert environ == {name: "somewhere else"}
    (tmp_path / ".env").write_text("AIRFLOW_HOME=/home/of/dotenv\n")
    environ = {}
    complete(environ, tmp_path)
    assert environ == {"AIRFLOW_HOME": "/home/of/dotenv"}


def test_damaged_secrets_are_one_sentence(tmp_path: Path, ran: Path) -> None:
    """A home whose key cannot be read is named, with the way out."""
    (ran / "secrets.json").write_text("{")
    with pytest.raises(SettingsError, match="AIRFLOW_HOME"):
        complete({}, tmp_path)
