"""What is kept as a secret is in no text that went through the mask, however it is spelled."""

import html
import json
import logging
from urllib.parse import quote, quote_plus

from hypothesis import given
from hypothesis import strategies as st

from pd_sf_rules.connections import ConnectionSpec
from pd_sf_rules.errors import RefusedError
from pd_sf_rules.masking import MASK, MaskingFilter, keep_secret, masked

SECRETS = st.text(
    st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=16
).filter(
    lambda one: (
        "," not in one and not one.startswith("-----") and "\\n" not in one and "*" not in one
    )
)


@given(secret=SECRETS)
def test_every_spelling_is_masked(secret: str) -> None:
    """As it is, in a form, in a page and in JSON."""
    keep_secret(secret)
    spellings = (
        secret,
        quote(secret, safe=""),
        quote_plus(secret),
        html.escape(secret),
        json.dumps(secret),
    )
    for spelled in spellings:
        assert spelled not in masked(f"Authorization: {spelled}; the end")


def test_a_connection_keeps_its_secrets_out_of_errors() -> None:
    """Password and secret extras are known from the moment a connection is read; names and paths are not secrets."""
    extra = {
        "webhook_secret": "first-webhook-secret,second-webhook-secret",
        "private_key": "-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0B\\n-----END PRIVATE KEY-----",
        "private_key_file_path": "/run/secrets/salesforce.key",
        "from_email": "sync@example.com",
    }
    ConnectionSpec("c", "pagerduty", password="a-rest-api-key-0", extra=extra)
    said = str(
        RefusedError(
            "a-rest-api-key-0 second-webhook-secret MIIEvQIBADANBgkqhkiG9w0B "
            "/run/secrets/salesforce.key sync@example.com",
            hint="first-webhook-secret",
        )
    )
    assert said == f"{MASK} {MASK} {MASK} /run/secrets/salesforce.key sync@example.com {MASK}"


def test_short_values_are_words() -> None:
    """A password of a few letters would make every text unreadable; no service gives out such secrets."""
    keep_secret("the")
    keep_secret("")
    assert masked("the end") == "the end"


def test_log_lines_and_tracebacks_are_masked() -> None:
    """The finished line, its arguments and an exception's words."""
    keep_secret("a-token-in-a-traceback")
    error = ValueError("a-token-in-a-traceback")
    told = (type(error), error, None)
    record = logging.LogRecord("x", 40, "x.py", 1, "100%% %s", ("a-token-in-a-traceback",), told)
    assert MaskingFilter().filter(record)
    line = logging.Formatter().format(record)
    assert line.startswith(f"100% {MASK}")
    assert "a-token-in-a-traceback" not in line
    assert f"ValueError: {MASK}" in line
