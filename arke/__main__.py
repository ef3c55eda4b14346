"""The ``arke`` command: reads the command line, runs one command, turns errors into one sentence and an exit status.

0 done, 1 failed, 2 usage or configuration, 3 refused for safety; 75 says to a mail server that it shall try again.
``run`` is the daemon, everything else ends by itself.
"""

from __future__ import annotations

import argparse
import functools
import logging
import resource
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from arke import config, screen
from arke.config_rules import missing_files
from panopticond import __version__
from panopticond.shared import journal
from panopticond.shared.errors import ConfigurationError, DeferredError, PanopticonError

log = logging.getLogger(__name__)

CONFIGURATION = "/etc/arke/arke.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = command_line().parse_args(arguments)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold contacts
    journal.begin()
    try:
        options.command(options)
    except ConfigurationError as error:
        for problem in error.problems:
            print(f"arke: {problem}", file=sys.stderr)
        return error.exit_status
    except PanopticonError as error:
        print(f"arke: {error}", file=sys.stderr)
        return error.exit_status
    except BaseExceptionGroup as group:
        return _of_group(group)
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        return 1
    return 0


def _of_group(group: BaseExceptionGroup[BaseException]) -> int:
    """Errors out of a nursery: our own become sentences, anything else is a defect and keeps its traceback."""
    ours, rest = group.split(PanopticonError)
    if rest is not None:
        if all(isinstance(error, KeyboardInterrupt) for error in _leaves(rest)):
            return 1
        raise rest
    found = [error for error in _leaves(ours) if isinstance(error, PanopticonError)] if ours else []
    for error in found:
        print(f"arke: {error}", file=sys.stderr)
    return max((error.exit_status for error in found), default=1)


def _leaves(group: BaseExceptionGroup[BaseException] | None) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions if group else ():
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def _run_async(work: Callable[..., Awaitable[None]], *arguments: object) -> None:
    import trio  # a tenth of a second, which the commands that scan and screen names have no use for

    trio.run(work, *arguments)


def _run(options: argparse.Namespace) -> None:
    from arke.commands import everyday
    from arke.main import run

    _run_async(run, everyday.checked(options.config))


def _once(options: argparse.Namespace) -> None:
    from arke.commands import everyday
    from arke.main import once

    _run_async(once, everyday.checked(options.config))


def _check_config(options: argparse.Namespace) -> None:
    from arke.commands import everyday

    everyday.check_config(options.config)


def _onboard(options: argparse.Namespace) -> None:
    import trio

    from arke.commands.onboard import onboard

    logging.getLogger("arke.cases").setLevel(logging.WARNING)  # as in preview, which it ends with

    out = options.out or Path(f"arke-{options.tld.strip('.').lower()}")
    trio.run(onboard, options.tld, options.key, options.zone, options.records, out, options.like)


def _status(options: argparse.Namespace) -> None:
    from arke.commands.statuspage import page
    from panopticond.shared.watching import show_status

    socket = options.socket or config.read(options.config).status.socket
    _run_async(functools.partial(show_status, "arke", socket, page, as_json=options.json, watch=options.watch))


def _verify(options: argparse.Namespace) -> None:
    from arke.commands import everyday

    settings = _optional(options)
    _run_async(everyday.verify, options.where, options.key, options.tld, settings)


def _optional(options: argparse.Namespace) -> config.Config | None:
    """A configuration where one was named, or none was needed but the default one is there and no key was given."""
    if options.config is not None:
        return config.read(options.config)
    default = Path(CONFIGURATION)
    return config.read(default) if not options.key and default.is_file() else None


def _screen(options: argparse.Namespace) -> None:
    if options.names is not None and str(options.names) != "-":
        try:
            options.names.open("rb").close()
        except (OSError, ValueError) as error:
            raise ConfigurationError([f"--names: {options.names}: {getattr(error, 'strerror', error)}"]) from error
    screen.screen_command(options)


def _preview(options: argparse.Namespace) -> None:
    from arke.commands import everyday

    logging.getLogger("arke.cases").setLevel(logging.WARNING)  # what becomes of each case is said in sentences below
    settings = config.read(options.config, missing_files)
    _run_async(everyday.preview_command, settings, options.out or Path(settings.state) / "preview")


def _queue(options: argparse.Namespace) -> None:
    from arke.commands import everyday

    settings = config.read(options.config)
    if options.word == "list":
        _run_async(functools.partial(everyday.queue_list, settings, as_json=options.json))
    else:
        _run_async(everyday.queue_decide, settings, options.id, options.word)


