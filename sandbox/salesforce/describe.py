"""What describe says about objects and fields."""

import re
from typing import Any

from sandbox.salesforce.schema import TEXT_TYPES, Field, Schema, SObject
from sandbox.salesforce.values import label_of

SOAP_TYPES = {
    "id": "tns:ID",
    "reference": "tns:ID",
    "boolean": "xsd:boolean",
    "int": "xsd:int",
    "double": "xsd:double",
    "currency": "xsd:double",
    "percent": "xsd:double",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
}


def object_label(sobject: SObject) -> str:
    """Return an object's label, derived from its name unless the table gives one."""
    bare = sobject.name.removesuffix("__c").replace("_", " ")
    return sobject.label or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", bare)


def describe_global(schema: Schema, base: str) -> dict[str, Any]:
    """Return the list of all objects; ``base`` is the versioned path."""
    listed = [brief(each, base) for each in schema if each.key_prefix != "???"]
    return {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": listed}


def brief(sobject: SObject, base: str) -> dict[str, Any]:
    """Return the object level of a describe."""
    label = object_label(sobject)
    path = f"{base}/sobjects/{sobject.name}"
    return {
        "activateable": False,
        "createable": sobject.createable,
        "custom": sobject.custom,
        "customSetting": False,
        "deletable": sobject.deletable,
        "deprecatedAndHidden": False,
        "feedEnabled": sobject.name in {"Account", "Case", "Contact", "Opportunity"},
        "hasSubtypes": False,
        "isInterface": False,
        "isSubtype": False,
        "keyPrefix": sobject.key_prefix,
        "label": label,
        "labelPlural": sobject.plural or f"{label}s",
        "layoutable": sobject.createable,
        "mergeable": sobject.name in {"Account", "Case", "Contact"},
        "mruEnabled": sobject.createable,
        "name": sobject.name,
        "queryable": sobject.queryable,
        "replicateable": sobject.createable,
        "retrieveable": sobject.queryable,
        "searchable": sobject.createable,
        "triggerable": sobject.createable,
        "undeletable": sobject.deletable,
        "updateable": sobject.updateable,
        "urls": {
            "sobject": path,
            "describe": f"{path}/describe",
            "rowTemplate": f"{path}/{{ID}}",
        },
    }


def describe(schema: Schema, sobject: SObject, base: str) -> dict[str, Any]:
    """Return the whole describe of an object."""
    return {
        **brief(sobject, base),
        "childRelationships": [
            {
                "cascadeDelete": each.field.cascade_delete,
                "childSObject": each.child.name,
                "deprecatedAndHidden": False,
                "field": each.field.name,
                "junctionIdListNames": [],
                "junctionReferenceTo": [],
                "relationshipName": each.field.children,
                "restrictedDelete": False,
            }
            for each in schema.children(sobject)
        ],
        "fields": [describe_field(each) for each in sobject.fields],
        "recordTypeInfos": [
            {
                "active": True,
                "available": True,
                "defaultRecordTypeMapping": True,
                "developerName": "Master",
                "master": True,
                "name": "Master",
                "recordTypeId": "012000000000000AAA",
            }
        ],
        "supportedScopes": [{"label": "All", "name": "everything"}],
    }


def describe_field(field: Field) -> dict[str, Any]:
    """Return the describe of one field."""
    text = field.type in TEXT_TYPES | {"multipicklist", "id", "reference"}
    return {
        "aggregatable": field.filterable,
        "autoNumber": bool(field.auto_number),
        "byteLength": field.byte_limit or field.length * 3 if text else 0,
        "calculated": False,
        "calculatedFormula": None,
        "cascadeDelete": field.cascade_delete,
        "caseSensitive": field.case_sensitive,
        "compoundFieldName": None,
        "controllerName": None,
        "createable": field.createable,
        "custom": field.custom,
        "defaultValue": field.default,
        "defaultedOnCreate": field.defaulted or not field.createable,
        "dependentPicklist": False,
        "deprecatedAndHidden": False,
        "digits": field.precision if field.type == "int" else 0,
        "encrypted": False,
        "externalId": field.external_id,
        "extraTypeInfo": "plaintextarea" if field.type == "textarea" else None,
        "filterable": field.filterable,
        "groupable": field.groupable,
        "htmlFormatted": False,
        "idLookup": field.external_id or field.type == "id",
        "inlineHelpText": None,
        "label": label_of(field),
        "length": field.length,
        "name": field.name,
        "nameField": field.name_field,
        "namePointing": len(field.reference_to) > 1,
        "nillable": field.nillable,
        "permissionable": field.custom or (field.nillable and field.createable),
        "picklistValues": [
            {
                "active": each.active,
                "defaultValue": each.default,
                "label": each.label or each.value,
                "validFor": None,
                "value": each.value,
            }
            for each in field.values
        ],
        "polymorphicForeignKey": len(field.reference_to) > 1,
        "precision": 0 if field.type == "int" else field.precision,
        "referenceTo": list(field.reference_to),
        "relationshipName": field.relationship,
        "restrictedPicklist": field.restricted,
        "scale": field.scale,
        "soapType": SOAP_TYPES.get(field.type, "xsd:string"),
        "sortable": field.sortable,
        "type": field.type,
        "unique": field.unique,
        "updateable": field.updateable,
    }
