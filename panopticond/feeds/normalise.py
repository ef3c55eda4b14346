"""A feed's row into an indicator, or why not. Pure: the same row always gives the same answer.

Between ``formats`` and the store. The URI's identity is its WHATWG serialisation (url.spec.whatwg.org, by can_ada) with
user-info and fragment dropped and personal tokens masked; defanged forms are refanged first; IDNA is UTS 46 as WHATWG
has it. Idempotent: a normalised URI normalises to itself.
"""

from __future__ import annotations

import re

import can_ada
import msgspec

from panopticond.feeds.formats.row import ADDRESS, OutOfScope, Row, Skip
from panopticond.feeds.mask import mask
from panopticond.model import Indicator, Threat
from panopticond.shared.names import Names, well_formed

URI_LIMIT = 1 << 15  # characters; few servers take a request line a quarter as long
NAME_LIMIT = 128
OTHER_TLD = OutOfScope("other-tld")
NO_NAME = OutOfScope("no-registrable-name")
MAIL_ADDRESS = OutOfScope("mail-address")


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """A row that names neither a usable URI nor a host; ``reason`` is one of a few words with hyphens."""

    reason: str


EMPTY = Rejected("empty")
TOO_LONG = Rejected("uri-too-long")
BAD_URI = Rejected("no-valid-uri")
BAD_HOST = Rejected("no-valid-host")
BAD_SCHEME = Rejected("scheme-not-http")

# The plainest hosts, which can be read at sight (no user-info, nothing encoded or defanged, no dot at the end), and the
# tails that WHATWG leaves as they are.
_SIGHT = re.compile(
    r"https?://(?:(?:[0-9]{1,3}\.){3}[0-9]{1,3}|((?:[a-z0-9_-]{1,63}\.)+([a-z][a-z0-9-]*)))(:[0-9]{1,5})?(?=[/?#]|\Z)"
)
_SIGHT_BYTES = re.compile(_SIGHT.pattern.encode())
_PLAIN_TAIL = re.compile(r"/[A-Za-z0-9._~!$&()*+,;=:?/-]*\Z")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://|(https?):", re.IGNORECASE)
_OPAQUE = re.compile(r"(?:mailto|javascript|data|tel|sms|magnet|about|file|urn|ipfs|bitcoin|blob):", re.IGNORECASE)
_DEFANGED_SCHEME = re.compile(
    r"\s*[\[({<]?(?:h(?:xx|tt|tx|xt|\*\*|__)p|meow)(s|\[s\]|\(s\))?[\])}>]?\s?"
    r"[\[({]?:[\])}]?\s?(?:[\[({]?[/\\]{1,2}[\])}]?){0,2}\s?[\])}]?",
    re.IGNORECASE,
)
_PLAIN_SCHEME = re.compile(r"\s*https?://", re.IGNORECASE)
_DEFANGED_DOT = re.compile(
    r"\s?[\[({<]\s?(?:\.|dot|punkt|point|d0t)\s?[\])}>]\s?|\\\.|\[\.|\.\]|(?<=\w)\s(?:dot)\s(?=\w)", re.IGNORECASE
)
_HOST_END = re.compile(r"[/?#]")
_DEFANGED_COLON = re.compile(r"[\[({]:[\])}]")
_DEFANGED_SLASH = re.compile(r"[\[({]/[\])}]")
_DEFANGED_AT = re.compile(r"\s?[\[({]\s?(?:@|at)\s?[\])}]\s?", re.IGNORECASE)
_SUSPECT = re.compile(r"[\[({<*\\]|\sdot\s|^(?!https?:)\s*[\[({<]?(?:hx|ht[x*]|h\*|meow)|\.\]", re.IGNORECASE)


def normalise(row: Row, names: Names, default_threat: Threat) -> Indicator | OutOfScope | Rejected:
    """The indicator a row means, ``OutOfScope`` (another TLD, an address, no registrable name) or ``Rejected``."""
    value = row.value
    sight = _SIGHT.match(value)
    if sight is not None:
        host, tld, port = sight.groups()
        if tld is None:
            return ADDRESS
        if names.last_labels is not None and tld not in names.last_labels:
            return OTHER_TLD
        end = sight.end()
        if port is None and _PLAIN_TAIL.match(value, end) and "/." not in value and "xn--" not in host:
            return _in_scope(value, host, row, names, default_threat)
    value = value.strip()
    if not value:
        return EMPTY
    if len(value) > URI_LIMIT:
        return TOO_LONG
    if _SUSPECT.search(value):
        value = refang(value)
    host_only = row.host_only
    if host_only is None or (host_only and ("/" in value or ":" in value)):
        host_only = not any(mark in value for mark in "/:?#@\\")
    if host_only:
        return _host(row, value, names, default_threat)
    return _uri(row, value, names, default_threat)


