"""arke.commands.advice: every word of an outcome has a sentence that says what it means or what to do."""

import pytest

from arke.commands.advice import advice


@pytest.mark.parametrize(
    ("what", "reason", "words"),
    [
        ("no-contact", "redacted", "no-contact.csv"),
        ("cancelled", "not in the registry's zone", "zone file"),
        ("cancelled", "of tomorrow", "nothing is left"),
        ("waiting", "rdap-unreachable", "check rdap.url"),
        ("waiting", "hoster-timeout", "registries' RDAP"),
        ("no-contact", "hoster-redacted", "no abuse address"),
        ("waiting", "per-hour", "stays due"),
        ("hold", "popular", "arke queue"),
        ("review", "looks-clean", "arke queue"),
        ("suppressed", "on the suppression list", "suppression"),
        ("told", "", "already"),
        ("draft", "live", ""),
    ],
)
def test_every_outcome_says_what_to_do(what: str, reason: str, words: str) -> None:
    """Known reasons have their own sentence, others their outcome's; a draft needs none."""
    assert words in advice(what, reason)
    assert bool(words) == bool(advice(what, reason))
