"""``panopticond check-config``: everything wrong with a configuration at once, without opening a socket.

``run`` reads its configuration by the same ``checked``, so that what this praises also starts.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from panopticond.config import Config, check, tlds
from panopticond.feeds.catalogue import resolve
from panopticond.serve.door import check as check_serve
from panopticond.shared.errors import ConfigurationError
from panopticond.shared.minisign import SecretKey
from panopticond.shared.settings import convert, read_toml
from panopticond.shared.values import folder_fault, secret_fault
from panopticond.store.opening import EXTRA


def check_config(path: Path) -> str:
    """One line of praise, or ConfigurationError with every fault and its path."""
    config = checked(path)
    served = ", ".join(f".{tld.name}" for tld in tlds(config))
    return f"{path}: good; serves {served} from {len(config.feed)} feeds at {len(config.vantage)} vantages"


def checked(path: Path) -> Config:
    """The configuration in a file; ConfigurationError with the faults of every stage: types, rules, files on disk."""
    return convert(read_toml(path), Config, lambda config: [*check(config), *on_this_host(config)])


def on_this_host(config: Config) -> list[str]:
    """What is wrong with the configuration here: feeds, secrets, keys, where it serves and what it may write."""
    serves = config.serve.enabled and "serve" in config.roles
    problems = [*_feeds(config), *check_serve(config)] if serves else _feeds(config)
    problems += [f"{key}: {fault}" for key, path in _secrets(config) if (fault := secret_fault(path))]
    for key in ("secret_key_file", "next_secret_key_file"):
        if "publish" in config.roles and (named := getattr(config.publish, key)) is not None:
            problems += _signing_key(f"publish.{key}", named)
    if config.serve.key_file is not None:
        # distributions give a group of daemons the keys of TLS: only the world must not read them
        fault = secret_fault(config.serve.key_file, mask=0o007)
        problems += [f"serve.key_file: {fault}"] if fault else []
    folders = {"publish.root": Path(config.publish.root)} if "publish" in config.roles else {}
    if config.store.url is None:
        folders["store.path"] = Path(config.store.path).parent
    elif importlib.util.find_spec("psycopg") is None:
        problems.append(f"store.url: {EXTRA}")
    return problems + [f"{key}: {fault}" for key, folder in folders.items() if (fault := folder_fault(folder))]


def _feeds(config: Config) -> list[str]:
    problems = []
    for at, feed in enumerate(config.feed):
        try:
            resolve(feed)
        except ConfigurationError as error:
            problems += [f"feed[{at}]{problem.removeprefix(f'feed.{feed.name}')}" for problem in error.problems]
    return problems


def _secrets(config: Config) -> Iterator[tuple[str, str]]:
    """Every secret file by its key."""
    named = [
        ("store.password_file", config.store.password_file),
        ("webrisk.key_file", config.webrisk.key_file),
        ("mail.password_file", config.mail.password_file),
    ]
    named += [(f"feed[{at}].key_file", feed.key_file) for at, feed in enumerate(config.feed)]
    named += [
        (f"tld[{at}].accounts[{number}].password_file", account.password_file)
        for at, tld in enumerate(config.tld)
        for number, account in enumerate(tld.accounts)
    ]
    named += [
        (f"vantage[{at}].credentials_file", vantage.credentials_file) for at, vantage in enumerate(config.vantage)
    ]
    return ((key, path) for key, path in named if path is not None)


def _signing_key(key: str, path: str) -> list[str]:
    try:
        SecretKey.read(Path(path))
    except ConfigurationError as error:
        return [f"{key}: {problem}" for problem in error.problems]
    fault = secret_fault(path)
    return [f"{key}: {fault}"] if fault else []
