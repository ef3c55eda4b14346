"""The command lines of both programs as plain values, read off their own argparse parsers.

What ``manual`` and ``completion`` write from: a command that exists is in both, and only such a one.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator
from dataclasses import dataclass

# argparse names its parts with an underscore and offers no other way to walk them; this is the one place that does.


@dataclass(frozen=True)
class Option:
    """One option: its spellings, the name of its value (empty for a flag), the words it may be, and its help."""

    names: tuple[str, ...]
    value: str
    choices: tuple[str, ...]
    help: str


@dataclass(frozen=True)
class Command:
    """A program or one of its commands."""

    path: tuple[str, ...]
    """``("panopticond", "feeds", "list")``."""
    help: str
    usage: str
    """On one line, without ``usage:``."""
    options: tuple[Option, ...]
    arguments: tuple[Option, ...]
    """Positional ones, in order."""
    commands: tuple[Command, ...]

    def all(self) -> Iterator[Command]:
        """This command and every one below it, depth first."""
        yield self
        for command in self.commands:
            yield from command.all()


def read(program: str) -> Command:
    """The command line of ``panopticond`` or ``arke``."""
    module = importlib.import_module(f"{program}.__main__")
    return _command(module.command_line(), (program,), "")


def _command(parser: argparse.ArgumentParser, path: tuple[str, ...], said: str) -> Command:
    options: list[Option] = []
    arguments: list[Option] = []
    commands: list[Command] = []
    for action in parser._actions:  # noqa: SLF001 - see above
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}  # noqa: SLF001
            commands += [_command(child, (*path, name), helps.get(name, "")) for name, child in action.choices.items()]
        elif action.help != argparse.SUPPRESS:
            (options if action.option_strings else arguments).append(_option(action))
    usage = " ".join(parser.format_usage().removeprefix("usage:").split())
    text = said or parser.description or ""
    return Command(path, text, usage, tuple(options), tuple(arguments), tuple(commands))


def _option(action: argparse.Action) -> Option:
    choices = tuple(str(choice) for choice in action.choices or ())
    flag = action.nargs == 0
    metavar = action.metavar if isinstance(action.metavar, str) else None
    value = "" if flag else metavar or ("{" + ",".join(choices) + "}" if choices else action.dest.upper())
    return Option(tuple(action.option_strings), value, choices, (action.help or "").replace("%%", "%"))
