"""Every format a feed may have, by name, with its parser. One module a family; add a line here for a new one."""

from __future__ import annotations

import msgspec

from panopticond.feeds.formats.abusech import parse_urlhaus_csv
from panopticond.feeds.formats.phishtank import parse_phishtank_csv
from panopticond.feeds.formats.plain import parse_hosts_file, parse_url_list
from panopticond.feeds.formats.row import Parser
from panopticond.model import Threat


class Format(msgspec.Struct, frozen=True):
    """A format: its parser and the threat its rows mean when neither they nor the feed say."""

    parse: Parser
    threat: Threat = "phishing"


FORMATS: dict[str, Format] = {
    "url-list": Format(parse_url_list),
    "hosts-file": Format(parse_hosts_file),
    "urlhaus-csv": Format(parse_urlhaus_csv, "malware"),
    "phishtank-csv": Format(parse_phishtank_csv),
}
