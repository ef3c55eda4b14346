"""What is said of a certificate: whatever a hostile one makes the parser raise, it is untrusted and no more."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from panopticond.probe.webtls import validity

NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
SAN = x509.SubjectAlternativeName([x509.DNSName("a.zz")])


def certificate() -> bytes:
    """A certificate for a.zz by an issuer of another name, with its SAN and a second extension as long."""
    key = ec.generate_private_key(ec.SECP256R1())
    about = x509.CertificateBuilder(
        issuer_name=x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "b.zz")]),
        subject_name=x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a.zz")]),
        public_key=key.public_key(),
        serial_number=7,
        not_valid_before=NOW,
        not_valid_after=NOW + dt.timedelta(days=1),
        extensions=[
            x509.Extension(SAN.oid, critical=False, value=SAN),
            x509.Extension(x509.IssuerAlternativeName.oid, critical=False, value=x509.IssuerAlternativeName(SAN)),
        ],
    )
    return about.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def test_as_it_is() -> None:
    """The certificate the others are made from is read, and nobody trusts its issuer."""
    assert validity([certificate()], "a.zz", NOW) == "untrusted"
    assert validity([certificate()], "b.zz", NOW) == "name-mismatch"


@pytest.mark.parametrize(
    ("what", "old", "new", "raised"),
    [
        ("an extension twice", bytes.fromhex("0603551d12"), bytes.fromhex("0603551d11"), x509.DuplicateExtension),
        (
            "a version that does not exist",
            bytes.fromhex("a003020102"),
            bytes.fromhex("a003020109"),
            x509.InvalidVersion,
        ),
    ],
)
def test_a_hostile_certificate(what: str, old: bytes, new: bytes, raised: type[Exception]) -> None:
    """Errors of the parser that derive from Exception alone are the certificate's, not ours."""
    der = certificate()
    assert der.count(old) == 1, what
    with pytest.raises(raised):
        _ = x509.load_der_x509_certificate(der.replace(old, new)).extensions
    assert validity([der.replace(old, new)], "a.zz", NOW) == "untrusted"
