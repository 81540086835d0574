"""Integration files, PDSF_* variables and connections, as a person writes them."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pd_sf_rules.connections import checked_url, connection_from_environment
from pd_sf_rules.errors import ConnectionConfigError, SettingsError
from pd_sf_rules.settings import (
    Integration,
    load_integration,
    load_integrations,
    usable_integrations,
)

ROOT = Path(__file__).resolve().parents[2]


def _folder(tmp_path: Path, **files: str) -> dict[str, str]:
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    return {"PDSF_INTEGRATIONS_DIR": str(tmp_path)}


def test_the_shipped_integration_copies_no_note_and_starts_now() -> None:
    """Cloning and starting touches nobody: no notes cross, and a first start begins now."""
    shipped = load_integrations({})["default"]
    assert shipped.start_from == "now"
    assert not shipped.comments.salesforce_to_pagerduty
    assert shipped.comments.pagerduty_to_salesforce is None
    assert shipped.limits.incidents_per_rule.count == 25


def test_the_settings_page_names_every_key() -> None:
    """docs/settings.md leaves no key of an integration file out."""
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for key, field in Integration.model_fields.items():
        assert f"`{key}" in page, key
        nested = getattr(field.annotation, "model_fields", {})
        for inner in nested:
            assert inner in page, f"{key}.{inner}"


def test_an_empty_folder_gives_the_default_integration(tmp_path: Path) -> None:
    """Without files there is one integration, with its defaults."""
    assert list(load_integrations(_folder(tmp_path))) == ["default"]


def test_a_first_start_may_begin_at_an_instant(tmp_path: Path) -> None:
    """`start_from` takes an ISO instant with any offset."""
    env = _folder(tmp_path, a="name: a\nstart_from: 2026-11-01T02:00:00+02:00\n")
    started = load_integration("a", env).start_at(datetime(2026, 12, 1, tzinfo=UTC))
    assert started == datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: a\npoll_second: 1\n", "poll_second"),
        ("name: a\ncomments: { pagerduty_to_salesforce: everybody }\n", "pagerduty_to_salesforce"),
        ("name: a\npoll_seconds: 0\n", "poll_seconds"),
        ("name: a b\n", "name"),
        ("- a\n", "not a mapping"),
        ("name: [\n", "cannot be read"),
    ],
)
def test_a_wrong_file_is_named_with_its_key(tmp_path: Path, text: str, told: str) -> None:
    """A file that cannot be used is refused in one sentence that names file and key."""
    with pytest.raises(SettingsError, match=told) as caught:
        load_integrations(_folder(tmp_path, wrong=text))
    assert "wrong.yaml" in str(caught.value)


def test_two_files_may_not_share_a_name(tmp_path: Path) -> None:
    """The second file of one name is refused."""
    with pytest.raises(SettingsError, match="already named 'a'"):
        load_integrations(_folder(tmp_path, one="name: a\n", two="name: a\n"))


def test_a_broken_file_stops_no_other_integration(tmp_path: Path) -> None:
    """The others are read; the broken ones are told with file and key, and when one of them is asked for."""
    env = _folder(
        tmp_path, a="name: a\n", b="name: b\npoll_seconds: often\n", c="name: a\n", d="name: d\n"
    )
    usable, errors = usable_integrations(env)
    assert list(usable) == ["a", "d"]
    assert [str(one).split(": ")[1] for one in errors] == [
        "poll_seconds",
        "another integration file is already named 'a'.",
    ]
    assert load_integration("d", env).name == "d"
    with pytest.raises(SettingsError, match=r"no integration 'b'.*b\.yaml: poll_seconds"):
        load_integration("b", env)


def test_a_folder_of_broken_files_is_no_empty_folder(tmp_path: Path) -> None:
    """The one integration that is there when nobody wrote a file does not stand in for a broken file."""
    usable, errors = usable_integrations(_folder(tmp_path, default="name: [\n"))
    assert (usable, len(errors)) == ({}, 1)


def test_an_unknown_integration_lists_the_known_ones(tmp_path: Path) -> None:
    """Asking for one that is not there says which are."""
    with pytest.raises(SettingsError, match="Known are: a"):
        load_integration("b", _folder(tmp_path, a="name: a\n"))


@pytest.mark.parametrize("text", ["soon", "0", "-1", "inf", "nan"])
def test_a_wrong_poll_override_is_refused(tmp_path: Path, text: str) -> None:
    """PDSF_POLL_SECONDS must be a positive number of seconds."""
    with pytest.raises(SettingsError, match="PDSF_POLL_SECONDS"):
        load_integrations({**_folder(tmp_path), "PDSF_POLL_SECONDS": text})


def test_json_and_uri_connections_read_the_same() -> None:
    """Both forms of an AIRFLOW_CONN_* variable give the same connection."""
    as_json = json.dumps(
        {"conn_type": "pagerduty", "password": "k/y", "extra": {"from_email": "a@b.example"}}
    )
    as_uri = "pagerduty://:k%2Fy@/?from_email=a%40b.example"
    for text in (as_json, as_uri):
        spec = connection_from_environment("pd", {"AIRFLOW_CONN_PD": text})
        assert spec is not None
        assert (spec.password, spec.text("from_email")) == ("k/y", "a@b.example")


def test_a_packed_extra_of_a_uri_is_unpacked() -> None:
    """Airflow's own URI form packs nested extras into `__extra__`."""
    uri = "salesforce://user:pw@host/?__extra__=%7B%22consumer_key%22%3A+%22abc%22%7D"
    spec = connection_from_environment("sf", {"AIRFLOW_CONN_SF": uri})
    assert spec is not None
    assert spec.text("consumer_key") == "abc"


def test_a_broken_connection_shows_no_secret() -> None:
    """An unreadable variable is named, and its text, which may hold the password, is not shown."""
    with pytest.raises(ConnectionConfigError, match="AIRFLOW_CONN_PD is not valid JSON") as caught:
        connection_from_environment("pd", {"AIRFLOW_CONN_PD": '{"password": "canary-4711"'})
    assert "canary" not in str(caught.value)


def test_a_connection_shows_no_secret() -> None:
    """Neither password nor extras are in a connection's repr."""
    text = json.dumps({"conn_type": "x", "password": "canary-1", "extra": {"key": "canary-2"}})
    assert "canary" not in repr(connection_from_environment("c", {"AIRFLOW_CONN_C": text}))


def test_plain_http_is_for_loopback_only() -> None:
    """A URL that would send secrets in the clear is refused, naming connection and field."""
    text = json.dumps(
        {"conn_type": "x", "extra": {"u": "http://example.com", "l": "http://127.0.0.1:1/"}}
    )
    spec = connection_from_environment("c", {"AIRFLOW_CONN_C": text})
    assert spec is not None
    assert checked_url(spec, "l") == "http://127.0.0.1:1"
    with pytest.raises(ConnectionConfigError, match="Connection 'c', field 'u'"):
        checked_url(spec, "u")
