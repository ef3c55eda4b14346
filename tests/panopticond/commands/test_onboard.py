"""The first report of ``panopticond onboard``: what it does by itself; the whole of it is in integration/test_first_hour."""

from __future__ import annotations

from panopticond.commands.onboard import at_once
from panopticond.config import Config, Rdap, Registration, Tld, Validation
from panopticond.probe.round import REGISTRATIONS_AT_ONCE


def test_no_registration_of_a_first_report_is_left_out_for_too_many_at_once() -> None:
    """As many rounds as may ask a registry at once; where none is asked, as many as configured."""
    asked, silent = Tld("zz", rdap=Rdap("https://rdap.zz/")), Tld("zz")
    config = Config(tld=(asked,), validation=Validation(concurrency=64))
    assert at_once(config, (asked,)) == REGISTRATIONS_AT_ONCE
    assert at_once(config, (silent,)) == 64
    assert at_once(Config(tld=(asked,), registration=Registration(enabled=False)), (asked,)) == 64
    assert at_once(Config(tld=(asked,), validation=Validation(concurrency=3)), (asked,)) == 3
