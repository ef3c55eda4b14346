"""panopticond.shared.zone: BIND master files, against dnspython and against damage."""

from __future__ import annotations

import bz2
import gzip
import itertools
import os
import random
import re
from pathlib import Path

import dns.rdatatype
import dns.zone
import pytest

from panopticond.shared.errors import PanopticonError
from panopticond.shared.zone import looks_like_zone, read_names, read_zone

ZONES = Path(os.environ.get("PANOPTICON_DATA", Path(__file__).parents[3] / ".." / "shared" / "data")) / "zones"
EE, TRUNCATED = ZONES / "ee.2026-08-20.zone.gz", ZONES / "root.2020-11-27.truncated.zone"
SOA = "@ 3600 IN SOA ns hostmaster 7 1800 900 1209600 3600\n@ NS ns\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def by_dnspython(text: str, origin: str) -> dict[str, tuple[str, ...]]:
    zone = dns.zone.from_text(text, origin=origin + ".", relativize=False, check_origin=False)
    return {
        escaped(name.to_text(omit_final_dot=True).lower()): tuple(
            sorted(item.target.to_text(omit_final_dot=True).lower() for item in rdataset)
        )
        for name, rdataset in zone.iterate_rdatasets(dns.rdatatype.NS)
        if name != zone.origin
    }


def escaped(name: str) -> str:
    """Dnspython writes a special character with a backslash before it; ours stand in three digits."""
    return re.sub(r"\\([^0-9])", lambda match: f"\\{ord(match[1]):03d}", name)


def agrees(path: Path, text: str, origin: str = "zz") -> None:
    found = read_zone(write(path, text), origin)
    assert {name: tuple(sorted(servers)) for name, servers in found.owners.items()} == by_dnspython(text, origin)


@pytest.mark.parametrize(
    "body",
    [
        "a NS ns1\n  NS ns2.other.\n",
        "a 1h IN NS ns1\nA IN 2d NS NS1\n",
        "$ORIGIN com.zz.\na NS ns\n$ORIGIN sub\nb NS ns.b\n",
        "a ( NS\n ns1 ; comment ) here\n )\n\tNS ns2\n",
        'a TXT "a ; b ( c \\" d" more\nb NS ns\n',
        "a NS ns ; trailing\n; whole line\n\n   ; indented\nb NS ns\n",
        "a TYPE65280 \\# 4 0A000001\nb NS ns\n",
        "$TTL 1d\nxn--tst-qla NS ns\n_dmarc TXT x\n",
        "a DS 1 8 2 " + "AB" * 32 + "\na NS ns\n1.2 NS ns\n*.w NS ns\n",
        "a CLASS1 NS ns\n@ A 192.0.2.1\nns AAAA 2001:db8::1\n",
    ],
)
def test_the_syntax_is_binds(body: str, tmp_path: Path) -> None:
    """Directives, relative and blank owners, parentheses, comments, quotes and generic records, as dnspython reads them."""
    agrees(tmp_path / "z", "$TTL 3600\n" + SOA + body)


OWNERS = ("", "n{}", "N{}.com.zz.", "deep.er", "*.w", r"a\095b", r"a\046b{}", r"q\"{}", "@")
RECORDS = (
    "NS ns{}", "3600 NS ns{}.x.", "IN NS ns{}", "IN 60 NS (\n ns{} ; c\n )", "NS NS{}", "60 IN NS ns{}.y.",
    'TXT "a;b{} ( \\" "', "TYPE65280 \\# 1 0{}", "A 192.0.2.{}", "DS 1 8 2 " + "AB" * 31 + "0{}",
)  # fmt: skip
BETWEEN = ("$TTL 60", "$ORIGIN sub.zz.", "$ORIGIN zz.", "; a comment", "", "   ")


def test_generated_zones_agree_with_dnspython(tmp_path: Path) -> None:
    """Zones of random records in random layouts: 200 of them, or as many as ZONES says."""
    dice = random.Random(4242)
    for _ in range(int(os.environ.get("ZONES", "200"))):
        lines = []
        for _ in range(dice.randint(1, 12)):
            owner = dice.choice(OWNERS).format(dice.randint(0, 9))
            if not lines and not owner:
                owner = "first"
            lines.append(f"{owner}\t{dice.choice(RECORDS).format(dice.randint(0, 3))}")
            if dice.random() < 0.1:
                lines.append(dice.choice(BETWEEN))
        agrees(tmp_path / "z", "$TTL 3600\n" + SOA + "\n".join(lines) + "\n")


