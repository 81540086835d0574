"""The files that the demo runs on: the example rulesets, switched on, and an integration with notes both ways."""

import shutil
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ("case-to-incident.yaml", "incident-to-case.yaml")
INTEGRATION = """\
name: default
poll_seconds: 1
comments:
  salesforce_to_pagerduty: true
  pagerduty_to_salesforce: internal
"""


def prepare(folder: Path) -> Mapping[str, str]:
    """Make `folder` anew with rulesets and integration; return the PDSF_* variables that name them.

    Raises ValueError when an example has no `enabled: false` to switch on.
    """
    shutil.rmtree(folder, ignore_errors=True)
    rulesets, integrations = folder / "rulesets", folder / "integrations"
    rulesets.mkdir(parents=True)
    integrations.mkdir()
    (integrations / "default.yaml").write_text(INTEGRATION, encoding="utf-8")
    for name in EXAMPLES:
        text = (ROOT / "include" / "rulesets" / name).read_text(encoding="utf-8")
        if text.count("\nenabled: false\n") != 1:
            raise ValueError(f"{name}: the example is not switched off by 'enabled: false'")
        on = text.replace("\nenabled: false\n", "\nenabled: true\n")
        (rulesets / name).write_text(on, encoding="utf-8")
    return {
        "PDSF_RULESETS_DIR": str(rulesets),
        "PDSF_INTEGRATIONS_DIR": str(integrations),
        "PDSF_LEDGER_URL": f"sqlite:///{folder / 'ledger.db'}",
    }
