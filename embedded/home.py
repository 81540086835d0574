"""The folder an embedded Airflow lives in: its secrets, its lock, its files."""

import base64
import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from embedded.errors import EmbeddedAirflowError

USERNAME = "admin"
_NAMES = ("password", "fernet_key", "jwt_secret", "api_secret_key")


@dataclass(frozen=True, slots=True)
class Secrets:
    """What an Airflow needs to keep to itself; made once per home and kept in it, readable by its owner only."""

    password: str
    fernet_key: str
    jwt_secret: str
    api_secret_key: str

    def __repr__(self) -> str:
        return "Secrets(***)"


def read_secrets(home: Path) -> Secrets:
    """The secrets of this home; made at the first call.

    Raises EmbeddedAirflowError when the file is there but cannot be used.
    """
    path = home / "secrets.json"
    if not path.exists():
        made = Secrets(
            password=secrets.token_urlsafe(12),
            fernet_key=base64.urlsafe_b64encode(os.urandom(32)).decode(),
            jwt_secret=secrets.token_urlsafe(48),
            api_secret_key=secrets.token_urlsafe(32),
        )
        write_private(path, json.dumps({name: getattr(made, name) for name in _NAMES}))
        return made
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return Secrets(**{name: str(stored[name]) for name in _NAMES})
    except (ValueError, KeyError, TypeError) as error:
        raise EmbeddedAirflowError(
            f"{path} is damaged: remove the folder {home} to start afresh."
        ) from error


def passwords_file(home: Path, password: str) -> Path:
    """Write the file from which Airflow's simple auth manager takes the password of `admin`; return its path."""
    path = home / "passwords.json"
    write_private(path, json.dumps({USERNAME: password}))
    return path


def write_private(path: Path, text: str) -> None:
    """Replace a file with `text`, readable and writable by its owner only (0600) at every moment."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
    draft.replace(path)


@contextlib.contextmanager
def held(home: Path) -> Iterator[int]:
    """Hold a home for this process; it is free again as soon as the process is gone, however it ended.

    Gives the lock's file descriptor: a child that inherits it holds the home too. Raises
    EmbeddedAirflowError naming the process that holds it already.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / "running.lock").open("a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            holder = handle.read().strip() or "unknown"
            raise EmbeddedAirflowError(
                f"An Airflow is already running in {home} (process {holder}): stop that one first."
            ) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield handle.fileno()
