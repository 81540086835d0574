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
