"""What one pull of one stream did."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from pd_sf_rules.model import Window


@dataclass(frozen=True, slots=True)
class Pulled:
    """`new` events were recorded from `window` of `stream`; `held_back` is the oldest stamp left for the next look.

    `newest` is the newest stamp that the service showed, None where it showed nothing.
    """

    stream: str
    window: Window
    new: int
    held_back: datetime | None = None
    newest: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what XCom holds between the tasks of a run."""
        return {
            "stream": self.stream,
            "start": self.window.start.isoformat(),
            "end": self.window.end.isoformat(),
            "moves_cursor": self.window.moves_cursor,
            "new": self.new,
            "held_back": self.held_back.isoformat() if self.held_back else None,
            "newest": self.newest.isoformat() if self.newest else None,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read back what `to_json` wrote."""
        window = Window(
            datetime.fromisoformat(data["start"]),
            datetime.fromisoformat(data["end"]),
            moves_cursor=data["moves_cursor"],
        )
        held, newest = (
            datetime.fromisoformat(data[name]) if data.get(name) else None
            for name in ("held_back", "newest")
        )
        return cls(data["stream"], window, data["new"], held, newest)
