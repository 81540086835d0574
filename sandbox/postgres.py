"""A throw-away PostgreSQL server: its own cluster in a temporary folder, gone with the block that uses it."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import NullPool, create_engine

HOW_TO_GET = (
    "PostgreSQL's server is not installed: `apt-get install postgresql` (or your system's package)"
)
OWNER = "postgres"
PASSWORD = "only-for-tests"
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "autovacuum": "off",
    "lc_messages": "C",
}
FOR_MUCH = {
    "shared_buffers": "1GB",
    "maintenance_work_mem": "512MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "8GB",
}
"""Settings for a database of gigabytes, which belongs on a disk."""

# Ends the server when the process that started it closes the pipe, and also when that is killed.
WATCH = """
"$1/pg_ctl" -s -w -t 60 -D "$2" -l "$2/server.log" start && echo ready && read -r _
"$1/pg_ctl" -s -w -m immediate -D "$2" stop
"""


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server. `socket_dir` trusts everybody, `port` on 127.0.0.1 asks for the password."""

    socket_dir: Path
    port: int

    def url(self, database: str) -> str:
        """The URL of a database through the unix socket."""
        return f"postgresql+psycopg2://{OWNER}@/{database}?host={self.socket_dir}&port={self.port}"

    def tcp_url(self, database: str, *, user: str = OWNER, password: str = PASSWORD) -> str:
        """The URL of a database through TCP, where the password counts."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Run statements as the owner, each in a transaction of its own."""
        engine = create_engine(self.url(database), poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def new_database(self) -> str:
        """Make a database of a fresh name; returns the name."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name}")
        return name


def server_binaries() -> Path | None:
    """The folder of initdb and pg_ctl (on the path, or where Debian keeps them), None without a server."""
    on_path = shutil.which("pg_ctl")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    candidates += sorted(Path("/usr").glob("pgsql-*/bin"), reverse=True)
    return next((path for path in candidates if (path / "initdb").exists()), None)


@contextmanager
def running_postgres(
    binaries: Path, *, on_disk: bool = False, settings: Mapping[str, str] | None = None
) -> Iterator[PostgresServer]:
    """A server for the length of the block, in memory where there is room for a small one; `settings` beside ours."""
    folder = Path(tempfile.mkdtemp(prefix="pdsf-pg-", dir=None if on_disk else _memory()))
    user = _server_user()
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
    try:
        port = _free_port()
        data = _init(binaries, folder, user, {"port": str(port), **(settings or {})})
        with _watched(binaries, data, user):
            yield PostgresServer(socket_dir=folder, port=port)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _memory() -> Path | None:
    """A folder in memory where there is room for a cluster (thousands of small files), else None: the usual one."""
    shm = Path("/dev/shm")
    if os.access(shm, os.W_OK | os.X_OK) and shutil.disk_usage(shm).free > 2**30:
        return shm
    return None


def _server_user() -> pwd.struct_passwd | None:
    """Whom the server runs as: root may not run it, so somebody without rights does."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]


def _identity(user: pwd.struct_passwd | None) -> tuple[int | None, int | None, list[int] | None]:
    return (user.pw_uid, user.pw_gid, []) if user else (None, None, None)


def _init(
    binaries: Path, folder: Path, user: pwd.struct_passwd | None, stated: Mapping[str, str]
) -> Path:
    data = folder / "data"
    secret = folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    uid, gid, groups = _identity(user)
    subprocess.run(
        [
            str(binaries / "initdb"),
            *("-D", str(data), "-U", OWNER, "--pwfile", str(secret), "--encoding", "UTF8"),
            *("--locale", "C", "--auth-local", "trust", "--auth-host", "scram-sha-256", "-N"),
        ],
        user=uid,
        group=gid,
        extra_groups=groups,
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    settings = {
        **SETTINGS,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": str(folder),
        **stated,
    }
    with (data / "postgresql.conf").open("a") as conf:
        conf.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    return data


@contextmanager
def _watched(binaries: Path, data: Path, user: pwd.struct_passwd | None) -> Iterator[None]:
    uid, gid, groups = _identity(user)
    with subprocess.Popen(
        ["sh", "-c", WATCH, "sh", str(binaries), str(data)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        user=uid,
        group=gid,
        extra_groups=groups,
        cwd=data,
        text=True,
        start_new_session=True,
    ) as watch:
        try:
            assert watch.stdin is not None
            assert watch.stdout is not None
            if watch.stdout.readline().strip() != "ready":
                raise RuntimeError(f"PostgreSQL did not start: {(data / 'server.log').read_text()}")
            yield
        finally:
            watch.communicate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
