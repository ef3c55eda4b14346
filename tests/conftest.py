"""Fixtures of every room: the session's own PostgreSQL, and an empty schema in it for one test."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import pytest

from panopticond.shared.journal import Journal, Json, Plain
from tests import postgres


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A command run inside a test sets up the root logger for good; the next test finds it as it was."""
    root, quiet = logging.getLogger(), logging.getLogger("httpx")
    level, quiet_level = root.level, quiet.level
    yield
    for handler in [found for found in root.handlers if isinstance(found.formatter, Journal | Json | Plain)]:
        root.removeHandler(handler)
    root.setLevel(level)
    quiet.setLevel(quiet_level)


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgres.Cluster]:
    """One PostgreSQL for the whole session, started by the first test that asks; skipped only where none is installed."""
    with _running(*postgres.QUICK) as running:
        yield running


@pytest.fixture
def mortal() -> Iterator[postgres.Cluster]:
    """A PostgreSQL of this test's own, which it may stop."""
    with _running("fsync=off") as running:
        yield running


@contextlib.contextmanager
def _running(*settings: str) -> Iterator[postgres.Cluster]:
    try:
        postgres.program("postgres")
    except postgres.MissingError as missing:
        pytest.skip(str(missing))
    with postgres.cluster(*settings) as running:
        yield running


@pytest.fixture
def schema(cluster: postgres.Cluster) -> str:
    """The URL of an empty schema."""
    return cluster.schema()
