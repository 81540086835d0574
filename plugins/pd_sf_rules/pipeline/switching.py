"""A person's switch of a ruleset: it overrides what the file says of `enabled`, until it is taken back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pd_sf_rules.errors import ConfigError
from pd_sf_rules.ledger import Ledger, switches
from pd_sf_rules.ledger.switches import Switch
from pd_sf_rules.pipeline.run import utc_now
from pd_sf_rules.rules.diagnostics import Diagnostic
from pd_sf_rules.rules.loader import load_folder, ruleset_files
from pd_sf_rules.rules.ruleset import Ruleset
from pd_sf_rules.settings import rulesets_folder


def load_switched(ledger: Ledger) -> tuple[list[Ruleset], Sequence[Diagnostic]]:
    """Return the rulesets of the folder with people's switches applied, and what is wrong with files.

    Raises SettingsError when the folder is missing.
    """
    rulesets, diagnostics = load_folder(rulesets_folder())
    with ledger.read() as c:
        turned = switches.in_force(c)
    return switched(rulesets, turned), diagnostics


def switched(rulesets: Iterable[Ruleset], turned: Mapping[str, Switch]) -> list[Ruleset]:
    """Return the rulesets as the switches (by file name) have them."""
    return [_switched(one, turned.get(Path(one.path).name)) for one in rulesets]


def told(switch: Switch) -> str:
    """Return one clause about a switch: what, by whom, when and why."""
    why = f": {switch.why}" if switch.why else ""
    word = "on" if switch.enabled else "off"
    return f"switched {word} by {switch.turned_by} {switch.turned_at:%Y-%m-%d %H:%M}Z{why}"


def turn(ledger: Ledger, file: str, *, enabled: bool | None, who: str, why: str) -> Switch:
    """Switch the ruleset of a file on (True), off (False), or leave it to its file again (None).

    It holds from the next run on, in every process. Raises ConfigError when there is no such file.
    """
    known = {path.name for path in ruleset_files(rulesets_folder())}
    if file not in known:
        listed = ", ".join(sorted(known)) or "none"
        raise ConfigError(f"There is no ruleset file '{file}'.", hint=f"Known are: {listed}.")
    made = Switch(file, enabled, utc_now(), who, why)
    with ledger.begin() as c:
        switches.turn(c, made)
    return made


def _switched(ruleset: Ruleset, switch: Switch | None) -> Ruleset:
    if switch is None or switch.enabled is None or switch.enabled == ruleset.enabled:
        return ruleset
    return replace(ruleset, enabled=switch.enabled)
