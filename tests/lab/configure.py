"""Real configuration files for both daemons out of a world, its ports and a directory: panopticond.toml and arke.json.

Between the lab's internet (which knows its ports) and the daemons (which know nothing of a lab but ``lab = true``).
Every key written here is one of ``panopticond/config.py`` or ``arke/config.py``; secrets go to files of mode 0600.
"""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from panopticond.shared.minisign import SecretKey
from tests.lab.model import Ports, World
from tests.lab.networks import service_of
from tests.lab.world import canary, critical_names, write_zone

ALLOWED = ["127.0.0.0/8", "::1/128", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"]
CONTROL_URI = "http://control.lab.test/"
SOCKET_PATH_LIMIT = 90
"""Characters of a Unix socket's path that leave room below the kernel's 108 bytes."""


class Places(msgspec.Struct, frozen=True):
    """Where everything of one lab run lies; ``root`` is the output directory."""

    root: Path
    sockets: Path
    clock_epoch: dt.datetime
    clock_scale: float

    @property
    def panopticond_toml(self) -> Path:
        """The collector's configuration."""
        return self.root / "panopticond.toml"

    @property
    def arke_json(self) -> Path:
        """The registry's configuration."""
        return self.root / "arke.json"

    @property
    def published(self) -> Path:
        """The repository's root."""
        return self.root / "published"

    @property
    def panopticon_state(self) -> Path:
        """Directory of the collector's store."""
        return self.root / "panopticon-state"

    @property
    def arke_state(self) -> Path:
        """Directory of the ledger, the outbox and the reports."""
        return self.root / "arke-state"

    @property
    def logs(self) -> Path:
        """Directory of every process's standard error."""
        return self.root / "logs"

    @property
    def keys(self) -> Path:
        """Directory of the signing key and every secret file."""
        return self.root / "keys"

    @property
    def zone(self) -> Path:
        """The TLD's master file, as the registry would export it."""
        return self.root / "registry.zone"

    @property
    def mails(self) -> Path:
        """Mails the SMTP server accepted, NDJSON."""
        return self.root / "mails.ndjson"

    @property
    def kills(self) -> Path:
        """Names of the daemons killed, a line each."""
        return self.root / "kills.txt"


def prepare(root: Path, epoch: dt.datetime, scale: float) -> Places:
    """The directories of a run, made; sockets go to a short temporary directory when ``root`` is too deep for one."""
    root = root.resolve()
    short = len(str(root)) < SOCKET_PATH_LIMIT - len("/arke.sock")
    sockets = root if short else Path(tempfile.mkdtemp(prefix="lab"))
    places = Places(root, sockets, epoch, scale)
    for folder in (root, places.published, places.panopticon_state, places.arke_state, places.logs, places.keys):
        folder.mkdir(parents=True, exist_ok=True)
    return places


def configure(world: World, ports: Ports, places: Places, *, changes: Mapping[str, Any] | None = None) -> None:
    """Write keys, secrets, the zone and both configuration files; ``changes`` are laid over arke.json's top level."""
    key = SecretKey.generate()
    _secret(places.keys / "panopticon.key", key.file_text)
    (places.keys / "panopticon.pub").write_text(key.public.file_text, encoding="ascii")
    for name, _ in world.vantages:
        _secret(places.keys / f"proxy-{name}", f"lab:lab-{name}")
    _secret(places.keys / "webrisk", "lab-webrisk-key")
    _secret(places.keys / "rdap", "lab-rdap")
    if not world.zone_files:
        write_zone(world, places.zone, world.start)
    places.panopticond_toml.write_text(toml(_panopticond(world, ports, places)), encoding="utf-8")
    arke = _arke(world, ports, places, key.public.text) | _hosters(world, ports, places) | dict(changes or {})
    places.arke_json.write_text(json.dumps(arke, indent=1) + "\n", encoding="utf-8")


def _panopticond(world: World, ports: Ports, places: Places) -> dict[str, Any]:
    published = world.publications[0] if world.publications else world.start
    return {
        "lab": True,
        "clock": {"epoch": places.clock_epoch, "scale": places.clock_scale},
        "tld": [
            {
                "name": tld,
                "suffixes": [tld, *(zone for zone in world.registry_zones if zone.endswith("." + tld))],
                "registry_zones": [zone for zone in world.registry_zones if zone.endswith("." + tld)],
                "shared_services": list(world.shared_services),
                "servers": [f"127.0.0.1:{port}" for port in ports.tld_dns],
                "publish_at": f"{published:%H:%M}",
                "critical": list(critical_names(world)),
                "rdap": {"url": f"http://127.0.0.1:{ports.rdap}/public/"},
                "hold_ns": [world.hold_ns],
                "hold_ip": [world.hold_ip],
                "hold_page": [world.hold_page],
            }
            for tld in world.tlds
        ],
        "feed": [
            {
                "name": feed.name,
                "url": f"http://127.0.0.1:{ports.feeds}/{feed.name}",
                "format": feed.format,
                "threat": feed.threat,
                "every": feed.every,
                "licence": feed.licence,
                "absence": feed.absence,
                "trust": feed.trust,
            }
            | ({"stale_after": feed.stale_after} if feed.stale_after else {})
            | ({"deadline": feed.deadline} if feed.deadline else {})
            for feed in world.feeds
        ],
        "vantage": [_vantage(places, ports, name, country) for name, country in world.vantages],
        "validation": {
            "concurrency": 48,
            "per_host_seconds": 0.01,
            "connect_timeout": "1500ms",
            "probe_deadline": "4s",
            "allow_networks": ALLOWED,
            "sinkholes": [world.sinkhole_ip],
        },
        "dns": {"rate_per_server": 5000.0, "timeout": "800ms", "attempts": 2},
        "quad9": {
            "filtered": [f"127.0.0.1:{ports.filtering}"],
            "unfiltered": [f"127.0.0.1:{ports.resolver}"],
            "rate": 5000.0,
        },
        "webrisk": {
            "key_file": str(places.keys / "webrisk"),
            "url": f"http://127.0.0.1:{ports.webrisk}",
            "daily_budget": 1_000_000,
            "rate": 1000.0,
        },
        "tranco": {
            "url": f"http://127.0.0.1:{ports.tranco}/top-1m.csv.zip",
            "id_url": f"http://127.0.0.1:{ports.tranco}/top-1m-id",
        },
        "registration": {"rate": 1000.0},
        "store": {"path": str(places.panopticon_state / "panopticon.db")},
        "publish": {"root": str(places.published), "secret_key_file": str(places.keys / "panopticon.key")},
        "serve": {"enabled": False},
        "status": {"socket": str(places.sockets / "pd.sock")},
    }


def _vantage(places: Places, ports: Ports, name: str, country: str) -> dict[str, Any]:
    return {
        "name": name,
        "country": country,
        "proxy": f"http://127.0.0.1:{ports.proxies[name]}",
        "credentials_file": str(places.keys / f"proxy-{name}"),
        "control_uri": CONTROL_URI,
    }


def _arke(world: World, ports: Ports, places: Places, public_key: str) -> dict[str, Any]:
    tld = world.tlds[0]
    rdap: dict[str, Any] = {
        "url": f"http://127.0.0.1:{ports.rdap}/{'registry' if world.seed % 2 else 'reddog'}/",
        "username": "arke",
        "password_file": str(places.keys / "rdap"),
        "rate": 1000.0,
        "timeout": "5s",
    }
    if (name := canary(world)) is not None:
        rdap["canary"] = name
    zone = world.zone_files.get(tld, str(places.zone))
    return {
        "tld": tld,
        "keys": [public_key],
        "records": str(places.published / tld / "latest" / "records.sql"),
        "zone": zone,
        "rdap": rdap,
        "smtp": {"host": "127.0.0.1", "port": ports.smtp, "from": f"abuse@nic.{tld}", "timeout": "5s"},
        "state": str(places.arke_state),
        "dry_run": False,
        "poll": "10m",
        "organisation": f"Registry of .{tld}",
        "recheck": {
            "servers": [f"127.0.0.1:{port}" for port in ports.registry_dns],
            "resolver": [f"127.0.0.1:{ports.resolver}"],
            "vantages": [_vantage(places, ports, name, country) for name, country in world.vantages],
            "hold_ns": [world.hold_ns],
            "hold_ip": [world.hold_ip],
            "hold_page": [world.hold_page],
            "registry_zones": list(world.registry_zones),
            "allow_networks": ALLOWED,
            "connect_timeout": "1500ms",
            "probe_deadline": "4s",
            "concurrency": 16,
            "rate_per_server": 5000.0,
        },
        # A run ends soon after its last publication: what the daily ceiling puts off for hours would never be seen.
        "limits": {"per_hour": 100_000, "per_run": 100_000, "per_domain_day": 100, "per_recipient_day": 100_000},
        "status": {"socket": str(places.sockets / "ar.sock")},
        "shared_services": list(world.shared_services),
        "clock": {"epoch": places.clock_epoch.isoformat(), "scale": places.clock_scale},
        "lab": True,
    }


def _hosters(world: World, ports: Ports, places: Places) -> dict[str, Any]:
    """What makes arke tell hosters beside the first rung, and the registries' two files; nothing without networks."""
    if not world.networks:
        return {}
    files = []
    for version in (4, 6):
        blocks = [network for network in world.networks if (":" in network.block) == (version == 6)]
        services = [
            [[network.block for network in blocks if service_of(network) == number], [f"http://127.0.0.1:{port}/rdap/"]]
            for number, port in enumerate(ports.address_rdap)
        ]
        files.append(places.keys / f"rdap-ipv{version}.json")
        files[-1].write_text(json.dumps({"version": "1.0", "services": services}), encoding="ascii")
    return {
        "ladder": {
            "first": ["registrant", "administrative", "technical", "hoster"],
            "malicious_first": ["registrant", "abuse", "registrar", "hoster"],
        },
        "hoster": {"bootstrap": [str(path) for path in files], "rate": 1000.0, "timeout": "1s"},
    }


def _secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text + ("" if text.endswith("\n") else "\n"), encoding="utf-8")


def toml(data: Mapping[str, Any]) -> str:
    """``data`` as TOML: scalars and lists first, tables after, lists of tables last."""
    lines = [f"{key} = {_value(value)}" for key, value in data.items() if not _is_table(value)]
    for key, value in data.items():
        if isinstance(value, Mapping):
            lines += ["", f"[{key}]", *_body(value)]
        elif _is_table(value):
            for entry in value:
                lines += ["", f"[[{key}]]", *_body(entry)]
    return "\n".join(lines) + "\n"


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and any(isinstance(entry, Mapping) for entry in value)
    )


def _body(table: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {_value(value)}" for key, value in table.items()]


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(entry)}" for key, entry in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(entry) for entry in value) + "]"
    return json.dumps(value)
