"""The mails to a ccTLD's managers, composed: the day's and the month's report, and a critical name as it is validated.

After publication, before ``post``. A template in the TLD's language gives subject (first line) and text; a plain HTML
part repeats it with the figures as a table, because mail clients draw no SVG; report and CSV files are attached.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from panopticond.config import Mail, Tld
from panopticond.report.figures import defang
from panopticond.report.words import FALLBACK, direction, words
from panopticond.shared import snapshot
from panopticond.shared.clock import rfc3339
from panopticond.shared.errors import PanopticonError

if TYPE_CHECKING:
    import jinja2

ATTACHMENT_LIMIT_BYTES = 4 << 20
"""Larger files stay in the repository and the mail says so."""
SUBJECT_LIMIT = 180


class Critical(msgspec.Struct, frozen=True):
    """A name of the critical list that has just been validated."""

    key: str
    """URI or host."""
    domain: str
    threats: tuple[str, ...]
    at: dt.datetime
    feeds: int


def daily_mail(settings: Mail, tld: Tld, published: Path, now: dt.datetime) -> EmailMessage:
    """The mail for one published snapshot; PanopticonError when its report cannot be read."""
    report = _report(published)
    said = report["snapshot"]
    files = [snapshot.REPORT_HTML, snapshot.URIS, snapshot.DOMAINS]
    attached = [name for name in files if (published / name).stat().st_size <= ATTACHMENT_LIMIT_BYTES]
    values = {
        **report,
        "tld": tld.name,
        "serial": said["serial"],
        "start": said["from_at"],
        "end": said["to_at"],
        "sick": [feed for feed in report["feeds"] if feed["state"] != "OK"],
        "attached": attached,
        "left_out": [name for name in files if name not in attached],
    }
    table = _table(tld, report["threats"])
    mark = f"daily.{tld.name}.{said['serial']}"
    return _message(
        settings, tld, "daily", values, now, mark, table=table, attach=[published / name for name in attached]
    )


def monthly_mail(settings: Mail, tld: Tld, published: Path, now: dt.datetime) -> EmailMessage:
    """The mail for one month's report; PanopticonError when it cannot be read."""
    report = _report(published)
    attached = [snapshot.REPORT_HTML, snapshot.MONTH_DAYS]
    values = {
        "tld": tld.name,
        "month": report["month"],
        "cases": report["cases"],
        "median": report["medians"][0]["validated"],
        "attached": attached,
    }
    table = _table(tld, [one for one in report["medians"] if one["threat"]])
    mark = f"monthly.{tld.name}.{report['month']}"
    return _message(
        settings, tld, "monthly", values, now, mark, table=table, attach=[published / name for name in attached]
    )


def critical_mail(settings: Mail, tld: Tld, found: Critical, now: dt.datetime) -> EmailMessage:
    """The mail that does not wait for the daily report."""
    values = {
        "tld": tld.name,
        "domain": defang(found.domain),
        "name": defang(found.key),
        "threats": found.threats,
        "at": rfc3339(found.at),
        "reporters": found.feeds,
    }
    mark = f"critical.{found.domain}.{found.at:%Y%m%d%H%M%S}"
    return _message(settings, tld, "critical", values, now, mark)


def _message(
    settings: Mail,
    tld: Tld,
    kind: str,
    values: Mapping[str, Any],
    now: dt.datetime,
    mark: str,
    *,
    table: Sequence[Sequence[str]] = (),
    attach: Sequence[Path] = (),
) -> EmailMessage:
    text = _text(settings, tld, kind, values)
    subject, _, body = text.partition("\n")
    message = EmailMessage()
    message["From"] = settings.sender
    message["To"] = ", ".join(tld.managers)
    message["Subject"] = " ".join(subject.split())[:SUBJECT_LIMIT]
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<panopticon.{mark}@{settings.sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(body.strip() + "\n")
    page = _environment(None, escape=True).get_template("mail.html")
    paragraphs = [part for part in body.split("\n\n") if part.strip()]
    spoken = {"language": tld.language, "direction": direction(tld.language)}
    html = page.render(subject=message["Subject"], paragraphs=paragraphs, table=table, **spoken)
    message.add_alternative(html, subtype="html")
    for path in attach:
        kind_of = ("text", "csv") if path.suffix == ".csv" else ("text", "html")
        message.add_attachment(
            path.read_bytes(),
            maintype=kind_of[0],
            subtype=kind_of[1],
            filename=path.name,
            params={"charset": "utf-8"},
        )
    return message


def _text(settings: Mail, tld: Tld, kind: str, values: Mapping[str, Any]) -> str:
    """The template of the TLD, of its language, or English, rendered; PanopticonError for a faulty one."""
    from jinja2 import TemplateError  # noqa: PLC0415 - needed once a day

    names = [f"{kind}.{tld.name}.txt", f"{kind}.{tld.language}.txt", f"{kind}.{FALLBACK}.txt"]
    try:
        return _environment(settings.templates, escape=False).select_template(names).render(values)
    except (TemplateError, OSError) as error:
        raise PanopticonError(f"mail.templates: {names[0]} or its like cannot be used: {error}") from error


def _environment(directory: str | None, *, escape: bool) -> jinja2.Environment:
    import jinja2  # noqa: PLC0415 - needed once a day

    loaders: list[jinja2.BaseLoader] = [jinja2.FileSystemLoader(directory)] if directory else []
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader([*loaders, jinja2.PackageLoader("panopticond.report", "templates")]),
        autoescape=escape,  # noqa: S701 - the text part is no markup
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _report(published: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((published / snapshot.REPORT_JSON).read_bytes())
    except (OSError, ValueError) as error:
        raise PanopticonError(f"{published}: its report cannot be read: {error}") from error
    return found


def _table(tld: Tld, counts: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Domains by threat type with a heading, in the TLD's language."""
    said = words(tld.language)
    rows = [[said[one["threat"]], *(_known(one[name], said) for name in ("listed", "validated"))] for one in counts]
    return [["", said["listed"], said["validated"]], *rows]


def _known(number: float | None, said: Mapping[str, str]) -> str:
    return said["unknown"] if number is None else f"{number:,}"
