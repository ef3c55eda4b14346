"""What Prometheus is told of arke: the status answer as metrics, with units in their names. Pure but for process().

Beside the flow: ``desk`` gathers, this writes it down (docs/reference/metrics.md). Labels are TLDs, states and subjects
of this program; never a domain, a case number, an address or a sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from panopticond.shared.clock import parse_rfc3339
from panopticond.shared.exposition import PROCESS, Metric, Sample, process, render

QUEUE_STATES = ("waiting", "held", "approved", "rejected", "withheld")
OUTBOX_STATES = ("queued", "sending", "retry", "unknown", "accepted", "failed", "bounced", "withdrawn")
_P = "arke_"

METRICS = (
    Metric(_P + "info", "gauge", "Always 1; the version that runs.", ("version",)),
    Metric(_P + "time_seconds", "gauge", "The policy clock, seconds since 1970."),
    Metric(_P + "sending", "gauge", "1 where notices are sent, 0 where drafts are written."),
    Metric(_P + "working", "gauge", "1 while cases are being followed."),
    Metric(_P + "wrong", "gauge", "How many sentences `arke status` shows as wrong."),
    Metric(_P + "problem", "gauge", "1 for what failed and was not mended since.", ("subject",)),
    Metric(_P + "snapshot_refused", "gauge", "1 while the newest snapshot of a TLD is refused.", ("tld",)),
    Metric(_P + "snapshot_serial", "gauge", "The last snapshot accepted.", ("tld",)),
    Metric(_P + "snapshot_end_timestamp_seconds", "gauge", "Until when it reports.", ("tld",)),
    Metric(_P + "snapshot_expires_timestamp_seconds", "gauge", "Until when mail is sent on it.", ("tld",)),
    Metric(_P + "open_cases", "gauge", "Open cases of the last snapshot.", ("tld",)),
    Metric(_P + "queue_entries", "gauge", "What waits for a person, and what persons decided.", ("state",)),
    Metric(_P + "notices", "gauge", "Notices in the ledger by what became of them.", ("state",)),
    Metric(_P + "notices_waiting", "gauge", "Notices to be sent, retries included."),
    Metric(_P + "notice_next_timestamp_seconds", "gauge", "When the next notice is due."),
    *PROCESS,
)
"""Every metric there is, in the order of a scrape."""


def metrics(answer: Mapping[str, Any]) -> str:
    """The text of a scrape, from the answer to ``{"do": "status"}``."""
    return render(METRICS, [*_samples(answer), *process()])


def _samples(answer: Mapping[str, Any]) -> Iterator[Sample]:
    yield Sample(_P + "info", 1, {"version": answer["version"]})
    yield Sample(_P + "time_seconds", _seconds(answer["at"]))
    yield Sample(_P + "sending", answer["sending"])
    yield Sample(_P + "working", answer["working"])
    yield Sample(_P + "wrong", len(answer["wrong"]))
    for subject in sorted(answer["problems"]):
        yield Sample(_P + "problem", 1, {"subject": subject})
    for tld in sorted({*answer["tlds"], *answer["snapshots"], *answer["refused"]}):
        yield Sample(_P + "snapshot_refused", tld in answer["refused"], {"tld": tld})
    for tld, snapshot in sorted(answer["snapshots"].items()):
        label = {"tld": tld}
        yield Sample(_P + "snapshot_serial", snapshot["serial"], label)
        yield Sample(_P + "snapshot_end_timestamp_seconds", _seconds(snapshot["to"]), label)
        yield Sample(_P + "snapshot_expires_timestamp_seconds", _seconds(snapshot["expires"]), label)
        yield Sample(_P + "open_cases", snapshot["open_cases"], label)
    for state in QUEUE_STATES:
        yield Sample(_P + "queue_entries", answer["queue"].get(state, 0), {"state": state})
    outbox = answer["outbox"]
    for state in OUTBOX_STATES:
        yield Sample(_P + "notices", outbox.get(state, 0), {"state": state})
    yield Sample(_P + "notices_waiting", outbox["waiting"])
    yield Sample(_P + "notice_next_timestamp_seconds", _seconds(outbox["next_due"]))


def _seconds(text: str | None) -> float | None:
    return parse_rfc3339(text).timestamp() if text else None
