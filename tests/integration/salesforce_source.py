"""The metadata in `salesforce/` as the vendor's command-line tool deploys it: converted to a zip, sent over REST."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from tests.contract.salesforce_clients import Rest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "salesforce" / "force-app" / "main" / "default"
XMLNS = "http://soap.sforce.com/2006/04/metadata"
TAG = f"{{{XMLNS}}}"


def package() -> bytes:
    """The zip in metadata format: one file an object, its fields inside, and a package.xml that lists everything."""
    ET.register_namespace("", XMLNS)
    files: dict[str, bytes] = {}
    members: dict[str, list[str]] = {"CustomField": [], "PermissionSet": []}
    for folder in sorted((SOURCE / "objects").iterdir()):
        whole = ET.Element(f"{TAG}CustomObject")
        for path in sorted(folder.glob("fields/*.field-meta.xml")):
            definition = ET.parse(path).getroot()
            node = ET.SubElement(whole, f"{TAG}fields")
            node.extend(definition)
            members["CustomField"].append(f"{folder.name}.{definition.findtext(f'{TAG}fullName')}")
        files[f"objects/{folder.name}.object"] = ET.tostring(whole)
    for path in sorted((SOURCE / "permissionsets").glob("*.permissionset-meta.xml")):
        name = path.name.removesuffix(".permissionset-meta.xml")
        members["PermissionSet"].append(name)
        files[f"permissionsets/{name}.permissionset"] = path.read_bytes()
    manifest = ET.Element(f"{TAG}Package")
    for kind, names in members.items():
        types = ET.SubElement(manifest, f"{TAG}types")
        for name in names:
            ET.SubElement(types, f"{TAG}members").text = name
        ET.SubElement(types, f"{TAG}name").text = kind
    ET.SubElement(manifest, f"{TAG}version").text = "66.0"
    files["package.xml"] = ET.tostring(manifest)
    return zipped(files)


def zipped(files: dict[str, bytes]) -> bytes:
    """These files as a zip archive."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return raw.getvalue()


def deploy(client: Rest, raw: bytes, **options: Any) -> dict[str, Any]:
    """Deploy a zip and return the result once it is over."""
    form = {
        "json": (None, json.dumps({"deployOptions": options}), "application/json"),
        "file": ("package.zip", raw, "application/zip"),
    }
    begun = client.call("POST", "metadata/deployRequest", files=form)
    assert begun.status_code == 201, begun.text
    path = f"metadata/deployRequest/{begun.json()['id']}?includeDetails=true"
    result: dict[str, Any] = client.call("GET", path).json()["deployResult"]
    return result
