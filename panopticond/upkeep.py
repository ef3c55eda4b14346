"""Beside the flow, what must be kept fresh: Tranco's daily list, the resolvers' self-test, thinning of history."""

from __future__ import annotations

import datetime as dt
import logging

import trio

from panopticond.shared.errors import StoreError
from panopticond.shared.settings import seconds
from panopticond.status.answer import Health
from panopticond.wiring import Parts

SELF_TEST_SECONDS = 3600.0
THIN_SECONDS = 6 * 3600.0
RETRY_SECONDS = 900.0
log = logging.getLogger(__name__)


async def refresh_tranco(
    parts: Parts, health: Health, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Fetch the popularity list now and then daily (policy time); a failure is tried again and shown in status."""
    assert parts.tranco is not None  # noqa: S101 - main starts this only with a list configured
    every = seconds(parts.config.tranco.every)
    while True:
        await parts.tranco.refresh(parts.clock.now())
        problem = f"no popularity list ({parts.tranco.problem}); see [tranco]" if parts.tranco.problem else ""
        wait = min(RETRY_SECONDS, every) if problem else every
        if problem and problem != health.tranco_problem:
            log.warning("tranco: %s", problem)
        health.tranco_problem = problem
        task_status.started()
        task_status = trio.TASK_STATUS_IGNORED
        await parts.clock.sleep(wait)


async def watch_resolvers(
    parts: Parts, health: Health, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Ask the filtering resolver what must look blocked and what must look absent, hourly (policy time)."""
    task_status.started()
    while parts.config.quad9.enabled:
        problems = await parts.resolvers.self_test(parts.clock.now())
        if problems != health.quad9_problems:
            for problem in problems:
                log.warning("quad9 self-test: %s", problem)
        health.quad9_problems = problems
        await parts.clock.sleep(SELF_TEST_SECONDS)


async def thin_history(parts: Parts) -> None:
    """Drop observations older than the retention that nothing rests on, every six hours (policy time).

    A store that refuses is logged and asked again at the next turn: what was not thinned today is thinned then.
    """
    keep = dt.timedelta(seconds=seconds(parts.config.validation.retention))
    while True:
        await parts.clock.sleep(THIN_SECONDS)
        try:
            dropped = await parts.store.thin(parts.clock.now() - keep)
        except StoreError as error:
            log.warning("history not thinned: %s", error)
            continue
        if dropped:
            log.info("thinned %d observations older than %s", dropped, parts.config.validation.retention)
