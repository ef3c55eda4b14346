"""The page of `arke status`: what is wrong first, and any daemon's answer can be read."""

from __future__ import annotations

from typing import Any

from arke.commands.statuspage import page, wrong
from arke.metrics import metrics
from panopticond import __version__

ANSWER: dict[str, Any] = {
    "api": 1,
    "version": __version__,
    "at": "2026-01-02T00:00:00Z",
    "wrong": ["refused .yy: the signature is wrong", "zone .zz: /zone: no such file"],
    "sending": True,
    "working": False,
    "tlds": ["xx", "yy", "zz"],
    "snapshots": {"zz": {"serial": 2026010101, "to": "2026-01-01T05:00:00Z", "expires": "2026-01-02T17:00:00Z", "open_cases": 7}},
    "refused": {"yy": "the signature is wrong"},
    "problems": {"zone .zz": "/zone: no such file"},
    "queue": {"waiting": 2, "approved": 1},
    "outbox": {"waiting": 4, "next_due": "2026-01-02T01:00:00Z", "accepted": 30, "bounced": 1},
    "poll": "5m",
}  # fmt: skip


def test_what_is_wrong_stands_first_and_what_comes_next_last() -> None:
    """Head, faults, then snapshots, queue, mail, and the next events."""
    lines = page(ANSWER).splitlines()
    assert lines[0] == f"arke {__version__} at 2026-01-02T00:00:00Z: sending"
    assert lines[2:4] == [f"  WRONG  {sentence}" for sentence in ANSWER["wrong"]]
    assert lines[5].startswith("snapshot   .zz: 2026010101 to 2026-01-01T05:00:00Z, mail until 2026-01-02T17:00:00Z, 7")
    assert lines[6] == "queue      2 wait for a person; see `arke queue list`"
    assert lines[7] == "mail       30 accepted, 0 failed, 1 bounced, 4 to be sent"
    assert lines[8] == "next       2026-01-02T01:00:00Z  a notice"
    assert wrong(ANSWER) == ANSWER["wrong"]


def test_a_daemon_of_another_version_is_read_and_told() -> None:
    """Unknown keys are passed over, missing ones left out; nothing at all is still a page."""
    newer = page({**ANSWER, "api": 3, "version": "9.0.0", "moons": 2})
    assert "this command is" in newer
    assert "format 3, this command knows 1" in newer
    assert "moons" not in newer
    assert "none accepted yet" in page({})
    assert "nothing is wrong" in page({"version": __version__, "at": "2026-01-02T00:00:00Z"})


def test_the_metrics_say_what_the_answer_says() -> None:
    """States without an entry are 0; a TLD without a snapshot shows, refused or not; no sentence becomes a label."""
    text = metrics(ANSWER)
    for line in (
        "arke_sending 1",
        "arke_wrong 2",
        'arke_snapshot_refused{tld="yy"} 1',
        'arke_snapshot_refused{tld="xx"} 0',
        'arke_snapshot_refused{tld="zz"} 0',
        'arke_open_cases{tld="zz"} 7',
        'arke_queue_entries{state="waiting"} 2',
        'arke_queue_entries{state="withheld"} 0',
        'arke_notices{state="bounced"} 1',
        "arke_notices_waiting 4",
        'arke_problem{subject="zone .zz"} 1',
        "arke_notice_next_timestamp_seconds 1767315600",
    ):
        assert f"{line}\n" in text
    assert "no such file" not in text
    assert "next" not in metrics({**ANSWER, "outbox": {"waiting": 0, "next_due": None}})
