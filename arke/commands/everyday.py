"""The commands that end by themselves: check-config, verify, preview, queue.

Beside the daemon: ``__main__`` calls them with what the command line said. Human text to a terminal, JSON when asked.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import trio

from arke.cases.ladder import NOT_IN_ZONE
from arke.cases.ledger import DECISIONS, Ledger
from arke.cases.outcome import HELD_BACK, Outcome
from arke.commands.advice import advice
from arke.config import Account, Config, read
from arke.config_rules import missing_files
from arke.mail import template
from arke.main import preview
from arke.rooms import with_certificate
from arke.screening.lists import read_layout
from arke.screening.opinion import read_policy
from arke.screening.popular import popular_names
from arke.screening.settings import Screen
from arke.watch import USER_AGENT, verify_url
from arke.zone import transfer
from panopticond.shared.clock import Clock
from panopticond.shared.control import ask
from panopticond.shared.errors import ConfigurationError, ControlError, PanopticonError, RefusedError
from panopticond.shared.http import Http
from panopticond.shared.lookalike.keyboard import LAYOUTS
from panopticond.shared.minisign import PublicKey
from panopticond.shared.records import read_tables
from panopticond.shared.settings import read_secret
from panopticond.shared.snapshot import MANIFEST, RECORDS, Manifest, verify_tree
from panopticond.shared.values import OTHERS, folder_fault, is_file, secret_fault
from panopticond.shared.zone import read_names


def checked(path: Path) -> Config:
    """The configuration in a file; ConfigurationError with the faults of every stage: types, rules, files on disk."""
    return read(path, on_this_host)


def check_config(path: Path) -> None:
    """Everything that can be wrong before the first packet, as one ConfigurationError; else a line of praise."""
    config = checked(path)
    how = "nothing is sent (dry_run)" if config.dry_run else "notices are sent"
    print(f"{path}: good, for {', '.join('.' + tld for tld in config.tlds)}; {how}")


def on_this_host(config: Config) -> list[str]:
    """What is wrong with the configuration here: files, secrets, keys, template, the zone, lists, where state goes."""
    problems = missing_files(config)
    problems += [f"{key}: {fault}" for key, path, mask in _secrets(config) if (fault := secret_fault(path, mask=mask))]
    if config.template is None or is_file(config.template):
        path = Path(config.template) if config.template else None
        problems += _problems("", functools.partial(template.load, path, config.language))
    for number, key in enumerate(config.keys):
        problems += _problems(f"keys[{number}]", functools.partial(PublicKey.parse, key))
    for section, holder in (("rdap", config.rdap), ("account", config.account), ("mosapi", config.mosapi)):
        if holder is not None and holder.certificate_file is not None and is_file(holder.certificate_file):
            problems += _problems(
                f"{section}.certificate_file", functools.partial(with_certificate, Http(USER_AGENT), holder)
            )
    if (served := config.transfer) is not None and served.key_file is not None and is_file(served.key_file):
        problems += _problems("", functools.partial(transfer.server, served.server, served.key_file, 1.0))
    zone = config.zone
    if zone is not None and "://" not in zone:
        paths = [zone.replace("{tld}", tld) for tld in config.tlds]
        problems += [
            f"zone: {path}: no such file; arke would take the snapshot's word" for path in paths if not is_file(path)
        ]
    problems += _of_screen(config.screen)
    fault = folder_fault(Path(config.state))
    return problems + ([f"state: {fault}"] if fault else [])


def _of_screen(screen: Screen) -> list[str]:
    """Files of ``screen`` that are there and are not what they are named for."""
    problems = []
    for kind in ("protect", "exclude"):
        for at, path in enumerate(getattr(screen, kind)):
            problems += _problems(f"screen.{kind}[{at}]", functools.partial(_plain_list, path))
    for at, layout in enumerate(screen.keyboards):
        if isinstance(layout, str) and layout not in LAYOUTS and is_file(layout):
            problems += _problems(f"screen.keyboards[{at}]", functools.partial(read_layout, Path(layout)))
    if screen.popular is not None and is_file(screen.popular):
        problems += _problems("screen.popular", functools.partial(popular_names, Path(screen.popular), 1))
    if screen.policy is not None and is_file(screen.policy):
        problems += _problems("screen.policy", functools.partial(read_policy, Path(screen.policy)))
    return problems


def _secrets(config: Config) -> Iterator[tuple[str, str, int]]:
    """Every secret file that is there, by its key, with the permissions it must not have; others are missing."""
    holders = {"rdap": config.rdap, "smtp": config.smtp, "account": config.account, "mosapi": config.mosapi}
    found = [
        (f"{section}.{key}", getattr(holder, key, None), mask)
        for section, holder in holders.items()
        for key, mask in (
            ("password_file", OTHERS),
            ("token_file", OTHERS),
            ("header_file", OTHERS),
            ("certificate_key_file", 0o007),
        )
    ]
    found.append(("transfer.key_file", config.transfer.key_file if config.transfer else None, OTHERS))
    found += [
        (f"recheck.vantages[{at}].credentials_file", vantage.credentials_file, OTHERS)
        for at, vantage in enumerate(config.recheck.vantages)
    ]
    return ((key, path, mask) for key, path, mask in found if path is not None and is_file(path))


def _plain_list(path: str) -> None:
    """ConfigurationError for what is no list of names: binary, or a file that cannot be read."""
    if is_file(path) and any("\0" in name or "\ufffd" in name for name in read_names(path)):
        raise ConfigurationError([f"{path}: is no list of names, one a line"])


def _problems(key: str, attempt: Callable[[], object]) -> list[str]:
    try:
        attempt()
    except ConfigurationError as error:
        return [f"{key}: {problem}" if key else problem for problem in error.problems]
    except (PanopticonError, OSError, ValueError) as error:
        return [f"{key}: {error}"]
    return []


async def verify(where: str, keys: Sequence[str], tld: str | None, config: Config | None) -> None:
    """Verify a snapshot by directory or URL, by the real clock unless a configuration has one; else RefusedError."""
    texts = [*keys] or (list(config.keys) if config else [])
    if not texts:
        raise ConfigurationError(["arke verify: give the publisher's public key with --key RW..., or -c arke.json"])
    try:
        pinned = [PublicKey.parse(text) for text in texts]
    except (PanopticonError, ValueError) as error:
        raise ConfigurationError([f"--key: {error}"]) from error
    clock = Clock.from_settings(config.clock, lab=config.lab) if config else Clock()
    manifest = await _verified(where, pinned, tld, clock.now(), config.account if config else None)
    print(
        f"good: .{manifest.tld} snapshot {manifest.serial}, {manifest.start} to {manifest.end}, "
        f"{len(manifest.files)} files, expires {manifest.expires}"
    )


async def _verified(
    where: str, keys: Sequence[PublicKey], tld: str | None, now: dt.datetime, account: Account | None
) -> Manifest:
    if "://" in where:
        auth = None
        if account is not None and account.username is not None and account.password_file is not None:
            auth = (account.username, read_secret(account.password_file))
        http = with_certificate(Http(USER_AGENT), account)
        with tempfile.TemporaryDirectory(prefix="arke-verify-") as folder:
            manifest = await verify_url(http, where, Path(folder), keys, tld=tld, now=now, auth=auth)
            await _readable(Path(folder), manifest)
            return manifest
    path = Path(where)
    directory = path if path.is_dir() else path.parent
    try:
        path.stat()
        directory = directory.resolve(strict=True)
        (directory / MANIFEST).stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        what = f"no {MANIFEST} here" if path.is_dir() and isinstance(error, FileNotFoundError) else reason
        raise PanopticonError(f"{where}: {what}; give a snapshot's directory or URL, as /srv/zz/latest") from error
    manifest = await trio.to_thread.run_sync(functools.partial(verify_tree, directory, keys, tld=tld, now=now))
    await _readable(directory, manifest)
    return manifest


async def _readable(directory: Path, manifest: Manifest) -> None:
    """RefusedError when the records, signed and whole, are still not what arke could read, or of another snapshot."""
    tables = await trio.to_thread.run_sync(functools.partial(read_tables, directory / RECORDS, kept=_snapshot_only))
    (row,) = tables["snapshot"]
    if (row.tld, row.serial) != (manifest.tld, manifest.serial):
        raise RefusedError(f"{RECORDS}: speaks of .{row.tld} {row.serial}, its manifest of another snapshot; refused")


def _snapshot_only(rows: Iterable[tuple[str, Any]]) -> dict[str, list[Any]]:
    """Every row is read and checked; none but the snapshot's own is kept."""
    return {"snapshot": [row for table, row in rows if table == "snapshot"]}


