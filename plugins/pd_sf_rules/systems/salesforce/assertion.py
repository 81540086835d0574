"""What a JWT login says of itself, signed with the private key of the connection."""

from pathlib import Path
from typing import TYPE_CHECKING

from pd_sf_rules.connections import ConnectionSpec
from pd_sf_rules.errors import ConnectionConfigError
from pd_sf_rules.masking import keep_secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

ASSERTION_SECONDS = 170  # Salesforce documents three minutes; ten seconds for the way there


def signed(spec: ConnectionSpec, consumer_key: str, audience: str, now: float) -> str:
    """Return the assertion that is valid from `now` (seconds since 1970); raises ConnectionConfigError.

    Claims: Salesforce Help "OAuth 2.0 JWT Bearer Flow for Server-to-Server".
    """
    import jwt  # noqa: PLC0415 - brings cryptography, which only a login needs
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415

    claims = {
        "iss": consumer_key,
        "sub": spec.login,
        "aud": audience,
        "exp": int(now) + ASSERTION_SECONDS,
    }
    try:
        return jwt.encode(claims, _loaded(private_key(spec)), algorithm="RS256")
    except (ValueError, TypeError, AttributeError, UnsupportedAlgorithm, jwt.PyJWTError):
        # The library's words may quote the key, so they are left out.
        raise ConnectionConfigError(
            spec.conn_id,
            "is not an unencrypted RSA private key in PEM form.",
            field="private_key" if spec.text("private_key") else "private_key_file_path",
            hint="It starts with '-----BEGIN PRIVATE KEY-----'; line breaks may be written as \\n.",
        ) from None


def private_key(spec: ConnectionSpec) -> str:
    """Return the key in PEM form, "" where the connection has none; raises ConnectionConfigError for a lost file."""
    text = spec.text("private_key")
    path = spec.text("private_key_file_path")
    if text or not path:
        return text.replace("\\n", "\n")
    try:
        kept = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConnectionConfigError(
            spec.conn_id,
            f"'{path}' cannot be read ({type(error).__name__}).",
            field="private_key_file_path",
            hint="Give a PEM file that the Airflow workers can read.",
        ) from None
    keep_secret(kept)
    return kept


def _loaded(pem: str) -> "RSAPrivateKey":
    """Return the key, whose numbers fit together; raises ValueError, TypeError or AttributeError for another one.

    OpenSSL's own check proves both primes, which takes 40 ms: a third of the task that reads changes, each time.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - as above

    key: RSAPrivateKey = load_pem_private_key(  # type: ignore[assignment]  # of another kind: AttributeError below
        pem.encode(), None, unsafe_skip_rsa_key_validation=True
    )
    numbers = key.private_numbers()
    public, p, q, d = numbers.public_numbers, numbers.p, numbers.q, numbers.d
    odd = all(prime > 2 and prime % 2 for prime in (p, q))
    fit = odd and p * q == public.n and all(public.e * d % (prime - 1) == 1 for prime in (p, q))
    if not fit:
        raise ValueError("The numbers of the key do not fit together.")
    return key
