"""A trigger of a tiny test project: rings when a file's time stamp moves."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent


def stamp_of(path: str) -> int | None:
    """Time stamp of a file in ns, or None while it is not there."""
    try:
        return Path(path).stat().st_mtime_ns
    except FileNotFoundError:
        return None


class WatchedFile(BaseEventTrigger):
    """Rings with the file's text each time its time stamp has moved."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Import path and arguments that make an equal trigger."""
        return "watched_file.WatchedFile", {"path": self.path}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look ten times a second."""
        seen: int | None = None
        while True:
            stamp = stamp_of(self.path)
            if stamp is not None and stamp != seen:
                seen = stamp
                yield TriggerEvent({"stamp": stamp})
            await asyncio.sleep(0.1)