async def preview_command(config: Config, out: Path) -> None:
    """Write every notice due now under ``out`` and say what would not be sent, why, and what to do about it."""
    outcomes = await preview(config, out)
    for outcome in sorted(outcomes, key=lambda outcome: (outcome.what, outcome.case.id)):
        if outcome.what != "draft":
            told = advice(outcome.what, outcome.reason)
            name = outcome.case.host or outcome.case.domain
            print(f"{outcome.case.id} {name}: {outcome.what} ({outcome.reason})" + (f": {told}" if told else ""))
    for line in _previewed(config, outcomes, out):
        print(line)


def _previewed(config: Config, outcomes: Sequence[Outcome], out: Path) -> Iterator[str]:
    """What a preview comes to, and what to do next."""
    drafts = sum(outcome.what == "draft" for outcome in outcomes)
    held = sum(outcome.what in ("review", "cancelled") and outcome.reason != NOT_IN_ZONE for outcome in outcomes)
    if config.rdap is None and config.contacts is None and drafts + held:
        to = config.manager_of(config.tlds[0])
        yield f'drafts are addressed to {to}, to pass on: with "rdap" or "contacts" in arke.json they find the holders'
    if held:
        yield (
            f"{held} cases are held back by a look just now; what the snapshot alone would have told them is in"
            f" {out}/*{HELD_BACK}. Where this machine cannot ask the TLD's own servers, name some in recheck.servers"
            " and recheck.resolver"
        )
    if drafts:
        yield f"{drafts} cases have notices due, written under {out}; nothing was sent"
    else:
        yield "no case has a notice due now; nothing was sent"


