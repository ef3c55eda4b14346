"""The lab's worlds: every behaviour is there, truth has time to settle, and the same seed gives the same world."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec
import pytest

import arke.config
import panopticond.config
from panopticond.shared.rdap.services import services_of
from panopticond.shared.zone import read_zone
from tests.lab.behaviours import RECIPES
from tests.lab.configure import configure, prepare
from tests.lab.model import Ports, World
from tests.lab.networks import STYLES, TOLD, network_of
from tests.lab.run import clock_settings
from tests.lab.world import behaviour_counts, make_world, write_zone, zone_changes

START = dt.datetime(2026, 3, 2, 4, 30, tzinfo=dt.UTC)
PORTS = Ports(
    tld_dns=(5301, 5302), registry_dns=(5305, 5306), resolver=5303, filtering=5304,
    proxies={"near": 3128, "far": 3129}, feeds=8001, webrisk=8002, tranco=8003, rdap=8004, smtp=2525, control=8005,
)  # fmt: skip


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(7, 300, start=START)


def test_every_behaviour_has_one_domain_in_a_hundred(world: World) -> None:
    """In a world of 300 every behaviour has three domains at least, and in one of 62 every one appears."""
    counts = behaviour_counts(world)
    assert set(counts) == set(RECIPES)
    assert min(counts.values()) >= 3
    assert set(behaviour_counts(make_world(7, 62, start=START))) == set(RECIPES)


def test_a_seed_is_a_world(world: World) -> None:
    """The same arguments give the same bytes, another seed gives other names, and a World survives JSON."""
    again = make_world(7, 300, start=START)
    assert msgspec.json.encode(world) == msgspec.json.encode(again)
    other = make_world(8, 300, start=START)
    assert not {domain.name for domain in other.domains} & {domain.name for domain in world.domains}
    assert msgspec.json.decode(msgspec.json.encode(world), type=World) == world


def test_changes_keep_their_distance(world: World) -> None:
    """Every change lies eight hours from every publication; but for a return, thirty and more before the last one."""
    hours = dt.timedelta(hours=1)
    moments = [truth.changed_at for domain in world.domains for truth in domain.indicators if truth.changed_at]
    assert moments
    for moment in moments:
        assert all(abs(moment - published) >= 8 * hours for published in world.publications)
    gone = [
        truth.changed_at
        for domain in world.domains
        for truth in domain.indicators
        if truth.changed_at and domain.behaviour != "reopened"
    ]
    assert all(world.publications[-1] - moment >= 30 * hours for moment in gone)
    assert set(zone_changes(world)) <= {moment - at * hours for moment in moments for at in (0, 24)}


def test_names_and_keys_are_each_their_own(world: World) -> None:
    """No two domains, indicators or people are the same by chance, and no recipient lies in a domain that is abused."""
    names = [domain.name for domain in world.domains]
    keys = [truth.key for domain in world.domains for truth in domain.indicators]
    assert len(set(names)) == len(names)
    assert len(set(keys)) == len(keys)
    recipients = {(notice.domain, notice.recipient) for domain in world.domains for notice in domain.truth.notices}
    assert len({recipient for _, recipient in recipients}) == len(recipients)
    assert not {recipient.rpartition("@")[2] for _, recipient in recipients} & set(names)


def test_who_hosts_is_told_where_its_network_has_a_desk(world: World) -> None:
    """Beside the holders, of what is due and of what no holder can be told; the world is the same but for that."""
    hosted = make_world(7, 300, start=START, hosters=True)
    assert [domain.hosts for domain in hosted.domains] == [domain.hosts for domain in world.domains]
    asked, due = set[str](), 0
    for domain, plain in zip(hosted.domains, world.domains, strict=True):
        desks = [notice for notice in domain.truth.notices if notice.template == "hoster"]
        others = [notice for notice in domain.truth.notices if notice.template != "hoster"]
        network = network_of(hosted.networks, domain.hosts[0].addresses[0][1][0])
        assert network is not None
        asked.add(network.style)
        if domain.behaviour != "contact-inside-domain" or not desks:
            assert others == list(plain.truth.notices)
        if desks:
            due += 1
            assert (desks[0].recipient, network.style in TOLD) == (network.abuse, True)
            assert desks[0].times == (2 if domain.behaviour in ("another-threat", "reopened") else 1)
        elif network.style in TOLD:
            assert not others
    assert asked == set(STYLES)
    assert due > 100
    silent = {"contacts-redacted", "contacts-missing", "rejected"}
    assert silent <= {domain.behaviour for domain in hosted.domains if len(domain.truth.notices) == 1}


def test_the_zone_follows_the_world(world: World, tmp_path: Path) -> None:
    """The exported zone holds what is delegated at its hour, and reads back with the registry's own reader."""
    path = tmp_path / "registry.zone"
    write_zone(world, path, world.start)
    before = set(read_zone(path).owners)
    write_zone(world, path, world.end)
    after = set(read_zone(path).owners)
    gone = {domain.name for domain in world.domains if domain.behaviour == "undelegated-later"}
    never = {domain.name for domain in world.domains if domain.behaviour == "nonexistent"}
    assert before - after == gone
    assert not before & never
    assert set(world.quiet_names) <= after


def test_both_configurations_are_accepted(world: World, tmp_path: Path) -> None:
    """What the lab writes passes both daemons' own reading, secrets are private, and the clock fits the run."""
    epoch, scale = clock_settings(world.start, world.publications[-1], 100.0)
    places = prepare(tmp_path / "out", epoch, scale)
    configure(world, PORTS, places)
    collector = panopticond.config.read(places.panopticond_toml)
    registry = arke.config.read(places.arke_json)
    assert collector.tld[0].publish_at == "02:30"
    assert len(collector.feed) == len(world.feeds)
    assert collector.clock.scale == pytest.approx(70 * 36)
    assert registry.tlds == ("zz",)
    assert not registry.dry_run
    assert (places.keys / "rdap").stat().st_mode & 0o077 == 0


def test_the_hoster_is_on_the_ladder_where_the_world_has_networks(world: World, tmp_path: Path) -> None:
    """Both of the registries' files name every network, each at its service; without networks the ladder is as shipped."""
    epoch, scale = clock_settings(world.start, world.publications[-1], 100.0)
    ports = msgspec.structs.replace(PORTS, address_rdap=(8006, 8007, 8008))
    for hosters in (False, True):
        made = make_world(7, 62, start=START, hosters=hosters)
        places = prepare(tmp_path / str(hosters), epoch, scale)
        configure(made, ports, places)
        settings = arke.config.read(places.arke_json)
        assert settings.ladder.has_hoster is hosters
    services = services_of([(Path(path).read_bytes(), True) for path in settings.hoster.bootstrap])
    assert services is not None
    assert {str(network) for network, _ in services.by_network} == {network.block for network in made.networks}
    assert {port for _, _, port in services.origins} == {8006, 8007, 8008}


def test_every_host_is_planted_once() -> None:
    """Two domains that redirect to one and the same other name do so to hosts of their own."""
    for seed in range(6):
        names = [host.name for domain in make_world(seed, 300, start=START).domains for host in domain.hosts]
        assert len(names) == len(set(names))
