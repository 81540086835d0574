"""What the demo prints: steps as they happen, and a table at the end."""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

GREEN, RED, DIM, BOLD, PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[1m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Seen:
    """One effect and how long it took, in seconds from the change; None if it never came."""

    step: str
    effect: str
    seconds: float | None


class Screen:
    """Prints lines with the seconds since the start, in colour on a terminal."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def say(self, text: str = "", colour: str = PLAIN) -> None:
        """Print one line."""
        clock = f"{time.monotonic() - self._started:6.1f} s  "
        sys.stdout.write(f"{self._paint(clock, DIM)}{self._paint(text, colour)}\n")
        sys.stdout.flush()

    def effect(self, seen: Seen) -> None:
        """Print one effect: seen after so many seconds, or never."""
        if seen.seconds is None:
            self.say(f"    ✗ {seen.effect}: not seen", RED)
        else:
            self.say(f"    ✓ {seen.effect}  ({seen.seconds:.1f} s)", GREEN)

    def table(self, rows: Sequence[Seen]) -> None:
        """Print what happened as a table."""
        width = max(len(row.effect) for row in rows)
        step = ""
        sys.stdout.write("\n")
        for row in rows:
            if row.step != step:
                step = row.step
                sys.stdout.write(self._paint(f"  {step}\n", BOLD))
            seconds = "never" if row.seconds is None else f"{row.seconds:5.1f} s"
            mark = self._paint("✗", RED) if row.seconds is None else self._paint("✓", GREEN)
            sys.stdout.write(f"    {mark} {row.effect:<{width}}  {seconds}\n")
        sys.stdout.write("\n")
        sys.stdout.flush()

    def _paint(self, text: str, colour: str) -> str:
        return f"{colour}{text}{PLAIN}" if self._colour and colour != PLAIN else text
