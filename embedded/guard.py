"""A small process that outlives its parent by a moment and ends what the parent left behind.

Started by `embedded.components` as `python -m embedded.guard`, in a session of its own. It reads
lines `SESSION-ID` from standard input; the end of the input means that the parent has ended, be it
in order or by a KILL that no handler sees.
"""

import signal
import sys

from embedded.sessions import end_sessions


def main() -> None:
    """Collect session ids until the input ends, then end what is left of those sessions."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sessions: set[int] = set()
    for line in sys.stdin:
        session = abs(int(line))
        sessions = sessions | {session} if line.startswith("+") else sessions - {session}
    end_sessions(sessions, patience=5.0)


if __name__ == "__main__":
    main()
