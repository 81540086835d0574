"""What a benchmark prints."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One figure: an amount in its unit, and its ratio to the reference of its group (1.0 for the reference itself)."""

    group: str
    what: str
    amount: float
    times: float
    unit: str = "us"


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
            f"    {line.what:<{width}}  {line.amount:>12,.1f} {line.unit:<8}  {line.times:>8.2f}x\n"
        )
    sys.stdout.flush()
