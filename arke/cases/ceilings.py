"""What stops a mail that is otherwise due: the ceilings, the suppression list, office hours (design section 9).

Asked by ``follow`` and the ladder. Pure: what was sent, what is listed and what time it is come as arguments.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from arke.cases.ledger import Sent
from arke.config import Config
from arke.model import Contact


class Budget:
    """The ceilings: what the last day and hour and this run have used (design section 9)."""

    def __init__(self, config: Config, sent: Sent) -> None:
        self._limits = config.limits
        self._hour = sent.hour
        self._run = 0
        self._parties = Counter(sent.parties)
        self._domains = Counter(sent.domains)

    def refuse(self, party: str, domains: Sequence[str]) -> str:
        """Why one more notice would be too many, or nothing: then it is counted."""
        limits = self._limits
        if self._run >= limits.per_run or self._hour >= limits.per_hour:
            return "ceiling-run" if self._run >= limits.per_run else "ceiling-hour"
        if self._parties[party] >= limits.per_recipient_day:
            return "ceiling-recipient"
        if any(self._domains[domain] >= limits.per_domain_day for domain in domains):
            return "ceiling-domain"
        self._run += 1
        self._hour += 1
        self._parties[party] += 1
        self._domains.update(domains)
        return ""


def is_suppressed(
    contact: Contact,
    listed: tuple[frozenset[str], frozenset[str]],
    hashes: frozenset[str],
    party: Callable[[str], str],
) -> bool:
    """Whether a contact may never be written to: by the operator's file, or by an objection kept as a hash (pure)."""
    addresses, domains = listed
    address = contact.address.lower()
    host = address.rpartition("@")[2]
    parents = {host[at:] for at in (0, *(index + 1 for index, letter in enumerate(host) if letter == "."))}
    return address in addresses or bool(parents & domains) or party(address) in hashes
