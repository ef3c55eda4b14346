"""``panopticond check-config``: everything wrong with a configuration at once, without opening a socket."""

from __future__ import annotations

from pathlib import Path

from panopticond.config import read, tlds
from panopticond.feeds.catalogue import resolve
from panopticond.shared.errors import ConfigurationError
from panopticond.shared.minisign import SecretKey
from panopticond.shared.settings import read_secret


def check_config(path: Path) -> str:
    """One line of praise, or ConfigurationError with every fault and its path."""
    config = read(path)
    problems: list[str] = []
    for at, feed in enumerate(config.feed):
        try:
            resolve(feed)
        except ConfigurationError as error:
            problems += [
                problem if problem.startswith("feed") else f"feed[{at}]: {problem}" for problem in error.problems
            ]
    secrets = [config.webrisk.key_file, *(feed.key_file for feed in config.feed)]
    secrets += [account.password_file for tld in config.tld for account in tld.accounts]
    for secret in secrets:
        if secret is not None:
            try:
                read_secret(secret)
            except ConfigurationError as error:
                problems += error.problems
    try:
        SecretKey.read(Path(config.publish.secret_key_file))
    except ConfigurationError as error:
        problems += [f"publish.secret_key_file: {problem}" for problem in error.problems]
    if problems:
        raise ConfigurationError(problems)
    served = ", ".join(f".{tld.name}" for tld in tlds(config))
    return f"{path}: good; serves {served} from {len(config.feed)} feeds at {len(config.vantage)} vantages"
