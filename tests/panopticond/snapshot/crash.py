"""``python -m tests.panopticond.snapshot.crash DIR SEED TIMES``: publications killed with SIGKILL at random moments.

A process of its own because it forks: every publication is a child that a signal ends somewhere between its start and
its end. After each the published tree must be whole; one line of JSON tells what was found.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import trio

from panopticond.judge.verdict import judge
from panopticond.model import Indicator
from panopticond.shared.snapshot import MANIFEST, parse_manifest, verify_tree
from panopticond.snapshot import tree
from panopticond.snapshot.publish import publish_tld
from panopticond.store.interface import FeedHealth
from panopticond.store.sqlite import open_store
from tests.panopticond.snapshot.ledger import HOUR, NOW, TLD, TODAY, day, press


async def fill(directory: Path) -> None:
    """A store with forty indicators, four rounds each."""
    async with await open_store(directory / "p.db") as store:
        await store.record_feed_health(FeedHealth("open", state="OK", since=NOW))
        for at in range(40):
            name = f"name{at}.zz"
            listed = Indicator(f"http://{name}/x", name, name, "zz", "registered", "phishing")
            (watch,) = await store.record_listing("open", NOW - 30 * HOUR, [listed])
            subject, rounds = await store.subject(watch.id), []
            for round_ in day(listed.uri, name, name):
                rounds.append(round_)
                await store.record_round(watch.id, round_, judge(subject, rounds))


async def publish(directory: Path, times: int) -> None:
    """The ``times``-th attempt, an hour after the one before."""
    roomy = msgspec.structs.replace(press(directory / "root"), keep=2000)
    async with await open_store(directory / "p.db") as store:
        await publish_tld(roomy, store, TLD, TODAY, NOW + times * HOUR)


def in_child(work: Callable[..., Awaitable[None]], *arguments: object) -> int:
    """Start ``work`` in a fork; its process id."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            trio.run(work, *arguments)
            code = 0
        finally:
            os._exit(code)
    return child


def main(directory: Path, seed: int, times: int) -> int:
    """Kill ``times`` publications on their way, then let one finish; prints counts, raises where the tree is torn."""
    dice, key, at = random.Random(seed), press(directory).key.public, directory / "root" / "zz"
    assert os.waitpid(in_child(fill, directory), 0)[1] == 0
    started = time.perf_counter()
    assert os.waitpid(in_child(publish, directory, 0), 0)[1] == 0
    whole = time.perf_counter() - started
    killed, attempt, seen = 0, 0, {2026112101}
    while killed < times:
        attempt += 1
        assert attempt <= 20 * times, "publications end before they can be killed"
        child = in_child(publish, directory, attempt)
        time.sleep(dice.uniform(0.0, 1.1 * whole))
        os.kill(child, signal.SIGKILL)
        hit = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        killed += hit
        whole *= 1.02 if hit else 0.85  # however busy the machine: some end first, most are killed on their way
        newest = int(str((at / "latest").readlink()))
        assert newest >= max(seen), "the newest snapshot was lost"
        seen.add(newest)
        verify_tree(at / str(newest), [key], tld="zz")
    assert os.waitpid(in_child(publish, directory, attempt + 1), 0)[1] == 0
    previous = None
    for serial in tree.serials(at):
        manifest = verify_tree(at / str(serial), [key], tld="zz")
        if previous is not None:
            before = parse_manifest((at / str(previous) / MANIFEST).read_bytes())
            assert manifest.previous_serial == previous
            assert manifest.previous_sha256 == tree.manifest_sha256(at / str(previous))
            assert manifest.start == before.end, "an interval was lost"
        previous = serial
    left = sorted(path.name for path in at.iterdir() if not path.name.isdigit())
    print(
        json.dumps(
            {
                "killed": killed,
                "published": len(tree.serials(at)),
                "left": left,
                "lost": sorted(seen - set(tree.serials(at))),
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
