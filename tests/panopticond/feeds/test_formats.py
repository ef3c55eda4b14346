"""Formats: rows as the providers write them, and what is bad in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panopticond.feeds.formats import FORMATS
from panopticond.feeds.formats.mapped import read_map
from panopticond.feeds.formats.row import BadRow, OutOfScope, Parsed, Row, when
from panopticond.feeds.formats.words import speaks_of_child_abuse
from panopticond.feeds.ingest import Ingest
from panopticond.feeds.lines import lines
from panopticond.shared.errors import ConfigurationError
from panopticond.shared.names import Names


def parsed(form: str, body: str | bytes) -> list[Parsed]:
    raw = body.encode() if isinstance(body, str) else body
    return list(FORMATS[form].parse(lines([raw])))


def values(form: str, body: str | bytes) -> list[str]:
    return [row.value for row in parsed(form, body) if isinstance(row, Row)]


def test_url_list() -> None:
    """One a line; comments, blank lines, quotes, Latin-1 and NUL bytes do no harm."""
    body = b'# comment\n\nhttp://a.zz/x#f\n  b.zz # note\n! adblock comment\n"http://c.zz/"\r\nhttp://d.zz/\xe9\n\0e.zz\0\n'
    assert values("url-list", body) == ["http://a.zz/x#f", "b.zz", "http://c.zz/", "http://d.zz/\u00e9", "e.zz"]


def test_hosts_file() -> None:
    """Each name is a row; the machine's own names are none; a line without address is bad."""
    body = "127.0.0.1 localhost\n::1 ip6-localhost\n0.0.0.0 a.zz b.zz # c.zz\n\n0.0.0.0\na.zz b.zz\n"
    assert parsed("hosts-file", body) == [
        Row("a.zz", host_only=True),
        Row("b.zz", host_only=True),
        BadRow("no-name-after-address"),
        BadRow("no-address-before-name"),
    ]


URLHAUS = (
    "# URLhaus\n# id,dateadded,url,url_status,last_online,threat,tags,urlhaus_link,reporter\n"
    '"12","2026-04-21 12:35:06","http://a.zz:8080/b.sh","online","2026-04-21 12:35:06","malware_download","elf","https://u.example/12/","me"\n'
)


def test_urlhaus_csv() -> None:
    """The export as it is: comments with the header, every field quoted, times in UTC."""
    row = Row("http://a.zz:8080/b.sh", False, "malware", "2026-04-21T12:35:06Z", "12")
    assert parsed("urlhaus-csv", URLHAUS) == [row]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('"13","x","http://a.zz/?q=""1"",","online","","malware_download","","",""', 'http://a.zz/?q="1",'),
        ("13,2026-04-21 12:35:06,http://a.zz/,online,,malware_download,,,", "http://a.zz/"),
        (
            '"13","2026-04-21 12:35:06","http://a.zz/x","online","malware_download","elf","https://u/","me"',
            "http://a.zz/x",
        ),
    ],
    ids=["quotes", "bare", "eight"],
)
def test_urlhaus_csv_odd_lines(line: str, expected: str) -> None:
    """Doubled quotes, no quotes and the older eight columns go the slow way and give the same."""
    assert values("urlhaus-csv", line + "\n" + URLHAUS) == [expected, "http://a.zz:8080/b.sh"]


def test_urlhaus_csv_bad_lines() -> None:
    """A quote that never closes, a short line and an overlong one cost one row each."""
    body = '"1","x","http://b.zz/\n' + '"1","2"\n' + '"' + "x" * 300_000 + "\n" + URLHAUS
    rows = parsed("urlhaus-csv", body)
    assert [row for row in rows if isinstance(row, Row)] == [
        Row("http://a.zz:8080/b.sh", False, "malware", "2026-04-21T12:35:06Z", "12")
    ]
    assert sum(isinstance(row, BadRow) for row in rows) == 3


