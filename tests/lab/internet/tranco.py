"""Tranco's daily list: ``/top-1m.csv.zip`` and ``/top-1m-id``."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

from tests.lab.internet.http import Reply
from tests.lab.internet.state import Internet

LIST_ID = "LAB42"


class Tranco:
    """The list in its native form: ``rank,domain`` with CRLF, no header."""

    def __init__(self, state: Internet) -> None:
        self._state = state
        ranked = sorted((domain.tranco_rank, domain.name) for domain in state.world.domains if domain.tranco_rank)
        rows = [(rank, f"popular-{rank}.test") for rank in range(1, 200)]
        text = "".join(f"{rank},{name}\r\n" for rank, name in sorted([*rows, *ranked]))
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo("top-1m.csv"), text)
        self._zip = packed.getvalue()

    def answer(self, method: str, target: str, headers: Mapping[str, str]) -> Reply:  # noqa: ARG002 - a handler's form
        self._state.requests["tranco"] += 1
        if method == "GET" and target.startswith("/top-1m.csv.zip"):
            return 200, {"Content-Type": "application/zip"}, self._zip
        if method == "GET" and target.startswith("/top-1m-id"):
            return 200, {"Content-Type": "text/plain"}, LIST_ID.encode()
        return 404, {}, b""
