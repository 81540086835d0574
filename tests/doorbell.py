"""A bell that a test can wait for."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

PATIENT = 60.0


@dataclass
class Doorbell:
    """Counts rings."""

    rings: int = 0
    _heard: asyncio.Event = field(default_factory=asyncio.Event)

    def ring(self, _changed_at: datetime | None = None) -> None:
        """Count one."""
        self.rings += 1
        self._heard.set()

    async def hear(self, rings: int) -> None:
        """Wait until it has rung so often."""
        async with asyncio.timeout(PATIENT):
            while self.rings < rings:
                self._heard.clear()
                await self._heard.wait()
