"""An ASGI app that is built when it is first asked: every Airflow process loads plugins, one kind serves pages."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from importlib import import_module
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class BuiltWhenAsked:
    """The app that `module:function` returns, made in a thread at the first request and kept.

    Importing this costs nothing; FastAPI, the ledger and the templates are imported where pages are served.
    """

    def __init__(self, factory: str) -> None:
        self._factory = factory
        self._app: App | None = None
        self._lock = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on."""
        if self._app is None:
            async with self._lock:
                if self._app is None:
                    self._app = await asyncio.to_thread(self._build)
        await self._app(scope, receive, send)

    def _build(self) -> App:
        module, _, name = self._factory.partition(":")
        app: App = getattr(import_module(module), name)()
        return app
