"""Whatever is wrong with a ledger's place, one clear error says so, names the database, and keeps its password."""

import shutil
import sqlite3
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from pd_sf_rules.errors import ConfigError, RetryableError, SyncError
from pd_sf_rules.ledger import events, ledger_url, open_ledger
from sandbox.postgres import PASSWORD, PostgresServer
from tests.integration.ledger_rows import an_event
from tests.integration.processes import become_nobody, in_child

pytest_plugins = ["tests.integration.ledger_databases"]


def _refusal(url: str) -> SyncError:
    """The error that opening gives, whose whole traceback shows no password."""
    with pytest.raises(SyncError) as caught:
        open_ledger(url)
    told = "".join(traceback.format_exception(caught.value))
    assert PASSWORD not in told
    assert "s3cret" not in told
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "cannot be read"),
        ("s3cret", "cannot be read"),
        ("postgresql://me:s3cret@host:port/db", "cannot be read"),
        ("mysql://me:s3cret@host/db", "cannot live in a 'mysql' database"),
        ("postgresql+asyncpg://me:s3cret@host/db", "cannot live in"),
        ("postgresql://me:s3cret@host", r"postgresql://me:\*\*\*@host names no database"),
        ("sqlite://", "must be a file"),
        ("sqlite:///:memory:", "must be a file"),
        ("sqlite:///file:x.db?mode=memory&uri=true", "must be a file"),
        ("postgresql://me@127.0.0.1:1/db?password=s3cret&no_such_option=1", "no_such_option"),
    ],
)
def test_wrong_url_is_refused(url: str, words: str) -> None:
    """A URL that is none, or of another database, is a ConfigError that shows no secret."""
    error = _refusal(url)
    assert isinstance(error, ConfigError)
    with pytest.raises(ConfigError, match=words):
        raise error


def test_missing_folder_is_named(tmp_path: Path) -> None:
    """A file in a folder that is not there: the folder is named, and not made."""
    error = _refusal(f"sqlite:///{tmp_path}/no/such/ledger.db")
    assert isinstance(error, ConfigError)
    assert f"{tmp_path}/no/such does not exist" in str(error)
    assert not (tmp_path / "no").exists()


def test_folder_is_no_ledger(tmp_path: Path) -> None:
    """The path of a folder is refused in so many words."""
    assert "this is a folder" in str(_refusal(f"sqlite:///{tmp_path}"))


@pytest.mark.parametrize(
    "content", [b"just some text\n" * 500, b"SQLite format 3\x00" + b"\xff" * 8000]
)
def test_file_that_is_no_database_is_named_and_left_alone(tmp_path: Path, content: bytes) -> None:
    """Another file, or a smashed header: ConfigError naming it, and its bytes stay as they were."""
    path = tmp_path / "ledger.db"
    path.write_bytes(content)
    error = _refusal(f"sqlite:///{path}")
    assert isinstance(error, ConfigError)
    assert str(path) in str(error)
    assert path.read_bytes() == content


