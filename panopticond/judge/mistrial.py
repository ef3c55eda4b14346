"""The judge with a net: a bug of ours that one indicator's rounds bring out costs that indicator its verdict, no more.

Around :mod:`panopticond.judge.verdict`, for the schedule and the snapshot alike, and around a domain's class. What they
raise is logged whole, once an indicator or domain. The indicator reads ``indeterminate`` by the rule
``could-not-judge`` (validated by nothing, noticed by nobody), the domain is published ``undetermined`` with the reason;
status says so, and the others go on. The next one is judged as if nothing had been.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from panopticond.judge.classify import Classification
from panopticond.judge.verdict import COULD_NOT_JUDGE, Listing
from panopticond.model import Round, Subject, Verdict, public_id

REMEMBERED = 10_000
"""Indicators of which is known that they cannot be judged; beyond so many they are counted no more."""
UNASSESSED = Classification("undetermined", (), ("our own assessment, which failed by a bug of ours",))
"""What stands in the place of a class that a bug of ours prevented."""
log = logging.getLogger(__name__)


class Mistrials:
    """Calls ``judge`` and keeps what it raised, by indicator, until that one was judged again."""

    def __init__(self, judge: Callable[..., Verdict]) -> None:
        self._judge = judge
        self._verdicts, self._classes = _Raised(), _Raised()

    def __call__(self, subject: Subject, rounds: Sequence[Round], listing: Listing, **terms: int) -> Verdict:
        """The verdict, or ``could-not-judge``; raises nothing a judge can raise."""
        name = public_id(subject.key)
        try:
            verdict = self._judge(subject, rounds, listing, **terms)
        except Exception as error:
            if self._verdicts.met(name, error):
                log.exception("%s cannot be judged, which is a bug of ours; it reads indeterminate", name)
            at = rounds[-1].at if rounds else None
            return Verdict("indeterminate", COULD_NOT_JUDGE, at, at, rounds=len(rounds))
        self._verdicts.over(name)
        return verdict

    def assess(self, domain: str, assessed: Callable[[], Classification]) -> Classification:
        """The class of a domain as ``assessed`` makes it, or :data:`UNASSESSED`; raises nothing that can raise."""
        name = public_id(domain)
        try:
            found = assessed()
        except Exception as error:
            if self._classes.met(name, error):
                log.exception("%s cannot be assessed, which is a bug of ours; its class reads undetermined", name)
            return UNASSESSED
        self._classes.over(name)
        return found

    def wrong(self) -> list[str]:
        """A sentence for status of either kind while there is any."""
        return [
            *self._verdicts.told(
                "indicators could not be judged, a bug of ours",
                "they read indeterminate and cause no notice; the log has the trace to report",
            ),
            *self._classes.told(
                "domains could not be assessed, a bug of ours",
                "their class reads undetermined; the log has the trace to report",
            ),
        ]


def netted(judge: Callable[..., Verdict]) -> Mistrials:
    """The judge with a net, be it the one it has already."""
    return judge if isinstance(judge, Mistrials) else Mistrials(judge)


class _Raised:
    """What is raised of whom now, and of whom it was logged."""

    def __init__(self) -> None:
        self._now: dict[str, str] = {}
        self._logged: set[str] = set()

    def met(self, name: str, error: Exception) -> bool:
        """Keep it; whether it is to be logged, which is once each."""
        if len(self._now) < REMEMBERED:
            self._now[name] = type(error).__name__
        first = name not in self._logged and len(self._logged) < REMEMBERED
        if first:
            self._logged.add(name)
        return first

    def over(self, name: str) -> None:
        self._now.pop(name, None)

    def told(self, what: str, so: str) -> list[str]:
        now = list(self._now.items())  # a snapshot judges in a thread of its own
        return [f"{len(now)} {what} ({now[0][0]}: {now[0][1]}); {so}"] if now else []
