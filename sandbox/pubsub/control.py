"""Control of the event bus: trouble of its own, and what is selected for Change Data Capture."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from sandbox.pubsub.bus import Bus

Answering = Callable[[Callable[[Request, Any], Any]], Callable[[Request], Awaitable[Response]]]


def routes(bus: Bus, answering: Answering) -> list[BaseRoute]:
    """The routes under /salesforce/pubsub: `GET` tells, `POST` does each thing that the body names."""

    def told(_request: Request, _body: Any) -> Any:
        with bus.news:
            return {
                "events": bus.last,
                "kept": len(bus.events),
                "listening": dict(bus.listening),
                "calls": list(bus.calls),
                "captured": list(bus.org.settings.captured),
            }

    def act(request: Request, body: Any) -> Any:
        commands: dict[str, Callable[[Any], None]] = {
            "gap": lambda wanted: bus.gap(_known(bus, wanted["object"]), wanted["ids"]),
            "overflow": lambda wanted: bus.overflow(_known(bus, wanted)),
            "expire": lambda _wanted: bus.expire(),
            "cut": lambda _wanted: bus.cut(),
            "unavailable": lambda wanted: bus.refuse(int(wanted)),
            "keepalive_seconds": lambda wanted: _keepalive(bus, float(wanted)),
        }
        for name, wanted in body.items():
            if name not in commands:
                raise ValueError(f"no command {name!r}; there are: {', '.join(commands)}")
            commands[name](wanted)
        return told(request, None)

    return [
        Route("/salesforce/pubsub", answering(told), methods=["GET"]),
        Route("/salesforce/pubsub", answering(act), methods=["POST"]),
    ]


def _keepalive(bus: Bus, seconds: float) -> None:
    if seconds <= 0:
        raise ValueError("keepalive_seconds must be more than 0")
    with bus.news:
        bus.keepalive_seconds = seconds
        bus.news.notify_all()


def _known(bus: Bus, entity: str) -> str:
    name = bus.supported(str(entity))
    if name is None:
        raise LookupError(f"there are no change events of {entity!r}")
    return name
