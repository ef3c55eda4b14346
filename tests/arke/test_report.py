"""arke.report: the day's figures and the list of who could not be told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from arke import report
from arke.cases.ledger import QueueEntry
from panopticond.shared.errors import StoreError
from tests.arke.made import NOW, case

CASES = [case(id="c1"), case(id="c2", domain="b.zz"), case(id="c3", domain="a.zz"), case(id="c4")]
OUTCOMES = {
    "c1": (1, "sent", "live"),
    "c2": (1, "no-contact", "redacted"),
    "c3": (1, "waiting", "rdap-server-error"),
    "c4": (1, "cancelled", "delegation-held"),
    "old": (1, "no-contact", "redacted"),
}


def test_figures_speak_of_the_open_cases_only() -> None:
    """By outcome, what the re-check stopped, whom nobody could be told for, what waits for a person."""
    queue = [QueueEntry(1, "c1", "popular", "waiting", "t"), QueueEntry(2, "c1", "review", "approved", "t", "t")]
    figures = report.today(NOW, CASES, OUTCOMES, queue, {"accepted": 1}, {"zz": 1}, [])
    assert figures["by_outcome"] == {"cancelled": 1, "no-contact": 1, "sent": 1, "waiting": 1}
    assert figures["cancelled_by_recheck"] == [{"case": "c4", "reason": "delegation-held"}]
    assert [entry["case"] for entry in figures["no_contact"]] == ["c2", "c3"]  # type: ignore[attr-defined]
    assert [entry["id"] for entry in figures["waiting_for_a_person"]] == [1]  # type: ignore[attr-defined]


def test_the_no_contact_list_names_domain_and_reason() -> None:
    """Passing RDAP failures stand in it too, until they pass; sorted by domain."""
    assert report.no_contact_csv(CASES, OUTCOMES).splitlines() == [
        "case,domain,class,reason",
        "c3,a.zz,undetermined,rdap-server-error",
        "c2,b.zz,undetermined,redacted",
    ]


@pytest.mark.parametrize(
    ("what", "reason", "why"),
    [
        ("sent", "live", ""),
        ("sent", "live hoster-redacted", "hoster-redacted"),
        ("told", "told hoster-not-found", "hoster-not-found"),
        ("sent", "live holder-redacted", "holder-redacted"),
        ("no-contact", "hoster-no-abuse-contact", "hoster-no-abuse-contact"),
        ("waiting", "hoster-timeout", "hoster-timeout"),
        ("waiting", "ceiling-hour", ""),
        ("hold", "registrar-rung", ""),
        ("hold", "hoster-rung", ""),
        ("hold", "registrar-rung hoster-timeout", "hoster-timeout"),
    ],
)
def test_a_hoster_that_could_not_be_told_stands_on_the_list(what: str, reason: str, why: str) -> None:
    """With its own reason alone, also where the domain's contacts were told; what waits for a person does not."""
    assert report.untold(what, reason) == why


def test_files_are_replaced_whole_and_the_owners_alone(tmp_path: Path) -> None:
    """No partial file is left; a directory that cannot be written is a StoreError."""
    report.write_report(tmp_path, {"a": 1}, "x\n")
    assert json.loads((tmp_path / report.TODAY).read_text()) == {"a": 1}
    assert (tmp_path / report.TODAY).stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == [report.NO_CONTACT, report.TODAY]
    with pytest.raises(StoreError):
        report.replace_file(tmp_path / "missing" / "x", "y")