PHISHTANK = (
    "phish_id,url,phish_detail_url,submission_time,verified,verification_time,online,target\n"
    '7,http://a.zz/x,http://p.example/7,2026-01-24T06:02:12+00:00,yes,2026-01-24T06:59:22+00:00,yes,"Wells, Fargo"\n'
)


def test_phishtank_csv() -> None:
    """Eight columns under a header line."""
    assert parsed("phishtank-csv", PHISHTANK) == [Row("http://a.zz/x", False, "phishing", "2026-01-24T06:02:12Z", "7")]


def test_phishtank_csv_keeps_rows_behind_a_stray_quote() -> None:
    """A quote that never closes costs its own row, not the rest of the body."""
    header, row = PHISHTANK.splitlines()
    body = "\n".join([header, '6,http://b.zz/"x,"d,t,yes,t,yes,Other', *[row] * 30]) + "\n"
    rows = parsed("phishtank-csv", body)
    assert sum(isinstance(item, Row) for item in rows) == 30
    assert sum(isinstance(item, BadRow) for item in rows) == 1
    assert not any(isinstance(item, OutOfScope) for item in rows)


ADBLOCK = """[Adblock Plus 2.0]
! Title: test
# remark
||a.zz^
||b.zz^$third-party,doc
||c.zz/path/x.js
|http://d.zz/y|
e.zz
0.0.0.0 f.zz
@@||good.zz^
site.zz##.advert
||wild*.zz^
/banner[0-9]+/
||*.g.zz^
"""


def test_adblock() -> None:
    """Names, anchored URIs, bare names and hosts lines are rows; exceptions, element hiding and patterns are not ours."""
    rows = parsed("adblock", ADBLOCK)
    assert [row.value for row in rows if isinstance(row, Row)] == [
        "a.zz", "b.zz", "c.zz/path/x.js", "http://d.zz/y", "e.zz", "f.zz", "g.zz",
    ]  # fmt: skip
    assert sorted(row.reason for row in rows if isinstance(row, OutOfScope)) == [
        "exception", "neither-uri-nor-host", "pattern", "pattern",
    ]  # fmt: skip


def test_dnsmasq() -> None:
    """Every name of a blocking line is a row; forwarding elsewhere is none of ours, anything else is no dnsmasq line."""
    body = (
        "# x\naddress=/a.zz/0.0.0.0\naddress=/b.zz/c.zz/#\nserver=/d.zz/\nlocal=/e.zz/\nserver=/f.zz/192.0.2.1\nfoo\n"
    )
    assert values("dnsmasq", body) == ["a.zz", "b.zz", "c.zz", "d.zz", "e.zz"]
    assert [row for row in parsed("dnsmasq", body) if not isinstance(row, Row)] == [
        OutOfScope("neither-uri-nor-host"),
        BadRow("no-rule-of-this-format"),
    ]


RPZ = """$TTL 300
$ORIGIN rpz.example.
@ IN SOA localhost. root.localhost. (
    1787422219 ; serial
    43200 3600 259200 300 )
@ IN NS localhost.
a.zz CNAME . ; nxdomain
*.a.zz 60 IN CNAME *.
b.zz.rpz.example. IN CNAME rpz-drop.
good.zz CNAME rpz-passthru.
c.zz A 192.0.2.1
     TXT "why"
32.1.2.0.192.rpz-ip CNAME .
ns.d.zz.rpz-nsdname CNAME .
broken.zz WHAT ?
"""


def test_rpz() -> None:
    """Policy records are rows; what the zone needs for itself is none, allowed names and triggers by address are not ours."""
    rows = parsed("rpz", RPZ)
    assert [row.value for row in rows if isinstance(row, Row)] == ["a.zz", "*.a.zz", "b.zz", "c.zz"]
    assert [row.reason for row in rows if isinstance(row, OutOfScope)] == ["exception", "address", "address"]
    assert [row.reason for row in rows if isinstance(row, BadRow)] == ["no-rule-of-this-format"]


