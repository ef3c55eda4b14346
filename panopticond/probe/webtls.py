"""TLS as a probe needs it: connect to anything, and say beside it what a browser would have said of the certificate.

Used by :mod:`panopticond.probe.webwire`. A phishing page behind a self-signed or expired certificate is still up, so
the handshake verifies nothing; :func:`validity` then judges the chain that was shown (RFC 5280, RFC 9525) and its word
goes into the observation. Nothing is refused here.
"""

from __future__ import annotations

import datetime as dt
import functools
import ssl
import warnings

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError


def probing_context() -> ssl.SSLContext:
    """A client context that accepts every certificate and old protocol versions too; HTTP/1.1 only by ALPN."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["http/1.1"])
    return context


def shown_chain(connection: object) -> list[bytes]:
    """The certificates the server showed, leaf first, DER.

    ``get_unverified_chain`` is public from Python 3.13; before it stands on the object within. Where neither has it
    only the leaf is given.
    """
    inner = getattr(connection, "_sslobj", connection)
    for candidate in (connection, inner):
        chain_of = getattr(candidate, "get_unverified_chain", None)
        if chain_of is not None:
            found = []
            for certificate in chain_of() or ():
                if isinstance(certificate, bytes):
                    found.append(certificate)
                else:
                    found.append(ssl.PEM_cert_to_DER_cert(certificate.public_bytes()))
            return found
    getpeercert = getattr(connection, "getpeercert", None)
    leaf = getpeercert(binary_form=True) if getpeercert is not None else None
    return [leaf] if leaf else []


def validity(chain: list[bytes], host: str, now: dt.datetime) -> str:
    """``valid``, ``self-signed``, ``expired``, ``name-mismatch`` or ``untrusted``; empty when nothing was shown.

    ``now`` is UTC. A certificate that cannot be parsed is untrusted, whatever a hostile one makes the parser raise:
    several of its errors (a doubled extension, an unknown version) derive from Exception alone.
    """
    if not chain:
        return ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old certificates break rules the parser only warns of
            certificates = [x509.load_der_x509_certificate(der) for der in chain[:10]]
            return _word(certificates, host, now)
    except Exception:  # noqa: BLE001 - see above
        return "untrusted"


def _word(certificates: list[x509.Certificate], host: str, now: dt.datetime) -> str:
    leaf = certificates[0]
    if leaf.issuer == leaf.subject and _signed_by_itself(leaf):
        return "self-signed"
    if leaf.not_valid_after_utc < now:
        return "expired"
    if not _names(leaf, host):
        return "name-mismatch"
    store = _trusted()
    if store is None:
        return "untrusted"
    try:
        verifier = PolicyBuilder().store(store).time(now).build_server_verifier(x509.DNSName(host))
        verifier.verify(leaf, certificates[1:])
    except VerificationError:
        return "untrusted"
    return "valid"


def _signed_by_itself(leaf: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(leaf)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _names(leaf: x509.Certificate, host: str) -> bool:
    """Whether a DNS name of the certificate covers the host, one left-most wildcard label allowed (RFC 9525)."""
    try:
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return False
    names = [name.lower().rstrip(".") for name in extension.value.get_values_for_type(x509.DNSName)]
    parent = host.partition(".")[2]
    return host in names or f"*.{parent}" in names


@functools.cache
def _trusted() -> Store | None:
    """The system's trusted roots, read once; None where the system has none."""
    roots = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for der in ssl.create_default_context().get_ca_certs(binary_form=True):
            try:
                roots.append(x509.load_der_x509_certificate(der))
            except ValueError:
                continue
    return Store(roots) if roots else None
