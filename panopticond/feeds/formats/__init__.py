"""Every format a feed may have, by name, with its parser. One module a family; add a line here for a new one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator

import msgspec

from panopticond.feeds.formats.abusech import (
    parse_feodo_csv,
    parse_threatfox_csv,
    parse_threatfox_json,
    parse_urlhaus_csv,
    parse_urlhaus_json,
)
from panopticond.feeds.formats.blocklists import parse_adblock, parse_dnsmasq, parse_rbldnsd, parse_rpz
from panopticond.feeds.formats.exchange import parse_misp, parse_stix
from panopticond.feeds.formats.mapped import FieldMap, parse_csv, parse_json, parse_ndjson
from panopticond.feeds.formats.phishing import (
    parse_blackbook_csv,
    parse_certpl_json,
    parse_jpcert_csv,
    parse_phishstats_csv,
    parse_phishtank_csv,
    parse_phishtank_json,
    parse_tweetfeed_csv,
)
from panopticond.feeds.formats.plain import parse_hosts_file, parse_url_list
from panopticond.feeds.formats.row import Parsed, Parser, Skip
from panopticond.model import Threat


class Format(msgspec.Struct, frozen=True):
    """A format: its parser and the threat its rows mean when neither they nor the feed say."""

    parse: Parser
    threat: Threat = "phishing"
    mapped: Callable[..., object] | None = None
    """The parser that takes a FieldMap as its second argument, where the format has one."""
    json: bool = False
    skipping: Callable[[Iterable[bytes], Skip], Iterator[Parsed]] | None = None
    """The parser that can be told which rows to pass over, where speed is worth it."""

    def with_map(self, mapping: FieldMap | None) -> Format:
        """This format with a mapping applied; itself when there is none to apply."""
        if mapping is None or self.mapped is None:
            return self
        return msgspec.structs.replace(self, parse=functools.partial(self.mapped, mapping=mapping))


FORMATS: dict[str, Format] = {
    "url-list": Format(parse_url_list),
    "hosts-file": Format(parse_hosts_file),
    "adblock": Format(parse_adblock),
    "dnsmasq": Format(parse_dnsmasq),
    "rpz": Format(parse_rpz),
    "rbldnsd": Format(parse_rbldnsd, "spam"),
    "urlhaus-csv": Format(parse_urlhaus_csv, "malware", skipping=parse_urlhaus_csv),
    "urlhaus-json": Format(parse_urlhaus_json, "malware", json=True),
    "threatfox-csv": Format(parse_threatfox_csv, "malware"),
    "threatfox-json": Format(parse_threatfox_json, "malware", json=True),
    "feodo-csv": Format(parse_feodo_csv, "botnetCc"),
    "phishtank-csv": Format(parse_phishtank_csv),
    "phishtank-json": Format(parse_phishtank_json, json=True),
    "phishstats-csv": Format(parse_phishstats_csv),
    "certpl-json": Format(parse_certpl_json, json=True),
    "tweetfeed-csv": Format(parse_tweetfeed_csv),
    "jpcert-csv": Format(parse_jpcert_csv),
    "blackbook-csv": Format(parse_blackbook_csv, "botnetCc"),
    "csv": Format(parse_csv, mapped=parse_csv),
    "json": Format(parse_json, mapped=parse_json, json=True),
    "ndjson": Format(parse_ndjson, mapped=parse_ndjson, json=True),
    "misp": Format(parse_misp, "malware", json=True),
    "stix": Format(parse_stix, "malware", json=True),
}
