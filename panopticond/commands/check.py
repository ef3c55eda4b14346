"""``panopticond check URI``: every probe of one round now, each answer as it comes, and what the judge makes of them.

Beside the flow, with the daemon's own configuration, vantages and limits. Nothing is recorded: the window's rounds stay
those of the daemon, and a look by hand never validates or mitigates anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from panopticond.commands.explain import RULES, observation_line
from panopticond.config import Config, tlds
from panopticond.feeds.formats.row import Row
from panopticond.feeds.normalise import normalise
from panopticond.judge.verdict import Listing
from panopticond.model import Indicator, Observation, Round, Subject, Verdict
from panopticond.probe.round import Extras
from panopticond.schedule import HISTORY
from panopticond.shared.errors import ConfigurationError
from panopticond.shared.names import Names
from panopticond.wiring import Parts, assemble, policy


async def check(config: Config, text: str, say: Callable[[str], None]) -> None:
    """Probe a URI or a host now; ``say`` gets a line an answer. ConfigurationError when it is in no served TLD."""
    subject = _subject(text, Names([policy(tld) for tld in tlds(config)]))
    async with assemble(config) as parts:
        if parts.tranco is not None:
            await parts.tranco.refresh(parts.clock.now())

        def tell(observation: Observation) -> None:
            say(observation_line(observation))

        round_, _ = await parts.prober.check(subject, None, Extras(), parts.clock.now, tell=tell)
        for line in await _conclusion(parts, subject, round_):
            say(line)


def _subject(text: str, names: Names) -> Subject:
    found = normalise(Row(text.strip()), names, "phishing")
    if not isinstance(found, Indicator):
        reason = getattr(found, "reason", "no URI")
        raise ConfigurationError([f"{text}: nothing to check here ({reason}); give a URI or a host in a served TLD"])
    return Subject(0, found.uri, found.host, found.domain, found.tld, found.scope, (found.threat,), found.altered)


async def _conclusion(parts: Parts, subject: Subject, round_: Round) -> Sequence[str]:
    """What this round says alone, and beside the rounds on record where there are any."""
    alone = parts.judge(subject, [round_], Listing())
    lines = ["", f"this round alone: {_words(alone)}"]
    known = [one for one in await parts.store.find(subject.key) if one.subject.key == subject.key]
    if not known:
        return [*lines, "no feed has listed this: nothing is on record"]
    standing = known[0]
    history = await parts.store.rounds(standing.subject.id, since=round_.at - HISTORY)
    earlier = [one for one in history if one.at < round_.at]
    together = parts.judge(standing.subject, [*earlier, round_], parts.listing_of(standing))
    if standing.verdict is not None:
        lines.append(f"on record:        {_words(standing.verdict)}")
    return [*lines, f"beside the record: {_words(msgspec.structs.replace(together, rounds=len(earlier) + 1))}"]


def _words(verdict: Verdict) -> str:
    flags = f"; {' '.join(verdict.flags)}" if verdict.flags else ""
    return f"{verdict.state}: {RULES.get(verdict.rule, verdict.rule)} [{verdict.rule}]{flags}"
