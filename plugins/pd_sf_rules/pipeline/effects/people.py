"""People whom many actions name, looked up together."""

import logging
from collections.abc import Sequence

from pd_sf_rules.errors import SyncError
from pd_sf_rules.pipeline.prepare import Task
from pd_sf_rules.pipeline.run import Run

_log = logging.getLogger(__name__)


def learn_people(run: Run, tasks: Sequence[Task]) -> None:
    """Find the users that these tasks name in a few calls. What cannot be found so, each task asks and tells itself."""
    names: set[str] = set()
    for task in tasks:
        for parameter in ("users", "assign_to"):
            told = task.params.get(parameter)
            names |= {
                str(one) for one in (told if isinstance(told, list | tuple) else [told]) if one
            }
    if len(names) < 2:
        return
    try:
        run.lookups.learn_users(names)
    except SyncError as error:
        _log.debug("people are looked up one by one: %s", error)