def test_damage_inside_the_file_is_told(tmp_path: Path) -> None:
    """A ledger whose pages were overwritten gives ConfigError when it is read, with what to do."""
    path = tmp_path / "ledger.db"
    opened = open_ledger(f"sqlite:///{path}")
    with opened.begin() as c:
        for number in range(500):
            events.add_event(c, an_event(f"e{number}", agent="x" * 200))
    opened.close()
    pages = bytearray(path.read_bytes())
    pages[len(pages) // 2 :] = b"\xa5" * (len(pages) - len(pages) // 2)
    path.write_bytes(pages)
    reopened = open_ledger(f"sqlite:///{path}")
    with pytest.raises(ConfigError, match=r"malformed.*pdsf links"), reopened.read() as c:
        events.find_events(c, limit=500)
    reopened.close()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter (pytest's own are closed to others)."""
    folder = Path(tempfile.mkdtemp(prefix="pdsf-rights-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def _open_as_nobody(url: str) -> str:
    become_nobody()
    open_ledger(url)
    return "opened"


@pytest.mark.parametrize("what", ["folder", "file", "way"])
def test_missing_rights_are_told(open_folder: Path, what: str) -> None:
    """Without the right to write the folder or the file, or to get there, the error names the file."""
    place = open_folder / "place"
    place.mkdir()
    path = place / "ledger.db"
    open_ledger(f"sqlite:///{path}").close()
    place.chmod({"folder": 0o555, "file": 0o777, "way": 0o600}[what])
    path.chmod(0o444 if what == "file" else 0o666)
    answer = in_child(_open_as_nobody, f"sqlite:///{path}")
    place.chmod(0o755)
    assert answer.startswith("ConfigError"), answer
    assert f"{path}: this user may not write it" in answer


def test_database_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """A database that has a table `events` of its own is refused whole."""
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as shop:
        shop.execute("CREATE TABLE events (ticket TEXT)")
    error = _refusal(f"sqlite:///{path}")
    assert isinstance(error, ConfigError)
    assert "already exists" in str(error)
    tables = sqlite3.connect(path).execute("SELECT name FROM sqlite_schema").fetchall()
    assert tables == [("events",)]


def test_relative_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path means the folder at the time of opening, and stays there."""
    monkeypatch.chdir(tmp_path)
    opened = open_ledger("sqlite:///ledger.db")
    monkeypatch.chdir("/")
    with opened.begin() as c:
        events.add_event(c, an_event())
    opened.close()
    assert (tmp_path / "ledger.db").stat().st_size > 0


def test_refusals_of_the_server_are_config_errors(postgres_server: PostgresServer) -> None:
    """A wrong password, database or user is for a person to mend; the server's own words are kept."""
    for url, words in (
        (postgres_server.tcp_url("postgres", password="s3cret"), "password authentication failed"),
        (postgres_server.tcp_url("nowhere"), '"nowhere" does not exist'),
        (postgres_server.url("nowhere"), '"nowhere" does not exist'),
        (postgres_server.tcp_url("postgres", user="noone"), "password authentication failed"),
    ):
        error = _refusal(url)
        assert isinstance(error, ConfigError), error
        assert words in str(error)
        assert "Ledger postgresql://" in str(error)


def test_user_without_the_right_to_make_tables_is_told(postgres_server: PostgresServer) -> None:
    """A role that may connect and no more gets a ConfigError naming the right."""
    name = postgres_server.new_database()
    postgres_server.execute(
        f"CREATE ROLE guest_{name} LOGIN PASSWORD 's3cret'",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        database=name,
    )
    url = postgres_server.tcp_url(name, user=f"guest_{name}", password="s3cret")
    error = _refusal(url)
    assert isinstance(error, ConfigError)
    assert "permission denied for schema public" in str(error)


def test_server_that_is_not_there_is_worth_another_try() -> None:
    """Nobody listens: RetryableError, since servers come back."""
    error = _refusal("postgres://me:s3cret@127.0.0.1:1/db")
    assert isinstance(error, RetryableError)
    assert "me:***@127.0.0.1:1/db" in str(error)


def test_every_spelling_of_postgresql_is_taken(postgres_server: PostgresServer) -> None:
    """`postgres://`, `postgresql://` and `postgresql+psycopg2://` open the same ledger, password and all."""
    name = postgres_server.new_database()
    plain = postgres_server.tcp_url(name)
    for number, scheme in enumerate(("postgres", "postgresql", "postgresql+psycopg2")):
        opened = open_ledger(plain.replace("postgresql", scheme))
        assert PASSWORD not in repr(opened)
        with opened.begin() as c:
            assert len(events.find_events(c)) == number
            events.add_event(c, an_event(f"e{number}"))
        opened.close()


def test_ledger_url_is_looked_up_in_order(tmp_path: Path) -> None:
    """PDSF_LEDGER_URL first, then the connection's URL, then a file in AIRFLOW_HOME, else none."""
    environ = {"PDSF_LEDGER_URL": "postgresql://h/db", "AIRFLOW_HOME": str(tmp_path)}
    assert ledger_url(environ, connection_url="sqlite:///c.db") == "postgresql://h/db"
    del environ["PDSF_LEDGER_URL"]
    assert ledger_url(environ, connection_url="sqlite:///c.db") == "sqlite:///c.db"
    assert ledger_url(environ) == f"sqlite:///{tmp_path}/pdsf_ledger.db"
    assert ledger_url({"PDSF_LEDGER_URL": " "}) is None


def test_awkward_folder_names_work(tmp_path: Path) -> None:
    """Spaces, percent signs, question marks and hashes in AIRFLOW_HOME lead to the right file."""
    home = tmp_path / "my 100% air#flow ü"
    home.mkdir()
    url = ledger_url({"AIRFLOW_HOME": str(home)})
    assert url is not None
    open_ledger(url).close()
    assert (home / "pdsf_ledger.db").exists()
