"""What every publication needs of the configuration, read once: the root, the keys, the rules; and which key signs.

Before ``publish``. A next key is announced in every manifest as soon as it is configured and signs from its day on, but
never before it has been announced for thirty days: readers who follow ``keys_next`` must have seen it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import msgspec

from panopticond.config import Config
from panopticond.judge.resemblance import Resemblance
from panopticond.judge.verdict import judge
from panopticond.model import Verdict
from panopticond.shared.errors import ConfigurationError, RefusedError
from panopticond.shared.keyfile import own_key
from panopticond.shared.minisign import PublicKey, SecretKey
from panopticond.shared.settings import seconds
from panopticond.snapshot import tree
from panopticond.snapshot.conclude import Assess, unguarded
from panopticond.snapshot.licences import Veil
from panopticond.store.interface import SURROGATES

ANNOUNCED_FOR = dt.timedelta(days=30)


class Press(msgspec.Struct, frozen=True):
    """What every publication needs of the configuration, read once."""

    root: Path
    key: SecretKey
    veil: Veil
    expires: dt.timedelta
    keep: int
    check_interval: dt.timedelta
    popular_rank: int
    vantages: tuple[tuple[str, str], ...]
    """(name, country) of every configured vantage."""
    next_key: SecretKey | None = None
    """Announced to readers thirty days before use."""
    next_from: dt.datetime | None = None
    """From when on it signs."""
    lookalike: Callable[[str], str | None] = lambda _name: None
    judge: Callable[..., Verdict] = judge
    """The same that judges after every round."""
    assess: Assess = unguarded
    """Its net for the class of a domain."""

    @property
    def public_keys(self) -> tuple[PublicKey, ...]:
        """Every key a snapshot of ours may be signed with."""
        return tuple(key.public for key in (self.key, self.next_key) if key is not None)


def press(config: Config, surrogates: bytes | None = None) -> Press:
    """The press a configuration describes; reads the secret key, makes the surrogates' key on first use.

    ``surrogates`` is that key where many hosts share it; else it stands in a file beside the store.
    """
    validation = config.validation
    return Press(
        root=Path(config.publish.root),
        key=SecretKey.read(Path(config.publish.secret_key_file)),
        veil=Veil(surrogates or _surrogate_key(Path(config.store.path).with_name(SURROGATES))),
        expires=dt.timedelta(seconds=seconds(config.publish.expires)),
        keep=config.publish.keep,
        check_interval=dt.timedelta(seconds=seconds(validation.window) / validation.checks_per_window),
        popular_rank=config.tranco.popular_rank,
        next_key=SecretKey.read(Path(config.publish.next_secret_key_file))
        if config.publish.next_secret_key_file
        else None,
        next_from=dt.datetime.fromisoformat(config.publish.next_key_from).replace(tzinfo=dt.UTC)
        if config.publish.next_key_from
        else None,
        vantages=tuple((vantage.name, vantage.country) for vantage in config.vantage),
        lookalike=Resemblance(name for tld in config.tld for name in tld.critical),
    )


def signer(press: Press, directory: Path, now: dt.datetime) -> tuple[SecretKey, tuple[str, ...]]:
    """The key that signs at ``now`` and the ``keys_next`` to announce with it; reads the published manifests."""
    following = press.next_key
    if following is None or press.next_from is None:
        return press.key, ()
    try:
        if tree.latest(directory, following.public) is not None:
            return following, ()  # it has begun; there is no way back
    except RefusedError:
        pass  # the newest one is still signed with the key before
    since = tree.announced_since(directory, following.public.text)
    if now >= press.next_from and since is not None and now - since >= ANNOUNCED_FOR:
        return following, ()
    return press.key, (following.public.text,)


def _surrogate_key(path: Path) -> bytes:
    """The key beside the store that turns a name into its surrogate."""
    try:
        return own_key(path)
    except OSError as error:
        raise ConfigurationError([f"{path}: cannot make or read the surrogates' key: {error.strerror}"]) from error
    except ValueError as error:
        raise ConfigurationError([f"{path}: not the surrogates' key; restore it or remove it"]) from error
