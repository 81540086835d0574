"""Make the private key and the certificate for Salesforce's JWT bearer login.

The certificate (NAME.crt) goes to Salesforce, the key (NAME.key) stays with Airflow and is readable by its owner
only. Nothing that is there already is overwritten.
"""

import argparse
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pd_sf_rules.cli.env_file import write_new
from pd_sf_rules.cli.printing import print_json, show
from pd_sf_rules.cli.usage import UsageError

KEY_BITS = 2048  # RSA, which Salesforce's JWT bearer flow asks for (RS256)
LONGEST_DAYS = 3650

NEXT = """\
{key}  the private key, readable by you only: keep it, and give it to nobody
{certificate}  the certificate, valid until {until}: upload it to Salesforce

Next:
  1. Salesforce, Setup > External Client App Manager > your app: enable OAuth and JWT Bearer Flow, upload {certificate},
     select the scopes "Manage user data via APIs (api)" and "Perform requests at any time (refresh_token)", and
     pre-authorize the integration user (Permitted Users: admin approved; then its permission set).
  2. The connection `salesforce_default`: login = the user's name, extra `consumer_key` = the app's consumer key,
     extra `private_key_file_path` = {absolute}
  3. pdsf status --doctor
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--out", type=Path, default=Path(), metavar="FOLDER", help="made if need be (default: here)"
    )
    parser.add_argument("--name", default="salesforce", help="of the two files (salesforce)")
    parser.add_argument("--days", type=_days, default=730, help="how long the certificate is valid")
    parser.add_argument("--subject", default="pd-sf-rules", help="the certificate's common name")


def run(options: argparse.Namespace) -> int:
    """Make both files; return 0."""
    folder: Path = options.out
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise UsageError(f"'{folder}' cannot be made a folder: {error.strerror}.") from None
    key_path, certificate_path = folder / f"{options.name}.key", folder / f"{options.name}.crt"
    for path in (key_path, certificate_path):
        if path.exists():
            raise UsageError(f"{path} exists already and is left as it is: use --name or --out.")
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=options.days)
    key, certificate = _made(options.subject, until)
    write_new(key_path, key)
    write_new(certificate_path, certificate, mode=0o644)
    if options.json:
        print_json(
            {
                "private_key_file_path": key_path.resolve(),
                "certificate": certificate_path.resolve(),
                "until": until,
            }
        )
    else:
        told = {"key": key_path, "certificate": certificate_path, "absolute": key_path.resolve()}
        show(NEXT.format(until=f"{until:%Y-%m-%d}", **told).rstrip())
    return 0


def _made(subject: str, until: datetime) -> tuple[str, str]:
    """Return a fresh private key (PKCS 8) and its self-signed certificate, both as PEM text."""
    from cryptography import x509  # noqa: PLC0415 - slow to import
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415

    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(minutes=5))
        .not_valid_after(until)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private.decode(), certificate.public_bytes(pem).decode()


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= LONGEST_DAYS:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of days from 1 to {LONGEST_DAYS}.")
    return int(text)