async def queue_list(config: Config, *, as_json: bool) -> None:
    """What waits for a person, with the reason; straight from the ledger, so that no daemon need run."""
    async with Ledger.open(Path(config.state)) as ledger:
        entries = await ledger.queue()
    if as_json:
        print(json.dumps([msgspec.to_builtins(entry) for entry in entries]))
        return
    for entry in entries:
        decided = f" ({entry.state} {entry.decided_at})" if entry.decided_at else ""
        print(f"{entry.id:>6}  {entry.case_id}  {entry.reason}  since {entry.at}{decided}")
    if not entries and sys.stdout.isatty():
        print("nothing waits")


async def queue_decide(config: Config, entry: str, word: str) -> None:
    """Write a person's word: by the daemon where one runs, so that it acts at once, else straight into the ledger."""
    try:
        answer = await ask(config.status.socket, {"do": "decide", "id": entry, "word": word})
        if "error" in answer:
            raise PanopticonError(f"arke queue: {answer['error']}")
        changed = len(answer["queue"])
    except ControlError:
        clock = Clock.from_settings(config.clock, lab=config.lab)
        async with Ledger.open(Path(config.state)) as ledger:
            changed = len(await ledger.decide(entry, word, clock.now()))
    if not changed:
        raise PanopticonError(
            f"arke queue: no entry {entry} can be decided: see `arke queue list` for those of cases not reopened since"
        )
    print(f"{entry}: {DECISIONS[word]}")