def _mosapi(options: argparse.Namespace) -> None:
    from arke.commands import icann

    settings = config.read(options.config, missing_files)
    if options.word == "pull":
        _run_async(icann.pull, settings, options.date, options.out)
    else:
        _run_async(functools.partial(icann.state, settings, as_json=options.json))


def _reconcile(options: argparse.Namespace) -> None:
    from arke.commands import icann

    settings = config.read(options.config, missing_files)
    asked = functools.partial(icann.reconcile, settings, options.date, as_json=options.json, dns=not options.no_dns)
    _run_async(asked)


def _forget(options: argparse.Namespace) -> None:
    from arke.commands import upkeep

    settings = config.read(options.config)
    _run_async(functools.partial(upkeep.forget, settings, options.what, objection=options.objection))


def _bounce(options: argparse.Namespace) -> None:
    """Whatever goes wrong, the mail stays with the mail server: any other status would have it answer the sender."""
    from arke.commands import upkeep
    from arke.mail.bounce import SIZE_LIMIT_BYTES

    message = sys.stdin.buffer.read(SIZE_LIMIT_BYTES + 1)
    try:
        _run_async(upkeep.bounce, config.read(options.config), message, options.recipient)
    except PanopticonError as error:
        raise DeferredError(str(error)) from error
    except Exception as error:
        log.exception("arke bounce")
        raise DeferredError("arke bounce: a defect; the mail waits with the mail server") from error


def _backup(options: argparse.Namespace) -> None:
    from arke.commands import upkeep

    _run_async(upkeep.backup, config.read(options.config), options.file)


def _restore(options: argparse.Namespace) -> None:
    from arke.commands import upkeep

    settings = config.read(options.config)
    _run_async(functools.partial(upkeep.restore, settings, options.file, replace=options.replace))


def _review(options: argparse.Namespace) -> None:
    from arke.screening import review

    settings = config.read(options.config)
    if options.word == "list":
        review.print_list(settings, as_json=options.json)
    else:
        review.take_decision(settings, options.name, options.word)


def command_line() -> argparse.ArgumentParser:
    """The commands and options, also read by what writes the manual pages and shell completion."""
    parser = argparse.ArgumentParser(prog="arke", description="Tells domain holders what Panopticon found, once.")
    parser.add_argument("--version", action="version", version=f"arke {__version__}")
    sub = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add(sub, "run", _run, "run the daemon, in the foreground; SIGTERM ends it")
    _add_onboard(_bare(sub, "onboard", _onboard, "a ready configuration and a first look from a TLD, a key and a zone"))
    _add(sub, "once", _once, "one pass: look, tell, report; for cron")
    _add(sub, "check-config", _check_config, "refuse a wrong configuration, every fault at once")
    status = _add(sub, "status", _status, "how the running daemon is")
    status.add_argument("--json", action="store_true", help="as one JSON line")
    status.add_argument("--watch", action="store_true", help="again every two seconds")
    status.add_argument("--socket", metavar="PATH", help="the socket's path, in place of the configured one")
    verify = _add(sub, "verify", _verify, "check a published snapshot: 0 good, 3 refused", config_default=None)
    verify.add_argument("--key", action="append", default=[], metavar="RW...", help="a public key; may be repeated")
    verify.add_argument("--tld", metavar="TLD", help="the TLD it must be for")
    verify.add_argument("where", metavar="DIR|URL", help="of one snapshot, as in .../zz/latest")
    preview = _add(sub, "preview", _preview, "every notice due, as .eml; sends nothing")
    preview.add_argument("--out", type=Path, metavar="DIR", help="where to; left out, <state>/preview")
    queue = _add(sub, "queue", _queue, "what waits for a person, and the decisions")
    words = {
        "list": "what waits and why, and what was decided",
        "approve": "let it go ahead",
        "reject": "no: no mail of it, nor of its case unless a later step was all that waited",
        "hold": "not now: nothing goes until it is approved",
        "withhold": "nobody may know, as the police ask: no mail of this case to anybody",
    }
    _add_decisions(queue, words, "id", "an entry's number, or a case number")
    _add_icann(sub)
    _add_upkeep(sub)
    listed = _add(sub, "review", _review, "the daily list of look-alikes, and what people decided about it")
    words = {
        "list": "today's names, likeliest first, and how often the list was right",
        "confirm": "the name is what it looks like; off the list",
        "dismiss": "the name is harmless; off the list",
    }
    _add_decisions(listed, words, "name", "the name that was looked at")
    screen.add_scan_arguments(_bare(sub, "scan", screen.scan_command, "names of a zone that a person should look at"))
    screen.add_screen_arguments(_bare(sub, "screen", _screen, "an opinion on names to be registered"))
    return parser


