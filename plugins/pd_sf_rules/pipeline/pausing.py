"""A person's pause: actions of an integration or of one ruleset queue, and go out when it ends."""

import getpass
from collections.abc import Sequence

from pd_sf_rules.errors import ConfigError
from pd_sf_rules.ledger import Ledger, actions, pauses
from pd_sf_rules.ledger.pauses import EVERYTHING, Pause
from pd_sf_rules.pipeline.run import utc_now
from pd_sf_rules.planning.planner import NOTE_SYNC
from pd_sf_rules.rules.diagnostics import did_you_mean
from pd_sf_rules.rules.loader import load_folder
from pd_sf_rules.settings import rulesets_folder


def pause(
    ledger: Ledger, integration: str, ruleset: str = EVERYTHING, *, who: str = "", why: str = ""
) -> bool:
    """Let the actions of a ruleset (all of the integration for "") queue; False when they do already.

    What is under way at this moment is finished. Raises ConfigError for a ruleset that does not exist.
    """
    if ruleset != EVERYTHING:
        _check(integration, ruleset)
    with ledger.begin() as c:
        return pauses.add_pause(c, Pause(integration, ruleset, utc_now(), who or _me(), why))


def resume(ledger: Ledger, integration: str, ruleset: str = EVERYTHING) -> int:
    """End a pause; return how many actions queued and go out at the next sync.

    Raises ConfigError when it is not paused, naming what is.
    """
    with ledger.begin() as c:
        if not pauses.end_pause(c, integration, ruleset):
            raise ConfigError(_not_paused(integration, ruleset, pauses.pauses_of(c, integration)))
        left = [one.ruleset for one in pauses.pauses_of(c, integration)]
        queued = actions.open_actions(c, integration, state="pending")
    if ruleset == EVERYTHING:
        return sum(not pauses.is_paused(one.ruleset, left) for one in queued)
    return sum(one.ruleset == ruleset for one in queued)


def paused(ledger: Ledger, integration: str) -> list[Pause]:
    """Return the pauses of an integration that are in force."""
    with ledger.read() as c:
        return pauses.pauses_of(c, integration)


def told(pause: Pause) -> str:
    """Return one sentence about a pause: what, since when, by whom and why."""
    what = f"Ruleset '{pause.ruleset}'" if pause.ruleset else "Everything"
    why = f": {pause.why}" if pause.why else ""
    return f"{what} is paused since {pause.paused_at:%Y-%m-%d %H:%M}Z by {pause.paused_by}{why}."


def _check(integration: str, ruleset: str) -> None:
    rulesets, _ = load_folder(rulesets_folder())
    known = {one.name for one in rulesets if one.integration == integration} | {NOTE_SYNC}
    if ruleset not in known:
        near = did_you_mean(ruleset, known) or "`pdsf status` lists them."
        raise ConfigError(f"Integration '{integration}' has no ruleset '{ruleset}'.", hint=near)


def _not_paused(integration: str, ruleset: str, there: Sequence[Pause]) -> str:
    what = f"Ruleset '{ruleset}'" if ruleset else f"Integration '{integration}'"
    listed = ", ".join(f"'{one.ruleset}'" if one.ruleset else "everything" for one in there)
    return f"{what} is not paused. Paused are: {listed or 'none'}."


def _me() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"
