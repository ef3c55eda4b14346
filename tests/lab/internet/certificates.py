"""Certificates of every sort a prober meets, made once per folder: valid, self-signed, expired, of another name."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def contexts(folder: Path, names: list[str]) -> dict[str, ssl.SSLContext]:
    """A server-side context for each kind of TLS behaviour that speaks TLS at all."""
    folder.mkdir(parents=True, exist_ok=True)
    now = dt.datetime.now(dt.UTC)
    long, past = (
        (now - dt.timedelta(days=30), now + dt.timedelta(days=300)),
        (now - dt.timedelta(days=400), now - dt.timedelta(days=30)),
    )
    authority = ec.generate_private_key(ec.SECP256R1())
    key = ec.generate_private_key(ec.SECP256R1())
    common = sorted({name.split(".", 1)[-1] for name in names})[:50]
    wild = [*(f"*.{name}" for name in common), *names[:50]]
    made = {
        "valid": _certificate("lab site", key, "lab authority", authority, wild, long),
        "self-signed": _certificate("self", key, "self", key, wild, long),
        "expired": _certificate("lab site", key, "lab authority", authority, wild, past),
        "name-mismatch": _certificate("other.test", key, "lab authority", authority, ["other.test"], long),
    }
    return {kind: _context(folder / f"{kind}.pem", certificate, key) for kind, certificate in made.items()}


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    authority: ec.EllipticCurvePrivateKey,
    names: list[str],
    valid: tuple[dt.datetime, dt.datetime],
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid[0])
        .not_valid_after(valid[1])
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
    )
    return builder.sign(authority, hashes.SHA256())


def _context(path: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> ssl.SSLContext:
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(certificate.public_bytes(pem) + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
