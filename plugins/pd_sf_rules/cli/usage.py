"""Wrong usage that argparse cannot see."""

from pathlib import Path


class UsageError(Exception):
    """The options contradict each other or name what is not there; the text says what to write instead."""


def existing(path: Path) -> Path:
    """Return the path, or raise UsageError when there is nothing."""
    if not path.exists():
        raise UsageError(f"there is no file or folder '{path}'.")
    return path
