"""DNS messages by hand, beside dnspython as the judge of what the bytes mean."""

from __future__ import annotations

import random
import struct

import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panopticond.probe.dnswire import Message, WireError, encode_name, mix_case, pack_query, unpack


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


@pytest.mark.parametrize(
    "name", ["a..zz", "x" * 64, ".".join(["abcdefgh"] * 30), "é.zz", ".zz", "host\\046master.zz", "a b.zz", "a\0.zz"]
)
def test_names_that_cannot_be_asked(name: str) -> None:
    """Empty and overlong labels and names, U-labels, spaces and the escapes of names unpacked are refused."""
    with pytest.raises(WireError):
        encode_name(name)


@given(st.randoms(use_true_random=False))
def test_a_question_already_known_changes_nothing(chance: random.Random) -> None:
    """Answers whole and mangled read the same, or are refused the same, whether or not the question is read again."""
    query = dns.message.make_query("www.shop.zz", "NS")
    query.use_edns(0)
    message = dns.message.make_response(query)
    for section, text in (
        (message.authority, "shop.zz. 60 IN NS ns1.shop.zz."),
        (message.authority, "shop.zz. 60 IN NS ns2.host.example."),
        (message.additional, "ns1.shop.zz. 60 IN A 192.0.2.1"),
    ):
        owner, ttl, _, kind, data = text.split(" ", 4)
        section.append(dns.rrset.from_text(owner, int(ttl), "IN", kind, data))
    wire = bytearray(message.to_wire())
    question = len(encode_name("www.shop.zz")) + 4
    for _ in range(chance.randrange(4)):
        wire[chance.randrange(12 + question, len(wire))] = chance.randrange(256)
    packet = bytes(wire[: len(wire) - chance.randrange(2) * chance.randrange(40)])
    read: list[Message | str] = []
    for asked in (None, ("www.shop.zz", question)):
        try:
            read.append(unpack(packet, asked))
        except WireError as error:
            read.append(str(error))
    assert read[0] == read[1]


def test_names_without_compression_are_read_each_time_as_they_stand() -> None:
    """A name seen before, one with another letter case, and one cut short right after it are told apart."""
    head = b"\x00\x01\x80\x00\x00\x01\x00\x01\x00\x00\x00\x00\x01a\x02zz\x00\x00\x02\x00\x01"
    record = b"\xc0\x0c\x00\x02\x00\x01\x00\x00\x00\x3c"
    for _ in range(2):
        for target, name in ((b"\x02ns\x04host\x00", "ns.host"), (b"\x02NS\x04HOst\x00", "ns.host"), (b"\x00", "")):
            packet = head + record + len(target).to_bytes(2) + target
            assert [one.data for one in unpack(packet).answer] == [name]
        for target in (b"\x02ns\x04hos\x00", b"\x02ns\x04host\x00\x00", b"\x02ns\x04host"):
            with pytest.raises(WireError):
                unpack(head + record + len(target).to_bytes(2) + target)


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


def test_a_name_put_together_from_known_parts_is_bounded_too() -> None:
    """Each owner puts 63 octets before the last one's name: the fifth would be over 255 octets."""
    packet, last = bytearray(struct.pack("!HHHHHH", 1, 0x8180, 0, 5, 0, 0)), b"\0"
    for _ in range(5):
        at = len(packet)
        packet += b"\x3f" + b"a" * 63 + last + struct.pack("!HHIH", 1, 1, 0, 4) + b"\1\2\3\4"
        last = struct.pack("!H", 0xC000 | at)
    with pytest.raises(WireError, match="255 octets"):
        unpack(bytes(packet))
    packet[6:8] = b"\0\3"
    assert len(unpack(bytes(packet)).answer[2].name) == 3 * 64 - 1


def test_a_text_that_overruns_its_record_is_malformed() -> None:
    """The length inside a TXT record must fit the record's own."""
    head = struct.pack("!HHHHHH", 1, 0x8180, 0, 1, 0, 0) + b"\0" + struct.pack("!HHIH", 16, 1, 0, 3)
    assert unpack(head + b"\2hi").answer[0].data == "hi"
    with pytest.raises(WireError, match="overruns"):
        unpack(head + b"\3hi" + b"!")
