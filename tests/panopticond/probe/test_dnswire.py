"""DNS messages by hand, beside dnspython as the judge of what the bytes mean."""

from __future__ import annotations

import random

import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panopticond.probe.dnswire import WireError, encode_name, mix_case, pack_query, unpack


def test_a_query_is_what_dnspython_reads() -> None:
    """Name, type, RD, EDNS size and cookie stand where RFC 1035, 6891 and 7873 want them."""
    packet, question = pack_query(4711, encode_name("WWW.Shop.zz."), 2, recursion=True, cookie=b"12345678")
    message = dns.message.from_wire(packet)
    assert message.id == 4711
    assert message.question[0].to_text() == "www.shop.zz. IN NS"
    assert message.payload == 1232
    assert packet[12 : 12 + len(question)] == question
    assert message.flags & 0x0100
    without, _ = pack_query(1, encode_name("zz"), 6, recursion=False, edns=False)
    assert dns.message.from_wire(without).edns == -1


def test_every_kind_of_data_is_read() -> None:
    """Addresses, names, SOA, DS, TXT and unknown types come out as documented."""
    message = dns.message.make_response(dns.message.make_query("shop.zz", "NS"))
    records = [
        "shop.zz. 60 IN A 192.0.2.1",
        "shop.zz. 60 IN AAAA 2001:db8::1",
        "shop.zz. 60 IN CNAME www.Shop.zz.",
        "zz. 60 IN SOA ns1.zz. host\\.master.zz. 2026010203 1 2 3 4",
        "shop.zz. 60 IN DS 12345 13 2 " + "ab" * 32,
        'shop.zz. 60 IN TXT "one" "two"',
        "shop.zz. 60 IN MX 10 mail.shop.zz.",
    ]
    for text in records:
        owner, ttl, _, kind, data = text.split(" ", 4)
        message.answer.append(dns.rrset.from_text(owner, int(ttl), "IN", kind, data))
    got = [(record.name, record.kind, record.data) for record in unpack(message.to_wire()).answer]
    assert got[:6] == [
        ("shop.zz", "A", "192.0.2.1"),
        ("shop.zz", "AAAA", "2001:db8::1"),
        ("shop.zz", "CNAME", "www.shop.zz"),
        ("zz", "SOA", "ns1.zz host\\046master.zz 2026010203 1 2 3 4"),
        ("shop.zz", "DS", "12345 13 2 " + "ab" * 32),
        ("shop.zz", "TXT", "onetwo"),
    ]
    assert got[6][1] == "MX"


@pytest.mark.parametrize(
    "body",
    [
        b"\xc0\x0c\x00\x02\x00\x01" + b"\x00" * 4 + b"\x00\x02\xc0\x23",  # a pointer to itself
        b"\xc0\xff",
        b"\x40abc",
        b"\x05ab",
        b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x05\x01\x02\x03\x04\x05",  # an A of five octets
        b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\xff\xff\x01",
        b"",
    ],
)
def test_malformed_records_are_refused(body: bytes) -> None:
    """Loops, forward pointers, unknown label types and wrong lengths raise WireError and nothing else."""
    packet = b"\x00\x01\x80\x00\x00\x01\x00\x01\x00\x00\x00\x00\x01a\x02zz\x00\x00\x02\x00\x01" + body
    with pytest.raises(WireError):
        unpack(packet)


@given(st.binary(max_size=200))
def test_rubbish_never_raises_anything_else(rubbish: bytes) -> None:
    """Any bytes give a message or WireError."""
    for packet in (rubbish, b"\x00\x01\x80\x00\x00\x00\x00\x02\x00\x02\x00\x02" + rubbish):
        try:
            unpack(packet)
        except WireError:
            continue


@pytest.mark.parametrize("name", ["a..zz", "x" * 64, ".".join(["abcdefgh"] * 30), "é.zz", ".zz"])
def test_names_that_cannot_be_asked(name: str) -> None:
    """Empty and overlong labels and names, and U-labels, are refused."""
    with pytest.raises(WireError):
        encode_name(name)


def test_mixed_case_keeps_the_name() -> None:
    """Only letters change, and lengths never do."""
    wire = encode_name("abcdefghijklmnopqrstuvwxyz0123456789-_.zz")
    mixed = [mix_case(wire, random.randbytes(len(wire))) for _ in range(8)]
    assert {one.lower() for one in mixed} == {wire}
    assert len(set(mixed)) > 1


def test_a_flood_of_records_is_refused() -> None:
    """More than 512 records are nobody's honest answer to one question."""
    with pytest.raises(WireError):
        unpack(b"\x00\x01\x80\x00\x00\x00\xff\xff\x00\x00\x00\x00" + b"\x00" * 4000)
