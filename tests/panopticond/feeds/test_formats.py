"""Formats: rows as the providers write them, and what is bad in them."""

from __future__ import annotations

import pytest

from panopticond.feeds.formats import FORMATS
from panopticond.feeds.formats.row import BadRow, OutOfScope, Parsed, Row
from panopticond.feeds.lines import lines


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
