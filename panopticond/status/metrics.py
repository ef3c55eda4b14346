"""What Prometheus is told of panopticond: the status answer as metrics with units in their names.

Beside the flow: ``status`` gathers, this writes it down (docs/reference/metrics.md). Labels are words of the
configuration and of this program: TLDs, feeds, vantages, kinds, states; never a domain, an address or a sentence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from panopticond.config import Role
from panopticond.shared.clock import parse_rfc3339
from panopticond.shared.exposition import PROCESS, Metric, Sample, process, render

FEED_STATES = ("NEW", "OK", "STALE", "EMPTY", "SHRUNK", "AUTH", "RATE-LIMITED", "UNREACHABLE", "PARSE")
_P = "panopticond_"

METRICS = (
    Metric(_P + "info", "gauge", "Always 1; the version that runs.", ("version",)),
    Metric(_P + "time_seconds", "gauge", "The policy clock, seconds since 1970."),
    Metric(_P + "wrong", "gauge", "How many sentences `panopticond status` shows as wrong."),
    Metric(_P + "problem", "gauge", "1 for a task that failed and was not mended since.", ("task",)),
    Metric(_P + "indicators", "gauge", "Indicators watched."),
    Metric(_P + "indicators_whole", "gauge", "Of these, with every check of the last 24 hours on time and answered."),
    Metric(
        _P + "indicators_not_whole",
        "gauge",
        "The others, by cause: `late`, or who did not answer.",
        ("cause",),
    ),
    Metric(_P + "rounds_total", "counter", "Rounds recorded since the start."),
    Metric(_P + "observations_total", "counter", "Observations recorded since the start.", ("kind", "outcome")),
    Metric(_P + "checks_due", "gauge", "Checks whose deadline lay in the last 24 hours."),
    Metric(_P + "checks_on_time", "gauge", "Of these, made by their deadline."),
    Metric(_P + "checks_late", "gauge", "Of these, late or not made."),
    Metric(_P + "checks_unchecked", "gauge", "Rounds of the last 24 hours in which something could not be checked."),
    Metric(_P + "checks_in_flight", "gauge", "Rounds under way."),
    Metric(_P + "next_check_timestamp_seconds", "gauge", "When the next check is due; in the past while behind."),
    Metric(_P + "component_up", "gauge", "1 while what we depend on answers, 0 while it does not.", ("component",)),
    Metric(_P + "silent_name_servers", "gauge", "Name servers that left the last question unanswered."),
    Metric(_P + "webrisk_requests", "gauge", "Web Risk look-ups of today (UTC)."),
    Metric(_P + "webrisk_budget_requests", "gauge", "How many a day may have."),
    Metric(_P + "feed_state", "gauge", "1 for the state a feed is in, 0 for the others.", ("feed", "state")),
    Metric(_P + "feed_last_success_timestamp_seconds", "gauge", "When a feed last gave a body.", ("feed",)),
    Metric(_P + "feed_last_change_timestamp_seconds", "gauge", "When a feed's body last changed.", ("feed",)),
    Metric(_P + "feed_rows", "gauge", "Rows of a feed's last body.", ("feed",)),
    Metric(_P + "feed_indicators", "gauge", "Indicators of it in the TLDs served.", ("feed",)),
    Metric(_P + "feed_rejected_rows", "gauge", "Rows of it that are no indicator.", ("feed",)),
    Metric(_P + "snapshot_serial", "gauge", "The last snapshot published.", ("tld",)),
    Metric(_P + "snapshot_issued_timestamp_seconds", "gauge", "When it was published.", ("tld",)),
    Metric(_P + "snapshot_expires_timestamp_seconds", "gauge", "Until when readers accept it.", ("tld",)),
    Metric(_P + "snapshot_next_timestamp_seconds", "gauge", "When the next one is due.", ("tld",)),
    Metric(_P + "database_up", "gauge", "With a shared store: 1 while PostgreSQL answers, 0 while it does not."),
    Metric(_P + "hosts", "gauge", "Living hosts on this database that have a role.", ("role",)),
    Metric(_P + "leases_held", "gauge", "Checks this host has on lease."),
    Metric(_P + "leases_taken_total", "counter", "Checks this host took since its start."),
    Metric(_P + "results_recorded_total", "counter", "Rounds this host recorded under a lease since its start."),
    Metric(_P + "results_lost_total", "counter", "Rounds of this host dropped because another host had the check."),
    Metric(_P + "results_waiting", "gauge", "Finished rounds of this host that are not recorded yet."),
    *PROCESS,
)
"""Every metric there is, in the order of a scrape."""


def metrics(answer: Mapping[str, Any]) -> str:
    """The text of a scrape, from the answer to ``{"do": "status"}``."""
    return render(METRICS, [*_samples(answer), *process()])


def _samples(answer: Mapping[str, Any]) -> Iterator[Sample]:
    yield Sample(_P + "info", 1, {"version": answer["version"]})
    yield Sample(_P + "time_seconds", _seconds(answer["now"]))
    yield Sample(_P + "wrong", len(answer["wrong"]))
    for task in answer["problems"]:
        yield Sample(_P + "problem", 1, {"task": task})
    yield Sample(_P + "silent_name_servers", len(answer["silent"]))
    for component in answer["components"]:
        yield Sample(_P + "component_up", component["ok"], {"component": component["component"]})
    if answer["webrisk"] is not None:
        yield Sample(_P + "webrisk_requests", answer["webrisk"]["asked_today"])
        yield Sample(_P + "webrisk_budget_requests", answer["webrisk"]["daily_budget"])
    yield from _of_checks(answer)
    for feed in answer["feeds"]:
        yield from _of_feed(feed)
    for tld in answer["tlds"]:
        label = {"tld": tld["tld"]}
        yield Sample(_P + "snapshot_serial", tld["serial"], label)
        for word in ("issued", "expires", "next"):
            yield Sample(f"{_P}snapshot_{word}_timestamp_seconds", _seconds(tld[word]), label)
    if answer["fleet"] is not None:
        yield from _of_fleet(answer["fleet"])


def _of_checks(answer: Mapping[str, Any]) -> Iterator[Sample]:
    coverage = answer["coverage"]
    yield Sample(_P + "indicators", answer["indicators"])
    yield Sample(_P + "indicators_whole", coverage["whole"])
    causes = Counter[str]()
    for cause, count in coverage["causes"].items():
        causes[cause.partition(": ")[0]] += count  # the component; its reason may be any sentence
    for cause, count in sorted(causes.items()):
        yield Sample(_P + "indicators_not_whole", count, {"cause": cause})
    yield Sample(_P + "rounds_total", answer["rounds"])
    for key, count in answer["outcomes"].items():
        kind, _, outcome = key.partition(":")
        yield Sample(_P + "observations_total", count, {"kind": kind, "outcome": outcome})
    for word in ("due", "on_time", "late", "unchecked"):
        yield Sample(f"{_P}checks_{word}", coverage[word])
    yield Sample(_P + "checks_in_flight", answer["in_flight"])
    yield Sample(_P + "next_check_timestamp_seconds", _seconds(answer["next_check"]))


def _of_fleet(fleet: Mapping[str, Any]) -> Iterator[Sample]:
    yield Sample(_P + "database_up", fleet["database"] == "answers")
    living = Counter(role for host in fleet["hosts"] for role in host["roles"])
    for role in get_args(Role):  # none at all is a figure too: somebody must be woken by it
        yield Sample(_P + "hosts", living[role], {"role": role})
    if (mine := fleet["leases"]) is not None:
        yield Sample(_P + "leases_held", mine["held"])
        yield Sample(_P + "leases_taken_total", mine["taken"])
        yield Sample(_P + "results_recorded_total", mine["recorded"])
        yield Sample(_P + "results_lost_total", mine["lost"])
        yield Sample(_P + "results_waiting", mine["waiting"])


def _of_feed(feed: Mapping[str, Any]) -> Iterator[Sample]:
    label = {"feed": feed["name"]}
    for state in FEED_STATES:
        yield Sample(_P + "feed_state", feed["state"] == state, {**label, "state": state})
    for word in ("last_success", "last_change"):
        yield Sample(f"{_P}feed_{word}_timestamp_seconds", _seconds(feed[word]), label)
    if feed["last_success"] is not None:
        yield Sample(_P + "feed_rows", feed["rows"], label)
        yield Sample(_P + "feed_indicators", feed["indicators"], label)
        yield Sample(_P + "feed_rejected_rows", feed["rejected"], label)


def _seconds(text: str | None) -> float | None:
    return parse_rfc3339(text).timestamp() if text else None
