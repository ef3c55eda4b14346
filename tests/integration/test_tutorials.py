"""The tutorials, word for word: every command of their console blocks, in their order, in an empty folder."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent.parent
TUTORIALS = REPOSITORY / "docs" / "tutorials"
PATIENCE_SECONDS = 60.0


def blocks(name: str) -> list[str]:
    """The commands of each console block of a tutorial."""
    found = re.findall(r"^ *```console\n(.*?)^ *```", (TUTORIALS / name).read_text(), re.MULTILINE | re.DOTALL)
    texts = ["\n".join(re.findall(r"^ *\$ (.*)$", block, re.MULTILINE)) for block in found]
    assert all(texts)
    return texts


class Folder:
    """A checkout as a stranger has it after `make`: the tools in ./.venv, nothing else; what runs there ends with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.background: dict[str, subprocess.Popen[bytes]] = {}
        (path / ".venv").symlink_to(REPOSITORY / ".venv")

    def follow(self, block: str) -> str:
        """Run a block's commands in one shell; what they print. One that goes on for ever is left running, once."""
        if block == "make internet\ntest -d operator || " + ONBOARD:
            return ""  # the steps of the first tutorial, done
        if block == "make internet":
            recipe = re.search(
                r"^internet:.*\n\t@\$\(BIN\)/(python .*)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE
            )
            assert recipe is not None
            self._begin(f".venv/bin/{recipe[1]}", self.path / "internet-out" / "arke.json")
            return ""
        if re.fullmatch(r"\.venv/bin/\w+ run -c (\w+)/\S+", block):
            folder = block.split(" -c ")[1].split("/", maxsplit=1)[0]
            socket = {"operator": "status.sock", "registry": "arke.sock"}[folder]
            self._begin(block, self.path / folder / socket)
            return ""
        done = subprocess.run(
            ["bash", "-eu", "-c", block],
            cwd=self.path,
            env=self._env(),
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"
        return done.stdout

    def _begin(self, command: str, until: Path) -> None:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"], cwd=self.path, env=self._env(), stderr=subprocess.DEVNULL
        )
        self.background[command] = process
        began = time.monotonic()
        while not until.exists():
            assert process.poll() is None, f"{command} ended by itself"
            assert time.monotonic() - began < PATIENCE_SECONDS, f"{command} is not ready"
            time.sleep(0.05)

    def _env(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(REPOSITORY)}

    def end(self) -> list[int]:
        """Ctrl-C in every terminal, the last one first; their statuses."""
        statuses = []
        for process in reversed(self.background.values()):
            process.send_signal(signal.SIGINT)
            statuses.append(process.wait(30))
        self.background.clear()
        return statuses


ONBOARD = ".venv/bin/panopticond onboard zz --out operator --like internet-out/panopticond.toml"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path)
    yield made
    for process in made.background.values():
        process.kill()
        process.wait()


def test_the_tutorials_hold_word_for_word(folder: Folder) -> None:
    """The operator's, the registry administrator's on what it left, and the two about the demo on that in its place."""
    said = {block: folder.follow(block) for block in blocks("operator.md")}
    assert "first report:" in said[ONBOARD]
    assert ": confirmed" in "".join(said.values())
    text = "\n".join(said.values())
    assert "state: " in text
    assert "panopticond 0" in text
    assert "operator/backup.tar: written" in text
    assert "good: .zz snapshot 20" in text
    text = "\n".join(folder.follow(block) for block in blocks("registry-administrator.md"))
    assert "cases have notices due" in text
    assert "[.zz abuse] " in text
    assert "sends nothing (drafts only)" in text
    assert "1: approved" in text
    assert '"name": "paypa1", "decision": "hold"' in text
    assert folder.end() == [0, 0, 0]
    demo = folder.path / "demo-out"
    demo.mkdir()
    (demo / "published").symlink_to(folder.path / "operator" / "repository")
    (demo / "mail").symlink_to(folder.path / "registry" / "drafts")
    first, *rest = blocks("manager.md")
    assert first == "make demo"
    text = "\n".join(folder.follow(block) for block in rest)
    assert ".eml" in text
    (demo / "panopticond.toml").symlink_to(folder.path / "operator" / "panopticond.toml")
    (demo / "keys").symlink_to(folder.path / "operator")
    with (demo / "review.csv").open("w") as file:
        file.write("name,unicode\n")
    first, *rest = blocks("the-demo-by-hand.md")
    assert first == "make demo"
    text = "\n".join(folder.follow(block) for block in rest)
    assert "good: .zz snapshot 20" in text
    assert "state: " in text
    assert re.search(r"^\('active', \d+\)$", text, re.MULTILINE)
    assert "[.zz abuse] " in text
