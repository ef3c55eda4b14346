"""Web Risk's Lookup method: ``GET /v1/uris:search`` with a key; listed URIs are those of the world's marked domains."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from panopticond.shared.clock import rfc3339
from tests.lab.internet.http import Reply
from tests.lab.internet.state import Internet

KEY = "lab-webrisk-key"
JSON = {"Content-Type": "application/json"}


class WebRisk:
    """Answers as the service does, the expiry with nine digits of fraction."""

    def __init__(self, state: Internet) -> None:
        self._state = state

    def answer(self, method: str, target: str, headers: Mapping[str, str]) -> Reply:
        self._state.requests["webrisk"] += 1
        parts = urlsplit(target)
        query = parse_qs(parts.query)
        if method != "GET" or parts.path != "/v1/uris:search":
            return 404, JSON, b"{}"
        if headers.get("x-goog-api-key") != KEY and query.get("key") != [KEY]:
            return 403, JSON, json.dumps({"error": {"code": 403, "status": "PERMISSION_DENIED"}}).encode()
        if not query.get("threatTypes") or not query.get("uri"):
            return 400, JSON, json.dumps({"error": {"code": 400, "status": "INVALID_ARGUMENT"}}).encode()
        host = urlsplit(query["uri"][0]).hostname or ""
        domain = self._state.domains.get(self._state.domain_of(host) or "")
        if domain is None or not domain.webrisk:
            return 200, JSON, b"{}"
        expires = rfc3339(self._state.now() + dt.timedelta(minutes=30)).replace("Z", ".045123456Z")
        return 200, JSON, json.dumps({"threat": {"threatTypes": list(domain.webrisk), "expireTime": expires}}).encode()