if EE.is_file():  # the captures are no part of the project: without them there is nothing to compare, and no such test

    def test_the_captured_zone_agrees_with_dnspython(tmp_path: Path) -> None:
        """The head and a piece of the real zone as dnspython reads them; the truncated root zone is refused with its line."""
        with gzip.open(EE, "rt") as file:
            lines = list(itertools.islice(file, 6000))
        whole = read_zone(EE, "ee")
        assert len(whole.owners) > 100_000
        last = max(at for at, line in enumerate(lines) if line[:1].strip() and not line.startswith(("$", ";")))
        agrees(tmp_path / "z", "".join(lines[:last]), "ee")
        with pytest.raises(PanopticonError, match=r":[0-9]+: "):
            read_zone(TRUNCATED, ".")


def test_names_with_addresses_of_their_own_are_told_from_glue(tmp_path: Path) -> None:
    """Served by the zone itself: no glue before or after its delegation, no wildcard, nothing of the apex."""
    body = (
        "ns.early A 192.0.2.1\nearly NS ns.early\nlate NS ns.late\nns.late AAAA 2001:db8::1\n"
        "plain A 192.0.2.2\nx.com A 192.0.2.3\n* A 192.0.2.4\nmail MX 5 ns.late\n"
    )
    found = read_zone(write(tmp_path / "z", f"$ORIGIN zz.\n$TTL 60\n{SOA}{body}"))
    assert found.addresses == {"plain.zz", "x.com.zz"}
    assert set(found.owners) == {"early.zz", "late.zz"}


def test_serial_origin_and_includes(tmp_path: Path) -> None:
    """The SOA's serial and owner; an include in the same directory, its origin its own, never outside."""
    write(tmp_path / "more", "b NS ns\n$ORIGIN other.zz.\nc NS ns\n")
    zone = read_zone(write(tmp_path / "z", "$ORIGIN zz.\n" + SOA + "$INCLUDE more sub\na NS ns\n"))
    assert (zone.origin, zone.serial) == ("zz", 7)
    assert set(zone.owners) == {"b.sub.zz", "c.other.zz", "a.zz"}
    inside = tmp_path / "in"
    inside.mkdir()
    for name in ("../more", "/etc/hostname"):
        with pytest.raises(PanopticonError, match="directory"):
            read_zone(write(inside / "z", "$ORIGIN zz.\n" + SOA + f"$INCLUDE {name}\n"))
    write(tmp_path / "loop", "$INCLUDE loop\n")
    with pytest.raises(PanopticonError, match="deeper"):
        read_zone(write(tmp_path / "z", "$ORIGIN zz.\n" + SOA + "$INCLUDE loop\n"))


def test_compressed_zones_are_read_and_cut_ones_refused(tmp_path: Path) -> None:
    """Gzip and bzip2 as they are; a compressed file cut in the middle names the line it reached."""
    text = ("$ORIGIN zz.\n" + SOA + "".join(f"n{number} NS ns{number}.example.\n" for number in range(5000))).encode()
    for name, packed in (("z.gz", gzip.compress(text)), ("z.bz2", bz2.compress(text))):
        path = tmp_path / name
        path.write_bytes(packed)
        assert len(read_zone(path).owners) == 5000
    (tmp_path / "z.gz").write_bytes(gzip.compress(text)[:-200])
    with pytest.raises(PanopticonError, match=r"z\.gz:[0-9]+: .*cut short"):
        read_zone(tmp_path / "z.gz")


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("a NS", 4),
        ("a NS ns", 4),
        ("a NS ns1 ns2\n", 4),
        ("a NS (\n ns1\n", 4),
        ("a )\n", 4),
        ('a TXT "open\n', 4),
        ("a WHAT x\n", 4),
        ("a 3600 IN\n", 4),
        ("a A 192.0.2\n", 4),
        ("a CH NS ns\n", 4),
        ("$GENERATE 1-9 a$ NS ns\n", 4),
        ("$WHAT x\n", 4),
        ("a NS n\0s\n", 4),
        ("a" * 64 + " NS ns\n", 4),
        ("yy. SOA a b 1 1 1 1 1\n", 4),
        ("\nb NS ns\na TYPE1 \\# 9 00\n", 6),
    ],
)
def test_damage_is_refused_with_its_line(body: str, line: int, tmp_path: Path) -> None:
    """Cut short, malformed, of another class or encoding: PanopticonError naming file and line."""
    with pytest.raises(PanopticonError, match=rf"/z:{line}: "):
        read_zone(write(tmp_path / "z", "$ORIGIN zz.\n" + SOA + body))


