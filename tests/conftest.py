"""Fixtures of every room: the session's own PostgreSQL, and an empty schema in it for one test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import postgres


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgres.Cluster]:
    """One PostgreSQL for the whole session, started by the first test that asks; skipped only where none is installed."""
    try:
        postgres.program("postgres")
    except postgres.MissingError as missing:
        pytest.skip(str(missing))
    with postgres.cluster(*postgres.QUICK) as running:
        yield running


@pytest.fixture
def schema(cluster: postgres.Cluster) -> str:
    """The URL of an empty schema."""
    return cluster.schema()
