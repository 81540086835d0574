"""The parts of the embedded Airflow that can be seen without an Airflow."""

import contextlib
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from embedded import database
from embedded.components import Components
from embedded.errors import EmbeddedAirflowError
from embedded.home import Secrets, held, read_secrets, write_private
from embedded.rest import wait_until
from embedded.running import free_port, require_free
from embedded.sessions import end_sessions, members
from embedded.tuning import LOCAL_SETTINGS, Folders, Ports, environment

SECRETS = Secrets("pass-word", "fernet", "jwt-secret", "api-secret")


def tuned(inherited: dict[str, str], home: Path = Path("/home-of-airflow")) -> dict[str, str]:
    """The environment of a component, given what the caller has."""
    folders = Folders(home, Path("/some/dags"), Path("/some/plugins"))
    return environment(folders, SECRETS, home / "passwords.json", Ports(8081, 8082), inherited)


def test_connections_reach_the_components() -> None:
    """What the caller has in the environment is in that of the components."""
    assert tuned({"AIRFLOW_CONN_X": "x://"})["AIRFLOW_CONN_X"] == "x://"


def test_a_person_can_tune_but_not_tear_apart() -> None:
    """An AIRFLOW__ variable of the caller wins over the tuning, not over what makes it one Airflow."""
    given = {
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "3",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://elsewhere/production",
        "AIRFLOW_HOME": "/somebody/airflow",
    }
    variables = tuned(given)
    assert variables["AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME"] == "3"
    assert variables["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].startswith("sqlite:")
    assert variables["AIRFLOW_HOME"] == "/home-of-airflow"


SAVEPOINTS = """
import importlib.util, sys, threading, time
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

_, database, whose, settings = sys.argv
if whose == "ours":
    spec = importlib.util.spec_from_file_location("airflow_local_settings", settings)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
engine = create_engine(f"sqlite:///{database}?timeout=20")
with engine.begin() as c:
    c.exec_driver_sql("PRAGMA journal_mode=WAL")
    c.execute(text("CREATE TABLE t (x)"))
refused = []

def write():
    for _ in range(20):
        try:
            with Session(engine) as session:
                with session.begin_nested():
                    session.execute(text("SELECT count(*) FROM t")).all()
                    time.sleep(0.005)
                    session.execute(text("INSERT INTO t VALUES (1)"))
                session.commit()
        except OperationalError as error:
            refused.append(str(error.orig))

writers = [threading.Thread(target=write) for _ in range(4)]
for one in writers: one.start()
for one in writers: one.join()
print(sorted(set(refused)))
"""


@pytest.mark.parametrize(
    ("whose", "refused"), [("theirs", "['database is locked']"), ("ours", "[]")]
)
def test_savepoints_wait_for_their_turn(tmp_path: Path, whose: str, refused: str) -> None:
    """Writers that read first in a savepoint, as Airflow's backfill does: some are refused at once without ours."""
    database = str(tmp_path / "a.db")
    arguments = [database, whose, str(LOCAL_SETTINGS / "airflow_local_settings.py")]
    done = subprocess.run(
        [sys.executable, "-c", SAVEPOINTS, *arguments],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.strip() == refused


NOW = """
import importlib.util, sys
from sqlalchemy import create_engine, func, literal, select

spec = importlib.util.spec_from_file_location("airflow_local_settings", sys.argv.pop(1))
spec.loader.exec_module(importlib.util.module_from_spec(spec))
with create_engine("sqlite://").connect() as c:
    before = c.exec_driver_sql("SELECT strftime('%Y-%m-%d %H:%M:%f000', 'now')").scalar()
    print(c.scalar(select(literal(before) <= func.now())))
"""


def test_a_run_that_is_due_now_starts_now() -> None:
    """`run_after <= now()`, by which the scheduler starts a run, is true within the second in which it is due."""
    settings = str(LOCAL_SETTINGS / "airflow_local_settings.py")
    for _ in range(
        3
    ):  # SQLite's own now() has whole seconds, and would be in time in one of a thousand cases
        done = subprocess.run(
            [sys.executable, "-c", NOW, settings],
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        assert done.stdout.strip() == "True"


def test_loopback_goes_round_a_proxy() -> None:
    """With a proxy in the environment, the components still talk to each other directly."""
    variables = tuned({"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "intranet"})
    assert variables["NO_PROXY"] == "intranet,127.0.0.1,localhost"
    assert "127.0.0.1" in variables["no_proxy"]


def test_secrets_are_made_once_and_kept_private(tmp_path: Path) -> None:
    """The second call reads what the first made; nobody else may read it, and its repr tells nothing."""
    first = read_secrets(tmp_path)
    assert read_secrets(tmp_path) == first
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600
    assert first.password not in repr(first)
    assert len({first.password, first.fernet_key, first.jwt_secret, first.api_secret_key}) == 4


def test_damaged_secrets_are_one_sentence(tmp_path: Path) -> None:
    """A file that cannot be used is named, with the way out."""
    write_private(tmp_path / "secrets.json", "{")
    with pytest.raises(EmbeddedAirflowError, match=r"secrets\.json is damaged"):
        read_secrets(tmp_path)


def test_a_home_is_held_by_one(tmp_path: Path) -> None:
    """A second holder is told who has it; after the block the home is free."""
    with (
        held(tmp_path),
        pytest.raises(EmbeddedAirflowError, match=str(os.getpid())),
        held(tmp_path),
    ):
        pytest.fail("held twice")
    with held(tmp_path):
        assert (tmp_path / "running.lock").read_text() == str(os.getpid())


def test_a_used_port_is_refused() -> None:
    """The port is named together with the way to choose another."""
    port = free_port()
    assert require_free(port) == port
    with pytest.raises(EmbeddedAirflowError, match=r"Port 70000 cannot be used.*PORT="):
        require_free(70000)


# Ignores TERM, and starts a child in a process group of its own that ignores it too.
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setpgid(0, 0)
os.write(1, b"ready\\n")
time.sleep(100)
"""


def test_a_stubborn_family_is_ended() -> None:
    """Processes that ignore TERM and have left the process group are ended all the same, and named."""
    leader = subprocess.Popen(
        [sys.executable, "-c", STUBBORN], start_new_session=True, stdout=subprocess.PIPE
    )
    with leader, contextlib.ExitStack() as cleanup:
        cleanup.callback(leader.kill)
        assert leader.stdout is not None
        assert [leader.stdout.readline() for _ in range(2)] == [b"ready\n", b"ready\n"]
        family = members({leader.pid})
        assert len(family) == 2
        assert sorted(end_sessions({leader.pid}, patience=0.1)) == sorted(family)
    assert members({leader.pid}) == []


def running(tmp_path: Path, code: str, lines: list[str]) -> Components:
    """Components of which there is one: Python running this code."""
    return Components(
        {**os.environ, "PYTHONUNBUFFERED": "1"},
        tmp_path / "logs",
        tmp_path,
        lambda name, line: lines.append(f"{name}: {line}"),
        {"only": ("-c", code)},
    )


def test_lines_are_handed_on_and_kept(tmp_path: Path) -> None:
    """What a component writes comes with its name, and is in its log file."""
    lines: list[str] = []
    components = running(tmp_path, "import time; print('hello'); time.sleep(60)", lines)
    components.start()
    try:
        wait_until(lambda: "only: hello" in lines or None, what="a line", timeout=30)
    finally:
        components.stop()
    assert (tmp_path / "logs" / "only.log").read_text() == "hello\n"
    assert members(components.sessions()) == []


def test_last_words_of_one_that_will_not_start(tmp_path: Path) -> None:
    """A component that ends while starting is named with its exit code and its last words."""
    components = running(tmp_path, "raise SystemExit('no database today')", [])
    components.start()

    def failure() -> str | None:
        try:
            components.require_alive()
        except EmbeddedAirflowError as error:
            return str(error)
        return None

    try:
        said = wait_until(failure, what="it to end", timeout=30)
    finally:
        components.stop()
    assert "Airflow's only ended with code 1" in said
    assert "no database today" in said


def test_one_that_ends_is_started_again_more_and_more_slowly(tmp_path: Path) -> None:
    """The pause before another start doubles."""
    lines: list[str] = []
    components = running(tmp_path, "print('here')", lines)
    components.start()

    def started_thrice() -> bool | None:
        components.restart_ended()
        return lines.count("only: here") == 3 or None

    try:
        wait_until(started_thrice, what="the third start", timeout=30)
    finally:
        components.stop()
    pauses = [line.rsplit(" in ", 1)[1] for line in lines if "starting it again" in line]
    assert pauses[:2] == ["1 s", "2 s"]


RUNNER = """
import sys, time
from pathlib import Path
from embedded import database
from embedded.components import Components

folder, stubborn = Path(sys.argv[1]), sys.argv[2]
lines = []
components = Components(
    {}, folder, folder, lambda name, line: lines.append(line), {"only": ("-c", stubborn)}
)
components.start()
while len(lines) < 2:
    time.sleep(0.02)
print(components.pids()["only"], flush=True)
time.sleep(100)
"""


def test_nothing_survives_a_killed_runner(tmp_path: Path) -> None:
    """When the process that started the components is killed, its guard ends them."""
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(tmp_path), STUBBORN],
        cwd=Path(__file__).resolve().parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    with runner, contextlib.ExitStack() as cleanup:
        cleanup.callback(runner.kill)
        assert runner.stdout is not None
        session = int(runner.stdout.readline())
        assert len(members({session})) == 2
    wait_until(lambda: members({session}) == [] or None, what="the guard", timeout=60)


def test_waiting_in_vain_says_for_what() -> None:
    """The thing waited for is named."""
    with pytest.raises(EmbeddedAirflowError, match="in vain for a bus"):
        wait_until(lambda: None, what="a bus", timeout=0.1, every=0.01)


def test_threads_end_with_their_components(tmp_path: Path) -> None:
    """No reader thread is left after a stop."""
    components = running(tmp_path, "import time; time.sleep(60)", [])
    components.start()
    components.stop()
    assert not [t for t in threading.enumerate() if t.name == "read only"]


def test_a_home_stays_held_until_the_guard_has_ended(tmp_path: Path) -> None:
    """After a KILL of the runner nobody else gets the home while its components are still there."""
    runner = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(tmp_path), STUBBORN],
        cwd=Path(__file__).resolve().parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    with runner, contextlib.ExitStack() as cleanup:
        cleanup.callback(runner.kill)
        assert runner.stdout is not None
        session = int(runner.stdout.readline())
    with pytest.raises(EmbeddedAirflowError, match="already running"), held(tmp_path):
        pytest.fail("held while a component was still running")

    def free() -> bool | None:
        with contextlib.suppress(EmbeddedAirflowError), held(tmp_path):
            return True
        return None

    wait_until(free, what="the home to be free", timeout=60)
    assert members({session}) == []


HOLDING = "from embedded.home import held\n" + RUNNER.replace(
    "components.start()", "home = held(folder)\ncomponents.start(lock=home.__enter__())"
)


def test_an_interrupted_migration_leaves_no_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a database would be taken for a whole one at the next start."""
    home, templates = tmp_path / "home", tmp_path / "templates"
    home.mkdir()

    def interrupted(*_: object, **__: object) -> None:
        (home / "airflow.db").write_bytes(b"half")
        (home / "airflow.db-wal").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        database.prepare(home, {}, templates)
    assert list(home.iterdir()) == []
    assert not templates.exists()
