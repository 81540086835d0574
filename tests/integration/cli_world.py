"""`pdsf` in front of a small world: what it says, as a function call and as a process of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pd_sf_rules.cli import main
from tests.integration.pipeline_world import ROOT, PipelineWorld

CRITICAL = """\
version: 1
name: Critical cases
enabled: true
rules:
  - name: Page support
    object: Case
    run_on: salesforce
    when:
      all:
        - { field: Case.Priority, operation: equals, value: High }
        - { field: Case.Status, operation: changed_to, value: Escalated }
    actions:
      - create_incident:
          service: Support P1
          title: "Case {{ record.CaseNumber }}: {{ record.Subject }}"
          urgency: high
          priority: P1
  - name: Mirror acknowledgement
    object: Case
    run_on: pagerduty
    when: { field: event.type, operation: equals, value: acknowledge }
    actions:
      - update_record:
          fields: { Status: Working }
"""


@dataclass(frozen=True, slots=True)
class Said:
    """What one command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on stdout."""
        return json.loads(self.out)


@dataclass(slots=True)
class Shell:
    """A person's shell in a world: rule files, settings, connections and a ledger are in its environment."""

    world: PipelineWorld
    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Said:
        """Run `pdsf` in this process."""
        self.capture.readouterr()
        code = main(list(arguments))
        captured = self.capture.readouterr()
        return Said(code, captured.out, captured.err)

    def process(self, *arguments: str) -> Said:
        """Run `python -m pd_sf_rules` as a process of its own, without a terminal."""
        return self._started("-m", "pd_sf_rules", *arguments)

    def python(self, program: str) -> Said:
        """Run a few lines of Python as a process of its own."""
        return self._started("-c", program)

    def _started(self, *arguments: str) -> Said:
        done = subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT / "plugins")},
            cwd=self.world.home,
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=120,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def rules(self, text: str = CRITICAL, file: str = "critical.yaml") -> Path:
        """Write a ruleset file of the world and return its path."""
        return self.world.rules_text(text, file)

    def escalated(self, **fields: Any) -> tuple[str, str]:
        """A Case that a person escalated under CRITICAL, and its incident: (record id, incident id)."""
        self.rules()
        self.world.sync()
        case_id = self.world.case(**{"Priority": "Low", **fields})
        self.world.sync()
        self.world.edit(case_id, Priority="High", Status="Escalated")
        self.world.sync()
        (link,) = self.world.links_of(case_id)
        return case_id, link.incident_id

    def lines(self) -> list[str]:
        """Every row of the ledger as SQL text, for a comparison before and after; not the API usage last told."""
        import sqlite3  # noqa: PLC0415 - one use

        path = self.world.ledger_url.removeprefix("sqlite:///")
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            return [row for row in connection.iterdump() if "'usage:" not in row]
