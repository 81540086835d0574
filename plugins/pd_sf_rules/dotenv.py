"""What a shell leaves out: the variables of `.env`, and the Airflow that `make up` runs in this checkout."""

import json
import re
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from pd_sf_rules.errors import SettingsError

ENV_FILE = "PDSF_ENV_FILE"
_LINE = re.compile(r"^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)$")


def env_file(root: Path, environ: Mapping[str, str]) -> Path | None:
    """Return the file to read: PDSF_ENV_FILE, else `.env` in `root`; None where PDSF_ENV_FILE is empty.

    Raises SettingsError when PDSF_ENV_FILE names no file.
    """
    named = environ.get(ENV_FILE)
    if named is None:
        return root / ".env"
    if not named.strip():
        return None
    path = Path(named).expanduser()
    if not path.is_file():
        raise SettingsError(f"{ENV_FILE} names '{named}', which is not a file.")
    return path


def read_dotenv(path: Path | None) -> dict[str, str]:
    """Variables of a `.env` file; none when there is no file.

    Blank lines and lines that start with `#` say nothing. A value is taken as it is, without
    expansion; one that is wrapped in single or double quotes loses them. Raises SettingsError
    naming the line that is no `NAME=value`, never its value.
    """
    if path is None:
        return {}
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}.") from error
    variables: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        found = _LINE.match(stripped)
        if found is None:
            raise SettingsError(f"{path}, line {number}: expected NAME=value.")
        variables[found.group(1)] = _unquoted(found.group(2).strip())
    return variables


def complete(environ: MutableMapping[str, str], root: Path) -> None:
    """Fill in what the environment leaves out, so that a shell in `root` means the same sync as `make up` there.

    What the environment says stands. Then `.env` counts, and then, where neither names an Airflow (AIRFLOW_HOME or
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN), the one that `make up` keeps in `.run/airflow`, if it ever ran. Raises
    SettingsError when a file cannot be used.
    """
    for name, value in read_dotenv(env_file(root, environ)).items():
        environ.setdefault(name, value)
    home = root / ".run" / "airflow"
    named = environ.get("AIRFLOW_HOME") or environ.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN")
    if named or not (home / "airflow.db").is_file():
        return
    environ["AIRFLOW_HOME"] = str(home)
    environ["AIRFLOW_CONFIG"] = str(home / "airflow.cfg")
    # Its connections are readable with its own key only.
    environ.setdefault("AIRFLOW__CORE__FERNET_KEY", _fernet_key(home / "secrets.json"))


def _fernet_key(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["fernet_key"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = "Name another Airflow by AIRFLOW_HOME."
        raise SettingsError(f"{path} cannot be used ({type(error).__name__}).", hint=hint) from None


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value
