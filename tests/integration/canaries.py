"""Canaries: secrets that are planted in connections, and the hunt for them in everything that is written."""

import html
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from urllib.parse import quote

PLANTED = {
    "consumer_secret": "canary-consumer-secret+/=&<7f3a",
    "security_token": "canary-security-token-91bd",
    "client_secret": "canary-client-secret+/=&\"'0c55",
    "refresh_token": "canary-refresh-token-aa10",
}


def hunt(home: Path, outputs: Mapping[str, str], canaries: Collection[str]) -> list[str]:
    """Where any canary was found, in any spelling: a file below `home`, or the output of a command."""
    assert all(len(one) >= 8 for one in canaries), canaries
    spellings = {
        spelled: one
        for one in canaries
        for spelled in {one, quote(one, safe=""), html.escape(one), json.dumps(one)[1:-1]}
    }
    places = {name: text.encode() for name, text in outputs.items()}
    places |= {str(path): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    return [
        f"{place}: {canary[:14]}…"
        for place, content in places.items()
        for spelled, canary in spellings.items()
        if spelled.encode() in content
    ]
