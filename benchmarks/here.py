"""A folder with one ruleset, one integration and a ledger, named in this process's environment; a rule to put there."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from sandbox.world import World

ESCALATE = """
version: 1
name: Escalations
enabled: true
rules:
  - name: Escalate
    object: Case
    run_on: salesforce
    when: { field: Case.Priority, operation: equals, value: High }
    actions: [{ update_record: { fields: { Status: Escalated } } }]
"""


@contextmanager
def home_of(world: World, rules: str = "", settings: str = "name: default\n") -> Iterator[Path]:
    """Point rules, settings, connections and ledger at the folder, and at `world`, for as long as the block runs.

    Without `rules` there is no ruleset yet.
    """
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        for folder in ("rulesets", "integrations"):
            (home / folder).mkdir()
        if rules:
            (home / "rulesets" / "a.yaml").write_text(rules)
        (home / "integrations" / "default.yaml").write_text(settings)
        variables = {
            "PDSF_RULESETS_DIR": str(home / "rulesets"),
            "PDSF_INTEGRATIONS_DIR": str(home / "integrations"),
            "PDSF_LEDGER_URL": f"sqlite:///{home}/ledger.db",
            "AIRFLOW_HOME": str(home),
            **world.connections,
        }
        with patch.dict(os.environ, variables):
            yield home
