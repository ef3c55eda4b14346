"""Alarms and dashboard: each reads metrics that exist, each alarm fires where it should and is silent where it should."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

import arke.metrics
import panopticond.status.metrics
from panopticond.shared.exposition import Metric
from tests.monitoring.promql import Vector, evaluate, names, series

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "packaging" / "monitoring"
NOW = 1_800_000_000.0
DECLARED: dict[str, Metric] = {m.name: m for m in (*panopticond.status.metrics.METRICS, *arke.metrics.METRICS)}
OF_PROMETHEUS = {"up": ("job",)}
_RULE = re.compile(
    r"      - alert: (?P<name>\w+)\n        expr: (?P<expr>.+)\n        for: (?P<span>\w+)\n"
    r'        labels: \{severity: (?P<severity>page|ticket)\}\n        annotations: \{summary: "(?P<summary>[^"]+)"\}\n'
)


class Rule(msgspec.Struct, frozen=True):
    name: str
    expr: str
    span: str
    severity: str
    summary: str


TEXT = (FOLDER / "panopticon.rules.yml").read_text()
RULES = {found["name"]: Rule(**found.groupdict()) for found in _RULE.finditer(TEXT)}
FIRES_AND_NOT: dict[str, tuple[str, str]] = {
    "PanopticondDown": ('up{job="panopticond"} 0', 'up{job="panopticond"} 1\nup{job="arke"} 0'),
    "PanopticondCoverageLow": (
        "panopticond_indicators 100\npanopticond_indicators_whole 94",
        "panopticond_indicators 0\npanopticond_indicators_whole 0",
    ),
    "PanopticondBehind": (
        f"panopticond_next_check_timestamp_seconds {NOW - 2000}",
        f"panopticond_next_check_timestamp_seconds {NOW + 60}",
    ),
    "PanopticondNoFeedWorks": (
        'panopticond_feed_state{feed="a",state="OK"} 0\npanopticond_feed_state{feed="b",state="OK"} 0',
        'panopticond_feed_state{feed="a",state="OK"} 0\npanopticond_feed_state{feed="b",state="OK"} 1',
    ),
    "PanopticondNoFeedKnown": (
        'panopticond_info{instance="a",version="1"} 1\npanopticond_info{instance="b",version="1"} 1\n'
        'panopticond_feed_state{instance="b",feed="f",state="OK"} 0',
        'panopticond_info{instance="a",version="1"} 1\npanopticond_feed_state{instance="a",feed="f",state="NEW"} 1',
    ),
    "PanopticondFeedNever": (
        'panopticond_feed_state{feed="a",state="NEW"} 1',
        'panopticond_feed_state{feed="a",state="NEW"} 0\npanopticond_feed_state{feed="a",state="EMPTY"} 1',
    ),
    "PanopticondFeedSick": (
        'panopticond_feed_state{feed="a",state="STALE"} 1',
        'panopticond_feed_state{feed="a",state="STALE"} 0\npanopticond_feed_state{feed="a",state="OK"} 1\n'
        'panopticond_feed_state{feed="b",state="NEW"} 1',
    ),
    "PanopticondFeedSilent": (
        f'panopticond_feed_last_success_timestamp_seconds{{feed="a"}} {NOW - 180_000}',
        f'panopticond_feed_last_success_timestamp_seconds{{feed="a"}} {NOW - 3600}',
    ),
    "PanopticondComponentDown": (
        'panopticond_component_up{component="Quad9"} 0',
        'panopticond_component_up{component="Quad9"} 1',
    ),
    "PanopticondDatabaseAway": ("panopticond_database_up 0", "panopticond_database_up 1"),
    "PanopticondRoleMissing": (
        'panopticond_hosts{role="collect"} 1\npanopticond_hosts{role="publish"} 0\npanopticond_hosts{role="serve"} 0',
        'panopticond_hosts{role="collect"} 1\npanopticond_hosts{role="serve"} 0',
    ),
    "PanopticondResultsLost": (
        'earlier panopticond_results_lost_total{instance="a"} 3\npanopticond_results_lost_total{instance="a"} 4',
        "earlier panopticond_results_lost_total 3\npanopticond_results_lost_total 3",
    ),
    "PanopticondSnapshotNever": (
        f'panopticond_snapshot_next_timestamp_seconds{{tld="zz"}} {NOW}\n'
        f'panopticond_snapshot_next_timestamp_seconds{{tld="yy"}} {NOW}\n'
        f'panopticond_snapshot_issued_timestamp_seconds{{tld="yy"}} {NOW}',
        f'panopticond_snapshot_next_timestamp_seconds{{tld="zz"}} {NOW}\n'
        f'panopticond_snapshot_issued_timestamp_seconds{{tld="zz"}} {NOW}',
    ),
    "PanopticondSnapshotLate": (
        f'panopticond_snapshot_issued_timestamp_seconds{{tld="zz"}} {NOW - 100_000}',
        f'panopticond_snapshot_issued_timestamp_seconds{{tld="zz"}} {NOW - 86_400}',
    ),
    "PanopticondSnapshotExpires": (
        f'panopticond_snapshot_expires_timestamp_seconds{{tld="zz"}} {NOW + 3600}',
        f'panopticond_snapshot_expires_timestamp_seconds{{tld="zz"}} {NOW + 40_000}',
    ),
    "PanopticondTaskFails": ('panopticond_problem{task="publish zz"} 1', "panopticond_wrong 1"),
    "PanopticondWebRiskSpent": (
        "panopticond_webrisk_requests 3000\npanopticond_webrisk_budget_requests 3000",
        "panopticond_webrisk_requests 2999\npanopticond_webrisk_budget_requests 3000",
    ),
    "PanopticondClockOff": (f"panopticond_time_seconds {NOW + 3600}", f"panopticond_time_seconds {NOW - 30}"),
    "ArkeDown": ('up{job="arke"} 0', 'up{job="arke"} 1\nup{job="panopticond"} 0'),
    "ArkeSnapshotRefused": ('arke_snapshot_refused{tld="zz"} 1', 'arke_snapshot_refused{tld="zz"} 0'),
    "ArkeSnapshotNone": (
        'arke_snapshot_refused{tld="zz"} 0',
        f'arke_snapshot_refused{{tld="zz"}} 1\narke_snapshot_end_timestamp_seconds{{tld="zz"}} {NOW}',
    ),
    "ArkeSnapshotOld": (
        f'arke_snapshot_end_timestamp_seconds{{tld="zz"}} {NOW - 130_000}',
        f'arke_snapshot_end_timestamp_seconds{{tld="zz"}} {NOW - 90_000}',
    ),
    "ArkeProblem": ('arke_problem{subject="outbox"} 1', "arke_wrong 0"),
    "ArkeQueueWaits": ('arke_queue_entries{state="waiting"} 2', 'arke_queue_entries{state="approved"} 2'),
    "ArkeMailStuck": (
        f"arke_notice_next_timestamp_seconds {NOW - 7200}",
        f"arke_notice_next_timestamp_seconds {NOW + 7200}",
    ),
    "ArkeBounces": (
        'arke_notices{state="bounced"} 30\narke_notices{state="accepted"} 100',
        'arke_notices{state="bounced"} 0\narke_notices{state="accepted"} 0',
    ),
    "PanopticonNotScraped": ('up{job="node"} 1', 'up{job="arke"} 0'),
    "PanopticonFilesRunOut": (
        'process_open_fds{job="arke"} 900\nprocess_max_fds{job="arke"} 1024',
        'process_open_fds{job="other"} 900\nprocess_max_fds{job="other"} 1024',
    ),
}


def test_the_rules_are_read_whole() -> None:
    """No rule is lost by the way this test reads them, and every one has values that fire and values that do not."""
    assert len(RULES) == TEXT.count("- alert:")
    assert RULES.keys() == FIRES_AND_NOT.keys()


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_every_alarm_fires_and_is_silent(rule: Rule) -> None:
    """One labelled result from values that are wrong, none from values that are right.

    None from no values at all either: then the one alarm on nothing being there fires.
    """
    fires, silent = FIRES_AND_NOT[rule.name]
    found = _evaluate(rule.expr, fires)
    assert len(found) == 1
    assert _evaluate(rule.expr, silent) == {}
    assert (_evaluate(rule.expr, "") == {}) == ("absent(" not in rule.expr)
    labels = dict(next(iter(found)))
    assert [name for name in re.findall(r"\$labels\.(\w+)", rule.summary) if name not in {*labels, "instance"}] == []


COMPANIONS = {
    "PanopticondDown": "PanopticonNotScraped",
    "PanopticondNoFeedWorks": "PanopticondNoFeedKnown",
    "PanopticondFeedSilent": "PanopticondFeedNever",
    "PanopticondSnapshotLate": "PanopticondSnapshotNever",
    "PanopticondSnapshotExpires": "PanopticondSnapshotNever",
    "ArkeDown": "PanopticonNotScraped",
    "ArkeSnapshotOld": "ArkeSnapshotNone",
}
"""Alarms that would be silent for want of a figure, and what fires then."""
_FRESH = """up{job="panopticond",instance="a"} 1
panopticond_info{instance="a",version="1"} 1
panopticond_snapshot_next_timestamp_seconds{instance="a",tld="zz"} 1
panopticond_feed_state{instance="b",feed="f",state="NEW"} 1
arke_snapshot_refused{tld="zz"} 0"""


@pytest.mark.parametrize(("silent", "companion"), COMPANIONS.items(), ids=COMPANIONS)
def test_where_an_alarm_has_no_figure_another_fires(silent: str, companion: str) -> None:
    """Daemons that answer and have nothing to tell yet, or nothing at all where nothing is scraped."""
    told = "" if companion == "PanopticonNotScraped" else _FRESH
    assert _evaluate(RULES[silent].expr, told) == {}
    assert _evaluate(RULES[companion].expr, told)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_every_alarm_reads_metrics_that_exist(rule: Rule) -> None:
    """Names, labels and states of the rules are those the daemons have."""
    _exist(rule.expr)


def test_every_alarm_is_explained() -> None:
    """docs/how-to/read-an-alarm.md has a heading for each, and for no other."""
    page = (ROOT / "docs" / "how-to" / "read-an-alarm.md").read_text()
    assert re.findall(r"^### (\w+)$", page, re.MULTILINE) == list(RULES)


def test_the_dashboard_reads_metrics_that_exist() -> None:
    """Every expression of every panel; panels have a title and do not lie over each other."""
    board = json.loads((FOLDER / "panopticon.dashboard.json").read_bytes())
    places: set[tuple[int, int]] = set()
    asked = 0
    for panel in board["panels"]:
        grid = panel["gridPos"]
        cells = {(grid["x"] + x, grid["y"] + y) for x in range(grid["w"]) for y in range(grid["h"])}
        assert not cells & places
        places |= cells
        assert panel["title"]
        for target in panel.get("targets", ()):
            asked += 1
            _exist(target["expr"])
            labels = {word for name in names(target["expr"]) if name in DECLARED for word in DECLARED[name].labels}
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= {*labels, "instance", "job"}
    assert asked > 20


def test_every_metric_is_documented() -> None:
    """docs/reference/metrics.md names each metric with its labels, and none that is not there."""
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    told = dict(re.findall(r"^\| `([a-z_]+)` \| ([^|]*) \|", page, re.MULTILINE))
    assert {name: ", ".join(f"`{label}`" for label in metric.labels) for name, metric in DECLARED.items()} == {
        name: labels.strip() for name, labels in told.items()
    }


def test_units_stand_in_the_names() -> None:
    """Counters end in _total, times in _seconds, sizes in _bytes (prometheus.io, naming)."""
    for metric in DECLARED.values():
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        if "timestamp" in metric.name:
            assert metric.name.endswith("_timestamp_seconds")


def _evaluate(expression: str, text: str) -> Vector:
    """An expression on values as a scrape has them; lines that begin with ``earlier`` are those of a range's beginning."""
    lines = text.splitlines()
    before = "\n".join(line.removeprefix("earlier ") for line in lines if line.startswith("earlier "))
    now = "\n".join(line for line in lines if not line.startswith("earlier "))
    return evaluate(expression, series(now), NOW, series(before))


def _exist(expression: str) -> None:
    found = names(re.sub(r"(?:by|ignoring|on) \([^)]*\)|\[\w+\]", "", expression))
    assert found
    for name in found:
        assert name in DECLARED or name in OF_PROMETHEUS, name
    for name, inner in re.findall(r"([a-z_]+)\{([^}]*)\}", expression):
        known = {*(DECLARED[name].labels if name in DECLARED else OF_PROMETHEUS[name]), "job"}
        for label, texts in re.findall(r'([a-z_]+)(?:=~|!~|=|!=)"([^"]*)"', inner):
            assert label in known, f"{name} has no label {label}"
            if label == "state":
                states = {
                    *panopticond.status.metrics.FEED_STATES,
                    *arke.metrics.QUEUE_STATES,
                    *arke.metrics.OUTBOX_STATES,
                }
                assert set(texts.split("|")) <= states
