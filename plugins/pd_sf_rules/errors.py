"""Every error of this package, named by what to do next.

    SyncError
    ├── ConfigError            a person must change a file, a connection or a permission
    │   ├── ConnectionConfigError   names the connection and the field
    │   ├── SettingsError           names the integration file and the key
    │   └── RulesetError            names the ruleset file (see rules.diagnostics for positions)
    ├── RetryableError         the same request may succeed later; nothing was changed
    │   ├── RateLimitedError        carries the server's own waiting time in seconds
    │   └── UncertainError          the answer was lost: it may have been done, look before sending again
    ├── SkippableError         nothing to do any more (record deleted, incident gone)
    └── RefusedError           the server said no for good, in its own words

`hint` says what to do, in one sentence. No error text ever holds a secret: callers pass server words and names only,
and what a server echoes is masked here.
"""

from pd_sf_rules.masking import masked


class SyncError(Exception):
    """Base of the tree. `message` says what happened, `hint` what to do about it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message = masked(message)
        self.hint = masked(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class ConfigError(SyncError):
    """A person must change a file, a connection or a permission."""


class ConnectionConfigError(ConfigError):
    """An Airflow connection is missing, incomplete or refused by its server."""

    def __init__(self, conn_id: str, message: str, *, field: str = "", hint: str = "") -> None:
        where = f"Connection '{conn_id}'" + (f", field '{field}'" if field else "")
        super().__init__(f"{where}: {message}", hint=hint)
        self.conn_id = conn_id
        self.field = field


class SettingsError(ConfigError):
    """An integration file or a PDSF_* variable has a wrong value."""


class RulesetError(ConfigError):
    """A ruleset file cannot be used."""


class RetryableError(SyncError):
    """The same request may succeed later, and this time nothing was changed."""


class RateLimitedError(RetryableError):
    """The server asked for a pause of `retry_after` seconds (its own figure where it gave one)."""

    def __init__(self, message: str, *, retry_after: float, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class UncertainError(RetryableError):
    """A write was sent and its answer was lost: look at the other side before sending it again."""


class SkippableError(SyncError):
    """The target is gone, so there is nothing left to do."""


class RefusedError(SyncError):
    """The server refused for good. `code` is its own error code, `status` the HTTP status."""

    def __init__(self, message: str, *, code: str = "", status: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.status = status
