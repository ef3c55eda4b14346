"""Who may see which TLD: a client certificate, or HTTP Basic (RFC 7617) against scrypt hashes, guessing throttled.

First step of every request. Passwords come from files at start and are kept as scrypt hashes only; a login that was
good once is recognised by a keyed hash of this process, so that a download of many files costs one scrypt. Every
comparison takes constant time and an unknown account costs as much as a known one.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import secrets
import ssl
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import trio

from panopticond.config import Tld
from panopticond.shared.errors import ConfigurationError
from panopticond.shared.settings import read_secret

FAILURES_ALLOWED = 5
FAILURES_AN_ADDRESS = 60
LOCKED_SECONDS = 60.0
"""Real seconds in which no more than the allowed failures are looked at: of an account from one address, and of any
accounts from one address, behind which may be a proxy with many readers."""
_REMEMBERED = 10_000
_CREDENTIALS_LIMIT = 1024
_SCRYPT = functools.partial(hashlib.scrypt, n=1 << 14, r=8, p=1, maxmem=64 << 20, dklen=32)


class Login(msgspec.Struct, frozen=True):
    """What became of a request's credentials."""

    account: str | None
    """The account, when its password was right."""
    tlds: frozenset[str] = frozenset()
    retry_after: int = 0
    """Seconds to wait, when too many logins failed."""


class _Account(msgspec.Struct, frozen=True):
    salt: bytes
    digest: bytes
    tlds: frozenset[str]


class Accounts:
    """Every account of the configuration with the TLDs it may see."""

    def __init__(
        self,
        passwords: dict[str, tuple[str, frozenset[str]]],
        certificates: Mapping[bytes, tuple[str, frozenset[str]]] | None = None,
    ) -> None:
        """``passwords`` by account, ``certificates`` (DER) with their account; each with the TLDs it may see."""
        self.certificates = tuple(certificates or ())
        self._holders = {hashlib.sha256(der).digest(): Login(*holder) for der, holder in (certificates or {}).items()}
        self._key = secrets.token_bytes(32)
        self._accounts: dict[str, _Account] = {}
        for name, (password, tlds) in passwords.items():
            salt = secrets.token_bytes(16)
            self._accounts[name] = _Account(salt, _SCRYPT(password.encode(), salt=salt), tlds)
        self._nobody = _Account(secrets.token_bytes(16), secrets.token_bytes(32), frozenset())
        self._known_good: dict[str, bytes] = {}
        self._failures: OrderedDict[str, list[float]] = OrderedDict()
        self._limiter = trio.CapacityLimiter(2)

    @classmethod
    def of(cls, tlds: Sequence[Tld]) -> Accounts:
        """The accounts of the served TLDs; one name under several is one account. ConfigurationError for a file."""
        passwords: dict[str, tuple[str, frozenset[str]]] = {}
        certificates: dict[bytes, tuple[str, frozenset[str]]] = {}
        for tld in tlds:
            for account in tld.accounts:
                if account.password_file is not None:
                    before = passwords.get(account.name, ("", frozenset()))[1]
                    passwords[account.name] = read_secret(account.password_file), before | {str(tld.name)}
                if account.certificate_file is not None:
                    der = read_certificate(account.certificate_file)
                    before = certificates.get(der, ("", frozenset()))[1]
                    certificates[der] = account.name, before | {str(tld.name)}
        return cls(passwords, certificates)

    def holder(self, certificate: bytes | None) -> Login:
        """The account a verified client certificate (DER) belongs to, if any."""
        if certificate is None:
            return Login(None)
        return self._holders.get(hashlib.sha256(certificate).digest(), Login(None))

    async def login(self, authorization: str | None, address: str) -> Login:
        """The account an ``Authorization`` header proves, if any; ``address`` is the client's, for throttling only."""
        name, password = _credentials(authorization)
        if name is None:
            return Login(None)
        account = self._accounts.get(name, self._nobody)
        mark = hmac.new(self._key, f"{name}\0{password}".encode(), hashlib.sha256).digest()
        if hmac.compare_digest(self._known_good.get(name, b""), mark):
            return Login(name, account.tlds)  # before any throttle: a stranger's guesses lock nobody out
        places = {f"{address} {name}": FAILURES_ALLOWED, address: FAILURES_AN_ADDRESS}
        async with self._limiter:  # asked in its turn: of a thousand guesses at once no more are looked at than of few
            if wait := max(self._locked(place, allowed) for place, allowed in places.items()):
                return Login(None, retry_after=wait)
            hashed = functools.partial(_SCRYPT, password.encode(), salt=account.salt)
            digest = await trio.to_thread.run_sync(hashed)
            if not hmac.compare_digest(digest, account.digest):
                for place, allowed in places.items():
                    self._fail(place, allowed)
                return Login(None)
        self._known_good[name] = mark
        return Login(name, account.tlds)

    def _locked(self, place: str, allowed: int) -> int:
        """Seconds until another login from here is looked at; 0 when it may be."""
        now = trio.current_time()
        recent = [at for at in self._failures.get(place, ()) if now - at < LOCKED_SECONDS]
        return 0 if len(recent) < allowed else int(LOCKED_SECONDS - (now - recent[0])) + 1

    def _fail(self, place: str, allowed: int) -> None:
        now = trio.current_time()
        recent = [at for at in self._failures.pop(place, ()) if now - at < LOCKED_SECONDS]
        self._failures[place] = [*recent, now][-allowed:]
        while len(self._failures) > _REMEMBERED:
            self._failures.popitem(last=False)


def read_certificate(path: str) -> bytes:
    """The one certificate (DER) of a PEM file; ConfigurationError when it cannot be read or holds none."""
    try:
        return ssl.PEM_cert_to_DER_cert(Path(path).read_text(encoding="ascii").strip())
    except OSError as error:
        raise ConfigurationError([f"{path}: cannot read the certificate: {error.strerror}"]) from error
    except ValueError as error:
        raise ConfigurationError([f"{path}: not one certificate in PEM form"]) from error


def _credentials(authorization: str | None) -> tuple[str | None, str]:
    """(account, password) of a Basic header; (None, "") for none or a malformed one."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic" or len(encoded) > _CREDENTIALS_LIMIT:
        return None, ""
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:  # not Base64, not even ASCII, or not UTF-8
        return None, ""
    return (name, password) if colon and name else (None, "")
