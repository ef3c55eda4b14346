"""Shell completion of both programs, for bash, zsh and fish, from their own command lines.

After ``commandline``; ``debian`` puts them where each shell looks. Commands and options are completed everywhere, the
words an argument may be where it has such, files elsewhere.
"""

from __future__ import annotations

from packer.commandline import Command, read

_NOTE = "made from the program's own command line; changes belong there"


def _words(command: Command) -> list[str]:
    """What may follow a command: its commands, the words of its first argument, its options."""
    first = command.arguments[0].choices if command.arguments else ()
    return [*(child.path[-1] for child in command.commands), *first, *(n for o in command.options for n in o.names)]


def _key(command: Command) -> str:
    return " ".join(command.path[1:])


def bash(program: str) -> str:
    """A file for /usr/share/bash-completion/completions."""
    tree = read(program)
    descents = "|".join(f'"{_key(command)}"' for command in tree.all() if len(command.path) > 1)
    every = [(option, name) for command in tree.all() for option in command.options for name in option.names]
    valued = sorted({name for option, name in every if option.value})
    cases = "\n".join(f'        "{_key(command)}") words="{" ".join(_words(command))}" ;;' for command in tree.all())
    choices = sorted({(name, option.choices) for option, name in every if option.choices})
    chosen = "".join(f'        {name}) words="{" ".join(words)}" ;;\n' for name, words in choices)
    return f"""# bash completion of {program}; {_NOTE}
_{program}() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD - 1]}} at= word words=
    COMPREPLY=()
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "${{at:+$at }}$word" in
        {descents}) at="${{at:+$at }}$word" ;;
        esac
    done
    case "$prev" in
{chosen}        {"|".join(valued)}) return ;;
        *)
            case "$at" in
{cases}
            esac
            ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}}
complete -o default -F _{program} {program}
"""


def zsh(program: str) -> str:
    """A file for a directory of zsh's ``fpath``."""
    tree = read(program)
    descents = "|".join(f'"{_key(command)}"' for command in tree.all() if len(command.path) > 1)
    cases = []
    for command in tree.all():
        told = [f"{child.path[-1]}:{child.help}" for child in command.commands]
        told += [
            f"{word}:{command.arguments[0].help}"
            for word in (command.arguments[0].choices if command.arguments else ())
        ]
        told += [f"{name}:{option.help}" for option in command.options for name in option.names]
        cases.append(f'    "{_key(command)}") said=({" ".join(_quoted(entry) for entry in told)}) ;;')
    lines = "\n".join(cases)
    return f"""#compdef {program}
# zsh completion of {program}; {_NOTE}
local at= word
local -a said
for word in ${{words[2,CURRENT-1]}}; do
    case "${{at:+$at }}$word" in
    {descents}) at="${{at:+$at }}$word" ;;
    esac
done
case "$at" in
{lines}
esac
_describe -o {program} said
_files
"""


def fish(program: str) -> str:
    """A file for a directory of fish's ``fish_complete_path``."""
    tree = read(program)
    lines = [f"# fish completion of {program}; {_NOTE}"]
    for command in tree.all():
        when = _fish_condition(command)
        lines += [
            f"complete -c {program} -f -n {when} -a {_quoted(child.path[-1])} -d {_quoted(child.help)}"
            for child in command.commands
        ]
        if command.arguments and command.arguments[0].choices:
            words = " ".join(command.arguments[0].choices)
            lines.append(f"complete -c {program} -f -n {when} -a {_quoted(words)}")
        for option in command.options:
            spelt = " ".join(f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in option.names)
            wants = f" -x -a {_quoted(' '.join(option.choices))}" if option.choices else " -r" if option.value else ""
            lines.append(f"complete -c {program} -n {when} {spelt}{wants} -d {_quoted(option.help)}")
    return "\n".join(lines) + "\n"


def _fish_condition(command: Command) -> str:
    seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in command.path[1:])
    below = " ".join(child.path[-1] for child in command.commands)
    parts = [part for part in (seen, f"not __fish_seen_subcommand_from {below}" if below else "") if part]
    return _quoted("; and ".join(parts))


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "'\\''") + "'"
