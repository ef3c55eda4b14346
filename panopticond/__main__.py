"""``panopticond``: the commands of design section 5. The only place that exits; errors become one sentence here."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import trio

from panopticond import __version__
from panopticond.shared import journal
from panopticond.shared.errors import ConfigurationError, PanopticonError

CONFIG = Path("/etc/panopticon/panopticond.toml")
KEY = Path("/etc/panopticon/panopticon.key")
SOCKET = "/run/panopticon/status.sock"


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0 done, 1 failed, 2 usage or configuration, 3 refused for safety."""
    args = command_line().parse_args(argv)
    journal.begin()
    try:
        return int(args.call(args) or 0)
    except ConfigurationError as error:
        for problem in error.problems:
            print(f"panopticond: {problem}", file=sys.stderr)
        return error.exit_status
    except PanopticonError as error:
        print(f"panopticond: {error}", file=sys.stderr)
        return error.exit_status
    except BaseExceptionGroup as group:
        return _told(group)
    except BrokenPipeError:
        sys.stderr.close()
        return 1


def _told(group: BaseExceptionGroup) -> int:
    """A nursery wraps what its tasks raise: our own errors stay one sentence each; anything else is a bug and shows."""
    ours, others = group.split(PanopticonError)
    if ours is None or others is not None:
        raise group
    leaves: list[BaseException] = [ours]
    while any(isinstance(leaf, BaseExceptionGroup) for leaf in leaves):
        leaves = [
            inner for leaf in leaves for inner in (leaf.exceptions if isinstance(leaf, BaseExceptionGroup) else [leaf])
        ]
    for error in leaves:
        print(f"panopticond: {error}", file=sys.stderr)
    return max(error.exit_status for error in leaves if isinstance(error, PanopticonError))


def command_line() -> argparse.ArgumentParser:
    """The commands and options, also read by what writes the manual pages and shell completion."""
    parser = argparse.ArgumentParser(prog="panopticond", description="Domain-abuse validation for ccTLD registries.")
    parser.add_argument("--version", action="version", version=f"panopticond {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    configured = argparse.ArgumentParser(add_help=False)
    configured.add_argument("-c", "--config", type=Path, metavar="FILE", default=CONFIG, help=f"default {CONFIG}")

    def command(name: str, call: object, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text, parents=list(parents))
        made.set_defaults(call=call)
        return made

    command("run", _run, "run the daemon, in the foreground; SIGTERM ends it", configured)
    command(
        "check-config", _check_config, "read the configuration and say everything that is wrong with it", configured
    )
    made = command("onboard", _onboard, "a first report and a ready configuration from a TLD's name")
    made.add_argument("tld", metavar="TLD", help="the name alone, as in `zz`")
    made.add_argument("--out", type=Path, metavar="DIR", help="where to; left out, panopticon-TLD here")
    made.add_argument(
        "--like", type=Path, metavar="FILE", help="a panopticond.toml whose feeds, vantages and network hold"
    )
    made = command("status", _status, "how the running daemon fares")
    made.add_argument("--json", action="store_true", help="the whole answer as JSON")
    made.add_argument("--watch", action="store_true", help="again every two seconds")
    made.add_argument("-c", "--config", type=Path, metavar="FILE", help="the daemon's, for its [status] socket")
    made.add_argument("--socket", metavar="PATH", help=f"the daemon's socket itself; without both {SOCKET}")
    made = command("explain", _explain, "every sighting, observation and rule behind a state", configured)
    made.add_argument("uri", metavar="URI|DOMAIN", help="as a feed or a report has it; defanged will do")
    made = command("check", _check, "every probe of one URI or host now, shown as the answers come", configured)
    made.add_argument("uri", metavar="URI", help="a URI or a host, known or not; nothing is recorded")
    _review(command("review", None, "what needs a person, and what people decided"), configured)
    made = command(
        "replay-verdict", _replay_verdict, "every state again from the published observations; 1 where one differs"
    )
    made.add_argument("records", type=Path, metavar="records.sql", help="of a published snapshot")
    made = command("publish", _publish, "publish a TLD's snapshot now", configured)
    made.add_argument("--tld", required=True, metavar="TLD", help="one of the configuration")
    made = command("report", _report, "the report again, byte for byte, from the published data")
    made.add_argument("--from", dest="source", type=Path, required=True, metavar="records.sql", help="of a snapshot")
    made.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets report.html and report.json")
    made = command("migrate", _migrate, "bring the store to this version's schema, after a backup", configured)
    made.add_argument(
        "--from", dest="source", type=Path, metavar="FILE", help="move this embedded store into the one at [store] url"
    )
    made = command("backup", _backup, "the store into one file, while the daemon runs", configured)
    made.add_argument("file", type=Path, metavar="FILE", help="a new file; never over one that is there")
    made = command("restore", _restore, "put a backup in place, while the daemon is stopped", configured)
    made.add_argument("file", type=Path, metavar="FILE", help="what backup wrote, or a migration")
    made.add_argument("--replace", action="store_true", help="over the store that is there, which is lost")
    _feeds(command("feeds", None, "the feed catalogue, and one feed's file read as the daemon would"))
    _keys(command("keys", None, "the key pair that signs the snapshots"))
    return parser


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str,
    *parents: argparse.ArgumentParser,
) -> argparse.ArgumentParser:
    return actions.add_parser(name, help=text, description=text, parents=list(parents))


