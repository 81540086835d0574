"""The errors Salesforce answers with, as one exception that prints in each of their shapes."""

from dataclasses import dataclass
from typing import Any


@dataclass(eq=False)
class ApiError(Exception):
    """A refusal: HTTP status, error code, message and the fields it is about.

    ``fields`` None leaves the key out of the REST shape; the row shape always prints a list.
    ``extra`` holds keys that some errors put beside the message (duplicate matches).
    """

    status: int
    code: str
    message: str
    fields: tuple[str, ...] | None = None
    extra: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    def rest(self) -> dict[str, Any]:
        """Return the element of the array that REST calls answer with."""
        body: dict[str, Any] = {"message": self.message, "errorCode": self.code, **dict(self.extra)}
        if self.fields is not None:
            body["fields"] = list(self.fields)
        return body

    def row(self) -> dict[str, Any]:
        """Return the element of ``errors`` in a collection's row: ``statusCode`` here."""
        return {
            "statusCode": self.code,
            "message": self.message,
            "fields": list(self.fields or ()),
            **dict(self.extra),
        }


def bad_request(code: str, message: str, *fields: str) -> ApiError:
    """Return a 400 with the fields it names (none: an empty list)."""
    return ApiError(400, code, message, fields)


def malformed_query(message: str) -> ApiError:
    """Return the 400 of a SOQL text that cannot be read."""
    return ApiError(400, "MALFORMED_QUERY", message)


def not_found(message: str = "The requested resource does not exist") -> ApiError:
    """Return the 404 of a resource that is not there."""
    return ApiError(404, "NOT_FOUND", message)


def deleted() -> ApiError:
    """Return the 404 of a record that lies in the recycle bin."""
    return ApiError(404, "ENTITY_IS_DELETED", "entity is deleted", ())


def invalid_session() -> ApiError:
    """Return the 401 that tells a client to log in again."""
    return ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid")


def locked(record_id: str) -> ApiError:
    """Return the refusal of a row that another transaction holds."""
    text = f"unable to obtain exclusive access to this record or 1 records: {record_id}"
    return ApiError(400, "UNABLE_TO_LOCK_ROW", text, ())


def no_such_column(name: str, object_name: str) -> ApiError:
    """Return the 400 of a write that names a field the user cannot see."""
    text = f"No such column '{name}' on sobject of type {object_name}"
    return ApiError(400, "INVALID_FIELD", text)


def not_writable(*names: str) -> ApiError:
    """Return the 400 of a write to fields that the user may not write."""
    text = (
        f"Unable to create/update fields: {', '.join(names)}. Please check the security settings "
        "of this field and verify that it is read/write for your profile or permission set."
    )
    return bad_request("INVALID_FIELD_FOR_INSERT_UPDATE", text, *names)


def cannot_deserialize(kind: str, raw: object) -> ApiError:
    """Return the 400 of a JSON value of the wrong kind for its field."""
    token = {
        bool: f"VALUE_{str(raw).upper()}",
        int: "VALUE_NUMBER_INT",
        float: "VALUE_NUMBER_FLOAT",
        str: "VALUE_STRING",
        dict: "START_OBJECT",
        list: "START_ARRAY",
    }.get(type(raw), "VALUE_NULL")
    text = (
        f"Cannot deserialize instance of {kind} from {token} value {raw} or request may be "
        "missing a required field at [line:1, column:1]"
    )
    return ApiError(400, "JSON_PARSER_ERROR", text)
