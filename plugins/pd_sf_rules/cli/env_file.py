"""A secret put into the connection that an `.env` file holds, without being shown to anybody."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pd_sf_rules.cli.usage import UsageError
from pd_sf_rules.connections import ENVIRONMENT_PREFIX


def check_connection_line(path: Path, conn_id: str) -> None:
    """Raise UsageError unless the file holds the connection as JSON, so that `add_webhook_secret` will succeed."""
    _found(path, conn_id)


def add_webhook_secret(path: Path, conn_id: str, secret: str) -> None:
    """Put `secret` before those that the connection's extra `webhook_secret` has: others may be in force still.

    Nothing else of the file changes; it is replaced in one step, and readable by its owner only.
    """
    lines, number, head, connection = _found(path, conn_id)
    told: Any = connection.get("extra") or {}
    extra = dict(json.loads(told) if isinstance(told, str) else told)
    before = [one.strip() for one in str(extra.get("webhook_secret") or "").split(",")]
    extra["webhook_secret"] = ",".join([secret, *(one for one in before if one)])
    connection["extra"] = json.dumps(extra) if isinstance(told, str) else extra
    # A quote inside would end the value for some readers of such files.
    text = json.dumps(connection, ensure_ascii=False).replace("'", "\\u0027")
    lines[number] = f"{head}'{text}'\n"
    write_private(path, "".join(lines))


def write_private(path: Path, text: str) -> None:
    """Replace a file with `text`, readable and writable by its owner only (0600) at every moment."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    _written(draft, text, os.O_TRUNC)
    draft.replace(path)


def write_new(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file that is not there yet; raises UsageError when it is, or cannot be."""
    try:
        _written(path, text, os.O_EXCL, mode)
    except FileExistsError:
        raise UsageError(
            f"{path} exists already and is left as it is: name another place."
        ) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from None


def _written(path: Path, text: str, how: int, mode: int = 0o600) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | how, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)


def _found(path: Path, conn_id: str) -> tuple[list[str], int, str, dict[str, Any]]:
    """Return the file's lines, the place of the connection's, what stands before its value, and the connection."""
    name = ENVIRONMENT_PREFIX + conn_id.upper()
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read ({type(error).__name__}).") from None
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"the folder of {path} cannot be written.")
    for number, head, value in reversed(list(_settings(lines, name))):
        connection = _connection(value)
        if connection is None:
            raise UsageError(f"{path}, line {number + 1}: {name} is not in the JSON form.")
        return lines, number, head, connection
    raise UsageError(
        f"{path} sets no {name}. Where the connection lives in Airflow, use --write-file, and copy the secret into "
        "its extra `webhook_secret`."
    )


def _settings(lines: list[str], name: str) -> Iterator[tuple[int, str, str]]:
    shape = re.compile(rf"(\s*(?:export\s+)?{re.escape(name)}\s*=\s*)(.*?)\s*")
    for number, line in enumerate(lines):
        found = shape.fullmatch(line)
        if found is not None:
            yield number, found.group(1), found.group(2)


def _connection(value: str) -> dict[str, Any] | None:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    try:
        told = json.loads(value)
        extra = told.get("extra") or {} if isinstance(told, dict) else None
        packed = json.loads(extra) if isinstance(extra, str) else extra
    except ValueError:
        return None
    return told if isinstance(packed, dict) else None
