"""Bars, lines and staircases as SVG text, by hand: no script, no library; readable on paper and by screen readers.

Used by the report's templates; each chart carries its figures in its description, and a table stands beside it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from markupsafe import Markup

TALL = 180
_AXIS, _MIDDLE = 44, 190
_SHARES = (0.0, 0.5, 1.0)
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
    return Markup("").join([*parts, _legend(first, second, left=LEFT, y=height - 14), Markup("</svg>")])


def _legend(first: str, second: str, *, left: float, y: float) -> Markup:
    return Markup(
        '<rect x="{x}" y="{y}" width="12" height="12" fill="{light}"/><text x="{tx}" y="{ty}">{first}</text>'
        '<rect x="{x2}" y="{y}" width="12" height="12" fill="{dark}"/><text x="{tx2}" y="{ty}">{second}</text>'
    ).format(
        x=left,
        y=y,
        light=_LIGHT,
        tx=left + 18,
        ty=y + 11,
        first=first,
        x2=left + 110,
        dark=_DARK,
        tx2=left + 128,
        second=second,
    )


def _bar(y: int, number: int | None, top: int, colour: str) -> Markup:
    length = 0 if number is None else round((WIDTH - LEFT - 70) * number / top, 1)
    bar = Markup('<rect x="{}" y="{}" width="{}" height="{}" fill="{}"/>').format(LEFT, y + 1, length, ROW - 3, colour)
    return bar + Markup('<text x="{}" y="{}" class="number">{}</text>').format(LEFT + length + 6, y + 13, _text(number))


def _text(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"


def lines(rows: Sequence[tuple[str, int | None, int | None]], first: str, second: str) -> Markup:
    """Two lines over the days, ``first`` light and ``second`` dark; a day of None leaves a gap."""
    series = [one for _, one, _ in rows], [other for _, _, other in rows]
    top = max([number for one in series for number in one if number], default=1)
    step = (WIDTH - _AXIS - 12) / max(1, len(rows) - 1)
    known = [number for number in series[1] if number is not None]
    said = f"{second} between {min(known):,} and {max(known):,} a day" if known else f"{second} never known"
    parts = [_open(f"{first} and {second} domains by day", said)]
    parts += [_grid(share, f"{top * share:,.0f}" if top * share == round(top * share) else "") for share in _SHARES]
    for values, colour in zip(series, (_LIGHT, _DARK), strict=True):
        points = [
            None if value is None else (_AXIS + step * place, _height(value / top))
            for place, value in enumerate(values)
        ]
        parts += [
            Markup('<circle cx="{:.1f}" cy="{:.1f}" r="2.6" fill="{}"/>').format(*point, colour)
            for point in points
            if point is not None
        ]
        for known_run, run in itertools.groupby(points, key=lambda point: point is not None):
            if known_run:
                text = " ".join(f"{point[0]:.1f},{point[1]:.1f}" for point in run if point is not None)
                parts.append(
                    Markup('<polyline points="{}" fill="none" stroke="{}" stroke-width="2"/>').format(text, colour)
                )
    ends = ((0, "start"), (len(rows) - 1, "end")) if len(rows) > 1 else ()
    parts += [_foot(_AXIS + step * place, anchor, rows[place][0]) for place, anchor in ends]
    return Markup("").join([*parts, _legend(first, second, left=_MIDDLE, y=TALL + 18), Markup("</svg>")])


def curve(early: Sequence[tuple[float, float]], late: Sequence[tuple[float, float]], until: float) -> Markup:
    """The share of cases not yet mitigated against hours, as two staircases with the truth between them."""
    said = "The figures stand in the table beside it."
    parts = [_open("Share of cases not yet mitigated, by hours since they were opened", said)]
    parts += [_grid(share, f"{share:.0%}") for share in _SHARES]
    for steps, colour in ((early, _LIGHT), (late, _DARK)):
        path, last = [f"M {_AXIS} {_height(1)}"], 1.0
        for time, share in steps:
            if time > until:
                break
            x = _AXIS + (WIDTH - _AXIS) * time / until
            path.append(f"L {x:.1f} {_height(last):.1f} L {x:.1f} {_height(share):.1f}")
            last = share
        path.append(f"L {WIDTH} {_height(last):.1f}")
        parts.append(Markup('<path d="{}" fill="none" stroke="{}" stroke-width="2"/>').format(" ".join(path), colour))
    parts += [_foot(_AXIS, "start", "0 h"), _foot(WIDTH, "end", f"{until:.0f} h")]
    return Markup("").join([*parts, _legend("earliest", "latest", left=_MIDDLE, y=TALL + 18), Markup("</svg>")])


def _open(title: str, said: str) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" role="img" class="chart"><title>{}</title><desc>{}</desc>').format(
        WIDTH, TALL + 44, title, said
    )


def _grid(share: float, label: str) -> Markup:
    y = _height(share)
    line = Markup('<line x1="{}" x2="{}" y1="{}" y2="{}" stroke="#dde4e9"/>').format(_AXIS, WIDTH, y, y)
    return line + Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(_AXIS - 6, y + 4, label)


def _foot(x: float, anchor: str, text: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{}" text-anchor="{}">{}</text>').format(x, TALL + 29, anchor, text)


def _height(share: float) -> float:
    return 10 + TALL * (1 - share)