def at_sight(names: Names) -> Skip:
    """What tells an address or another TLD in a raw URI as ``normalise`` would, without making a row of it."""
    served = None if names.last_labels is None else frozenset(label.encode() for label in names.last_labels)
    match = _SIGHT_BYTES.match

    def skip(uri: bytes) -> OutOfScope | None:
        sight = match(uri)
        if sight is None:
            return None
        label = sight[2]
        if label is None:
            return ADDRESS
        return None if served is None or label in served else OTHER_TLD

    return skip


def _uri(row: Row, value: str, names: Names, default_threat: Threat) -> Indicator | OutOfScope | Rejected:
    scheme = _SCHEME.match(value)
    if scheme is None:
        if _OPAQUE.match(value):
            return BAD_SCHEME
        authority = re.split(r"[/?#\\]", value.lstrip("/\\"), maxsplit=1)[0]
        if "@" in authority:
            return MAIL_ADDRESS  # no scheme and an @: an address, whose host is nobody's accusation
        value = "http://" + value.lstrip("/\\")
    elif (scheme[1] or scheme[2]).lower() not in ("http", "https"):
        return BAD_SCHEME
    if not value.isascii():
        value = value.encode("utf-8", "replace").decode()  # JSON can bring half of a surrogate pair
    try:
        url = can_ada.parse(value)
        href, host = url.href, url.hostname
    except (ValueError, UnicodeError):
        return BAD_URI
    if "#" in href:
        href = href[: href.index("#")]
    if "@" in href:
        href = _without_user(href)
    return _in_scope(href, host.rstrip("."), row, names, default_threat)


def _in_scope(
    href: str, host: str, row: Row, names: Names, default_threat: Threat
) -> Indicator | OutOfScope | Rejected:
    place = names.place(host)
    if place is None:
        return _no_place(host, names)
    uri, altered = mask(href)
    if len(uri) > URI_LIMIT:
        return TOO_LONG
    return Indicator(
        uri,
        host,
        place.domain,
        place.tld,
        place.scope,
        row.threat or default_threat,
        row.first_seen,
        _name_of(row),
        altered,
    )


def _host(row: Row, value: str, names: Names, default_threat: Threat) -> Indicator | OutOfScope | Rejected:
    name = value.removeprefix("*").strip(".")
    if not name:
        return BAD_HOST
    if not (name.isascii() and name.islower() and well_formed(name)) or name[-1].isdigit() or "xn--" in name:
        try:
            name = name.encode("utf-8", "replace").decode()
            name = can_ada.parse(f"http://{name}").hostname
        except (ValueError, UnicodeError):
            return BAD_HOST
    name = name.rstrip(".")
    place = names.place(name)
    if place is None:
        return _no_place(name, names)
    return Indicator(
        None,
        place.host,
        place.domain,
        place.tld,
        place.scope,
        row.threat or default_threat,
        row.first_seen,
        _name_of(row),
    )


def _name_of(row: Row) -> str | None:
    """The feed's identifier of a row if it is a plain word: printable, short, and nobody's address."""
    name = row.source_id
    if name is None or (name.isascii() and name.isprintable() and len(name) <= NAME_LIMIT and "@" not in name):
        return name
    return None


def _no_place(host: str, names: Names) -> OutOfScope | Rejected:
    last = host.rpartition(".")[2]
    if host.startswith("[") or last.isdigit():
        return ADDRESS
    if not well_formed(host):
        return BAD_HOST
    return NO_NAME if names.last_labels is None or last in names.last_labels else OTHER_TLD


def _without_user(href: str) -> str:
    scheme, _, rest = href.partition("//")
    authority, slash, tail = rest.partition("/")
    return f"{scheme}//{authority.rpartition('@')[2]}{slash}{tail}"


def refang(text: str) -> str:
    """The URI or host a defanged text means (hxxp, [.], (dot), [:], meow:// ...); itself if it is not defanged.

    Brackets count where a host can be: up to the first slash, question mark or hash after it, and behind that only when
    the host itself was defanged, for brackets in a path or query may be the URI's own.
    """
    plain = _PLAIN_SCHEME.match(text)
    defanged = _DEFANGED_SCHEME.match(text) if plain is None else None
    scheme = ""
    if plain is not None:
        scheme, text = plain[0], text[plain.end() :]
    elif defanged is not None:
        scheme, text = ("https://" if defanged[1] else "http://"), text[defanged.end() :]
    text = _DEFANGED_COLON.sub(":", _DEFANGED_SLASH.sub("/", text))
    cut = _HOST_END.search(text)
    host, tail = (text[: cut.start()], text[cut.start() :]) if cut else (text, "")
    plain_host = _DEFANGED_AT.sub("@", _DEFANGED_DOT.sub(".", host))
    if plain_host == host:
        return scheme + text
    return scheme + plain_host.strip() + _DEFANGED_DOT.sub(".", tail)
