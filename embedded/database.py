"""Airflow's own database of an embedded home: made by Airflow's migration once, and copied after that."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from embedded.errors import EmbeddedAirflowError


def prepare(home: Path, environ: Mapping[str, str], templates: Path) -> None:
    """Make `home/airflow.db`, or bring an existing one up to date.

    A freshly migrated, empty database is kept in `templates`, one per Airflow version, and copied
    into the next new home: the migration takes 8 s, the copy none.
    """
    database = home / "airflow.db"
    mark = home / "database.version"
    current = version("apache-airflow-core")
    if database.exists() and mark.is_file() and mark.read_text(encoding="utf-8") == current:
        return
    template = templates / f"airflow-{current}.db"
    if database.exists():
        _migrate(environ)
    elif template.exists():
        _copy(template, database)
    else:
        _make(database, environ)
        with suppress(OSError):  # not having a template only costs the next one time
            _copy(database, template)
    database.chmod(0o600)
    mark.write_text(current, encoding="utf-8")


def _make(database: Path, environ: Mapping[str, str]) -> None:
    """A new database; whoever interrupts it leaves none, rather than half of one."""
    try:
        _migrate(environ)
    except BaseException:
        for part in database.parent.glob(f"{database.name}*"):
            part.unlink()
        raise


def _migrate(environ: Mapping[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        env=dict(environ),
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise EmbeddedAirflowError(
            "Airflow's database could not be made: " + "\n".join(done.stdout.splitlines()[-15:])
        )


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copyfile(source, draft)
    draft.replace(target)
