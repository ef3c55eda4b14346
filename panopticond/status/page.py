"""The page ``panopticond status`` shows, for a person at night: what is wrong first, then the figures.

Pure: from the status answer alone. It reads an older or newer daemon's answer too: what is missing is left out, what is
unknown passed over, and another version is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from panopticond import __version__
from panopticond.shared.clock import parse_rfc3339

API = 1
"""The newest status answer this page was written for."""
SHOWN = 5


def page(answer: Mapping[str, Any]) -> str:
    """The answer as lines of text."""
    lines = [
        f"panopticond {answer.get('version', '?')} at {answer.get('now', '?')}{_since(answer)}",
        *_other(answer),
        "",
    ]
    lines += [f"  WRONG  {sentence}" for sentence in answer.get("wrong", ())] or ["  nothing is wrong"]
    lines += ["", *_coverage(answer), *_queue(answer), *_budgets(answer), *_answering(answer), *_fleet(answer), ""]
    lines += [f"{'feed':20} {'state':13} {'rows':>8} {'in scope':>9} {'rejected':>9}  last success"]
    for feed in answer.get("feeds", ()):
        lines.append(
            f"{feed.get('name', '?'):20} {feed.get('state', '?'):13} {feed.get('rows', 0):8} "
            f"{feed.get('indicators', 0):9} {feed.get('rejected', 0):9}  {feed.get('last_success') or 'never'}"
        )
    lines += ["", f"{'tld':20} {'last snapshot':13} {'issued':20}  expires"]
    lines += [
        f"{tld.get('tld', '?'):20} {tld.get('serial') or '-':<13} {tld.get('issued') or '-':20}  "
        f"{tld.get('expires') or '-'}"
        for tld in answer.get("tlds", ())
    ]
    return "\n".join([*lines, "", *_next(answer)])


def _since(answer: Mapping[str, Any]) -> str:
    return f", running since {answer['started']}" if answer.get("started") else ""


def _other(answer: Mapping[str, Any]) -> list[str]:
    """A daemon that is not of this command's version, told."""
    told = []
    if answer.get("version") != __version__:
        told.append(f"this command is {__version__}: restart the daemon after an upgrade, so that both are the same")
    if (api := answer.get("api", 0)) > API:
        told.append(f"the daemon's status has format {api}, this command knows {API}: some of it may be missing here")
    return told


def _coverage(answer: Mapping[str, Any]) -> Iterator[str]:
    coverage = answer.get("coverage") or {}
    share = coverage.get("share")
    if share is None:
        yield "coverage  nothing is watched yet"
        return
    yield f"coverage  {share:.1%} of {answer.get('indicators', 0)} indicators had every check of the last 24 hours"
    yield (
        f"          checks: {coverage.get('due', 0)} due, {coverage.get('late', 0)} late or not made, "
        f"{coverage.get('unchecked', 0)} made without an answer"
    )
    causes = list((coverage.get("causes") or {}).items())
    if causes:
        yield "          missed by cause: " + ", ".join(f"{count} {cause}" for cause, count in causes[:SHOWN])


def _queue(answer: Mapping[str, Any]) -> Iterator[str]:
    due = answer.get("next_check")
    ahead = f"; the next is due in {_away(answer, due)}" if due else ""
    yield f"queue     {answer.get('in_flight', 0)} rounds under way, {answer.get('rounds', 0)} since the start{ahead}"


def _budgets(answer: Mapping[str, Any]) -> Iterator[str]:
    webrisk = answer.get("webrisk")
    if webrisk:
        of = f" of {webrisk['daily_budget']}" if "daily_budget" in webrisk else ""
        yield f"budgets   Web Risk: {webrisk.get('asked_today', 0)}{of} look-ups today"


def _answering(answer: Mapping[str, Any]) -> Iterator[str]:
    components = answer.get("components") or ()
    bad = [one for one in components if not one.get("ok", True)]
    if components and not bad:
        yield f"outside   {', '.join(one.get('component', '?') for one in components)}: all answer"
    for one in bad:
        yield f"outside   {one.get('component', '?')}: {one.get('failed')} of {one.get('answers')} without an answer"


def _fleet(answer: Mapping[str, Any]) -> Iterator[str]:
    """The hosts on one database, where there are several to be."""
    fleet = answer.get("fleet")
    if not fleet:
        return
    for at, one in enumerate(fleet.get("hosts", ())):
        name = f"{one.get('name', '?')} ({', '.join(one.get('roles', ()))})"
        mine = ", this one" if one.get("name") == fleet.get("host") else ""
        made = f": {one['held']} checks on lease, {one.get('recorded', 0)} recorded" if "held" in one else ""
        lost = f", {one['lost']} dropped" if one.get("lost") else ""
        yield f"{'hosts' if at == 0 else '':9} {name}{mine}{made}{lost}"
    if fleet.get("alone"):
        yield f"alone     {', '.join(fleet['alone'])}"


def _next(answer: Mapping[str, Any]) -> Iterator[str]:
    """The next events, soonest first."""
    feeds, tlds = answer.get("feeds", ()), answer.get("tlds", ())
    events = [(str(feed["next"]), f"visit to feed {feed['name']}") for feed in feeds if feed.get("next")]
    events += [(str(tld["next"]), f"snapshot of .{tld['tld']}") for tld in tlds if tld.get("next")]
    events = [(when, what) for when, what in events if when >= str(answer.get("now", ""))]
    for at, (when, what) in enumerate(_soonest(events)):
        yield f"{'next' if at == 0 else '':9} {when}  {what}"


def _soonest(events: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The soonest few; RFC 3339 in UTC sorts as text."""
    return sorted(events)[:SHOWN]


def _away(answer: Mapping[str, Any], when: str) -> str:
    try:
        left = (parse_rfc3339(when) - parse_rfc3339(str(answer.get("now")))).total_seconds()
    except ValueError:
        return "?"
    if left <= 0:
        return f"{-left:.0f} s ago: behind"
    return f"{left / 3600:.1f} h" if left >= 3600 else f"{left:.0f} s"
