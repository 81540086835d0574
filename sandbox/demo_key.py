"""The key pair with which the demo logs in to the simulated org; made on the spot, kept in a folder."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class DemoKey:
    """A private key and its self-signed certificate, both PEM."""

    private_key: str
    certificate: str

    def __repr__(self) -> str:
        return "DemoKey(...)"


def _generate() -> DemoKey:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pd-sf-rules sandbox")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return DemoKey(private.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode())


@cache
def of_this_process() -> DemoKey:
    """One key for all sandboxes in memory: making one takes a tenth of a second."""
    return _generate()


def kept_in(folder: Path) -> DemoKey:
    """The key pair of a state folder, made at the first start; the key file is private to its owner."""
    key_file, certificate_file = folder / "demo-key.pem", folder / "demo-certificate.pem"
    if key_file.exists() and certificate_file.exists():
        return DemoKey(key_file.read_text(), certificate_file.read_text())
    made = _generate()
    folder.mkdir(parents=True, exist_ok=True)
    key_file.touch(mode=0o600)
    key_file.write_text(made.private_key)
    certificate_file.write_text(made.certificate)
    return made
