"""Ending every process of a session: a component and all that it forked, whatever process groups those moved to.

Airflow's components leave orphans behind when only they are told to stop, and its tasks sit in
process groups of their own. All of them stay in the session that the component was started in, and
nothing else is ever in it.
"""

import os
import signal
import time
from collections.abc import Collection

import psutil


def members(sessions: Collection[int]) -> list[int]:
    """Ids of the living processes of these sessions (ended ones that nobody has waited for do not count)."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) in sessions and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (ProcessLookupError, PermissionError, psutil.Error):
            continue  # gone meanwhile, or somebody else's
    return found


def send(pids: Collection[int], number: signal.Signals) -> None:
    """Send a signal to each of these processes; one that has gone meanwhile is left alone."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def end_sessions(sessions: Collection[int], *, patience: float) -> list[int]:
    """End every process of these sessions: TERM to the leaders, then to all, then KILL; return who had to be killed.

    `patience` is how many seconds the leaders get to stop by themselves.
    """
    leaders = [pid for pid in members(sessions) if pid in sessions]
    send(leaders, signal.SIGTERM)
    if _empty(sessions, patience):
        return []
    send(members(sessions), signal.SIGTERM)
    if _empty(sessions, 2.0):
        return []
    killed: list[int] = []
    while left := members(sessions):
        killed.extend(pid for pid in left if pid not in killed)
        send(left, signal.SIGKILL)
        _empty(sessions, 1.0)
    return killed


def _empty(sessions: Collection[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while members(sessions):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
