"""The work of ``panopticond feeds parse|list|test``: formats tried by hand, without a daemon or a store.

Beside the flow: the commands call these. ``parse`` prints NDJSON, one row's indicator a line, and ends standard
error with a JSON summary in which rows = indicators + out_of_scope + all rejected (design section 5).
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, TextIO, cast

import msgspec

from panopticond.feeds.catalogue import KNOWN
from panopticond.feeds.formats import FORMATS
from panopticond.feeds.formats.mapped import read_map
from panopticond.feeds.inflate import Body
from panopticond.feeds.ingest import Ingest
from panopticond.model import THREATS, Indicator, Threat
from panopticond.shared.errors import ConfigurationError, PanopticonError
from panopticond.shared.names import Names, TldPolicy, ascii_name

STEP_ROWS = 20_000
NO_LIMIT = 1 << 62
UNKNOWN = "unknown"  # stands for a threat nobody named; printed as null


def parse_command(
    form: str,
    file: str,
    *,
    tlds: Iterable[str] = (),
    threat: str | None = None,
    map_file: str | None = None,
    out: BinaryIO | None = None,
    err: TextIO | None = None,
) -> int:
    """``feeds parse``: the exit status, 0 even when rows are rejected, 1 when the file was not whole.

    ``file`` is a path or ``-``. ConfigurationError for an unknown format, threat or mapping.
    """
    problems = []
    if form not in FORMATS:
        problems.append(f"--format: {form!r} is none of {', '.join(sorted(FORMATS))}")
    if threat is not None and threat not in THREATS:
        problems.append(f"--threat: {threat!r} is none of {', '.join(THREATS)}")
    if problems:
        raise ConfigurationError(problems)
    served = [TldPolicy(ascii_name(tld)) for tld in tlds]
    names = Names(served or None)
    mapping = read_map(map_file) if map_file is not None else None
    out = out or sys.stdout.buffer
    with _opened(file) as source:
        body = Body(source, NO_LIMIT)
        ingest = Ingest(body, FORMATS[form].with_map(mapping), names, cast("Threat", threat or UNKNOWN))
        encoder = msgspec.json.Encoder()
        try:
            while not ingest.finished:
                out.write(encoder.encode_lines([_printed(indicator) for indicator in ingest.take(STEP_ROWS)]))
            out.flush()
        except BrokenPipeError:  # head has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
    tally = ingest.tally
    err = err or sys.stderr
    if body.problem is not None:
        print(f"{file}: the file is {body.problem}; what could be read of it is above", file=err)
    summary = {
        "rows": tally.rows,
        "indicators": tally.indicators,
        "out_of_scope": tally.out_of_scope,
        "rejected": dict(sorted(tally.rejected.items())),
    }
    print(msgspec.json.encode(summary).decode(), file=err)
    return 1 if body.problem is not None else 0


class Printed(msgspec.Struct, frozen=True, gc=False):
    """One line of ``feeds parse``: the keys of design section 5, in its order."""

    uri: str | None
    host: str
    domain: str
    tld: str
    scope: str
    threat: str | None
    first_seen: str | None
    source_id: str | None
    altered: bool


def _printed(indicator: Indicator) -> Printed:
    return Printed(
        indicator.uri,
        indicator.host,
        indicator.domain,
        indicator.tld,
        indicator.scope,
        None if indicator.threat == UNKNOWN else indicator.threat,
        indicator.first_seen,
        indicator.source_id,
        indicator.altered,
    )


def list_command(out: TextIO | None = None) -> int:
    """``feeds list``: every feed of the catalogue, a line each."""
    rows = [("name", "format", "threat", "every", "key", "licence", "absence", "trust", "terms")]
    rows += [
        (
            spec.name,
            spec.format,
            spec.threat or "by row",
            f"{spec.every / 60:.0f} min",
            "yes" if spec.needs_key else "no",
            spec.licence,
            spec.absence,
            spec.trust,
            spec.terms,
        )
        for spec in KNOWN
    ]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(),
            file=out or sys.stdout,
        )
    return 0


def _opened(file: str) -> BinaryIO:
    """The file, or standard input; a pipe that brings a zip is spooled, for a zip is read from its end."""
    if file != "-":
        try:
            return Path(file).open("rb")
        except OSError as error:
            raise PanopticonError(f"{file}: {error.strerror}") from error
    pipe = cast("io.BufferedReader", sys.stdin.buffer)
    if pipe.peek(4)[:4] != b"PK\x03\x04":
        return cast("BinaryIO", pipe)
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - handed to the caller, who closes it
    shutil.copyfileobj(pipe, spool)
    spool.seek(0)
    return cast("BinaryIO", spool)