def test_rbldnsd() -> None:
    """Names of a dnset are rows, with or without their own value; excluded names and networks are not ours."""
    body = "$SOA 300 ns.example. x. 0 1 1 1 1\n:127.0.0.2:Listed $\n# x\n.a.zz\nb.zz :127.0.0.3:text\nc.zz:2:x\n!d.zz\n192.0.2.0/24\n"
    assert values("rbldnsd", body) == [".a.zz", "b.zz", "c.zz"]
    assert [row for row in parsed("rbldnsd", body) if not isinstance(row, Row)] == [
        OutOfScope("exception"),
        OutOfScope("address"),
    ]


def test_urlhaus_json() -> None:
    """The export, an object of lists by id, and the API's answer."""
    export = """{"12": [{"dateadded": "2026-04-21 12:35:06 UTC", "url": "http://a.zz/x", "url_status": "online",
        "threat": "malware_download", "tags": ["elf"], "urlhaus_link": "https://u.example/url/12/"}],
        "13": [{"dateadded": "?"}]}"""
    row = Row("http://a.zz/x", False, "malware", "2026-04-21T12:35:06Z", "12")
    assert parsed("urlhaus-json", export) == [row, BadRow("no-value-in-record")]
    answer = """{"query_status": "ok", "urls": [{"id": "12", "url": "http://a.zz/x", "date_added": "2026-04-21 12:35:06 UTC"}]}"""
    assert parsed("urlhaus-json", answer) == [row]


THREATFOX = """# "first_seen_utc","ioc_id","ioc_value","ioc_type","threat_type","fk_malware","malware_alias",...
"2026-07-04 22:19:04", "1", "a.zz", "domain", "payload_delivery", "js.x", "None", "X", "", "100", "False", "None", "x,y", "1", "anonymous"
"2026-07-04 21:46:30", "2", "192.0.2.1:5555", "ip:port", "botnet_cc", "win.x", "A,B", "X", "", "75", "None", "x", "0", "abuse_ch"
"2026-07-04 19:15:03", "3", "https://b.zz/p?q=a,b", "url", "botnet_cc", "win.x", "None", "X", "", "75", "True", "None", "x", "1", "anonymous"
"2026-07-04 19:15:03", "4", "d41d8cd98f00b204e9800998ecf8427e", "md5_hash", "payload", "x", "None", "X", "", "75", "True", "None", "x", "1", "a"
"""


def test_threatfox_csv() -> None:
    """Fifteen columns and the fourteen before them, blanks after the commas."""
    assert parsed("threatfox-csv", THREATFOX) == [
        Row("a.zz", True, "malware", "2026-07-04T22:19:04Z", "1"),
        OutOfScope("address"),
        Row("https://b.zz/p?q=a,b", False, "botnetCc", "2026-07-04T19:15:03Z", "3"),
        OutOfScope("neither-uri-nor-host"),
    ]


def test_threatfox_json() -> None:
    """The API's answer."""
    body = """{"query_status": "ok", "data": [{"id": "1", "ioc": "a.zz", "threat_type": "botnet_cc", "ioc_type": "domain",
        "first_seen": "2026-07-04 22:19:04 UTC", "tags": null}, {"id": "2", "ioc": "192.0.2.1:1", "ioc_type": "ip:port"}]}"""
    assert parsed("threatfox-json", body) == [
        Row("a.zz", True, "botnetCc", "2026-07-04T22:19:04Z", "1"),
        OutOfScope("address"),
    ]


def test_feodo_csv() -> None:
    """Addresses only: alive, but none of ours."""
    body = '# Feodo\n"first_seen_utc","dst_ip","dst_port","c2_status","last_online","malware"\n"2026-01-01 00:00:00","192.0.2.1","80","online","2026-01-02","X"\n# END 1 entries\n'
    assert parsed("feodo-csv", body) == [OutOfScope("address")]


