"""Completion in a real bash: what may follow is offered, nothing else; zsh and fish files name every command."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from packer import completion
from packer.commandline import read
from packer.programs import PROGRAMS


def offered(tmp_path: Path, program: str, *words: str) -> list[str]:
    """What bash offers for the last of these words."""
    script = tmp_path / program
    script.write_text(completion.bash(program))
    ask = (
        f"source {script}; COMP_WORDS=({' '.join(repr(word) for word in (program, *words))}); COMP_CWORD={len(words)}; "
    )
    ask += f'_{program}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-uc", ask], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_command_is_offered_first(program: str, tmp_path: Path) -> None:
    """Nothing typed yet: every command of the program, and its own options."""
    commands = [command.path[-1] for command in read(program).commands]
    assert set(commands) | {"--help", "--version", "-h"} == set(offered(tmp_path, program, ""))


@pytest.mark.parametrize(
    ("words", "expected"),
    [(("feeds", ""), {"list", "parse", "test", "-h", "--help"}), (("feeds", "pa"), {"parse"}),
     (("keys", "generate", "--"), {"--help", "--out"}), (("report", "--from"), {"--from"}),
     (("report", "--from", ""), set()), (("check-config", "--c"), {"--config"})],
)  # fmt: skip
def test_what_follows_in_panopticond(words: tuple[str, ...], expected: set[str], tmp_path: Path) -> None:
    """Commands of commands, options by their beginning, and nothing (so bash offers files) where a value must stand."""
    assert set(offered(tmp_path, "panopticond", *words)) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("queue", "app"), {"approve"}),
        (("scan", "--format", ""), {"json", "csv", "table"}),
        (("mosapi", "p"), {"pull"}),
    ],
)
def test_what_follows_in_arke(words: tuple[str, ...], expected: set[str], tmp_path: Path) -> None:
    """The words an argument or an option may be are offered in its place."""
    assert set(offered(tmp_path, "arke", *words)) == expected


@pytest.mark.parametrize("program", PROGRAMS)
def test_zsh_and_fish_name_every_command_and_option(program: str) -> None:
    """Both files are made from the same command line, quotes in its texts included."""
    zsh, fish = completion.zsh(program), completion.fish(program)
    for command in read(program).all():
        for child in command.commands:
            assert f"'{child.path[-1]}:" in zsh
            assert f"-a '{child.path[-1]}'" in fish
        for option in command.options:
            assert all(f"'{name}:" in zsh for name in option.names)
            assert all(
                f"-l {name[2:]} " in fish or f"-s {name[1:]} " in fish or f"-l {name[2:]}\n" in fish
                for name in option.names
            )


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_zsh_and_fish_can_read_their_files(shell: str, program: str, tmp_path: Path) -> None:
    """Each shell's own parser finds nothing wrong."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    path = tmp_path / program
    path.write_text(getattr(completion, shell)(program))
    done = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_fish_offers_what_follows(tmp_path: Path) -> None:
    """Commands of a command, and the words an argument may be."""
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    for program, typed, expected in (("panopticond", "feeds ", "list parse test"), ("arke", "queue app", "approve")):
        path = tmp_path / program
        path.write_text(completion.fish(program))
        ask = f"source {path}; complete -C '{program} {typed}'"
        done = subprocess.run(
            ["fish", "-c", ask], capture_output=True, text=True, check=True, env={**os.environ, "HOME": str(tmp_path)}
        )
        assert " ".join(line.split("\t")[0] for line in done.stdout.splitlines()) == expected
