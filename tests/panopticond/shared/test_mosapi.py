"""MoSAPI's messages: the reference's samples read back, dates and ranges by the letter, both kinds of result code."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from panopticond.shared import mosapi

SAMPLE = {
    "version": 2,
    "tld": "example",
    "domainListDate": "2025-05-20",
    "domainsInZone": 123456,
    "uniqueAbuseDomains": 14,
    "domainListData": [
        {"threatType": "spam", "count": 8, "domains": ["a.example", "b.example"]},
        {"threatType": "phishing", "count": 1, "domains": ["x.example"]},
        {"threatType": "botnetCc", "count": 1, "domains": []},
        {"threatType": "malware", "count": -1, "domains": []},
    ],
}
LISTS = {
    "version": 2,
    "tld": "example",
    "domainLists": [{"domainListDate": "2018-12-12", "domainListGenerationDate": "2018-12-13T23:20:50.52Z"}],
}
STATE = {
    "version": 2,
    "tld": "example",
    "lastUpdateApiDatabase": 1496923082,
    "status": "Down",
    "testedServices": {
        "DNS": {
            "status": "Down",
            "emergencyThreshold": 10.0,
            "incidents": [
                {
                    "incidentID": "1495811850.1700",
                    "startTime": 1495811850,
                    "endTime": None,
                    "falsePositive": False,
                    "state": "Active",
                }
            ],
        },
        "RDDS": {"status": "Disabled"},
    },
}


def test_the_samples_of_the_reference_go_there_and_back() -> None:
    """Every key of the published samples is read and written under its name; what is left out stays out."""
    decoders = ((SAMPLE, mosapi.decode_domain_list), (LISTS, mosapi.decode_domain_lists), (STATE, mosapi.decode_state))
    for sample, decode in decoders:
        assert json.loads(mosapi.encode(decode(json.dumps(sample).encode()))) == sample
    without = {key: value for key, value in SAMPLE.items() if key != "domainsInZone"}
    again = mosapi.decode_domain_list(json.dumps(without | {"totalDomains": 7}).encode())
    assert json.loads(mosapi.encode(again)) == without


def test_the_daar_alias_has_counts_and_no_names() -> None:
    """The same figures under the older names, without a single domain."""
    daar = mosapi.encode(mosapi.as_daar(mosapi.decode_domain_list(json.dumps(SAMPLE).encode())))
    assert b".example" not in daar
    said = json.loads(daar)
    assert said["daarReportDate"] == "2025-05-20"
    assert said["daarReportData"][3] == {"threatType": "malware", "count": -1}


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b"\xff", b'{"version":2}', json.dumps(SAMPLE | {"domainListDate": "20-5-2025"}).encode(),
     json.dumps(SAMPLE | {"domainListData": [{"threatType": "spam", "count": -2, "domains": []}]}).encode(),
     json.dumps(SAMPLE | {"uniqueAbuseDomains": "14"}).encode(), b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_report_is_refused(body: bytes) -> None:
    """Anything else is a ValueError, a hostile depth included."""
    with pytest.raises(ValueError):  # noqa: PT011 - each fault has its own words
        mosapi.decode_domain_list(body)


def test_a_result_code_may_be_text_or_number() -> None:
    """The wire type is unconfirmed: both are read, text is written."""
    for code in ('"2012"', "2012"):
        body = f'{{"resultCode":{code},"message":"The endDate is before the startDate."}}'
        assert mosapi.decode_problem(body.encode()).code == "2012"


@pytest.mark.parametrize("text", ["", "latest", "2026-2-1", "2026-02-30", "20260201", "2026-02-01 ", "2026-02-01T00:00:00Z", "\u0662\u0660\u0662\u0666-02-01", "2026-13-01", "0000-01-01", "2026-W07-1"])  # fmt: skip
def test_malformed_dates(text: str) -> None:
    """Nothing but an existing YYYY-MM-DD is a day."""
    assert mosapi.parse_day(text) is None


@pytest.mark.parametrize(
    ("starts", "ends", "code"),
    [
        (["x"], [], "2013"),
        (["2026-02-30"], ["x"], "2013"),
        ([""], [], "2013"),
        (["2026-01-01", "2026-01-02"], [], "2013"),
        ([], ["2026-1-1"], "2014"),
        (["2026-01-01"], [""], "2014"),
        (["2026-01-02"], ["2026-01-01"], "2012"),
    ],
)
def test_wrong_ranges(starts: list[str], ends: list[str], code: str) -> None:
    """StartDate's syntax first, then endDate's, then their order."""
    problem = mosapi.parse_range(starts, ends)
    assert isinstance(problem, mosapi.Problem)
    assert problem.code == code
    assert problem.description == "Validation failed"


def test_ranges_are_open_where_nothing_is_said_and_have_no_31_days() -> None:
    """Either date may stand alone; years may lie between them."""
    day = dt.date(2026, 1, 1)
    assert mosapi.parse_range([], []) == (dt.date.min, dt.date.max)
    assert mosapi.parse_range(["2026-01-01"], []) == (day, dt.date.max)
    assert mosapi.parse_range([], ["2026-01-01"]) == (dt.date.min, day)
    assert mosapi.parse_range(["2026-01-01"], ["2026-01-01"]) == (day, day)
    assert mosapi.parse_range(["2020-01-01"], ["2026-01-01"]) == (dt.date(2020, 1, 1), day)
