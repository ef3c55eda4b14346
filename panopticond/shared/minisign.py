"""Signatures a stranger can check: minisign's prehashed Ed25519, with its key and signature files.

Between the manifest and whoever reads it: ``snapshot/publish`` signs, ``shared/snapshot`` and ``arke verify`` check.
The files are minisign's own (its format as of 0.11; Ed25519 is RFC 8032, the prehash BLAKE2b-512 is RFC 7693), so
``minisign -V`` verifies ours and ``minisign -S`` can use our secret key. Legacy, unhashed signatures are refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import io
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from panopticond.shared.errors import ConfigurationError, RefusedError

COMMENT_LIMIT = 8192
SIGNATURE_LIMIT = 16 << 10
"""Characters in a signature file: two comments and two lines of base64."""
_BUFFER_BYTES = 1 << 20
_UNENCRYPTED = b"Ed\0\0B2"
_SECRET_BYTES = 158
_UNTRUSTED, _TRUSTED = "untrusted comment: ", "trusted comment: "


class PublicKey(msgspec.Struct, frozen=True):
    """An Ed25519 public key with minisign's eight-byte key number."""

    number: bytes
    point: bytes

    @property
    def key_id(self) -> str:
        """The key number as minisign prints it: reversed, upper-case hexadecimal."""
        return self.number[::-1].hex().upper()

    @property
    def text(self) -> str:
        """The 56 characters, starting with ``RW``, that people copy and configurations hold."""
        return base64.b64encode(b"Ed" + self.number + self.point).decode("ascii")

    @property
    def file_text(self) -> str:
        """The whole public key file."""
        return f"{_UNTRUSTED}minisign public key {self.key_id}\n{self.text}\n"

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """The key in 56 characters or in a whole key file; raises ConfigurationError for anything else."""
        lines = [line for line in text.strip().splitlines() if not line.startswith("untrusted comment:")]
        raw = _unbase64(lines[0].strip()) if len(lines) == 1 else None
        if raw is None or len(raw) != 42 or raw[:2] != b"Ed":
            raise ConfigurationError(["not a minisign public key; it has 56 characters and starts with RW"])
        return cls(number=raw[2:10], point=raw[10:])


class SecretKey(msgspec.Struct, frozen=True):
    """An Ed25519 secret key with its number. Never prints itself."""

    number: bytes
    seed: bytes

    def __repr__(self) -> str:
        """No key in a traceback or log."""
        return f"SecretKey({self.public.key_id})"

    @property
    def public(self) -> PublicKey:
        """The public half."""
        private = Ed25519PrivateKey.from_private_bytes(self.seed)
        return PublicKey(number=self.number, point=private.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> SecretKey:
        """A new key from the system's random source."""
        return cls(number=secrets.token_bytes(8), seed=secrets.token_bytes(32))

    @property
    def file_text(self) -> str:
        """The whole secret key file: unencrypted, as ``minisign -G -W`` writes it."""
        body = self.number + self.seed + self.public.point
        check = hashlib.blake2b(b"Ed" + body, digest_size=32).digest()
        raw = _UNENCRYPTED + bytes(48) + body + check
        return f"{_UNTRUSTED}minisign secret key {self.public.key_id}\n{base64.b64encode(raw).decode('ascii')}\n"

    @classmethod
    def parse(cls, text: str) -> SecretKey:
        """The key in a secret key file; raises ConfigurationError for a damaged or encrypted one."""
        lines = text.strip().splitlines()
        raw = _unbase64(lines[1].strip()) if len(lines) == 2 else None
        if raw is None or len(raw) != _SECRET_BYTES or raw[:2] != b"Ed" or raw[4:6] != b"B2":
            raise ConfigurationError(["not a minisign secret key file; make one with panopticond keys generate"])
        if raw[2:4] != b"\0\0":
            raise ConfigurationError(["the secret key is encrypted; a daemon needs one made with minisign -G -W"])
        body, check = raw[54:126], raw[126:]
        if not hmac.compare_digest(hashlib.blake2b(b"Ed" + body, digest_size=32).digest(), check):
            raise ConfigurationError(["the secret key file is damaged: its checksum does not match"])
        return cls(number=body[:8], seed=body[8:40])

    @classmethod
    def read(cls, path: Path) -> SecretKey:
        """The key in a file; ConfigurationError names the file and what is wrong."""
        try:
            return cls.parse(path.read_text(encoding="ascii"))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a key file"
            raise ConfigurationError([f"{path}: cannot read the secret key: {reason}"]) from error
        except ConfigurationError as error:
            raise ConfigurationError([f"{path}: {problem}" for problem in error.problems]) from error

    def write(self, path: Path) -> None:
        """A new file, mode 0600; ConfigurationError when it exists already or cannot be written."""
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError([f"{path}: cannot write the secret key: {error.strerror}"]) from error
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(self.file_text)
            file.flush()
            os.fsync(file.fileno())


def sign(data: bytes | BinaryIO, key: SecretKey, trusted_comment: str) -> str:
    """The text of a ``.minisig`` over bytes or an open binary file; ``ValueError`` for a comment minisign refuses."""
    comment = trusted_comment.encode()
    if len(comment) >= COMMENT_LIMIT or b"\n" in comment or b"\r" in comment:
        raise ValueError("a trusted comment is one line of under 8192 bytes")
    private = Ed25519PrivateKey.from_private_bytes(key.seed)
    signature = private.sign(_digest(data))
    whole = private.sign(signature + comment)
    return (
        f"{_UNTRUSTED}signature from panopticond, key {key.public.key_id}\n"
        f"{base64.b64encode(b'ED' + key.number + signature).decode('ascii')}\n"
        f"{_TRUSTED}{trusted_comment}\n"
        f"{base64.b64encode(whole).decode('ascii')}\n"
    )


def verify(data: bytes | BinaryIO, signature: str, keys: Iterable[PublicKey]) -> str:
    """The trusted comment, once both signatures hold under one of the keys; else RefusedError says what failed."""
    lines = signature.splitlines()
    if len(signature) > SIGNATURE_LIMIT or len(lines) != 4 or not lines[2].startswith(_TRUSTED):
        raise RefusedError("the signature file is not minisign's; refused")
    raw, whole = _unbase64(lines[1]), _unbase64(lines[3])
    if not lines[0].startswith(_UNTRUSTED) or raw is None or whole is None or len(raw) != 74 or len(whole) != 64:
        raise RefusedError("the signature file is damaged; refused")
    if raw[:2] != b"ED":
        raise RefusedError("the signature is of the legacy kind, or of none we know; refused")
    comment = lines[2].removeprefix(_TRUSTED)
    known = [key for key in keys if key.number == raw[2:10]]
    if not known:
        raise RefusedError(f"signed with key {raw[2:10][::-1].hex().upper()}, which is none of the keys given; refused")
    digest = _digest(data)
    for key in known:
        try:
            point = Ed25519PublicKey.from_public_bytes(key.point)
            point.verify(raw[10:], digest)
            point.verify(whole, raw[10:] + comment.encode())
        except (InvalidSignature, ValueError):
            continue
        return comment
    raise RefusedError("the signature does not match: the file or its comment was changed; refused")


def _digest(data: bytes | BinaryIO) -> bytes:
    state = hashlib.blake2b(digest_size=64)
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    while chunk := stream.read(_BUFFER_BYTES):
        state.update(chunk)
    return state.digest()


def _unbase64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
