"""``panopticond keys generate|public``: the minisign key pair that signs the snapshots, and its public half again."""

from __future__ import annotations

from pathlib import Path

from panopticond.shared.errors import PanopticonError
from panopticond.shared.minisign import SecretKey


def generate_keys(out: Path) -> str:
    """Write ``<out>`` (secret, mode 0600) and ``<out>.pub``; returns the public key's text. Never overwrites."""
    public_path = out.with_suffix(".pub")
    for path in (out, public_path):
        if path.exists():
            raise PanopticonError(f"{path}: there is a key already; move it away first, whoever pinned it needs it")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        key = SecretKey.generate()
        key.write(out)
        public_path.write_text(key.public.file_text, encoding="ascii")
    except OSError as error:
        raise PanopticonError(f"{out}: cannot write the key: {error.strerror}") from error
    return key.public.text


def public_key(path: Path) -> str:
    """The ``RW...`` text registries pin, from the secret key file."""
    return SecretKey.read(path).public.text
