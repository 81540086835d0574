"""The private key of a JWT login: what cannot sign is named before anything is sent."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from pd_sf_rules.errors import ConnectionConfigError
from pd_sf_rules.systems.salesforce.client import SalesforceClient
from tests.contract.systems_clients import salesforce_spec

KINDS = ["another exponent", "other primes", "even", "elliptic", "edwards", "encrypted", "public"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_that_cannot_sign_is_named(kind: str) -> None:
    """Whatever is wrong with it, the field is told, and nothing of the key."""
    pem = unusable_key(kind)
    spec = salesforce_spec("http://127.0.0.1:9", private_key=pem)
    with pytest.raises(ConnectionConfigError, match="not an unencrypted RSA private key") as caught:
        SalesforceClient(spec).check()
    assert caught.value.field == "private_key"
    assert not any(line in str(caught.value) for line in pem.splitlines()[1:-1])


def unusable_key(kind: str) -> str:
    """A key in PEM form of another kind, or whose numbers do not fit together."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    match kind:
        case "elliptic":
            return pem_of(ec.generate_private_key(ec.SECP256R1()))
        case "edwards":
            return pem_of(ed25519.Ed25519PrivateKey.generate())
        case "encrypted":
            return pem_of(made, BestAvailableEncryption(b"secret"))
        case "public":
            form = PublicFormat.SubjectPublicKeyInfo
            return made.public_key().public_bytes(Encoding.PEM, form).decode()
        case _:
            return pem_of(spoiled(kind, made.private_numbers()))


def spoiled(kind: str, told: rsa.RSAPrivateNumbers) -> rsa.RSAPrivateKey:
    """The key with one of its numbers changed."""
    p, q, d = told.p, told.q, told.d
    match kind:
        case "another exponent":
            d += 2
        case "other primes":
            p += 2
        case "even":
            p -= 1
    public = rsa.RSAPublicNumbers(told.public_numbers.e, p * q)
    changed = rsa.RSAPrivateNumbers(p, q, d, told.dmp1, told.dmq1, told.iqmp, public)
    return changed.private_key(unsafe_skip_rsa_key_validation=True)


def pem_of(key: PrivateKeyTypes, encryption: KeySerializationEncryption | None = None) -> str:
    """The key in PEM form, plain where nothing else is said."""
    how = encryption or NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how).decode()
