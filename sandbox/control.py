"""The control port: JSON to plan faults, read the traffic, act as a person, seed and reset."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox import control_pagerduty, control_salesforce
from sandbox.faults import fault_from_json
from sandbox.pagerduty.shapes import Refusal
from sandbox.play import pages
from sandbox.pubsub import control as control_pubsub
from sandbox.salesforce.errors import ApiError

if TYPE_CHECKING:
    from sandbox.world import World

Endpoint = Callable[[Request], Awaitable[Response]]


def answering(work: Callable[[Request, Any], Any]) -> Endpoint:
    """An endpoint around `work(request, JSON body)`: what it returns as JSON, its errors as 400 or 404."""

    async def endpoint(request: Request) -> Response:
        try:
            body = await request.json() if await request.body() else {}
            return JSONResponse(await run_in_threadpool(work, request, body))
        except KeyError as missing:
            return JSONResponse({"error": f"{missing.args[0]!r} is missing"}, 400)
        except LookupError as error:
            return JSONResponse({"error": str(error)}, 404)
        except ApiError as refusal:
            return JSONResponse([refusal.rest()], refusal.status)
        except (ValueError, TypeError) as error:
            return JSONResponse({"error": str(error)}, 400)
        except Refusal as refusal:
            return JSONResponse(refusal.body, refusal.status)

    return endpoint


def create_app(world: "World") -> Starlette:
    """Serve the control API of a sandbox."""
    routes: list[BaseRoute] = [
        Route("/health", answering(lambda _request, _body: {"status": "ok"})),
        Route("/ready", answering(lambda _request, _body: world.ready())),
        Route("/reset", answering(lambda _request, _body: _reset(world)), methods=["POST"]),
        Route("/seed", answering(lambda _request, _body: _seed(world)), methods=["POST"]),
        Route("/clock", answering(lambda _request, body: _clock(world, body)), methods=["POST"]),
        Route("/habits", answering(lambda _request, body: _habits(world, body)), methods=["POST"]),
        *_fault_routes(world),
        *_traffic_routes(world),
        *control_pagerduty.routes(world.pagerduty, answering),
        *control_salesforce.routes(world.salesforce, answering),
        *control_pubsub.routes(world.pubsub, answering),
        *pages.routes(world),
    ]
    return Starlette(routes=routes)


def _reset(world: "World") -> dict[str, str]:
    world.reset()
    return {"status": "reset"}


def _seed(world: "World") -> dict[str, str]:
    """Everyday Cases and an outage beside the bare seed."""
    world.salesforce.seed_demo()
    return {"status": "seeded"}


def _clock(world: "World", body: Any) -> dict[str, float]:
    """Set a system's clock off by so many seconds (`salesforce`, `pagerduty`); the other stays."""
    if "salesforce" in body:
        world.salesforce.faults.set(skew_seconds=float(body["salesforce"]))
    if "pagerduty" in body:
        world.pagerduty.clock_offset = timedelta(seconds=float(body["pagerduty"]))
    return {
        "salesforce": world.salesforce.org.settings.skew_seconds,
        "pagerduty": world.pagerduty.clock_offset.total_seconds(),
    }


def _habits(world: "World", body: Any) -> dict[str, Any]:
    """How both servers speak where their contracts leave it open; only what is named changes."""
    world.habits.set(body)
    return asdict(world.habits)


def _fault_routes(world: "World") -> list[BaseRoute]:
    plan = world.faults

    def add(_request: Request, body: Any) -> Any:
        if isinstance(body, dict) and "faults" in body:
            if body.get("seed") is not None:
                plan.clear(int(body["seed"]))
            return {"ids": [plan.add(fault_from_json(item)) for item in body["faults"]]}
        return {"id": plan.add(fault_from_json(body))}

    def clear(request: Request, _body: Any) -> Any:
        if "id" not in request.query_params:
            plan.clear()
            return {"removed": "all"}
        if not plan.remove(int(request.query_params["id"])):
            raise LookupError(f"no fault with id {request.query_params['id']}")
        return {"removed": int(request.query_params["id"])}

    return [
        Route("/faults", answering(lambda _r, _b: {"seed": plan.seed, "faults": plan.faults()}),
              methods=["GET"]),
        Route("/faults", answering(add), methods=["POST"]),
        Route("/faults", answering(clear), methods=["DELETE"]),
    ]  # fmt: skip


def _traffic_routes(world: "World") -> list[BaseRoute]:
    def requests(request: Request, _body: Any) -> Any:
        query = request.query_params
        found = world.traffic.requests(
            query.get("system"),
            writes_only=query.get("writes_only", "").lower() in ("1", "true", "yes"),
            since=float(query.get("since", 0)),
            after=int(query.get("after", 0)),
        )
        shown = [] if query.get("count_only") else [exchange.to_json() for exchange in found]
        return {"count": len(found), "last": world.traffic.last_number(), "requests": shown}

    def forget(_request: Request, _body: Any) -> Any:
        world.traffic.clear()
        return {"status": "cleared"}

    return [
        Route("/requests", answering(requests), methods=["GET"]),
        Route("/requests", answering(forget), methods=["DELETE"]),
    ]
