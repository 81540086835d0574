"""An event loop for a test that asks for one."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def run_in_own_loop(story: Coroutine[Any, Any, T]) -> T:
    """Return what the coroutine returns, in a thread of its own.

    The test's thread may have a running loop already: that of the browser, once a test has used one.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="own loop") as pool:
        return pool.submit(asyncio.run, story).result()
