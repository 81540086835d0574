"""Airflow's own database of an embedded home: made by Airflow's migration once, and copied after that."""

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
    if not database.exists() and template.exists():
        shutil.copyfile(template, database)
    else:
        fresh = not database.exists()
        _migrate(environ)
        if fresh:
            _keep(database, template)
    database.chmod(0o600)
    mark.write_text(current, encoding="utf-8")


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


def _keep(database: Path, template: Path) -> None:
    """Keep a copy for the next new home; not having one only costs time."""
    with suppress(OSError):
        template.parent.mkdir(parents=True, exist_ok=True)
        draft = template.with_suffix(f".{database.stat().st_ino}.draft")
        shutil.copyfile(database, draft)
        draft.replace(template)
