"""check-config and run: every stage's faults at once, a fresh host furnished, one daemon on a store."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from panopticond.__main__ import main
from panopticond.commands.check_config import check_config, checked
from panopticond.premises import furnish, only_one
from panopticond.shared.errors import ConfigurationError, PanopticonError
from panopticond.shared.minisign import SecretKey

GOOD = """
[[tld]]
name = "zz"
accounts = [{{ name = "registry", password_file = "{root}/password" }}]

[[feed]]
name = "openphish"

[[vantage]]
name = "near"
country = "NZ"

[[vantage]]
name = "far"
country = "DE"

[store]
path = "{root}/state/panopticon.db"

[publish]
root = "{root}/public/repository"
secret_key_file = "{root}/key"

[status]
socket = "{root}/s.sock"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    SecretKey.generate().write(tmp_path / "key")
    (tmp_path / "password").write_text("a long password\n")
    (tmp_path / "password").chmod(0o600)
    (tmp_path / "panopticond.toml").write_text(GOOD.format(root=tmp_path))
    return tmp_path


def faults(root: Path, text: str) -> str:
    (root / "panopticond.toml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        check_config(root / "panopticond.toml")
    return "\n".join(caught.value.problems)


def test_a_good_one_is_praised_and_leaves_no_trace(root: Path) -> None:
    """Nothing is made by looking."""
    before = sorted(root.iterdir())
    assert "good; serves .zz from 1 feeds at 2 vantages" in check_config(root / "panopticond.toml")
    assert sorted(root.iterdir()) == before


def test_faults_of_every_stage_are_told_at_once(root: Path) -> None:
    """An unknown key hides no rule, no feed, no secret, no signing key, no bind address, no directory."""
    text = (
        GOOD.format(root=root).replace('name = "openphish"', 'name = "nobody"').replace(f"{root}/key", f"{root}/none")
    )
    text = text.replace('name = "zz"', 'name = "zz"\ncolour = "blue"\ntimezone = "Mars/Olympus"')
    text = text.replace(f"{root}/public", f"{root}/password/public") + '\n[serve]\nbind = "192.0.2.1:99999"\n'
    (root / "password").write_text("")
    told = faults(root, text)
    for key in (
        "tld[0].colour: unknown key",
        "tld[0].timezone: ",
        "feed[0]: not in the catalogue",
        "tld[0].accounts[0].password_file: ",
        "publish.secret_key_file: ",
        "publish.root: ",
        "serve.bind: '192.0.2.1:99999' must read address:port",
        "serve.bind: off loopback",
    ):
        assert key in told, told


@pytest.mark.parametrize(("name", "key"), [("password", "tld[0].accounts[0].password_file"), ("key", "publish.secret_key_file")])  # fmt: skip
def test_a_secret_open_to_others_is_refused(root: Path, name: str, key: str) -> None:
    """With the key of the configuration and the command that mends it."""
    (root / name).chmod(0o644)
    told = faults(root, GOOD.format(root=root))
    assert told.startswith(f"{key}: {root / name} is open to others (mode 0644); do: chmod 600 {root / name}")


def test_run_refuses_what_check_config_refuses(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same words, status 2, and nothing made."""
    (root / "password").chmod(0o604)
    assert main(["check-config", "-c", str(root / "panopticond.toml")]) == 2
    said = capsys.readouterr().err
    assert main(["run", "-c", str(root / "panopticond.toml")]) == 2
    assert capsys.readouterr().err == said
    assert not (root / "state").exists()


def test_a_fresh_host_is_furnished(root: Path) -> None:
    """The store's directory and file are the daemon's own; the root is for readers; twice is no fault."""
    config = checked(root / "panopticond.toml")
    for _ in range(2):
        furnish(config)
        assert stat.S_IMODE((root / "state").stat().st_mode) == 0o700
        assert stat.S_IMODE((root / "state/panopticon.db").stat().st_mode) == 0o600
        assert (root / "public/repository").is_dir()
        (root / "state/panopticon.db").chmod(0o644)


def test_where_nothing_can_be_made_is_one_sentence(root: Path) -> None:
    """A file where a directory should be."""
    (root / "state").write_text("")
    (root / "panopticond.toml").write_text(GOOD.format(root=root))
    with pytest.raises(ConfigurationError, match=r"store\.path: .*is no directory"):
        checked(root / "panopticond.toml")


def test_a_second_daemon_on_a_store_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Even one that has its own socket; status 1 and one sentence; free again when the first has ended."""
    config = checked(root / "panopticond.toml")
    furnish(config)
    with only_one(config):
        assert main(["run", "-c", str(root / "panopticond.toml")]) == 1
        said = capsys.readouterr().err
        assert "another panopticond runs on this store" in said
        assert said.count("\n") == 1
    with only_one(config):
        pass


def test_a_killed_daemon_leaves_no_lock(root: Path) -> None:
    """The kernel lets go of it."""
    config = checked(root / "panopticond.toml")
    furnish(config)
    code = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); input()"
    lock = f"{config.store.path}.lock"
    with subprocess.Popen([sys.executable, "-c", code, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(PanopticonError, match="another panopticond"), only_one(config):
            pass
        holder.kill()
        holder.wait()
    with only_one(config):
        pass


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("report", "--from", "/none/records.sql", "--out", "/none/out"), 1),
        (("replay-verdict", "/none/records.sql"), 1),
        (("feeds", "parse", "--format", "url-list", "--tld", "", "-"), 2),
        (("feeds", "parse", "--format", "url-list", "--tld", "..", "-"), 2),
    ],
)
def test_exit_statuses(words: tuple[str, ...], status: int, capsys: pytest.CaptureFixture[str]) -> None:
    """What is missing has failed (1), a word that cannot be meant is a fault of use (2); one sentence each."""
    assert main(list(words)) == status
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("command", ["explain", "check"])
def test_undecodable_words_are_one_sentence(root: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Bytes of another encoding in an argument."""
    word = os.fsdecode(b"http://a.zz/\xff")
    assert main([command, "-c", str(root / "panopticond.toml"), word]) == 2
    assert "no UTF-8" in capsys.readouterr().err
