"""What the rules in force name in PagerDuty, looked up: services, priorities, policies, people, workflows."""

from collections.abc import Iterator
from pathlib import Path

from pd_sf_rules.errors import RefusedError
from pd_sf_rules.pipeline.live_lint import LOOKED_UP
from pd_sf_rules.pipeline.run import Run
from pd_sf_rules.pipeline.switching import load_switched
from pd_sf_rules.rules.ruleset import ActionSpec
from pd_sf_rules.rules.templates import is_template
from pd_sf_rules.settings import Integration

GONE = frozenset({"unknown_name", "ambiguous"})


def dangling_references(run: Run) -> list[str]:
    """Return a sentence for each name in an enabled rule that PagerDuty does not have (any more).

    A call for each distinct name. Raises the errors of systems.pagerduty when it cannot be asked.
    """
    rulesets, _ = load_switched(run.ledger)
    found: list[str] = []
    for ruleset in rulesets:
        if not ruleset.enabled or ruleset.integration != run.name:
            continue
        for rule in ruleset.rules:
            for kind, name in _names(rule.actions, run.integration):
                try:
                    getattr(run.lookups, kind)(name)
                except RefusedError as refusal:
                    if refusal.code not in GONE:
                        raise
                    found.append(f"{Path(ruleset.path).name}: rule '{rule.name}': {refusal}")
    return list(dict.fromkeys(found))


def _names(actions: tuple[ActionSpec, ...], integration: Integration) -> Iterator[tuple[str, str]]:
    """Yield (kind of thing, name) for each literal name that the actions hold."""
    for action in actions:
        for parameter, kind in LOOKED_UP.get(action.kind, {}).items():
            value = action.params.get(parameter)
            for one in value if isinstance(value, list | tuple) else [value]:
                name = str(one or "")
                if action.kind == "run_response_play":
                    name = integration.response_plays.get(name, "")
                if name and not is_template(name):
                    yield kind, name
