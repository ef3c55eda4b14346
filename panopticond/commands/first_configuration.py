"""A first configuration from nothing but a TLD's name: what can be found out is found out, the rest has a default.

Before ``commands/onboard``, which writes and tries it. Pure but for ``time_zone``, which reads the system's own table.
``surroundings`` is the panopticond.toml of another network (the lab's, or an operator's own): what it says holds, feeds
and vantages included, so that nothing of the public internet is asked.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import zoneinfo
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from panopticond.feeds.catalogue import KNOWN, FeedSpec

OWN = ("store", "publish", "serve", "status", "mail", "roles", "group", "tld")
"""Sections of the surroundings that are another daemon's own and not taken over."""
HERE, SECOND = "here", "second"
_HEAD = """# Written by `panopticond onboard {tld}`. Every key: docs/reference/panopticond.toml.md.
# `panopticond check-config -c FILE` says whether it is good, `panopticond run -c FILE` starts it.

"""
_VANTAGES = """
# Two places to look from. Until the second one has a proxy abroad both look from this host: pages that hide from a
# country are then seen as this country sees them, and status says so.
[[vantage]]
name = "here"
country = "{country}"
# control_uri = "https://www.example/"      # a page of yours that must answer: tells dead sites from a dead network

[[vantage]]
name = "second"
country = "{country}"
# proxy = "http://proxy.example:3128"       # and its country above
# credentials_file = "/etc/panopticon/secrets/proxy"
"""


def keyless_feeds() -> list[FeedSpec]:
    """The public feeds that need no key and can speak of a TLD's names."""
    return [spec for spec in KNOWN if not spec.needs_key and spec.format != "feodo-csv"]


def time_zone(tld: str, tables: Sequence[str] = zoneinfo.TZPATH) -> str | None:
    """The time zone of a country-code TLD where its country has only one (zone.tab of the tz database)."""
    country = {"uk": "GB"}.get(tld, tld.upper())
    for folder in tables:
        try:
            lines = (Path(folder) / "zone.tab").read_text(encoding="ascii", errors="replace").splitlines()
        except OSError:
            continue
        zones = [line.split("\t")[2] for line in lines if line.startswith(country + "\t") and line.count("\t") >= 2]
        return zones[0] if len(zones) == 1 else None
    return None


def configuration(
    tld: str, out: Path, *, bind: str, rdap: str | None, zone: str | None, surroundings: Mapping[str, Any] | None
) -> str:
    """The text of a panopticond.toml whose every path is below ``out``."""
    around = dict(surroundings or {})
    known: dict[str, Any] = next((dict(one) for one in around.get("tld", ()) if one.get("name") == tld), {"name": tld})
    known.setdefault("timezone", zone or "UTC")
    if rdap is not None:
        known.setdefault("rdap", {"url": rdap})
    known["accounts"] = [{"name": tld, "password_file": str(out / "secrets" / tld)}]
    top = {key: around[key] for key in around if key not in OWN and key not in ("feed", "vantage")}
    ours: dict[str, Any] = {
        "store": {"path": str(out / "state" / "panopticon.db")},
        "publish": {"root": str(out / "repository"), "secret_key_file": str(out / "panopticon.key")},
        "serve": {"bind": bind},
        "status": {"socket": str(out / "status.sock")},
    }
    scalars = {key: value for key, value in top.items() if not _is_table(value)}
    tables = {key: value for key, value in top.items() if _is_table(value)}
    text = _HEAD.format(tld=tld) + toml({**scalars, "tld": [known]})
    if surroundings is None:
        text += "".join(
            f'\n[[feed]]                  # {spec.terms}\nname = "{spec.name}"\n' for spec in keyless_feeds()
        )
        text += _VANTAGES.format(country={"uk": "GB"}.get(tld, tld.upper()) if len(tld) == 2 else "ZZ")
    else:
        text += toml({key: around[key] for key in ("feed", "vantage") if key in around})
    return text + toml({**tables, **ours})


def toml(data: Mapping[str, Any]) -> str:
    """``data`` as TOML: scalars and lists first, tables after, lists of tables last (toml.io)."""
    lines = [f"{_key(key)} = {_value(value)}" for key, value in data.items() if not _is_table(value)]
    for key, value in data.items():
        if isinstance(value, Mapping):
            lines += ["", f"[{_key(key)}]", *_body(value)]
        elif _is_table(value):
            for entry in value:
                lines += ["", f"[[{_key(key)}]]", *_body(entry)]
    return "\n".join(lines) + "\n"


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _text(key)


def _text(value: str) -> str:
    """A basic string: JSON's, but that TOML has no surrogate pairs and wants DEL escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _is_table(value: object) -> bool:
    many = isinstance(value, Sequence) and not isinstance(value, str)
    return isinstance(value, Mapping) or (many and any(isinstance(entry, Mapping) for entry in value))  # type: ignore[attr-defined]


def _body(table: Mapping[str, Any]) -> list[str]:
    return [f"{_key(key)} = {_value(value)}" for key, value in table.items()]


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(entry)}" for key, entry in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(entry) for entry in value) + "]"
    return _text(value) if isinstance(value, str) else str(value)
