"""Write a CycloneDX 1.6 bill of materials of a lock file: name, version, purl and hashes of every distribution.

usage: python scripts/sbom.py [requirements-prod.lock] > sbom.cdx.json

The same lock gives the same bytes: no time stamp, and a serial number that follows from the content.
"""

import hashlib
import json
import re
import sys
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)\s*(?:;\s*([^\\]+?))?\s*\\?$")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def components(lock: str) -> list[dict[str, Any]]:
    """Return one component for each pinned distribution of a lock file's text, in its order.

    Raises ValueError naming the line that pins nothing.
    """
    found: list[dict[str, Any]] = []
    for number, line in enumerate(lock.splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if (digest := HASH.match(text)) is not None and found:
            found[-1]["hashes"].append({"alg": "SHA-256", "content": digest[1]})
            continue
        pinned = PINNED.match(text)
        if pinned is None:
            raise ValueError(f"line {number} pins nothing: {text}")
        found.append(_component(*pinned.groups()))
    return found


def _component(name: str, version: str, marker: str | None) -> dict[str, Any]:
    normal = re.sub(r"[-_.]+", "-", name).lower()
    purl = f"pkg:pypi/{normal}@{version}"
    properties = [{"name": "pip:environment-marker", "value": marker}] if marker else []
    return {
        "type": "library",
        "bom-ref": purl,
        "name": normal,
        "version": version,
        "purl": purl,
        "hashes": [],
        **({"properties": properties} if properties else {}),
    }


def bill(lock: Path) -> dict[str, Any]:
    """Return the bill of materials of a lock file."""
    text = lock.read_text(encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "bom-ref": "pd-sf-rules", "name": "pd-sf-rules"},
            "properties": [{"name": "lock:sha256", "value": digest}],
        },
        "components": components(text),
    }


if __name__ == "__main__":
    chosen = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "requirements-prod.lock"
    sys.stdout.write(json.dumps(bill(chosen), indent=2) + "\n")
