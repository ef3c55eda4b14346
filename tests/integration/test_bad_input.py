"""What is wrong is refused before it does harm: configurations with 2 and every fault, snapshots with 3 and no mail."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import arke.__main__
import panopticond.__main__
from arke.commands.everyday import verify
from panopticond.shared.clock import rfc3339
from panopticond.shared.errors import RefusedError
from panopticond.shared.minisign import SecretKey, sign
from panopticond.shared.snapshot import FILES, MANIFEST, SIGNATURE, parse_manifest, trusted_comment
from tests.integration.made import HOLDERS, HOUR, Arke, Published, flip

WRONG_TOML = """
colour = "blue"
drain = "soon"

[[tld]]
name = "zz"
timezone = "Atlantis/Capital"
publish_at = "26:00"
feeds = ["nobody"]
servers = ["ns1.nic.zz"]

[[vantage]]
name = "near"
country = "NZ"
credentials_file = "{root}/absent"

[validation]
checks_per_window = 0
concurrency = "many"

[store]
path = "{root}/panopticon.db"

[status]
socket = "{root}/pd.sock"
"""
WRONG_JSON = {
    "tld": 7,
    "keys": ["RWshort", 7],
    "records": "https://user:pass@nic.zz/latest/records.sql",
    "colour": "blue",
    "smtp": {"host": "127.0.0.1", "port": 0, "from": "abuse@nic.zz"},
    "limits": {"per_hour": -1},
    "poll": "often",
}


class Done(msgspec.Struct, frozen=True):
    returncode: int
    stderr: str


class Run:
    """Runs a command's own ``main`` here: its exit status and what it said."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def __call__(self, program: str, *words: str) -> Done:
        status = {"panopticond": panopticond.__main__.main, "arke": arke.__main__.main}[program](list(words))
        return Done(status, self._capture.readouterr().err)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


@pytest.mark.parametrize("command", ["run", "check-config"])
def test_a_wrong_toml_is_refused_whole_before_anything_starts(run: Run, tmp_path: Path, command: str) -> None:
    """Unknown keys, wrong types and impossible values: every one named by its path, exit 2, no file and no socket."""
    path = tmp_path / "panopticond.toml"
    path.write_text(WRONG_TOML.format(root=tmp_path))
    done = run("panopticond", command, "-c", str(path))
    assert done.returncode == 2
    for key in ("colour", "drain", "validation.checks_per_window", "validation.concurrency"):
        assert f"panopticond: {key}: " in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["panopticond.toml"]


@pytest.mark.parametrize("command", ["run", "check-config"])
def test_rules_between_keys_are_all_told_at_once(run: Run, tmp_path: Path, command: str) -> None:
    """Right types but broken rules: a feed nobody knows, one vantage, no such zone, hour, file or address."""
    text = WRONG_TOML.format(root=tmp_path)
    for wrong in ('colour = "blue"\n', 'drain = "soon"\n', "checks_per_window = 0\n", 'concurrency = "many"\n'):
        text = text.replace(wrong, "")
    (tmp_path / "panopticond.toml").write_text(text)
    done = run("panopticond", command, "-c", str(tmp_path / "panopticond.toml"))
    assert done.returncode == 2
    for key in ("feeds", "vantages", "timezone", "publish_at", "servers[0]"):
        assert f"panopticond: tld[0].{key}: " in done.stderr
    assert "panopticond: vantage[0].credentials_file: " in done.stderr
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["panopticond.toml"]


@pytest.mark.parametrize("command", ["run", "once", "preview", "check-config"])
def test_a_wrong_json_is_refused_whole_before_anything_starts(run: Run, tmp_path: Path, command: str) -> None:
    """Every fault of arke.json by its path, exit 2, no state made."""
    path = tmp_path / "arke.json"
    path.write_text(json.dumps(WRONG_JSON | {"state": str(tmp_path / "state")}))
    done = run("arke", command, "-c", str(path))
    assert done.returncode == 2
    for key in ("tld", "keys[0]", "keys[1]", "colour", "smtp.port", "limits.per_hour", "poll"):
        assert f"{key}: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "state").exists()


def test_rules_of_arke_are_all_told_at_once(run: Run, tmp_path: Path) -> None:
    """Credentials in a URL, a missing secret, template and suppression list, nothing to send with: all at once."""
    settings = {
        "tld": "zz",
        "keys": [SecretKey.generate().public.text],
        "records": "https://user:pass@nic.zz/latest/records.sql",
        "rdap": {"url": "http://rdap.nic.zz/", "username": "arke", "password_file": str(tmp_path / "absent")},
        "template": str(tmp_path / "no.xml"),
        "suppression": str(tmp_path / "no.txt"),
        "dry_run": False,
        "state": str(tmp_path / "state"),
    }
    (tmp_path / "arke.json").write_text(json.dumps(settings))
    done = run("arke", "once", "-c", str(tmp_path / "arke.json"))
    assert done.returncode == 2
    for key in ("records", "rdap.url", "rdap.password_file", "template", "suppression", "smtp"):
        assert f"{key}: " in done.stderr
    assert "user:pass" not in done.stderr
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("program", "command"), [("panopticond", "run"), ("arke", "run"), ("panopticond", "explain"), ("arke", "once")]
)
def test_a_missing_or_broken_file_is_one_sentence(run: Run, tmp_path: Path, program: str, command: str) -> None:
    """No file, a directory, or neither TOML nor JSON: exit 2 and the path, no traceback."""
    broken = tmp_path / "broken"
    broken.write_bytes(b"\xff\x00{[")
    words = ["zz"] if command == "explain" else []
    for path in (tmp_path / "absent", tmp_path, broken):
        done = run(program, command, "-c", str(path), *words)
        assert done.returncode == 2, done.stderr
        assert str(path) in done.stderr
        assert "Traceback" not in done.stderr


