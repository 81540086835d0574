"""A trigger that looks at a file, as often as the product looks at its two services."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent


class FileChanged(BaseEventTrigger):
    """Rings each time a file's text is another one than at the last look."""

    def __init__(self, path: str, poll_seconds: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow leaves it untyped
        self.path = path
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments that make an equal trigger."""
        arguments = {"path": self.path, "poll_seconds": self.poll_seconds}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look for ever."""
        seen = self._text()
        while True:
            await asyncio.sleep(self.poll_seconds)
            text = self._text()
            if text != seen:
                seen = text
                yield TriggerEvent(text)  # type: ignore[no-untyped-call]  # Airflow leaves it untyped

    def _text(self) -> str:
        Path(
            f"{self.path}.looked"
        ).touch()  # tells when this look was, as the services' traffic does
        return Path(self.path).read_text(encoding="ascii")