def test_phishtank_json_and_phishstats() -> None:
    """PhishTank's JSON and PhishStats' CSV."""
    body = '[{"phish_id":"7","url":"http://a.zz/","submission_time":"2026-01-24T06:02:12+00:00","target":"Other"}]'
    assert parsed("phishtank-json", body) == [Row("http://a.zz/", False, "phishing", "2026-01-24T06:02:12Z", "7")]
    body = '# PhishScore\n# Date,Score,URL,IP\n"2026-01-24 06:02:12","5.4","http://a.zz/","192.0.2.1"\n'
    assert parsed("phishstats-csv", body) == [Row("http://a.zz/", False, "phishing", "2026-01-24T06:02:12Z")]


def test_certpl_json() -> None:
    """A deleted entry is delisted; a time without zone is UTC."""
    body = """[{"RegisterPositionId":1,"DomainAddress":"a.zz","InsertDate":"2026-09-20T00:00:00+02:00","DeleteDate":null},
        {"RegisterPositionId":2,"DomainAddress":"b.zz","InsertDate":"2026-09-20T00:00:00","DeleteDate":"2026-09-21T00:00:00"}]"""
    assert parsed("certpl-json", body) == [
        Row("a.zz", True, "phishing", "2026-09-19T22:00:00Z", "1"),
        OutOfScope("delisted"),
    ]


def test_tweetfeed_jpcert_blackbook() -> None:
    """TweetFeed without header, its authors left out; JPCERT/CC in Japan Standard Time; blackbook by day."""
    body = (
        "2026-05-01 02:47:00,someone,domain,a.zz,#phishing,https://x.example/someone/status/205\n"
        "2026-05-01 02:47:00,someone,url,https://b.zz/,#C2 #Lumma,https://x.example/someone/status/206\n"
        "2026-05-01 02:47:00,someone,ip,192.0.2.1,,\n2026-05-01 02:47:00,someone,md5,abc,,\nshort,line\n"
    )
    assert parsed("tweetfeed-csv", body) == [
        Row("a.zz", True, "phishing", "2026-05-01T02:47:00Z", "205"),
        Row("https://b.zz/", False, "botnetCc", "2026-05-01T02:47:00Z", "206"),
        OutOfScope("address"),
        OutOfScope("neither-uri-nor-host"),
        BadRow("too-few-fields"),
    ]
    body = "date,URL,description\n2026/01/04 08:39:00,https://a.zz/,\u697d\u5929\n"
    assert parsed("jpcert-csv", body) == [Row("https://a.zz/", False, "phishing", "2026-01-03T23:39:00Z")]
    body = "Domain,Malware,Date added,Source\na.zz,lokibot,2026-09-01,X\n"
    assert parsed("blackbook-csv", body) == [Row("a.zz", True, None, "2026-09-01T00:00:00Z")]


EVENT = """{"Event": {"uuid": "e", "info": "x", "Attribute": [
    {"uuid": "1", "type": "domain", "to_ids": true, "value": "a.zz", "timestamp": "1785548400", "Tag": [{"name": "phishing"}]},
    {"uuid": "2", "type": "url", "to_ids": true, "value": "http://b.zz/"},
    {"uuid": "3", "type": "url", "to_ids": false, "value": "http://report.example/"},
    {"uuid": "4", "type": "ip-dst", "to_ids": true, "value": "192.0.2.1"},
    {"uuid": "5", "type": "domain|ip", "to_ids": true, "value": "c.zz|192.0.2.1"},
    {"uuid": "6", "type": "domain", "to_ids": true, "deleted": true, "value": "d.zz"}],
    "Object": [{"name": "file", "Attribute": [{"uuid": "7", "type": "md5", "to_ids": true, "value": "x"},
    {"uuid": "8", "type": "hostname", "to_ids": true, "value": "e.zz"}]}]}}"""