@pytest.mark.parametrize("text", ["a NS ns\n", "\xff\xfea\x00", "plain.zz\nlist.zz\n", ""])
def test_what_is_no_zone_is_said_to_be_none(text: str, tmp_path: Path) -> None:
    """A list of names, another encoding, nothing, a record before any origin."""
    with pytest.raises(PanopticonError):
        read_zone(write(tmp_path / "z", text))
    with pytest.raises(PanopticonError, match="cannot be read"):
        read_zone(tmp_path / "missing")


def test_plain_lists_are_read_and_told_from_zones(tmp_path: Path) -> None:
    """Comments, case and final dots go; a master file is known by its words."""
    names = write(tmp_path / "n", "# names\nA.zz.\n\nb.zz ; why\n")
    assert read_names(names) == ["a.zz", "b.zz"]
    assert not looks_like_zone(names)
    assert looks_like_zone(write(tmp_path / "z", "; comment\n$ORIGIN zz.\n"))
    assert looks_like_zone(write(tmp_path / "z", "zz. 1 IN SOA a b 1 1 1 1 1\n"))


def long_zone(seed: int) -> str:
    """Over a mebibyte, so over several blocks: pairs, blank owners, relative names, DS, glue, another $ORIGIN."""
    dice = random.Random(seed)
    lines = ["$TTL 3600", *SOA.splitlines()]
    for number in range(16_000):
        owner = dice.choice((f"Name{number}.zz.", f"name{number}", f"n{number}.com"))
        first, second = (dice.choice(("ns1.host.example.", "NS2.Host.example.", "ns", f"ns{number % 7}")) for _ in "ab")
        lines.append(f"{owner} 3600 IN NS {first}")
        shape = dice.randrange(8)
        if shape < 4:
            lines.append(f"{dice.choice((owner, '')) if shape else owner}\tNS {second}")
        if shape == 5:
            lines.append(f"{owner} IN DS 1 8 2 {'AB' * 32}")
            lines.append(" IN NS late")
        if shape == 6:
            lines += [f"glue{number} A 192.0.2.1", f"{owner} NS again.example.", "; a comment"]
        if number % 4000 == 3999:
            lines.append(f"$ORIGIN sub{number}.zz." if number % 8000 == 3999 else "$ORIGIN zz.")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_blocks_and_lines_read_the_same_zone(seed: int, tmp_path: Path) -> None:
    """What is taken apart at once equals what is read line by line, to which a parenthesis in a comment forces."""
    text = long_zone(seed)
    fast = read_zone(write(tmp_path / "fast", text), "zz")
    slow = read_zone(write(tmp_path / "slow", text.replace("\n", " ;(\n")), "zz")
    assert len(text) > 1 << 19
    assert fast.owners == slow.owners
    assert fast.serial == slow.serial == 7


def test_a_fault_deep_in_a_block_names_its_line(tmp_path: Path) -> None:
    """Line numbers stay right after blocks and pairs; an over-long label, an empty one and a bad address are refused."""
    text = long_zone(4)
    number = text.count("\n") + 1
    for wrong in ("x" * 64 + " NS ns", "a..b NS ns", "a A 192.0.2.999", "a NS n..s", "a NS", "a" * 300 + ". NS ns"):
        path = write(tmp_path / "wrong", f"{text}{wrong}\n")
        with pytest.raises(PanopticonError, match=rf":{number}: "):
            read_zone(path, "zz")
    whole = ".".join(["a" * 60] * 4) + ".zz."  # 246 characters stand, 256 do not
    assert whole.rstrip(".") in read_zone(write(tmp_path / "right", f"{text}{whole} NS ns\n"), "zz").owners
    with pytest.raises(PanopticonError, match="no domain name"):
        read_zone(write(tmp_path / "long", f"{text}{'b' * 10}.{whole} NS ns\n"), "zz")


def test_an_include_keeps_the_case_of_its_file(tmp_path: Path) -> None:
    """Blocks are compared in lower case, file names are not."""
    write(tmp_path / "Part", "b NS ns\n")
    assert set(read_zone(write(tmp_path / "z", SOA + "$INCLUDE Part\na NS ns\n"), "zz").owners) == {"a.zz", "b.zz"}
