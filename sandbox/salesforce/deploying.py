"""Metadata deployed over REST, as the vendor's command-line tool sends it: custom fields, permission sets, and what is
selected for Change Data Capture.

A new field is hidden from the integration user until a permission set of that deploy, or of a later one, grants it.
Permission sets count as assigned to that user as soon as they are there.
"""

import io
import json
import zipfile
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from sandbox.salesforce import errors
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.rest import ApiCall, ApiReply
from sandbox.salesforce.schema import Field, FieldType, PicklistValue
from sandbox.salesforce.seed import API_USER

if TYPE_CHECKING:
    from sandbox.salesforce.state import SalesforceState

NAMESPACE = "{http://soap.sforce.com/2006/04/metadata}"
TYPES: dict[str, FieldType] = {
    "Text": "string",
    "Url": "url",
    "Picklist": "picklist",
    "Checkbox": "boolean",
    "LongTextArea": "textarea",
    "Date": "date",
    "DateTime": "datetime",
    "Number": "double",
}
CAPTURED = ".platformEventChannelMember"
LENGTHS = {"Url": 255, "Picklist": 255}


@dataclass(slots=True)
class _Package:
    """What a package holds, and what is wrong with it: (full name, file, component type, problem)."""

    fields: list[tuple[str, str, Field]] = field(default_factory=list)
    grants: list[tuple[str, str, str, str]] = field(default_factory=list)
    sets: list[tuple[str, str]] = field(default_factory=list)
    captured: list[tuple[str, str, str]] = field(default_factory=list)
    problems: list[tuple[str, str, str, str]] = field(default_factory=list)


def start(state: "SalesforceState", call: ApiCall) -> ApiReply:
    """Answer ``POST metadata/deployRequest``: a form with `json` (options) and `file` (a zip with package.xml)."""
    parts = call.body if isinstance(call.body, dict) else {}
    if not isinstance(parts.get("file"), bytes):
        raise ApiError(400, "INVALID_MULTIPART_REQUEST", "A part named file is required.")
    options = json.loads(parts.get("json") or b"{}").get("deployOptions", {})
    package = _read(state, parts["file"])
    if not package.problems and not options.get("checkOnly"):
        _install(state, package)
    deploy_id = f"0AfSB{len(state.deploys) + 1:010d}AAA"
    state.deploys[deploy_id] = _result(
        deploy_id, package, check_only=bool(options.get("checkOnly"))
    )
    begun = {"id": deploy_id, "status": "Pending", "done": False, "success": False}
    return ApiReply(201, {"id": deploy_id, "deployOptions": options, "deployResult": begun})


def progress(state: "SalesforceState", _call: ApiCall, deploy_id: str) -> ApiReply:
    """Answer ``GET metadata/deployRequest/{id}``: a deploy here is over when it is asked about."""
    if deploy_id not in state.deploys:
        raise errors.not_found()
    return ApiReply(200, {"id": deploy_id, "deployResult": state.deploys[deploy_id]})


def _read(state: "SalesforceState", raw: bytes) -> _Package:
    package = _Package()
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            names = sorted(archive.namelist())
            if not any(name.endswith("package.xml") for name in names):
                package.problems.append(("package.xml", "package.xml", "", "No package.xml found"))
            for name in names:
                if name.endswith(".object"):
                    _read_object(state, package, name, archive.read(name))
            for name in names:
                if name.endswith(".permissionset"):
                    _read_permissions(state, package, name, archive.read(name))
                if name.endswith(CAPTURED):
                    _read_captured(state, package, name, archive.read(name))
    except zipfile.BadZipFile:
        raise ApiError(400, "INVALID_MULTIPART_REQUEST", "The file is no zip archive.") from None
    return package


def _read_object(state: "SalesforceState", package: _Package, file: str, raw: bytes) -> None:
    name = file.rpartition("/")[2].removesuffix(".object")
    if state.org.schema.get(name) is None:
        package.problems.append((name, file, "CustomObject", f"Entity of type {name} not found"))
        return
    for node in ET.fromstring(raw).iterfind(f"{NAMESPACE}fields"):
        full_name = _text(node, "fullName")
        made = _field(node)
        if isinstance(made, Field):
            package.fields.append((name, file, made))
        else:
            package.problems.append((f"{name}.{full_name}", file, "CustomField", made))


def _field(node: ET.Element) -> Field | str:
    """Return the field that a definition makes, or what is wrong with it."""
    kind, name = _text(node, "type"), _text(node, "fullName")
    if not name.endswith("__c"):
        return "Custom fields end in __c"
    if kind not in TYPES:
        return f"Invalid field type: {kind}"
    if kind == "Text" and not _text(node, "length"):
        return "Field length must be specified"
    if _is(node, "externalId") and kind not in {"Text", "Number"}:
        return "Can not specify 'externalId' for a CustomField of this type"
    values = node.iterfind(f"{NAMESPACE}valueSet/{NAMESPACE}valueSetDefinition/{NAMESPACE}value")
    value_set = node.find(f"{NAMESPACE}valueSet")
    return Field(
        name=name,
        type=TYPES[kind],
        label=_text(node, "label"),
        length=int(_text(node, "length") or LENGTHS.get(kind, 0)),
        nillable=not _is(node, "required"),
        unique=_is(node, "unique"),
        external_id=_is(node, "externalId"),
        case_sensitive=_is(node, "caseSensitive"),
        restricted=value_set is not None and _is(value_set, "restricted"),
        values=tuple(PicklistValue(_text(one, "fullName"), _text(one, "label")) for one in values),
    )