@pytest.mark.parametrize("wrap", ["%s", '{"response": [%s]}', '{"response": %s}', "[%s]"])
def test_misp(wrap: str) -> None:
    """An event by itself or in an answer: attributes and those of objects; a row each."""
    assert parsed("misp", wrap.replace("%s", EVENT)) == [
        Row("a.zz", True, "phishing", "2026-08-01T01:40:00Z", "1"),
        Row("http://b.zz/", False, None, None, "2"),
        OutOfScope("not-for-detection"),
        OutOfScope("address"),
        Row("c.zz", True, None, None, "5"),
        OutOfScope("deleted"),
        OutOfScope("neither-uri-nor-host"),
        Row("e.zz", True, None, None, "8"),
    ]


def test_stix() -> None:
    """Indicators by pattern, each comparison a row; observables of their own; identities and markings are none."""
    body = r"""{"type": "bundle", "id": "b", "objects": [{"type": "identity", "name": "x"},
        {"type": "indicator", "id": "i1", "pattern_type": "stix", "valid_from": "2026-08-22T02:53:35.000Z", "labels": ["phishing"],
         "pattern": "[domain-name:value = 'a.zz' OR url:value = 'http://b.zz/it\\'s']"},
        {"type": "indicator", "id": "i2", "pattern": "[file:hashes.'SHA-256' = 'ab']"},
        {"type": "indicator", "id": "i3", "pattern": "[ipv4-addr:value = '192.0.2.1']"},
        {"type": "indicator", "id": "i4", "pattern": "?"},
        {"type": "url", "id": "u1", "value": "http://c.zz/"}]}"""
    assert parsed("stix", body) == [
        Row("a.zz", True, "phishing", "2026-08-22T02:53:35Z", "i1"),
        Row("http://b.zz/it's", False, "phishing", "2026-08-22T02:53:35Z", "i1"),
        OutOfScope("neither-uri-nor-host"),
        OutOfScope("address"),
        BadRow("no-stix-pattern"),
        Row("http://c.zz/", False, None, None, "u1"),
    ]


def test_generic_without_map() -> None:
    """Usual names are found; a list of texts is a list of URIs and hosts."""
    assert values("csv", "id,url,date\n1,http://a.zz/,2026-01-01\n") == ["http://a.zz/"]
    assert values("csv", "a.zz,x\nb.zz,y\n") == ["a.zz", "b.zz"]
    assert values("json", '["a.zz", "http://b.zz/"]') == ["a.zz", "http://b.zz/"]
    page = '{"count": 2, "next": null, "results": [{"indicator": "a.zz", "type": "hostname"}, {"indicator": "x", "type": "md5"}]}'
    assert parsed("json", page) == [Row("a.zz", True), OutOfScope("neither-uri-nor-host")]
    assert values("json", '{"7": {"url": "http://a.zz/"}, "8": [{"url": "http://b.zz/"}]}') == [
        "http://a.zz/",
        "http://b.zz/",
    ]
    assert parsed("ndjson", '{"domain": "a.zz", "date": "2026-01-01"}\n{"cut')[0] == Row(
        "a.zz", True, None, "2026-01-01T00:00:00Z"
    )


def test_generic_with_map(tmp_path: Path) -> None:
    """A mapping names columns by number or name, members by path, and what the words for threats mean."""
    (tmp_path / "m.toml").write_text(
        'value = 2\ntype = 1\nthreat = 3\ndelimiter = ";"\nheader = false\n[threats]\nbad = "spam"\n'
    )
    form = FORMATS["csv"].with_map(read_map(tmp_path / "m.toml"))
    assert list(form.parse(lines([b"url;http://a.zz/;bad\nsha1;x;bad\n"]))) == [
        Row("http://a.zz/", False, "spam"),
        OutOfScope("neither-uri-nor-host"),
    ]
    (tmp_path / "m.json").write_text('{"rows": "result.items.*", "uri": "meta.link", "source_id": "n"}')
    form = FORMATS["json"].with_map(read_map(tmp_path / "m.json"))
    body = b'{"result": {"total": 1, "items": [{"meta": {"link": "http://a.zz/"}, "n": 5}, {"n": 6}]}}'
    assert list(form.parse(lines([body]))) == [Row("http://a.zz/", None, None, None, "5"), BadRow("no-value-in-record")]
    (tmp_path / "bad.toml").write_text('nonsense = 1\ndelimiter = ";;"\n')
    with pytest.raises(ConfigurationError, match="nonsense"):
        read_map(tmp_path / "bad.toml")


