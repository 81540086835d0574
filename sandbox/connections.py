"""`python -m sandbox.connections READY-FILE`: the sandbox's connections as `airflow connections import` takes them."""

import json
import sys
from pathlib import Path
from typing import Any

PREFIX = "AIRFLOW_CONN_"


def importable(ready: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Connection by id, from what the ready file says of them as environment variables."""
    return {
        name.removeprefix(PREFIX).lower(): json.loads(value)
        for name, value in ready["connections"].items()
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(importable(json.loads(Path(sys.argv[1]).read_text()))) + "\n")