def _read_permissions(state: "SalesforceState", package: _Package, file: str, raw: bytes) -> None:
    package.sets.append((file.rpartition("/")[2].removesuffix(".permissionset"), file))
    for node in ET.fromstring(raw).iterfind(f"{NAMESPACE}fieldPermissions"):
        full_name = _text(node, "field")
        object_name, _, field_name = full_name.partition(".")
        known = state.org.schema.get(object_name)
        coming = [made for name, _, made in package.fields if name == object_name]
        one = next((made for made in coming if made.name == field_name), None)
        one = one or (known.field(field_name) if known else None)
        problem = ""
        if one is None:
            problem = f"In field: field - no CustomField named {full_name} found"
        elif not one.nillable or one.name in {"OwnerId", "Status"}:
            problem = f"You cannot deploy to a required field: {full_name}"
        elif _is(node, "editable") and not one.updateable:
            problem = f"Field {full_name} is not editable"
        if problem:
            package.problems.append((package.sets[-1][0], file, "PermissionSet", problem))
        level = "edit" if _is(node, "editable") else "read"
        package.grants.append((object_name, field_name, level, file))


def _read_captured(state: "SalesforceState", package: _Package, file: str, raw: bytes) -> None:
    """Read one member of the standard channel: the change event of an object that this org has."""
    node = ET.fromstring(raw)
    full_name = file.rpartition("/")[2].removesuffix(CAPTURED)
    selected = _text(node, "selectedEntity")
    entity = selected.removesuffix("ChangeEvent").removesuffix("__")
    known = state.org.schema.get(entity) or state.org.schema.get(f"{entity}__c")
    problem = ""
    if _text(node, "eventChannel") != "ChangeEvents":
        problem = f"In field: eventChannel - no such channel: {_text(node, 'eventChannel')}"
    elif known is None or not selected.endswith("ChangeEvent"):
        problem = f"In field: selectedEntity - no such entity: {selected}"
    if problem:
        package.problems.append((full_name, file, "PlatformEventChannelMember", problem))
    elif known is not None:
        package.captured.append((full_name, file, known.name))


def _install(state: "SalesforceState", package: _Package) -> None:
    org = state.org
    for name, _, made in package.fields:
        known = org.schema.get(name)
        if known is None:
            continue
        org.define(known.with_fields([replace(made, label=made.label or made.name)]))
        if known.field(made.name) is None:
            state.faults.set_access(name, made.name, "none", user=API_USER)
    chosen = [name for _, _, name in package.captured if name not in org.settings.captured]
    state.faults.set(captured=[*org.settings.captured, *chosen])
    for object_name, field_name, level, _ in package.grants:
        if level == "edit" or field_name.endswith("__c"):
            state.faults.set_access(object_name, field_name, level, user=API_USER)


def _result(deploy_id: str, package: _Package, *, check_only: bool) -> dict[str, Any]:
    good = [(f"{name}.{made.name}", file, "CustomField") for name, file, made in package.fields]
    good += [(name, file, "PermissionSet") for name, file in package.sets]
    good += [(name, file, "PlatformEventChannelMember") for name, file, _ in package.captured]
    bad = package.problems
    told = [
        {"fullName": name, "fileName": file, "componentType": kind, "success": True,
         "created": True, "changed": True, "deleted": False}
        for name, file, kind in good
    ]  # fmt: skip
    failures = [
        {"fullName": name, "fileName": file, "componentType": kind, "success": False,
         "problem": problem, "problemType": "Error"}
        for name, file, kind, problem in bad
    ]  # fmt: skip
    return {
        "id": deploy_id,
        "status": "Failed" if bad else "Succeeded",
        "done": True,
        "success": not bad,
        "checkOnly": check_only,
        "rollbackOnError": True,
        "numberComponentsTotal": len(good) + len(bad),
        "numberComponentsDeployed": 0 if bad else len(good),
        "numberComponentErrors": len(bad),
        "numberTestsTotal": 0,
        "numberTestsCompleted": 0,
        "numberTestErrors": 0,
        "details": {
            "componentSuccesses": [] if bad else told,
            "componentFailures": failures,
            "runTestResult": {"numTestsRun": 0, "numFailures": 0, "totalTime": 0},
        },
    }


def _text(node: ET.Element, name: str) -> str:
    return (node.findtext(f"{NAMESPACE}{name}") or "").strip()


def _is(node: ET.Element, name: str) -> bool:
    return _text(node, name) == "true"
