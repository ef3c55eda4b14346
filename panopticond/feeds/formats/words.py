"""What a feed's own words for a threat mean in ours; shared by the formats that carry tags or types."""

from __future__ import annotations

import re

from panopticond.model import Threat

_WORDS: tuple[tuple[re.Pattern[str], Threat], ...] = (
    (re.compile(r"phish|scam|fraud|credential|smishing|fake"), "phishing"),
    (
        re.compile(r"(?:^|[^a-z])(?:c2|cc|c&c|cnc|botnet)(?:[^a-z]|$)|botnet|cobaltstrike|command.and.control"),
        "botnetCc",
    ),
    (
        re.compile(
            r"malware|malicious.(?:file|url)|payload|ransom|stealer|trojan|loader|dropper|exploit|skimming|(?:^|[^a-z])rat(?:[^a-z]|$)"
        ),
        "malware",
    ),
    (re.compile(r"spam"), "spam"),
)

# Child abuse material: tags and labels of MISP taxonomies (RSIT and eCSIRT count it under "violence"), OTX and STIX.
_CHILDREN = re.compile(
    r"(?:^|[^a-z])(?:csam|csem|csea)(?:[^a-z]|$)|abusive-content\W{1,4}(?:violence|child)|"
    r"(?:child(?:ren)?s?|minors?|underage|infant|kinder)[^a-z0-9]{0,3}(?:sex(?:ual(?:ly)?)?[^a-z0-9]{0,3})?"
    r"(?:abus|exploit|porn)|p(?:a?e|\u00e6)do(?:phil|porn)"
)


def speaks_of_child_abuse(words: str) -> bool:
    """Whether tags, labels or a type name child abuse material: such a row is never kept, and never probed."""
    return bool(words) and _CHILDREN.search(words.lower()) is not None


def threat_of(words: str) -> Threat | None:
    """The threat that tags or a type name, in the order phishing, botnetCc, malware, spam; None if they name none."""
    if not words:
        return None
    lower = words.lower()
    for pattern, threat in _WORDS:
        if pattern.search(lower):
            return threat
    return None
