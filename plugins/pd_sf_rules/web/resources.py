"""Style sheet and scripts, behind the same login as the pages; the address carries the version, so they may be kept."""

from functools import cache
from pathlib import Path

from fastapi import APIRouter, HTTPException, status
from fastapi.responses import Response

STATIC = Path(__file__).parent / "static"
_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
static_files = APIRouter()


@cache
def _files() -> dict[str, tuple[bytes, str]]:
    return {
        p.name: (p.read_bytes(), _KINDS[p.suffix]) for p in STATIC.iterdir() if p.suffix in _KINDS
    }


@static_files.get("/static/{name}")
def static_file(name: str) -> Response:
    """Return one of the files that came with the package; no other name reaches the disk."""
    found = _files().get(name)
    if found is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such file.")
    return Response(
        found[0], media_type=found[1], headers={"Cache-Control": "private, max-age=600"}
    )