def test_json_cut_or_broken_in_the_middle() -> None:
    """Whole records before a cut are kept; a broken one costs itself only."""
    good = '{"phish_id":"7","url":"http://a.zz/","submission_time":""}'
    assert parsed("phishtank-json", f"[{good},{good},{good[:30]}")[2:] == [BadRow("json-cut-short")]
    rows = parsed("phishtank-json", f'[{good},{{"url": nonsense}},{good},{good}]')
    assert [type(row) for row in rows] == [Row, BadRow, Row, Row]
    assert parsed("phishtank-json", "[" * 100_000)[-1:] == [BadRow("json-cut-short")]
    deep = '[{"url": ' + "[" * 100_000 + "]" * 100_000 + "}," + good + "]"
    assert isinstance(parsed("phishtank-json", deep)[0], BadRow)
    assert parsed("phishtank-json", "<html>no") == [BadRow("no-json")]


@pytest.mark.parametrize("form", sorted(FORMATS))
@given(body=st.one_of(st.binary(max_size=400), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))))
@settings(max_examples=25, deadline=None)
def test_no_body_breaks_a_parser(form: str, body: bytes) -> None:
    """Whatever comes, a parser only yields rows, bad rows and rows out of scope."""
    for row in parsed(form, body):
        assert isinstance(row, Row | BadRow | OutOfScope)


SAMPLES = [ADBLOCK, RPZ, URLHAUS, PHISHTANK, THREATFOX, EVENT]


@pytest.mark.parametrize("form", sorted(FORMATS))
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_no_damage_breaks_a_parser(form: str, data: st.DataObject) -> None:
    """Real bodies cut, spliced and sprinkled with quotes, NULs and brackets: rows all the same."""
    sample = bytearray(data.draw(st.sampled_from(SAMPLES)).encode())
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(sample)))
        junk = data.draw(st.sampled_from([b'"', b"\0", b"\n", b"{", b"]", b",", b"\xff", b"", b"\\"]))
        sample[at : at + data.draw(st.integers(0, 20))] = junk
    for row in parsed(form, bytes(sample)):
        assert isinstance(row, Row | BadRow | OutOfScope)


# What fuzzing found, kept: (format, body).
REGRESSIONS = [
    ("hosts-file", b"\x0b"),
    ("phishtank-json", b'[{"phish_id":"7","url":"http://b\\ud800.example.org/\\udfff"}]'),
    ("json", b'["\\ud800.example.org"]'),
    ("json", b'[{"url":"http://a.example.org/","id":"\\ud800 jo@example.org"}]'),
    ("phishtank-json", b"[" * 100_000),
    ("urlhaus-csv", b"\n" * 100_000),
]


@pytest.mark.parametrize(("form", "body"), REGRESSIONS)
def test_what_fuzzing_found(form: str, body: bytes) -> None:
    """From bytes to indicators without a crash, and what is kept can be stored."""
    ingest = Ingest([body], FORMATS[form], Names(None))
    while not ingest.finished:
        for indicator in ingest.take(100):
            assert indicator.key.encode("ascii")
            assert (indicator.source_id or "").isprintable()
    tally = ingest.tally
    assert tally.rows == tally.indicators + tally.out_of_scope + tally.rejected_rows


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-01 10:10:10", "2026-01-01T10:10:10Z"),
        ("2026/01/01 10:10:10", "2026-01-01T10:10:10Z"),
        ("2026-01-01T10:10+01", "2026-01-01T09:10:00Z"),
        ("20260101T101010+0100", "2026-01-01T09:10:10Z"),
        ("2026-W01-4T10:10:10", "2026-01-01T10:10:10Z"),
        ("0001-01-01T00:00:00", None),
        ("0001-01-01T00:00:00+05:00", None),
        ("9999-12-31T23:59:59-05:00", None),
        ("2026-01-01", "2026-01-01T00:00:00Z"),
    ],
)
def test_times_as_feeds_write_them(text: str, time: str | None) -> None:
    """Every ISO 8601 form means its own instant; a year nobody means, or one past the calendar, is no time."""
    assert when(text) == time


