"""Forked children for tests: they run a function, and what it returned (or raised) comes back."""

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

FORK = multiprocessing.get_context("fork")
PATIENCE = 30.0


def in_children(function: Callable[..., Any], *arguments: tuple[Any, ...]) -> list[Any]:
    """Call the function in one child for each tuple of arguments, all at once; the results in that order.

    A child that raised gives its exception's text, after its class's name.
    """
    barrier = FORK.Barrier(len(arguments))
    pipes = [FORK.Pipe(duplex=False) for _ in arguments]
    children = [
        FORK.Process(target=_run, args=(sender, barrier, function, given), daemon=True)
        for (_, sender), given in zip(pipes, arguments, strict=True)
    ]
    for child, (_, sender) in zip(children, pipes, strict=True):
        child.start()
        sender.close()
    results = [receiver.recv() if receiver.poll(PATIENCE) else "no answer" for receiver, _ in pipes]
    for child in children:
        child.join(PATIENCE)
        if child.is_alive():
            child.kill()
    return results


def in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """The same for one child."""
    return in_children(function, arguments)[0]


def killed_child(function: Callable[..., Any], *arguments: Any) -> int:
    """Fork a child that ends itself by SIGKILL inside the function; its exit code comes back."""
    child = FORK.Process(target=function, args=arguments, daemon=True)
    child.start()
    child.join(PATIENCE)
    return child.exitcode if child.exitcode is not None else 0


class Streaming:
    """A child that calls `function(*arguments, sender)` and reports as it goes, until it is killed."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._receiver, sender = FORK.Pipe(duplex=False)
        self._child = FORK.Process(
            target=self._report, args=(function, *arguments, sender), daemon=True
        )
        self._child.start()
        sender.close()

    def receive(self, number: int) -> list[Any]:
        """The next so many reports, waiting for each."""
        return [self._next() for _ in range(number)]

    def kill(self) -> list[Any]:
        """End the child by SIGKILL wherever it is; what it had reported until then."""
        self._child.kill()
        self._child.join(PATIENCE)
        left = []
        while True:
            try:
                left.append(self._next())
            except (EOFError, OSError):  # at, or in the middle of, the last report
                return left

    def _report(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._receiver.close()  # so that the child's reports fail once nobody is there to read them
        function(*arguments)

    def _next(self) -> Any:
        if not self._receiver.poll(PATIENCE):
            raise TimeoutError("the child has nothing to tell")
        return self._receiver.recv()


def become_nobody() -> None:
    """Give up root's rights for good; does nothing where there are none."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


def _run(
    sender: Connection, barrier: Any, function: Callable[..., Any], given: tuple[Any, ...]
) -> None:
    barrier.wait(PATIENCE)
    try:
        result = function(*given)
    except Exception as error:  # noqa: BLE001  the test looks at whatever it is
        result = f"{type(error).__name__}: {error}"
    sender.send(result)
    sender.close()
