"""What a benchmark prints."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One figure: microseconds of one piece of work, and how often the reference of its group fits into it."""

    group: str
    what: str
    microseconds: float
    times: float


def show(title: str, lines: Sequence[Line]) -> None:
    """Print the lines as a table, grouped."""
    width = max(len(line.what) for line in lines)
    sys.stdout.write(f"\n{title}\n")
    group = ""
    for line in lines:
        if line.group != group:
            group = line.group
            sys.stdout.write(f"  {group}\n")
        sys.stdout.write(
            f"    {line.what:<{width}}  {line.microseconds:>10.1f} us  {line.times:>8.1f}x\n"
        )
    sys.stdout.flush()