def _feeds(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True)
    listing = _action(actions, "list", "the public feeds known by name")
    listing.set_defaults(call=_feeds_list)
    parse = _action(actions, "parse", "NDJSON of a file's indicators on stdout, a summary on stderr")
    parse.add_argument("--format", required=True, metavar="FORMAT", help="one of docs/reference/feed-formats.md")
    parse.add_argument("--map", dest="map_file", metavar="FILE", help="names the columns or keys of csv, json, ndjson")
    parse.add_argument("--tld", action="append", default=[], metavar="TLD", help="may be repeated; left out, every one")
    parse.add_argument("--threat", metavar="TYPE", help="of rows that name none: phishing, malware, botnetCc or spam")
    parse.add_argument("file", metavar="FILE|-", help="compressed or not; - reads standard input")
    parse.set_defaults(call=_feeds_parse)
    test = _action(actions, "test", "visit a feed once and say what came; nothing is recorded")
    test.add_argument("name", metavar="NAME", help="of the configuration or the catalogue")
    test.add_argument("-c", "--config", type=Path, metavar="FILE", help="without it the feed must need no key")
    test.set_defaults(call=_feeds_test)


def _review(parser: argparse.ArgumentParser, configured: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True)
    listing = _action(actions, "list", "what waits for a decision, and why", configured)
    listing.add_argument("--json", action="store_true", help="NDJSON, a line each")
    listing.add_argument("--decided", action="store_true", help="with what a person has decided already")
    listing.set_defaults(call=_review_list)
    for decision, text in (
        ("dismiss", "it is no abuse: no notice; still probed and published"),
        ("confirm", "it is abuse: notices may go"),
    ):
        made = _action(actions, decision, text, configured)
        made.add_argument("id", metavar="ID", help="the id review list prints, or the URI")
        made.set_defaults(call=_review_decide, decision=decision)
    claimed = _action(actions, "claim", "somebody says a listing is wrong", configured)
    claimed.add_argument("what", metavar="ID|URI|DOMAIN", nargs="*", help="what is claimed to be no abuse")
    claimed.add_argument("--from", dest="source", type=Path, metavar="FILE", help="a file of them, one a line")
    claimed.set_defaults(call=_review_claim)
    feeds = _action(actions, "feeds", "how often each feed was found wrong", configured)
    feeds.add_argument("--json", action="store_true", help="NDJSON, a line each")
    feeds.set_defaults(call=_review_feeds)
    zone = _action(actions, "zone", "names of a TLD's own zone that no feed has", configured)
    zone.add_argument("--tld", metavar="TLD", help="of this TLD only")
    zone.add_argument("--json", action="store_true", help="NDJSON, a TLD a line")
    zone.set_defaults(call=_review_zone)


def _keys(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True)
    generate = _action(actions, "generate", "make a key pair; never overwrites")
    generate.add_argument("--out", type=Path, metavar="FILE", default=KEY, help=f"the secret half; default {KEY}")
    generate.set_defaults(call=_keys_generate)
    public = _action(actions, "public", "print the public key of a secret key file")
    public.add_argument("--key", type=Path, metavar="FILE", default=KEY, help=f"the secret half; default {KEY}")
    public.set_defaults(call=_keys_public)


def _text(word: str) -> str:
    """A word of the command line; ConfigurationError for bytes that are no UTF-8, which nothing could write again."""
    try:
        word.encode()
    except UnicodeEncodeError:
        raise ConfigurationError([f"{word!a}: is no UTF-8 text"]) from None
    return word


def _readable(path: Path) -> Path:
    """A file that is there: a missing one has failed (1), while what is read and refused is refused (3)."""
    try:
        path.open("rb").close()
    except (OSError, ValueError) as error:
        raise PanopticonError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    return path


