"""minisign signatures: ours and the Debian program's verify each other, and changes are refused."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import pytest

from panopticond.shared.errors import ConfigurationError, RefusedError
from panopticond.shared.minisign import PublicKey, SecretKey, sign, verify

needs_minisign = pytest.mark.skipif(shutil.which("minisign") is None, reason="the minisign program is not installed")


def test_a_signature_verifies_and_gives_its_comment() -> None:
    """Bytes and files verify under the right key, whichever of several it is."""
    key, other = SecretKey.generate(), SecretKey.generate()
    text = sign(b"hello", key, "tld:zz\tserial:1")
    assert verify(b"hello", text, [other.public, key.public]) == "tld:zz\tserial:1"
    assert verify(io.BytesIO(b"hello"), text, [key.public]) == "tld:zz\tserial:1"


def test_changes_are_refused() -> None:
    """Changed data, comment or signature, an unknown key, a legacy signature and a mangled file are refused."""
    key = SecretKey.generate()
    text = sign(b"hello", key, "serial:1")
    lines = text.splitlines()
    cases = [
        (b"hellO", text),
        (b"hello", text.replace("serial:1", "serial:2")),
        (b"hello", text.replace(lines[3], ("B" if lines[3][0] == "A" else "A") + lines[3][1:])),
        (b"hello", "\n".join([lines[0], "RW" + lines[1][2:], *lines[2:]])),
        (b"hello", "\n".join(lines[:3])),
        (b"hello", text + "x\n"),
        (b"hello", ""),
        (b"hello", "x" * 20_000),
        (b"hello", text.replace(lines[1], "!" * 100)),
    ]
    for data, changed in cases:
        with pytest.raises(RefusedError):
            verify(data, changed, [key.public])
    with pytest.raises(RefusedError, match="none of the keys"):
        verify(b"hello", text, [SecretKey.generate().public])
    same_number = PublicKey(number=key.number, point=SecretKey.generate().public.point)
    with pytest.raises(RefusedError, match="does not match"):
        verify(b"hello", text, [same_number])


def test_keys_survive_their_files(tmp_path: Path) -> None:
    """A written key reads back; its file is 0600, is never overwritten, and never prints."""
    key = SecretKey.generate()
    path = tmp_path / "p.key"
    key.write(path)
    assert SecretKey.read(path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert key.seed.hex() not in repr(key)
    assert repr(key.seed) not in repr(key)
    with pytest.raises(ConfigurationError, match="File exists"):
        key.write(path)
    assert PublicKey.parse(key.public.text) == PublicKey.parse(key.public.file_text) == key.public
    assert len(key.public.text) == 56
    assert key.public.text.startswith("RW")
    with pytest.raises(ConfigurationError, match="No such file"):
        SecretKey.read(tmp_path / "none")


def test_damaged_keys_are_refused(tmp_path: Path) -> None:
    """A key file with a byte changed, and text that is no key, are configuration errors."""
    text = SecretKey.generate().file_text
    lines = text.splitlines()
    (tmp_path / "k").write_text(
        lines[0] + "\n" + lines[1][:120] + ("A" if lines[1][120] != "A" else "B") + lines[1][121:]
    )
    with pytest.raises(ConfigurationError, match="damaged"):
        SecretKey.read(tmp_path / "k")
    for bad in ("", "RWx", "RW" + "A" * 55, "a\nb"):
        with pytest.raises(ConfigurationError):
            PublicKey.parse(bad)


def test_a_comment_is_one_line() -> None:
    """A trusted comment with a line end is refused by the signer."""
    with pytest.raises(ValueError, match="one line"):
        sign(b"", SecretKey.generate(), "a\nb")


@needs_minisign
def test_minisign_verifies_ours_and_we_verify_its(tmp_path: Path) -> None:
    """``minisign -V`` accepts our signature, and ``minisign -S`` signs with our key file what we then verify."""
    key = SecretKey.generate()
    key.write(tmp_path / "p.key")
    (tmp_path / "p.pub").write_text(key.public.file_text)
    (tmp_path / "m").write_bytes(b"data" * 1000)
    (tmp_path / "m.minisig").write_text(sign(b"data" * 1000, key, "tld:zz"))
    command = ["minisign", "-V", "-p", "p.pub", "-m", "m"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tld:zz" in done.stdout
    command = ["minisign", "-S", "-s", "p.key", "-m", "m", "-x", "n.minisig", "-t", "by the program"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / "n.minisig").read_text()
    assert verify(b"data" * 1000, text, [key.public]) == "by the program"
