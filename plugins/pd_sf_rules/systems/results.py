"""What one write did."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pd_sf_rules.errors import SyncError


@dataclass(frozen=True, slots=True)
class WriteResult:
    """One write: the id of what it touched, or the error that says what to do next.

    `created` says that something new exists, `adopted` that what we wanted to create was there
    already and `id` is that one. `values` are the target's values where the answer showed them.
    Functions that return results put errors in here and do not raise them.
    """

    id: str | None
    error: SyncError | None
    created: bool = False
    adopted: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)


def failed(error: SyncError) -> WriteResult:
    """Return the result of a write that did not work."""
    return WriteResult(id=None, error=error)
