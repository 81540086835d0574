"""An Airflow connection as plain data, readable without importing Airflow (`import airflow.sdk` costs seconds)."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pd_sf_rules.errors import ConnectionConfigError
from pd_sf_rules.masking import is_secret_name, keep_secret

ENVIRONMENT_PREFIX = "AIRFLOW_CONN_"
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class ConnectionSpec:
    """One Airflow connection. Its repr shows neither password nor extras."""

    conn_id: str
    conn_type: str
    login: str = ""
    password: str = field(default="", repr=False)
    host: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)
    port: int | None = None
    schema: str = ""

    def __post_init__(self) -> None:
        keep_secret(self.password)
        for name, value in self.extra.items():
            if is_secret_name(name) and isinstance(value, str):
                keep_secret(value)

    def text(self, key: str, default: str = "") -> str:
        """Return an extra as text; an empty one counts as missing, as the providers treat it."""
        value = self.extra.get(key)
        if value is None or value == "":
            value = self.extra.get(f"extra__{self.conn_type}__{key}")
        return default if value is None or value == "" else str(value)

    def required(self, key: str, hint: str) -> str:
        """Return an extra that must be there, or raise ConnectionConfigError naming it."""
        value = self.text(key)
        if not value:
            raise ConnectionConfigError(self.conn_id, "is missing.", field=key, hint=hint)
        return value


def connection_from_environment(
    conn_id: str, environ: Mapping[str, str] | None = None
) -> ConnectionSpec | None:
    """Read `AIRFLOW_CONN_<ID>` in its JSON or URI form; None where the variable is not set.

    Raises ConnectionConfigError when the variable cannot be read.
    """
    variables = os.environ if environ is None else environ
    text = variables.get(ENVIRONMENT_PREFIX + conn_id.upper(), "").strip()
    if not text:
        return None
    return _from_json(conn_id, text) if text.startswith("{") else _from_uri(conn_id, text)


def is_loopback_http(url: str) -> bool:
    """Say whether `url` is plain http to this very machine, the only plain http that is accepted."""
    parts = urlsplit(url)
    return parts.scheme == "http" and (parts.hostname or "") in LOOPBACK_HOSTS


def checked_url(spec: ConnectionSpec, key: str, default: str = "") -> str:
    """Return the URL in extra `key` without a trailing slash.

    Raises ConnectionConfigError unless it is https, or http on loopback.
    """
    url = spec.text(key, default).rstrip("/")
    if url and urlsplit(url).scheme != "https" and not is_loopback_http(url):
        hint = "Use https://…; http:// is accepted on 127.0.0.1 only."
        raise ConnectionConfigError(spec.conn_id, f"'{url}' is not https.", field=key, hint=hint)
    return url


def _from_json(conn_id: str, text: str) -> ConnectionSpec:
    name = ENVIRONMENT_PREFIX + conn_id.upper()
    try:
        data = json.loads(text)
    except ValueError as error:
        # The text itself may hold the password, so only the position is told.
        where = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "it"
        message = f"{name} is not valid JSON ({where})."
        raise ConnectionConfigError(conn_id, message, hint="Check its quoting.") from None
    extra = data.get("extra") or {}
    if isinstance(extra, str):
        extra = _extra_from_text(conn_id, extra)
    return ConnectionSpec(
        conn_id=conn_id,
        conn_type=str(data.get("conn_type") or ""),
        login=str(data.get("login") or ""),
        password=str(data.get("password") or ""),
        host=str(data.get("host") or ""),
        extra=extra,
        port=int(data["port"]) if str(data.get("port") or "").isdigit() else None,
        schema=str(data.get("schema") or ""),
    )


def _from_uri(conn_id: str, text: str) -> ConnectionSpec:
    try:
        parts = urlsplit(text)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        host = unquote(parts.hostname or "")
        login, password = unquote(parts.username or ""), unquote(parts.password or "")
        port = parts.port
    except ValueError:
        name = ENVIRONMENT_PREFIX + conn_id.upper()
        raise ConnectionConfigError(conn_id, f"{name} is neither JSON nor a URI.") from None
    packed = query.pop("__extra__", "")
    extra: Mapping[str, Any] = _extra_from_text(conn_id, packed) if packed else query
    return ConnectionSpec(
        conn_id=conn_id,
        conn_type=parts.scheme.replace("-", "_"),
        login=login,
        password=password,
        host=host,
        extra=extra,
        port=port,
        schema=unquote(parts.path.removeprefix("/")),
    )


def _extra_from_text(conn_id: str, text: str) -> dict[str, Any]:
    try:
        extra = json.loads(text)
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        raise ConnectionConfigError(conn_id, "is not a JSON object.", field="extra")
    return extra