def _add_decisions(parser: argparse.ArgumentParser, words: Mapping[str, str], what: str, text: str) -> None:
    """Words with what they mean: ``list``, and those that need something named. Options may stand before or behind.

    Parsers of their own: argparse would take an optional argument as left out where ``-c FILE`` stands before it.
    """
    parser.add_argument("--json", action="store_true", help="as one JSON line")
    actions = parser.add_subparsers(dest="word", required=True, metavar="|".join(words))
    for word, meaning in words.items():
        made = actions.add_parser(word, help=meaning, description=meaning)
        made.add_argument(
            "-c", "--config", type=Path, default=argparse.SUPPRESS, metavar="FILE", help=f"default {CONFIGURATION}"
        )
        made.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="as one JSON line")
        if word != "list":
            made.add_argument(what, metavar=what.upper(), help=f"{text}, as `{parser.prog} list` shows it")


def _add_onboard(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tld", metavar="TLD", help="the name alone, as in `zz`")
    parser.add_argument("--key", required=True, metavar="RW...", help="the operator's public key, compared by two ways")
    parser.add_argument("--zone", required=True, type=Path, metavar="FILE", help="the registry's master file")
    parser.add_argument("--records", metavar="URL|PATH", help="where the operator publishes records.sql of the TLD")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to; left out, arke-TLD here")
    parser.add_argument("--like", type=Path, metavar="FILE", help="an arke.json whose RDAP, mail and network hold")


def _add_icann(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    mosapi = _add(sub, "mosapi", _mosapi, "ICANN's list of the TLD's names, or how its probes see the TLD")
    mosapi.add_argument("word", choices=("pull", "state"), help="the list of names, or the state of the services")
    mosapi.add_argument("--date", metavar="YYYY-MM-DD", help="pull the report of this day; left out, the latest")
    mosapi.add_argument("--out", type=Path, metavar="DIR", help="write the reports there")
    mosapi.add_argument("--json", action="store_true", help="the state as JSON lines")
    reconcile = _add(sub, "reconcile", _reconcile, "ICANN's list beside our last snapshot, name by name")
    reconcile.add_argument("--date", metavar="YYYY-MM-DD", help="the report of this day; left out, the latest")
    reconcile.add_argument("--json", action="store_true", help="the figures as one JSON line")
    reconcile.add_argument("--no-dns", action="store_true", help="ask no server about the names that are only theirs")


def _add_upkeep(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    forget = _add(sub, "forget", _forget, "erase what is known of a recipient or a name")
    forget.add_argument("what", metavar="NAME|ADDRESS", help="a domain, or a mail address")
    forget.add_argument("--objection", action="store_true", help="and never write to this address again")
    bounce = _add(sub, "bounce", _bounce, "take one mail that came back, on stdin, as a mail server pipes it")
    bounce.add_argument("--recipient", metavar="ADDRESS", help="the envelope's recipient, where the mail server tells")
    backup = _add(sub, "backup", _backup, "the ledger and its key into one file, while the daemon runs")
    backup.add_argument("file", type=Path, metavar="FILE", help="a new file; never over one that is there")
    restore = _add(sub, "restore", _restore, "put a backup in place, while the daemon is stopped")
    restore.add_argument("file", type=Path, metavar="FILE", help="what backup wrote, or a migration")
    restore.add_argument(
        "--replace", action="store_true", help="over the ledger that is there: mails sent since may go out again"
    )


def _bare(
    sub: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    command: Callable[[argparse.Namespace], None],
    text: str,
) -> argparse.ArgumentParser:
    """A command that needs no configuration."""
    parser = sub.add_parser(name, help=text, description=text)
    parser.set_defaults(command=command)
    return parser


def _add(
    sub: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    command: Callable[[argparse.Namespace], None],
    text: str,
    *,
    config_default: str | None = CONFIGURATION,
) -> argparse.ArgumentParser:
    parser = sub.add_parser(name, help=text, description=text)
    default = Path(config_default) if config_default else None
    parser.add_argument("-c", "--config", type=Path, default=default, metavar="FILE", help=f"default {CONFIGURATION}")
    parser.set_defaults(command=command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
