"""The monthly report for a ccTLD's manager: report.html, report.json and days.csv, from what was published alone.

After the first publication of a new month: the month before is put together from its published snapshots, written whole
beside them under ``<YYYY-MM>`` and its sums signed. Blocking; publish runs it in a thread.
"""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import os
import shutil
import zoneinfo
from collections.abc import Sequence
from pathlib import Path

import msgspec

from panopticond.judge.survival import Step
from panopticond.report.charts import curve, lines
from panopticond.report.daily import CLASS_WORDS, THREAT_WORDS, number
from panopticond.report.month import Month, month_of
from panopticond.shared import snapshot
from panopticond.shared.minisign import SecretKey, sign

CURVE_HOURS = 336.0
_STAGING = ".staging-"


def publish_month(directory: Path, timezone: str, issued: dt.datetime, key: SecretKey) -> Path | None:
    """The report of the month before ``issued`` (local), written once; None when it stands or there is nothing to tell.

    Raises RefusedError for a published snapshot that cannot be read and OSError as usual.
    """
    first = issued.astimezone(zoneinfo.ZoneInfo(timezone)).replace(day=1)
    month = f"{first - dt.timedelta(days=1):%Y-%m}"
    place = directory / month
    if place.exists():
        return None
    found = month_of(directory, month, timezone)
    if found is None:
        return None
    staged = directory / f"{_STAGING}{month}"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir()
    files = render(found)
    files[snapshot.SUMS] = "".join(
        f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()
    ).encode("ascii")
    comment = f"tld:{found.tld}\tmonth:{month}"
    files[f"{snapshot.SUMS}.minisig"] = sign(files[snapshot.SUMS], key, comment).encode("ascii")
    for name, data in files.items():
        with (staged / name).open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    staged.rename(place)
    return place


def render(month: Month) -> dict[str, bytes]:
    """The month's files by name: report.html, report.json, days.csv."""
    return {
        snapshot.REPORT_HTML: _html(month),
        snapshot.REPORT_JSON: msgspec.json.format(msgspec.json.encode(month, order="deterministic"), indent=1) + b"\n",
        snapshot.MONTH_DAYS: _csv(month),
    }


def _html(month: Month) -> bytes:
    import jinja2  # noqa: PLC0415 - needed once a day

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("panopticond.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    environment.filters["hours"] = _hours
    page = environment.get_template("monthly.html").render(
        m=month,
        title=f"{dt.date.fromisoformat(month.month + '-01'):%B %Y}",
        chart=lines([(day.date[5:], day.listed, day.validated) for day in month.days], "listed", "validated"),
        curve=curve(_points(month.curve[0]), _points(month.curve[1]), CURVE_HOURS),
        threat_words=THREAT_WORDS,
        class_words=CLASS_WORDS,
    )
    return page.encode("utf-8")


def _points(steps: Sequence[Step]) -> list[tuple[float, float]]:
    return [(step.time, step.survival) for step in steps]


def _hours(value: float | None) -> str:
    """``20 h``, ``3.5 d``; ``not reached`` for None."""
    if value is None:
        return "not reached"
    return f"{value:.0f} h" if value < 72 else f"{value / 24:.1f} d"


def _csv(month: Month) -> bytes:
    """A line a day, a column for every figure known on any day; empty where unknown."""
    names = sorted({name for day in month.days for name in day.values})
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(["date", "serial", "late", *names])
    for day in month.days:
        writer.writerow([day.date, day.serial, int(day.late), *(_plain(day.values.get(name)) for name in names)])
    return out.getvalue().encode("utf-8")


def _plain(value: float | None) -> str:
    if value is None:
        return ""
    return str(int(value)) if value == int(value) else str(value)