@pytest.mark.parametrize(
    ("words", "forbidden"),
    [
        ("CSAM", True),
        ("tlp:amber child-abuse", True),
        ("child-sexual-exploitation", True),
        ("Child Sexual Abuse Material", True),
        ("childexploitation", True),
        ('rsit:abusive-content="violence"', True),
        ("ecsirt:abusive-content='child'", True),
        ("kinderporno", True),
        ("paedophilia", True),
        ("phishing children-charity", False),
        ("exploit kit", False),
        ('rsit:abusive-content="spam"', False),
        ("csamples minority-report", False),
        ("", False),
    ],
)
def test_words_for_child_abuse(words: str, *, forbidden: bool) -> None:
    """What providers and taxonomies call child abuse material is known by its tags; nothing near it is."""
    assert speaks_of_child_abuse(words) is forbidden


@pytest.mark.parametrize(
    ("name", "body"),
    [
        (
            "misp",
            '{"Event":{"Attribute":[{"type":"url","to_ids":true,"value":"http://a.zz/","Tag":[{"name":"CSAM"}]}]}}',
        ),
        (
            "misp",
            '{"Event":{"Tag":[{"name":"child-abuse"}],"Attribute":[{"type":"domain","to_ids":1,"value":"a.zz"}]}}',
        ),
        ("stix", '{"objects":[{"type":"url","value":"http://a.zz/","labels":["child-exploitation"]}]}'),
        ("stix", '{"objects":[{"type":"indicator","pattern":"[url:value=\'http://a.zz/\']","labels":["csam"]}]}'),
        ("json", '[{"url":"http://a.zz/","threat":"phishing","tags":["x","child sexual abuse"]}]'),
        ("ndjson", '{"indicator":"a.zz","type":"domain","tags":"csam"}\n'),
        ("csv", "url,threat\nhttp://a.zz/,child-abuse\n"),
        ("tweetfeed-csv", "2026-01-01 00:00:00,who,url,http://a.zz/,#csam #phishing,https://x.example/status/1\n"),
    ],
)
def test_child_abuse_material_is_rejected(name: str, body: str) -> None:
    """A row so tagged, or of an event so tagged, is counted and no more: no indicator comes of it."""
    assert parsed(name, body) == [BadRow("child-abuse-material")]


def test_an_events_tags_are_its_own() -> None:
    """The next event's tags count for the next event's attributes."""
    attribute = '"Attribute":[{"type":"domain","to_ids":1,"value":"a.zz"}]'
    events = ",".join(f'{{"Event":{{"Tag":[{{"name":"{tag}"}}],{attribute}}}}}' for tag in ("csam", "phishing"))
    first, second = parsed("misp", f"[{events}]")
    assert first == BadRow("child-abuse-material")
    assert isinstance(second, Row)


def test_a_stray_quote_costs_its_own_phish_only() -> None:
    """A PhishTank line that is a whole record is never swallowed by an open quote before it."""
    end = "http://www.phishtank.com/x,2026-01-01T00:00:00+00:00,yes,2026-01-01T00:00:00+00:00,yes"
    lines = [f"1,http://a.zz/,{end},Other", f'2,"http://b.zz/,{end},Other', f"3,http://c.zz/,{end},Other"]
    lines += [f'4,http://d.zz/,{end},"Other', 'more of it"', f'5,"http://e.zz/",{end},Other']
    found = parsed("phishtank-csv", "\n".join(lines) + "\n")
    assert [row.value if isinstance(row, Row) else row.reason for row in found] == [
        "http://a.zz/",
        "quote-never-closed",
        "http://c.zz/",
        "http://d.zz/",
        "http://e.zz/",
    ]
