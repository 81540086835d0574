"""Secrets that this process holds, and texts without them: what a server echoes must not end in a log or the ledger."""

import html
import json
import logging
import re
import threading
from urllib.parse import quote, quote_plus

MASK = "***"
SHORTEST = 8
"""Shorter values are words of everyday texts; no service gives out secrets that short."""

KEPT = 512
"""So many secrets are remembered, the newest: tokens and assertions of a long-lived process come and go."""

_SECRET_NAME = re.compile(r"secret|token|passw|passphrase|key(?!.*path)", re.IGNORECASE)

_lock = threading.Lock()
_spellings: dict[str, tuple[str, ...]] = {}


def is_secret_name(name: str) -> bool:
    """Say whether a connection's extra of that name holds a secret (`private_key`, but not `private_key_file_path`)."""
    return _SECRET_NAME.search(name) is not None


def keep_secret(value: object) -> None:
    """Remember a secret; of several lines (a PEM key) and of several secrets with commas between, each counts."""
    lines = [line.strip() for line in str(value or "").replace("\\n", "\n").splitlines()]
    parts = [part.strip() for line in lines for part in {line, *line.split(",")}]
    with _lock:
        for part in parts:
            if len(part) < SHORTEST or part.startswith("-----"):
                continue
            _spellings[part] = _spellings.pop(part, ()) or _spelled(part)
        while len(_spellings) > KEPT:
            del _spellings[next(iter(_spellings))]


def masked(text: str) -> str:
    """Return a text in which every secret kept so far, in any spelling of a form or a page, is replaced."""
    with _lock:
        known = list(_spellings.values())
    for spellings in known:
        for one in spellings:
            if one in text:
                text = text.replace(one, MASK)
    return text


class MaskingFilter(logging.Filter):
    """Takes the secrets out of log lines and their tracebacks; put it on a handler."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the finished message, and let every line through."""
        record.msg, record.args = masked(record.getMessage()), ()
        if record.exc_info:
            record.exc_text = masked(logging.Formatter().formatException(record.exc_info))
        return True


def _spelled(secret: str) -> tuple[str, ...]:
    spellings = {
        secret,
        quote(secret, safe=""),
        quote_plus(secret),
        html.escape(secret),
        json.dumps(secret)[1:-1],
    }
    return tuple(sorted(spellings, key=len, reverse=True))
