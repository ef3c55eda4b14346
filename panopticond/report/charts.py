"""Bars as SVG text, drawn by hand: no script, no library, readable in a browser, on paper and by a screen reader.

Used by the report's templates; each chart carries its figures in its description, and a table stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

ROW, GAP, LEFT, WIDTH = 18, 16, 104, 560
_DARK, _LIGHT = "#1b5e8c", "#a9c8de"


def pairs(rows: Sequence[tuple[str, int | None, int | None]], first: str, second: str) -> Markup:
    """Two bars a row, ``first`` light and ``second`` dark, each with its number; None reads ``unknown``."""
    top = max([number for _, one, other in rows for number in (one, other) if number], default=1)
    height = len(rows) * (2 * ROW + GAP) + 24
    said = "; ".join(f"{label}: {first} {_text(one)}, {second} {_text(other)}" for label, one, other in rows)
    parts = [
        Markup(
            '<svg viewBox="0 0 {} {}" role="img" class="chart"><title>{} and {} domains</title><desc>{}</desc>'
        ).format(WIDTH, height, first, second, said)
    ]
    for at, (label, one, other) in enumerate(rows):
        y = at * (2 * ROW + GAP)
        parts.append(Markup('<text x="0" y="{}" class="label">{}</text>').format(y + ROW + 5, label))
        parts += [_bar(y, one, top, _LIGHT), _bar(y + ROW, other, top, _DARK)]
    y = height - 14
    parts.append(
        Markup(
            '<rect x="{x}" y="{y}" width="12" height="12" fill="{light}"/><text x="{tx}" y="{ty}">{first}</text>'
            '<rect x="{x2}" y="{y}" width="12" height="12" fill="{dark}"/><text x="{tx2}" y="{ty}">{second}</text>'
            "</svg>"
        ).format(
            x=LEFT,
            y=y,
            light=_LIGHT,
            tx=LEFT + 18,
            ty=y + 11,
            first=first,
            x2=LEFT + 110,
            dark=_DARK,
            tx2=LEFT + 128,
            second=second,
        )
    )
    return Markup("").join(parts)


def _bar(y: int, number: int | None, top: int, colour: str) -> Markup:
    length = 0 if number is None else round((WIDTH - LEFT - 70) * number / top, 1)
    bar = Markup('<rect x="{}" y="{}" width="{}" height="{}" fill="{}"/>').format(LEFT, y + 1, length, ROW - 3, colour)
    return bar + Markup('<text x="{}" y="{}" class="number">{}</text>').format(LEFT + length + 6, y + 13, _text(number))


def _text(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"
