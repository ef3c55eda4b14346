"""The daily report for a ccTLD's manager: report.html and report.json, a pure function of the published tables.

After build, before the tree is signed; ``panopticond report --from`` makes the same bytes again from records.sql. The
page stands alone: no network, no script, readable on a phone and on paper.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from panopticond.report.charts import pairs
from panopticond.report.figures import CASES_SHOWN, Figures, figures
from panopticond.report.tasks import Task, tasks
from panopticond.shared.clock import parse_rfc3339
from panopticond.shared.errors import PanopticonError, RefusedError
from panopticond.shared.records import open_records, read_records
from panopticond.shared.snapshot import REPORT_HTML, REPORT_JSON
from panopticond.shared.tables import TABLES

THREAT_WORDS = {"phishing": "Phishing", "malware": "Malware", "botnetCc": "Botnet C&C", "spam": "Spam"}
CLASS_WORDS = {
    "malicious": "likely maliciously registered (assessment)",
    "compromised": "likely compromised (assessment)",
    "shared-service": "below a shared service",
    "undetermined": "undetermined",
}


def render(tables: Mapping[str, Sequence[Any]]) -> tuple[bytes, bytes]:
    """(report.html, report.json) of one snapshot's tables; table ``observation`` may be left out."""
    said = figures(tables)
    to_do = tasks(said)
    left_out = max(0, len(said.cases) - CASES_SHOWN)
    shown = msgspec.structs.replace(said, cases=said.cases[:CASES_SHOWN])
    return _html(shown, to_do, left_out), _json(shown, to_do, left_out)


def render_from_records(path: Path, out: Path) -> None:
    """Both files again, into directory ``out``, from a published records.sql (or .gz), byte for byte.

    Raises RefusedError when it is not of the dialect and PanopticonError when ``out`` cannot be written.
    """
    tables: dict[str, list[Any]] = {table: [] for table in TABLES}
    try:
        with contextlib.closing(open_records(path)) as stream:
            for table, row in read_records(stream):
                if table != "observation":
                    tables[table].append(row)
    except (OSError, EOFError) as error:
        raise RefusedError(f"{path}: cannot be read: {error}") from error
    if len(tables["snapshot"]) != 1:
        raise RefusedError(f"{path}: not one snapshot but {len(tables['snapshot'])}; refused")
    html, report = render(tables)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / REPORT_HTML).write_bytes(html)
        (out / REPORT_JSON).write_bytes(report)
    except OSError as error:
        raise PanopticonError(f"{out}: cannot write the report: {error.strerror}") from error


def _html(said: Figures, to_do: Sequence[Task], left_out: int) -> bytes:
    import jinja2  # noqa: PLC0415 - needed once a day

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("panopticond.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    environment.filters["day"] = _day
    chart = pairs(
        [(THREAT_WORDS[count.threat], count.listed, count.validated) for count in said.threats], "listed", "validated"
    )
    page = environment.get_template("daily.html").render(
        f=said, tasks=to_do, left_out=left_out, chart=chart, threat_words=THREAT_WORDS, class_words=CLASS_WORDS
    )
    return page.encode("utf-8")


def _json(said: Figures, to_do: Sequence[Task], left_out: int) -> bytes:
    data = msgspec.json.encode(
        {"tasks": to_do, "cases_left_out": left_out, **msgspec.structs.asdict(said)}, order="deterministic"
    )
    return msgspec.json.format(data, indent=1) + b"\n"


def number(value: float | None) -> str:
    """``1,234``, ``6.5``; ``unknown`` for None."""
    if value is None:
        return "unknown"
    return f"{int(value):,}" if value == int(value) else f"{value:,}"


def _day(text: str | None) -> str:
    """``21 Nov 2026 06:00``, or a hyphen for None."""
    return f"{parse_rfc3339(text):%d %b %Y %H:%M}" if text else "-"
