"""What a check found: the form that the doctor and the set-up commands share."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One check: `said` is what was found, or what does not hold and what to do.

    A `warning` holds, and is still worth a look.
    """

    name: str
    ok: bool
    said: str
    warning: bool = False
