"""Benchmark ``smtp-send``: prebuilt notices to a local Postfix over ten connections, beside smtp-source to the same one.

``python -m tests.bench.smtp_send`` prints one JSON line (design section 11). Postfix is started for it, with files of its
own, and discards what it takes; ours and smtp-source take turns with mails of the same size, each beginning when the
queue is empty, so that neither pays for the other's mails. It needs root, as Postfix does, and ``postfix`` installed.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time

import trio

from arke.config import Smtp
from arke.mail.smtp import Mailer
from arke.model import Notice
from tests.lab.real import MissingError, PostfixServer, own_directory, postfix

MAILS = int(os.environ.get("MAILS", "1000"))
CONNECTIONS = 10
BODY_BYTES = 6000
ROUNDS = 5
LIMIT_RATIO = 0.75


def notices(number: int, run: int) -> list[Notice]:
    """Mails as long as a notice of one URI with its attachment."""
    line = b"what was seen, when and from where, in plain words and no more of them\r\n"
    body = line * (BODY_BYTES // len(line))
    found = []
    for at in range(number):
        message_id = f"<zz-{run}-{at}@nic.test>"
        head = f"From: abuse@nic.test\r\nTo: holder{at}@isp.test\r\nSubject: notice\r\nMessage-ID: {message_id}\r\n\r\n"
        message = head.encode() + body
        found.append(
            Notice(message_id, ("c",), "new", 1, "registrant", f"holder{at}@isp.test", "abuse@nic.test", message)
        )
    return found


async def ours(port: int, run: int) -> float:
    """Mails a second of ours, every reply waited for."""
    waiting = iter(notices(MAILS, run))
    refused = 0

    async def sender() -> None:
        nonlocal refused
        for notice in waiting:
            reply = await mailer.send(notice)
            refused += reply.code != 250

    settings = Smtp(host="127.0.0.1", port=port, sender="abuse@nic.test", tls="none")
    async with Mailer(settings, connections=CONNECTIONS) as mailer:
        started = time.perf_counter()
        async with trio.open_nursery() as nursery:
            for at in range(CONNECTIONS):
                nursery.start_soon(sender, name=f"sender {at}")
        seconds = time.perf_counter() - started
    if refused:
        raise SystemExit(f"smtp-send: {refused} of {MAILS} mails were refused")
    return MAILS / seconds


def source(program: str, port: int) -> float:
    """Mails a second of smtp-source, with as many connections and as long a body; it keeps its connections too."""
    command = [program, "-d", "-s", str(CONNECTIONS), "-m", str(MAILS), "-l", str(BODY_BYTES)]
    command += ["-f", "abuse@nic.test", "-t", "holder@isp.test", f"inet:127.0.0.1:{port}"]
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return MAILS / (time.perf_counter() - started)


async def measure(server: PostfixServer, program: str | None) -> dict[str, object]:
    """The line; a first run, left out, warms the server's processes up."""
    rates, peers = [], []
    for run in range(ROUNDS + 1):
        await server.emptied()
        rates.append(await ours(server.port, run))
        if program is not None:
            await server.emptied()
            peers.append(await trio.to_thread.run_sync(source, program, server.port))
    value = statistics.median(rates[1:])
    peer = statistics.median(peers[1:]) if peers else None
    pairs = list(zip(rates[1:], peers[1:], strict=False))  # run side by side, so that a busy moment meets both
    return {
        "name": "smtp-send",
        "value": round(value, 1),
        "unit": "mails/s",
        "n": MAILS,
        "peer": "smtp-source" if program else "smtp-source: missing (package postfix)",
        "peer_value": round(peer, 1) if peer else None,
        "peer_n": MAILS,
        "ratio": round(statistics.median(a / b for a, b in pairs), 3) if pairs else None,
        "limit": "ratio at least",
        "limit_value": LIMIT_RATIO,
        "rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


async def bench() -> dict[str, object]:
    """Postfix for as long as it takes."""
    program = shutil.which("smtp-source", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    with own_directory() as root:
        async with postfix(root) as server:
            return await measure(server, program)


def main() -> int:
    """Print the line; 1 when Postfix is missing, which the line says."""
    try:
        print(json.dumps(trio.run(bench)), flush=True)
    except MissingError as error:
        print(json.dumps({"name": "smtp-send", "error": str(error)}), flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
