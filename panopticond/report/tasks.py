"""The three things to do today: what a manager with ten minutes should do first, with the draft to do it with.

Between the figures and the page. Candidates stand in the order of their weight; the first three are shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from panopticond.report.figures import Case, Figures

SHOWN = 3
_OPEN = ("new", "reopened", "still active")
_LONG_HOURS = 72
_NAMED = 5


class Task(msgspec.Struct, frozen=True):
    """One thing to do: what, why, and a text ready to be used."""

    title: str
    why: str
    draft: str


def tasks(figures: Figures) -> tuple[Task, ...]:
    """At most three, the weightiest first."""
    found = []
    for task in _candidates(figures):
        found.append(task)
        if len(found) == SHOWN:
            break
    return tuple(found)


def _candidates(figures: Figures) -> Iterator[Task]:
    open_cases = [case for case in figures.cases if case.what in _OPEN]
    yield from _prominent([case for case in open_cases if case.critical or case.popular])
    if not figures.sound or figures.coverage < 0.9:
        yield _checks(figures)
    if sick := [feed for feed in figures.feeds if feed.state != "OK"]:
        yield _feeds(figures, [feed.name for feed in sick], [feed.reason for feed in sick])
    yield from _malicious([case for case in open_cases if case.abuse_class == "malicious"], figures)
    yield from _review(figures)
    yield from _shared([case for case in open_cases if case.abuse_class == "shared-service"])
    yield from _long([case for case in open_cases if case.hours_open >= _LONG_HOURS])
    yield from _fresh([case for case in open_cases if case.what != "still active"])
    yield from _delisting(figures)


def _prominent(cases: Sequence[Case]) -> Iterator[Task]:
    for case in cases[:1]:
        kind = "on your critical list" if case.critical else "a popular name"
        yield Task(
            f"Look at {case.name} first: it is {kind}",
            f"Case {case.id}, {_threats(case)}, open for {_hours(case.hours_open)}. No automatic notice goes "
            "out for it; it waits for a person.",
            f"Please look at {case.name} today (case {case.id}). We saw {_threats(case)} at:\n{_examples(case)}\n"
            "Tell us when it is removed; we check four times a day and will close the case ourselves.",
        )


def _checks(figures: Figures) -> Task:
    snapshot = figures.snapshot
    return Task(
        f"Have the checks looked at: only {figures.coverage:.0%} were made",
        f"{snapshot.checks_done:,} of {snapshot.checks_due:,} checks due in these hours were made. What was not "
        "checked is shown as unknown, never as clean; a drop in today's figures is no success.",
        f"From {snapshot.from_at} to {snapshot.to_at} only {snapshot.checks_done} of {snapshot.checks_due} checks "
        f"for .{snapshot.tld} were made. Please look at panopticond status and at the vantages ({snapshot.vantages}).",
    )


def _feeds(figures: Figures, names: Sequence[str], reasons: Sequence[str]) -> Task:
    lines = "\n".join(f"  {name}: {reason}" for name, reason in zip(names, reasons, strict=True))
    return Task(
        f"Get {_count(len(names), 'feed')} mended: {_list(names)}",
        "Until then nobody tells us of new abuse from there: fewer new names may only mean fewer eyes.",
        f"These feeds for .{figures.snapshot.tld} do not work as at {figures.snapshot.to_at}:\n{lines}\n"
        "Please check the address, the key and the account.",
    )


def _malicious(cases: Sequence[Case], figures: Figures) -> Iterator[Task]:
    if not cases:
        return
    names = [case.name for case in cases]
    verb = "was" if len(cases) == 1 else "were"
    lines = "\n".join(f"  {case.name} ({case.id}): {case.reasons}" for case in cases[:20])
    yield Task(
        f"Decide on {_count(len(cases), 'name')} that {verb} likely registered for abuse: {_list(names)}",
        "An assessment, not a finding; the reasons stand with each case. Only you decide on a suspension.",
        f"We assess these .{figures.snapshot.tld} names as likely maliciously registered and ask the registrar to "
        f"verify the registrant's data and to act under its terms:\n{lines}",
    )


def _review(figures: Figures) -> Iterator[Task]:
    if waiting := figures.flags.get("review", 0):
        yield Task(
            f"Settle {_count(waiting, 'address', 'addresses')} waiting for review",
            "The page changed, every list withdrew it, or it is active but long unlisted. No notice goes out until a "
            "person says so.",
            "panopticond review list\npanopticond review confirm ID      # it is still abuse\n"
            "panopticond review dismiss ID      # it is not",
        )


def _shared(cases: Sequence[Case]) -> Iterator[Task]:
    if cases:
        yield Task(
            f"Tell the operator of a shared service: {_list([case.name for case in cases])}",
            "The name below it belongs to a customer of the service; its operator can remove it, the registry cannot.",
            "A customer of your service uses it for abuse:\n" + "\n".join(_examples(case) for case in cases[:_NAMED]),
        )


def _long(cases: Sequence[Case]) -> Iterator[Task]:
    if cases:
        oldest = max(cases, key=lambda case: (case.hours_open, case.name))
        yield Task(
            f"Follow up {_count(len(cases), 'case')} open for more than three days, {oldest.name} the longest",
            f"{oldest.name} has been open for {_hours(oldest.hours_open)}. Holder and registrar have had their time.",
            f"Case {oldest.id}: {oldest.name} is still active after {_hours(oldest.hours_open)}:\n{_examples(oldest)}\n"
            "Please tell us what was done, and when it will be removed.",
        )


def _fresh(cases: Sequence[Case]) -> Iterator[Task]:
    if cases:
        names = [case.name for case in cases]
        yield Task(
            f"See that the holders of {_count(len(cases), 'new case')} were told: {_list(names)}",
            "arke sends the notices; names without a usable contact wait in its queue for you.",
            "arke status\narke queue list",
        )


def _delisting(figures: Figures) -> Iterator[Task]:
    if figures.clean_but_listed:
        names = list(dict.fromkeys(name for name, _, _ in figures.clean_but_listed))
        lines = "\n".join(
            f"  {name}: {feed}" + (f" ({address})" if address else "")
            for name, feed, address in figures.clean_but_listed[:20]
        )
        yield Task(
            f"Help {_count(len(names), 'cleaned name')} off the lists: {_list(names)}",
            "They are clean by our checks and still listed; their holders suffer for it.",
            f"By our checks these names are clean as at {figures.snapshot.to_at}. Please delist them:\n{lines}",
        )


def _threats(case: Case) -> str:
    return " and ".join(case.threats) or "abuse"


def _examples(case: Case) -> str:
    return "\n".join(f"  {example}" for example in case.examples)


def _hours(hours: int) -> str:
    return f"{hours} hours" if hours < 48 else f"{hours // 24} days"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _list(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")