def _signature_of_another_key(tree: Published) -> None:
    manifest = parse_manifest((tree.latest / MANIFEST).read_bytes())
    text = sign((tree.latest / MANIFEST).read_bytes(), SecretKey.generate(), trusted_comment(manifest))
    (tree.latest / SIGNATURE).write_text(text)


def _signature_of_another_snapshot(tree: Published) -> None:
    older = tree.root / "zz" / str(tree.serials[0])
    (tree.latest / SIGNATURE).write_bytes((older / SIGNATURE).read_bytes())


def _no_signature(tree: Published) -> None:
    (tree.latest / SIGNATURE).unlink()


def _expired(tree: Published) -> None:
    old = tree.issued - 40 * HOUR
    tree.sign_again(
        start=rfc3339(old - 24 * HOUR), end=rfc3339(old), issued=rfc3339(old), expires=rfc3339(old + 36 * HOUR)
    )


def _from_the_future(tree: Published) -> None:
    tree.sign_again(issued=rfc3339(tree.issued + dt.timedelta(hours=2)))


def _of_another_tld(tree: Published) -> None:
    tree.sign_again(tld="yy")


def _of_another_format(tree: Published) -> None:
    tree.sign_again(format=2)


def _shorter_records(tree: Published) -> None:
    records = tree.latest / "records.sql"
    records.write_bytes(records.read_bytes()[:-1])


def _manifest_byte(tree: Published) -> None:
    flip(tree.latest / MANIFEST)


def _signature_byte(tree: Published) -> None:
    flip(tree.latest / SIGNATURE)


DAMAGES: tuple[Callable[[Published], None], ...] = (
    _signature_of_another_key,
    _signature_of_another_snapshot,
    _no_signature,
    _expired,
    _from_the_future,
    _of_another_tld,
    _of_another_format,
    _shorter_records,
    _manifest_byte,
    _signature_byte,
)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
async def test_a_damaged_snapshot_is_refused_with_3_and_nothing_is_sent(
    site: Arke, damage: Callable[[Published], None]
) -> None:
    """`arke verify` and `arke once` refuse with 3 and a sentence; the mail server is never even connected to."""
    damage(site.tree)
    with pytest.raises(RefusedError) as refused:
        await verify(str(site.tree.latest), [site.tree.key.public.text], "zz", None)
    assert refused.value.exit_status == 3
    status, said = await site.run("once")
    assert status == 3, said
    assert "ERROR arke.main: .zz: " in said
    assert "Traceback" not in said
    assert site.smtp.sessions == 0


async def test_one_byte_changed_in_any_named_file_is_refused(site: Arke) -> None:
    """First, middle or last byte of every file the manifest names: 3 each time, and good again once it is put right."""
    command = ("verify", "--key", site.tree.key.public.text, "--tld", "zz", str(site.tree.latest))
    for number, name in enumerate(FILES):
        path = site.tree.latest / name
        whole = path.read_bytes()
        flip(path, (0, len(whole) // 2, len(whole) - 1)[number % 3])
        with pytest.raises(RefusedError, match=re.escape(name)):
            await verify(str(site.tree.latest), [site.tree.key.public.text], "zz", None)
        if number % 8 == 0:
            for words in (command, ("once",)):
                status, said = await site.run(*words)
                assert (status, name in said, site.smtp.sessions) == (3, True, 0), said
        path.write_bytes(whole)
    assert (await site.run(*command))[0] == 0


async def test_the_good_one_is_sent_on_and_an_older_serial_then_refused(site: Arke) -> None:
    """The undamaged tree tells both holders once; the older snapshot put back is a rollback: 3, and no further mail."""
    status, said = await site.run("once")
    assert status == 0, said
    recipients = [line for line in site.smtp.commands if line.upper().startswith("RCPT")]
    assert [holder for holder in HOLDERS if not any(holder in line for line in recipients)] == []
    assert len(site.smtp.mails) == len(HOLDERS)
    latest = site.tree.root / "zz" / "latest"
    newest = latest.readlink()
    latest.unlink()
    latest.symlink_to(str(site.tree.serials[0]))
    status, said = await site.run("once")
    assert status == 3, said
    assert "rollback" in said
    latest.unlink()
    latest.symlink_to(newest)
    assert (await site.run("once"))[0] == 0
    assert len(site.smtp.mails) == len(HOLDERS)
