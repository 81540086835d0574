"""A ledger and os.fork: no connection of the parent is ever used, or closed, by its child.

SQLite keeps its file locks in the process's memory: a child that finds its parent's locks there would take
none of its own (https://www.sqlite.org/howtocorrupt.html, section 2.6). So idle connections are closed before a
fork, and a child forked in the middle of a transaction gets an error instead of a damaged file.
"""

import os
import weakref

from sqlalchemy import Engine, Pool, QueuePool

from pd_sf_rules.errors import SyncError

_engines: "weakref.WeakSet[Engine]" = weakref.WeakSet()
_left_alone: list[
    Pool
] = []  # the parent's connections, referenced so that the child never closes them
_unsafe: set[str] = set()
_unsafe_before_fork: set[str] = set()


def watch(engine: Engine) -> None:
    """See to it that forked children of this process open connections of their own."""
    _engines.add(engine)


def check(engine: Engine) -> None:
    """Raises SyncError in a child that was forked while its parent was inside a SQLite transaction."""
    if _unsafe and _file(engine) in _unsafe:
        raise SyncError(
            f"The ledger {_file(engine)} was in use when this process was forked from its parent.",
            hint="Fork outside of Ledger.begin() and Ledger.read(), or spawn the process.",
        )


def _file(engine: Engine) -> str:
    return str(engine.url.database) if engine.dialect.name == "sqlite" else ""


def _before_fork() -> None:
    _unsafe_before_fork.clear()
    _unsafe_before_fork.update(_unsafe)
    for engine in list(_engines):
        if engine.dialect.name != "sqlite":
            continue
        if isinstance(engine.pool, QueuePool) and engine.pool.checkedout():
            _unsafe.add(_file(engine))
        engine.dispose()


def _after_fork_in_parent() -> None:
    _unsafe.intersection_update(_unsafe_before_fork)


def _after_fork_in_child() -> None:
    for engine in list(_engines):
        _left_alone.append(engine.pool)
        engine.dispose(close=False)


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
