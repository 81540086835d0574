"""Reading `.env`: one `NAME=value` a line."""

import re
from pathlib import Path

from embedded.errors import EmbeddedAirflowError

_LINE = re.compile(r"^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)$")


def read_dotenv(path: Path) -> dict[str, str]:
    """Variables of a `.env` file; none when there is no file.

    Blank lines and lines that start with `#` say nothing. A value is taken as it is, without
    expansion; one that is wrapped in single or double quotes loses them. Raises
    EmbeddedAirflowError naming the line that is no `NAME=value`, never its value.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise EmbeddedAirflowError(f"{path} cannot be read: {error}.") from error
    variables: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        found = _LINE.match(stripped)
        if found is None:
            raise EmbeddedAirflowError(f"{path}, line {number}: expected NAME=value.")
        variables[found.group(1)] = _unquoted(found.group(2).strip())
    return variables


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value
