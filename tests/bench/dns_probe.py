"""Benchmark ``dns-probe``: delegation queries by our client, dnspython on trio beside it, dnsperf as the limit.

``python -m tests.bench.dns_probe [SECONDS]`` prints one JSON line (design section 11). A local NSD serves a TLD of
20,000 delegations; all three ask it ``NS`` for names of the zone, as the delegation probe does. Runs take turns, each
in a process of its own; the medians count.
"""

from __future__ import annotations

import json
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import trio

from panopticond.probe.dnsclient import Answer, DnsClient

NAMES = 20_000
CONCURRENCY = 256
"""64 rounds at once ask four names questions each."""
SECONDS = 4.0
ROUNDS = 3
CONFIGURATION = """
server:
  ip-address: 127.0.0.1@{port}
  username: ""
  chroot: ""
  zonesdir: "{folder}"
  database: ""
  pidfile: "{folder}/nsd.pid"
  xfrdfile: "{folder}/xfrd.state"
  zonelistfile: "{folder}/zone.list"
  logfile: "{folder}/nsd.log"
  rrl-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: zz
  zonefile: zz.zone
"""

Ask = Callable[[str], Awaitable[bool]]


def write_server(folder: Path, port: int) -> Path:
    """NSD's configuration and its zone."""
    lines = ["$ORIGIN zz.", "$TTL 3600", "@ SOA ns.zz. hostmaster.zz. 1 3600 600 86400 300", "@ NS ns.zz."]
    lines += ["ns A 192.0.2.1", *(f"name{at} NS ns{at % 7}.host.example." for at in range(NAMES))]
    (folder / "zz.zone").write_text("\n".join(lines) + "\n")
    configuration = folder / "nsd.conf"
    configuration.write_text(CONFIGURATION.format(port=port, folder=folder))
    return configuration


async def _flood(ask: Ask, seconds: float) -> float:
    """Answered queries a second, ``CONCURRENCY`` in flight."""
    answered = asked = 0
    until = time.perf_counter() + seconds

    async def one() -> None:
        nonlocal answered, asked
        while time.perf_counter() < until:
            asked += 1
            good = await ask(f"name{asked * 7919 % NAMES}.zz")
            answered += good

    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(CONCURRENCY):
            nursery.start_soon(one)
    if answered < 0.99 * asked:
        raise RuntimeError(f"only {answered} of {asked} queries were answered")
    return answered / (time.perf_counter() - began)


async def ours(port: int, seconds: float) -> float:
    """Our client."""
    async with DnsClient(rate_per_server=float("inf"), timeout_seconds=2.0, attempts=3) as client:
        server = f"127.0.0.1:{port}"

        async def ask(name: str) -> bool:
            got = await client.query(server, name, "NS", recursion=False)
            return isinstance(got, Answer) and got.rcode == 0 and bool(got.authority)

        return await _flood(ask, seconds)


async def dnspython(port: int, seconds: float) -> float:
    """Dnspython's asynchronous query, which finds trio by itself, with the same options."""

    async def ask(name: str) -> bool:
        query = dns.message.make_query(name, "NS", use_edns=0, payload=1232)
        query.flags &= ~dns.flags.RD
        got = await dns.asyncquery.udp(query, "127.0.0.1", port=port, timeout=2.0)
        return got.rcode() == dns.rcode.NOERROR and bool(got.authority)

    return await _flood(ask, seconds)


def dnsperf(program: str, port: int, folder: Path, seconds: float) -> float:
    """Dnsperf's own figure."""
    questions = folder / "questions"
    questions.write_text("".join(f"name{at * 7919 % NAMES}.zz NS\n" for at in range(NAMES)))
    command = [
        program,
        "-s",
        "127.0.0.1",
        "-p",
        str(port),
        "-d",
        str(questions),
        "-l",
        str(seconds),
        "-q",
        str(CONCURRENCY),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"Queries per second:\s+([0-9.]+)", done.stdout)
    return float(found[1]) if found else 0.0


def _child(which: str, port: int, seconds: float) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.dns_probe", "--child", which, str(port), str(seconds)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def _measure(nsd: str, seconds: float) -> dict[str, object]:
    limit = shutil.which("dnsperf")
    with (
        tempfile.TemporaryDirectory(prefix="dns-probe-") as name,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free,
    ):
        folder = Path(name)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        server = subprocess.Popen([nsd, "-d", "-c", str(write_server(folder, port))], stderr=subprocess.DEVNULL)
        try:
            _wait(port)
            runs, peers, limits = [], [], []
            for _ in range(ROUNDS):
                runs.append(_child("ours", port, seconds))
                peers.append(_child("dnspython", port, seconds)["rate"])
                if limit is not None:
                    limits.append(dnsperf(limit, port, folder, seconds))
        finally:
            server.terminate()
            server.wait()
    value, peer = statistics.median(run["rate"] for run in runs), statistics.median(peers)
    return {
        "name": "dns-probe", "value": round(value), "unit": "queries/s", "peer": "dnspython on trio",
        "peer_value": round(peer), "peer_n": round(peer * seconds), "ratio": round(value / peer, 2),
        "limit": "dnsperf" if limits else "dnsperf: not installed",
        "limit_value": round(statistics.median(limits)) if limits else None,
        "rss_mib": round(max(run["rss_mib"] for run in runs), 1),
    }  # fmt: skip


def _wait(port: int) -> None:
    """Until NSD answers."""
    for _ in range(100):
        try:
            if trio.run(_answers, port):
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise RuntimeError("NSD did not come up")


async def _answers(port: int) -> bool:
    async with DnsClient(rate_per_server=float("inf"), timeout_seconds=0.3, attempts=1) as client:
        got = await client.query(f"127.0.0.1:{port}", "name1.zz", "NS", recursion=False)
        return isinstance(got, Answer) and got.rcode == 0


def main(arguments: list[str]) -> int:
    """The runner, or with ``--child WHICH PORT SECONDS`` one timed run."""
    if arguments[:1] == ["--child"]:
        which, port, seconds = arguments[1], int(arguments[2]), float(arguments[3])
        rate = trio.run({"ours": ours, "dnspython": dnspython}[which], port, seconds)
        print(json.dumps({"rate": rate, "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
        return 0
    nsd = shutil.which("nsd")
    if nsd is None:
        print("dns-probe: NSD is not installed; install it or run elsewhere", file=sys.stderr)
        return 1
    seconds = next((float(text) for text in arguments if text.replace(".", "").isdigit()), SECONDS)
    print(json.dumps(_measure(nsd, seconds)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
