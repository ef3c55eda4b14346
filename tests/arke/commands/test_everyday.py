"""arke.commands: what `arke verify` says of a snapshot whose signature is good and whose records are not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from arke.commands.everyday import verify
from arke.config import Config
from panopticond.shared import minisign, snapshot
from panopticond.shared.clock import ClockSettings
from panopticond.shared.errors import PanopticonError, RefusedError
from panopticond.shared.records import write_records
from tests.arke.made import NOW, publish, tables


def sign_again(folder: Path, key: minisign.SecretKey, data: bytes) -> None:
    """Put other records into a snapshot and sign it, as a broken publisher would."""
    (folder / snapshot.RECORDS).write_bytes(data)
    manifest = snapshot.parse_manifest((folder / snapshot.MANIFEST).read_bytes())
    entry = snapshot.ManifestFile(snapshot.RECORDS, len(data), hashlib.sha256(data).hexdigest())
    manifest = msgspec.structs.replace(manifest, files=(entry,))
    text = snapshot.canonical(manifest)
    (folder / snapshot.MANIFEST).write_bytes(text)
    (folder / snapshot.SIGNATURE).write_text(minisign.sign(text, key, snapshot.trusted_comment(manifest)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data + b"DROP TABLE uri;\n", "refused"),
        (lambda data: data[: len(data) // 2], "refused"),
        (lambda _: b"".join(write_records(tables(serial=2026030502))), "another snapshot"),
    ],
)
async def test_signed_records_that_cannot_be_read_are_refused(
    tmp_path: Path, change: Callable[[bytes], bytes], words: str
) -> None:
    """More SQL than the dialect has, half a file, another serial's rows: 3, though every hash is right."""
    key = minisign.SecretKey.generate()
    records = publish(tmp_path, key, tables())
    config = Config(
        tld="zz", keys=[key.public.text], records=str(records), lab=True, clock=ClockSettings(epoch=NOW, scale=1e-9)
    )
    await verify(str(records.parent), [], "zz", config)
    sign_again(records.parent.resolve(), key, change(records.read_bytes()))
    with pytest.raises(RefusedError, match=words):
        await verify(str(records.parent), [], "zz", config)


@pytest.mark.parametrize(("where", "said"), [("", "no manifest.json here"), ("absent", "No such file or directory")])
async def test_what_is_no_snapshot_s_place_is_said(tmp_path: Path, where: str, said: str) -> None:
    """The repository's root, say, is there: what is missing in it is named, and what to give instead."""
    key = minisign.SecretKey.generate().public.text
    with pytest.raises(PanopticonError, match=f"{said}; give a snapshot's directory or URL"):
        await verify(str(tmp_path / where), [key], None, None)
