"""What --help says, for whoever has nothing else at hand."""

from __future__ import annotations

import pytest
from packer.commandline import read


@pytest.mark.parametrize("program", ["panopticond", "arke"])
def test_help_leaves_nothing_unsaid(program: str) -> None:
    """Every command, option and argument says what it is."""
    unsaid = []
    for command in read(program).all():
        path = " ".join(command.path)
        unsaid += [path] if not command.help else []
        for option in (*command.arguments, *command.options):
            if not option.help:
                unsaid.append(f"{path} {option.names or option.value}")
    assert unsaid == []
