"""The page of `panopticond status`: what is wrong first, and any daemon's answer can be read."""

from __future__ import annotations

import copy
from typing import Any

from panopticond import __version__
from panopticond.status.metrics import metrics
from panopticond.status.page import page

ANSWER: dict[str, Any] = {
    "api": 1,
    "version": __version__,
    "now": "2026-01-02T00:00:00Z",
    "started": "2026-01-01T00:00:00Z",
    "wrong": ["feed dead is STALE: no change for two days; ask its operator"],
    "problems": {"publish zz": "the disk is full"},
    "silent": ["192.0.2.1:53"],
    "indicators": 100,
    "in_flight": 3,
    "next_check": "2026-01-02T00:00:12Z",
    "rounds": 400,
    "outcomes": {"web:live": 300, "web:indeterminate": 5},
    "coverage": {"due": 400, "on_time": 390, "late": 10, "unchecked": 60, "indicators": 100, "whole": 70, "share": 0.7, "causes": {"vantage far: proxy-407": 20, "vantage far: timeout": 1, "late": 10}},
    "components": [
        {"component": "Quad9", "answers": 20, "failed": 0, "reason": "", "ok": True},
        {"component": "vantage far", "answers": 20, "failed": 19, "reason": "proxy-407", "ok": False},
    ],
    "webrisk": {"asked_today": 12, "daily_budget": 3000},
    "feeds": [
        {"name": "dead", "state": "STALE", "since": None, "reason": "r", "last_success": "2025-12-30T00:00:00Z", "last_change": None, "next": "2026-01-02T00:30:00Z", "rows": 5, "indicators": 1, "rejected": 2},
        {"name": "new", "state": "NEW", "since": None, "reason": "", "last_success": None, "last_change": None, "next": None, "rows": 0, "indicators": 0, "rejected": 0},
    ],
    "tlds": [{"tld": "zz", "serial": 2026010101, "issued": "2026-01-01T06:00:00Z", "expires": "2026-01-02T17:00:00Z", "next": "2026-01-02T06:00:00Z"}],
    "fleet": {
        "host": "a:1", "roles": ["collect", "probe"], "alone": ["feed dead", "publish zz"], "database": "answers",
        "leases": {"held": 4, "taken": 9, "recorded": 5, "lost": 1, "waiting": 0},
        "hosts": [
            {"name": "a:1", "roles": ["collect", "probe"], "held": 4, "taken": 9, "recorded": 5, "lost": 1, "waiting": 0},
            {"name": "b:2", "roles": ["publish"]},
        ],
    },
}  # fmt: skip


def test_what_is_wrong_stands_first_and_what_comes_next_last() -> None:
    """Head, faults, then coverage with its causes, queue, budget, what does not answer, feeds, snapshots, next events."""
    lines = page(ANSWER).splitlines()
    assert lines[0] == f"panopticond {__version__} at 2026-01-02T00:00:00Z, running since 2026-01-01T00:00:00Z"
    assert lines[2] == "  WRONG  feed dead is STALE: no change for two days; ask its operator"
    text = "\n".join(lines)
    assert "70.0% of 100 indicators had every check of the last 24 hours" in text
    assert "checks: 400 due, 10 late or not made, 60 made without an answer" in text
    assert "missed by cause: 20 vantage far: proxy-407, 1 vantage far: timeout, 10 late" in text
    assert "3 rounds under way, 400 since the start; the next is due in 12 s" in text
    assert "Web Risk: 12 of 3000 look-ups today" in text
    assert "vantage far: 19 of 20 without an answer" in text
    assert "hosts     a:1 (collect, probe), this one: 4 checks on lease, 5 recorded, 1 dropped" in lines
    assert "          b:2 (publish)" in lines
    assert "alone     feed dead, publish zz" in lines
    assert lines[-2:] == [
        "next      2026-01-02T00:30:00Z  visit to feed dead",
        "          2026-01-02T06:00:00Z  snapshot of .zz",
    ]


def test_nothing_watched_is_not_a_hundred_per_cent() -> None:
    """A fresh daemon says so; and when nothing is wrong, that too."""
    answer = {**ANSWER, "wrong": [], "coverage": {"share": None}, "components": ANSWER["components"][:1]}
    text = page(answer)
    assert "nothing is wrong" in text
    assert "coverage  nothing is watched yet" in text
    assert "Quad9: all answer" in text


def test_an_old_command_reads_a_newer_daemon() -> None:
    """Unknown keys are passed over, wherever they stand, and the other version is told."""
    newer = copy.deepcopy(ANSWER) | {"api": 2, "version": "9.0.0", "moons": 2}
    newer["feeds"][0]["colour"] = "blue"
    newer["coverage"]["phase"] = "full"
    lines = page(newer).splitlines()
    assert lines[1] == f"this command is {__version__}: restart the daemon after an upgrade, so that both are the same"
    assert lines[2].startswith("the daemon's status has format 2, this command knows 1")
    assert "feed dead is STALE" in lines[4]
    assert not any("moons" in line or "blue" in line for line in lines)


def test_a_new_command_reads_an_older_daemon() -> None:
    """What an older daemon does not say is left out, not stumbled over; the least answer is still a page."""
    older = {key: ANSWER[key] for key in ("version", "now", "wrong", "rounds")}
    assert "feed dead is STALE" in page(older)
    assert page({}).startswith("panopticond ? at ?")


def test_an_overdue_check_is_called_behind() -> None:
    """A due time in the past is no future."""
    assert "due in 60 s ago: behind" in page({**ANSWER, "next_check": "2026-01-01T23:59:00Z"})


def test_the_metrics_say_what_the_answer_says() -> None:
    """Causes are grouped by who did not answer; what is not known has no value; no sentence becomes a label."""
    text = metrics(ANSWER)
    for line in (
        "panopticond_wrong 1",
        "panopticond_indicators_whole 70",
        'panopticond_indicators_not_whole{cause="vantage far"} 21',
        'panopticond_observations_total{kind="web",outcome="indeterminate"} 5',
        'panopticond_feed_state{feed="dead",state="STALE"} 1',
        'panopticond_feed_state{feed="dead",state="OK"} 0',
        'panopticond_snapshot_serial{tld="zz"} 2026010101',
        'panopticond_problem{task="publish zz"} 1',
        'panopticond_component_up{component="vantage far"} 0',
        "panopticond_time_seconds 1767312000",
    ):
        assert f"{line}\n" in text
    assert 'panopticond_feed_rows{feed="new"}' not in text
    assert "disk is full" not in text
    assert "192.0.2.1" not in text
    without = metrics({**ANSWER, "webrisk": None, "next_check": None})
    assert "webrisk" not in without
    assert "next_check" not in without
