"""Fixtures of the integration tests."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from panopticond.shared.minisign import SecretKey
from tests.arke.mail.test_smtp import Server
from tests.integration.made import Arke, Published, publish


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """One published tree for the whole session; damage a copy."""
    root, key = tmp_path_factory.mktemp("published"), SecretKey.generate()
    now = dt.datetime.now(dt.UTC)
    trio.run(functools.partial(publish, root, key, now))
    return Published(root / "repository", key, now)


@pytest.fixture
async def site(nursery: trio.Nursery, tmp_path: Path, published: Published) -> AsyncIterator[Arke]:
    """Arke on a copy of the published tree."""
    smtp = Server()
    yield Arke(tmp_path, published.copy(tmp_path / "tree"), smtp, await smtp.start(nursery))
    nursery.cancel_scope.cancel()
