"""Benchmark ``mosapi``: how many times a second one core hands out the latest domain list.

``python -m tests.bench.mosapi`` publishes a snapshot of made-up indicators, starts the daemon's own server on it in a
process kept to one core, signs in, and asks for ``latest`` over 16 connections kept alive, from the other cores.
Prints one JSON line (design section 11); no peer. ``value`` is what the clock saw; ``per_cpu_second`` counts only the
processor time the server had, which a busy machine does not take away.
"""

from __future__ import annotations

import base64
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import trio

from panopticond.config import Account, Config, Publish, Serve, Tld
from panopticond.serve.door import serve
from panopticond.snapshot.publish import publish_tld
from tests.panopticond.snapshot.ledger import NOW, TLD, TODAY, Ledger, day, press

NAMES = ("mosapi",)
DOMAINS = 500
CONNECTIONS = 16
LIMIT_RATE = 1_000.0
WARM_SECONDS, RUN_SECONDS, RUNS = 1.0, 3.0, 5


async def _publish(root: Path) -> None:
    ledger = Ledger()
    for at in range(DOMAINS):
        name = f"name-{at:05}.zz"
        ledger.add(f"http://{name}/", name, name, rounds=day(f"http://{name}/", name, name))
    await publish_tld(press(root), ledger, TLD, TODAY, NOW)  # type: ignore[arg-type]


async def _serve(directory: Path, ready: int) -> None:
    (directory / "password").write_text("right\n")
    account = Account("manager", str(directory / "password"))
    config = Config(
        tld=(Tld(name="zz", accounts=(account,)),),
        publish=Publish(root=str(directory / "root")),
        serve=Serve(bind="127.0.0.1:0"),
    )
    async with trio.open_nursery() as nursery:
        urls = await nursery.start(serve, config)
        os.write(ready, urls[0].rpartition(":")[2].encode() + b"\n")


class _Tally(msgspec.Struct):
    answers: int = 0


async def _ask_on(port: int, request: bytes, tally: _Tally) -> None:
    """Ask for ever, over a new connection whenever the server has had enough of the old one."""
    while True:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            while await _ask(stream, request, tally):
                pass


async def _ask(stream: trio.SocketStream, request: bytes, tally: _Tally) -> bool:
    """One request and its whole answer; False when the connection will be closed."""
    await stream.send_all(request)
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive_some(65536) or sys.exit("the server closed the connection without an answer")
    head, _, body = data.partition(b"\r\n\r\n")
    head = head.lower()
    if not head.startswith(b"http/1.1 200"):
        sys.exit(f"the server answered {head.splitlines()[0]!r}")
    length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += await stream.receive_some(65536) or sys.exit("the server closed the connection within an answer")
    tally.answers += 1
    return b"connection: close" not in head


async def _login(port: int) -> str:
    basic = base64.b64encode(b"manager:right").decode()
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(
            f"GET /ry/zz/login HTTP/1.1\r\nhost: x\r\nauthorization: Basic {basic}\r\nconnection: close\r\n\r\n".encode()
        )
        head = b"".join([chunk async for chunk in stream]).decode()
    return head.split("id=")[1].split(";")[0]


def _cpu_seconds(process: int) -> float:
    """Processor time a process has had (proc(5): utime and stime)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _measure(port: int, server: int) -> tuple[float, float]:
    """Answers a second, the median of the runs; and a second of the server's processor time, over all of them."""
    cookie = await _login(port)
    request = (
        "GET /ry/zz/v2/metrica/domainList/latest HTTP/1.1\r\nhost: localhost\r\naccept-encoding: gzip\r\n"
        f"user-agent: bench\r\naccept: application/json\r\ncookie: id={cookie}\r\n\r\n"
    ).encode()
    tally = _Tally()
    rates: list[float] = []
    async with trio.open_nursery() as nursery:
        for _ in range(CONNECTIONS):
            nursery.start_soon(_ask_on, port, request, tally)
        await trio.sleep(WARM_SECONDS)
        first, spent = tally.answers, _cpu_seconds(server)
        for _ in range(RUNS):
            start, before = time.perf_counter(), tally.answers
            await trio.sleep(RUN_SECONDS)
            rates.append((tally.answers - before) / (time.perf_counter() - start))
        per_cpu_second = (tally.answers - first) / max(0.01, _cpu_seconds(server) - spent)
        nursery.cancel_scope.cancel()
    return statistics.median(rates), per_cpu_second


def main() -> None:
    """Run it and print its line."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        trio.run(_publish, directory / "root")
        reader, writer = os.pipe()
        server = os.fork()
        if server == 0:
            cores = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(0, cores[:1])
            trio.run(_serve, directory, writer)
            os._exit(0)
        try:
            cores = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(0, cores[1:] or cores)
            port = int(os.read(reader, 16))
            rate, per_cpu_second = trio.run(_measure, port, server)
            peak = Path(f"/proc/{server}/status").read_text().split("VmHWM:")[1].split()[0]
        finally:
            os.kill(server, 15)
            os.waitpid(server, 0)
    line = {"name": "mosapi", "value": round(rate), "unit": "requests/s", "peer": None, "peer_value": None}
    line |= {"peer_n": None, "ratio": None, "limit": "requests/s", "limit_value": LIMIT_RATE}
    line |= {"rss_mib": round(int(peak) / 1024, 1), "per_cpu_second": round(per_cpu_second)}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
