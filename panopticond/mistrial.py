"""The judge with a net: a bug of ours that one indicator's rounds bring out costs that indicator its verdict, no more.

Around :mod:`panopticond.judge.verdict`, for the schedule and the snapshot alike. What it raises is logged whole, once
an indicator; the indicator reads ``indeterminate`` by the rule ``could-not-judge`` (validated by nothing, noticed by
nobody), status says so, and the others go on. The next round is judged as if nothing had been.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from panopticond.judge.verdict import COULD_NOT_JUDGE, Listing
from panopticond.model import Round, Subject, Verdict, public_id

REMEMBERED = 10_000
"""Indicators of which is known that they cannot be judged; beyond so many they are counted no more."""
log = logging.getLogger(__name__)


class Mistrials:
    """Calls ``judge`` and keeps what it raised, by indicator, until that one was judged again."""

    def __init__(self, judge: Callable[..., Verdict]) -> None:
        self._judge = judge
        self._raised: dict[str, str] = {}
        self._logged: set[str] = set()

    def __call__(self, subject: Subject, rounds: Sequence[Round], listing: Listing, **terms: int) -> Verdict:
        """The verdict, or ``could-not-judge``; raises nothing a judge can raise."""
        name = public_id(subject.key)
        try:
            verdict = self._judge(subject, rounds, listing, **terms)
        except Exception as error:
            if len(self._raised) < REMEMBERED:
                self._raised[name] = type(error).__name__
            if name not in self._logged and len(self._logged) < REMEMBERED:
                self._logged.add(name)
                log.exception("%s cannot be judged, which is a bug of ours; it reads indeterminate", name)
            at = rounds[-1].at if rounds else None
            return Verdict("indeterminate", COULD_NOT_JUDGE, at, at, rounds=len(rounds))
        self._raised.pop(name, None)
        return verdict

    def wrong(self) -> list[str]:
        """A sentence for status while there is any."""
        raised = list(self._raised.items())  # a snapshot judges in a thread of its own
        if not raised:
            return []
        first, why = raised[0]
        return [
            f"{len(raised)} indicators could not be judged, a bug of ours ({first}: {why}); they read indeterminate "
            "and cause no notice; the log has the trace to report"
        ]
