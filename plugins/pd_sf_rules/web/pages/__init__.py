"""One module a page, with a `router` each: a new module is a new page."""

from importlib import import_module
from pkgutil import iter_modules

from fastapi import APIRouter


def routers() -> list[APIRouter]:
    """Return the `router` of every module in this folder that has one, by name."""
    modules = [import_module(f"{__name__}.{one.name}") for one in iter_modules(__path__)]
    return [one.router for one in modules if hasattr(one, "router")]