def _run(args: argparse.Namespace) -> None:
    from panopticond.commands.check_config import checked
    from panopticond.main import run
    from panopticond.premises import furnish, only_one

    config = checked(args.config)
    furnish(config)
    with only_one(config), _ended_by_signals():
        trio.run(run, config)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGINT end with 0 until the daemon listens itself: it may wait long for its database before that.

    At once, whatever hangs: as after ``kill -9``, a transaction under way is the database's to undo. A second signal
    cuts the daemon's drain short so.
    """
    former = {number: signal.signal(number, lambda *_: os._exit(0)) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _check_config(args: argparse.Namespace) -> None:
    from panopticond.commands.check_config import check_config

    print(check_config(args.config))


def _onboard(args: argparse.Namespace) -> int:
    import logging

    from panopticond.commands.onboard import onboard

    name = _text(args.tld)
    logging.getLogger().setLevel(logging.WARNING)  # it says by itself what it does
    out = args.out or Path(f"panopticon-{name.strip('.').lower()}")
    return trio.run(onboard, name, out, args.like, partial(print, flush=True))


def _status(args: argparse.Namespace) -> None:
    from panopticond.shared.watching import show_status
    from panopticond.status.page import page

    socket = args.socket or SOCKET
    if args.socket is None and args.config is not None:
        from panopticond.config import read

        socket = read(args.config).status.socket
    try:
        trio.run(partial(show_status, "panopticond", socket, page, as_json=args.json, watch=args.watch))
    except KeyboardInterrupt:
        return


def _explain(args: argparse.Namespace) -> None:
    from panopticond.commands.explain import explain
    from panopticond.config import read

    print(trio.run(explain, read(args.config), _text(args.uri)))


def _check(args: argparse.Namespace) -> None:
    from panopticond.commands.check import check
    from panopticond.config import read

    trio.run(check, read(args.config), _text(args.uri), partial(print, flush=True))


def _review_list(args: argparse.Namespace) -> None:
    from panopticond.commands.review import matters, table
    from panopticond.config import read

    found = trio.run(partial(matters, read(args.config), decided=args.decided))
    if args.json:
        for matter in found:
            print(msgspec.json.encode(matter).decode())
    else:
        print(table(found))


def _review_decide(args: argparse.Namespace) -> None:
    from panopticond.commands.review import decide
    from panopticond.config import read

    print(trio.run(decide, read(args.config), _text(args.id), args.decision))


def _review_claim(args: argparse.Namespace) -> int:
    from panopticond.commands.claims import claim, claims_in
    from panopticond.config import read

    texts = [_text(one) for one in args.what] + (claims_in(args.source) if args.source else [])
    if not texts:
        raise ConfigurationError(["review claim: name an indicator by its id, URI or domain, or a file by --from"])
    told, unknown = trio.run(claim, read(args.config), texts)
    for sentence in told:
        print(sentence)
    for text in unknown:
        print(f"panopticond: {text}: no feed has listed this in a served TLD", file=sys.stderr)
    return 1 if unknown else 0


def _review_zone(args: argparse.Namespace) -> None:
    from panopticond.commands.review_zone import table, zone_lists
    from panopticond.config import read

    found = zone_lists(read(args.config), args.tld)
    print("\n".join(msgspec.json.encode(one).decode() for one in found) if args.json else table(found))


def _review_feeds(args: argparse.Namespace) -> None:
    from panopticond.commands.claims import feed_records, feed_table
    from panopticond.config import read

    found = trio.run(feed_records, read(args.config))
    print("\n".join(msgspec.json.encode(one).decode() for one in found) if args.json else feed_table(found))


def _replay_verdict(args: argparse.Namespace) -> int:
    from panopticond.commands.replay_verdict import replay_verdict

    return replay_verdict(_readable(args.records), print)


def _publish(args: argparse.Namespace) -> None:
    from panopticond.commands.publish import publish
    from panopticond.config import read
    from panopticond.premises import furnish

    config = read(args.config)
    furnish(config)
    print(trio.run(publish, config, args.tld))


def _migrate(args: argparse.Namespace) -> None:
    from panopticond.commands.upgrade import migrate
    from panopticond.config import read

    print(trio.run(migrate, read(args.config), args.source))


def _backup(args: argparse.Namespace) -> None:
    from panopticond.commands.upgrade import backup
    from panopticond.config import read

    print(trio.run(backup, read(args.config), args.file))


def _restore(args: argparse.Namespace) -> None:
    from panopticond.commands.upgrade import restore
    from panopticond.config import read

    print(trio.run(partial(restore, read(args.config), args.file, replace=args.replace)))


def _report(args: argparse.Namespace) -> None:
    from panopticond.report.daily import render_from_records

    render_from_records(_readable(args.source), args.out)


def _feeds_list(_: argparse.Namespace) -> int:
    from panopticond.feeds.parse import list_command

    return list_command()


def _feeds_parse(args: argparse.Namespace) -> int:
    from panopticond.feeds.parse import parse_command
    from panopticond.shared.values import name_fault

    if problems := [f"--tld: {fault}" for tld in args.tld if (fault := name_fault(_text(tld).lstrip(".")))]:
        raise ConfigurationError(problems)
    return parse_command(args.format, args.file, tlds=args.tld, threat=args.threat, map_file=args.map_file)


def _feeds_test(args: argparse.Namespace) -> int:
    from panopticond.commands.feeds_test import feeds_test

    return trio.run(feeds_test, args.name, args.config, print)


def _keys_generate(args: argparse.Namespace) -> None:
    from panopticond.commands.keys import generate_keys

    print(generate_keys(args.out))


def _keys_public(args: argparse.Namespace) -> None:
    from panopticond.commands.keys import public_key

    print(public_key(args.key))


if __name__ == "__main__":
    sys.exit(main())
