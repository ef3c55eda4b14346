"""Benchmark ``web-probe``: whole web probes through a proxy, httpx on trio beside them, curl as the limit.

``python -m tests.bench.web_probe [SECONDS]`` prints one JSON line (design section 11). A local squid forwards to a local
nginx that keeps connections, as most sites do; over http, since a TLS handshake is the same OpenSSL in all three and most
of what an https request costs (``--https`` measures that). A probe is two GETs, the page and a path nobody made, over
one connection, as the probe of a stranger is. Ours does all of it: guard, CONNECT, caps, the judgement, the fingerprint.
httpx only fetches the same two, needs no CONNECT, and keeps its connection for the second; it makes a client for each
probe with one TLS context for all, which of all ways tried with it is the fastest here (one client for all without kept
connections comes near; one that keeps them needs twice the time), and never leaves sockets behind. curl may keep every
connection. All count GETs answered. Runs take turns, each in a process of its own; medians count.
"""

from __future__ import annotations

import datetime as dt
import json
import resource
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import trio

from panopticond.probe.web import WebLimits, WebProber, web_vantage
from panopticond.probe.weburi import random_sibling
from tests.panopticond.webservers import certificate

CONCURRENCY = 32
SECONDS = 4.0
ROUNDS = 3
NOW = dt.datetime.now(dt.UTC)
SQUID = """
http_port 127.0.0.1:{proxy}
http_access allow all
cache deny all
access_log none
cache_log {folder}/squid.log
pid_filename none
shutdown_lifetime 0 seconds
forwarded_for delete
"""
NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log crit;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder};
  proxy_temp_path {folder};
  fastcgi_temp_path {folder};
  uwsgi_temp_path {folder};
  scgi_temp_path {folder};
  server {{
    listen 127.0.0.1:{plain} backlog=4096;
    listen 127.0.0.1:{tls} ssl backlog=4096;
    ssl_certificate {pem};
    ssl_certificate_key {pem};
    root {folder}/www;
    default_type text/html;
  }}
}}
"""
PAGE = "<html><head><title>Sign in</title></head><body><form><input type=password></form>{}</body></html>"

Ask = Callable[[int], Awaitable[int]]


class _Anywhere:
    """A guard for loopback only this benchmark may use."""

    def refuse_address(self, address: str) -> str | None:
        return None if address == "127.0.0.1" else "elsewhere"

    def refuse_uri(self, uri: str) -> str | None:
        return None if "//127.0.0.1:" in uri else "elsewhere"


async def _flood(ask: Ask, seconds: float) -> float:
    """Answered GETs a second, ``CONCURRENCY`` in flight."""
    asked = answered = 0
    began = time.perf_counter()
    until = began + seconds

    async def one() -> None:
        nonlocal asked, answered
        while time.perf_counter() < until:
            asked += 1
            got = await ask(asked)
            answered += got

    async with trio.open_nursery() as nursery:
        for _ in range(CONCURRENCY):
            nursery.start_soon(one)
    return answered / (time.perf_counter() - began)


async def ours(ports: dict[str, int], seconds: float) -> float:
    """The web probe; a live page is two GETs, the URI and a path nobody made."""

    async def resolve(_: str) -> tuple[str, ...]:
        return ("127.0.0.1",)

    vantage = web_vantage(name="near", country="NZ", proxy=f"http://127.0.0.1:{ports['proxy']}")
    limits = WebLimits(per_host_seconds=0.0)
    probe = WebProber(
        [vantage], guard=_Anywhere(), resolve=resolve, registered_domain=lambda _: "bench.zz", limits=limits
    )

    async def ask(number: int) -> int:
        (seen,) = await probe.check(_uri(ports, number), "bench.zz", "near", NOW)
        if seen.outcome != "live":
            raise RuntimeError(f"not live: {seen.detail}")
        return 2

    return await _flood(ask, seconds)


async def with_httpx(ports: dict[str, int], seconds: float) -> float:
    """A client for each probe and its two GETs, certificates unverified."""
    proxy = f"http://127.0.0.1:{ports['proxy']}"
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    async def ask(number: int) -> int:
        uri = _uri(ports, number)
        async with httpx.AsyncClient(proxy=proxy, verify=context, trust_env=False, timeout=20) as client:
            for wanted, asked in ((200, uri), (404, random_sibling(uri) or "")):
                reply = await client.get(asked)
                if reply.status_code != wanted:
                    raise RuntimeError(f"status {reply.status_code}")
        return 2

    return await _flood(ask, seconds)


def curl(program: str, ports: dict[str, int], folder: Path) -> float:
    """GETs a second of one curl, as many in parallel."""
    count = 3000
    listing = folder / "urls"
    listing.write_text("".join(f'url = "{_uri(ports, at)}"\noutput = "/dev/null"\n' for at in range(count)))
    command = [program, "-s", "-k", "--parallel", "--parallel-max", str(CONCURRENCY)]
    began = time.perf_counter()
    proxied = ["--noproxy", "", "-x", f"http://127.0.0.1:{ports['proxy']}", "-K", str(listing)]
    subprocess.run([*command, *proxied], check=True, stderr=subprocess.DEVNULL)
    return count / (time.perf_counter() - began)


def _uri(ports: dict[str, int], number: int) -> str:
    scheme, port = ("https", ports["tls"]) if ports.get("https") else ("http", ports["plain"])
    return f"{scheme}://127.0.0.1:{port}/kit/page.html?id={number}"


def _child(which: str, ports: dict[str, int], seconds: float) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.web_probe", "--child", which, json.dumps(ports), str(seconds)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return found


def _start(squid: str, nginx: str, folder: Path) -> tuple[dict[str, int], list[subprocess.Popen[bytes]]]:
    """Ports and processes of the site and the proxy, once both answer."""
    (folder / "www" / "kit").mkdir(parents=True)
    (folder / "www" / "kit" / "page.html").write_text(PAGE.format("<p>content</p>" * 600))
    folder.chmod(0o755)
    certificate("127.0.0.1", folder)
    pem = next(folder.glob("*.pem"))
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = dict(zip(("proxy", "plain", "tls"), (one.getsockname()[1] for one in held), strict=True))
    for one in held:
        one.close()
    (folder / "squid.conf").write_text(SQUID.format(folder=folder, **ports))
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, pem=pem, **ports))
    commands = [[nginx, "-c", str(folder / "nginx.conf")], [squid, "-N", "-f", str(folder / "squid.conf")]]
    started = [subprocess.Popen(one, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) for one in commands]
    for port in ports.values():
        _wait(port)
    return ports, started


def _wait(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"nothing listens on port {port}")


def _measure(squid: str, nginx: str, seconds: float, *, https: bool) -> dict[str, object]:
    limit = shutil.which("curl")
    runs, peers, limits = [], [], []
    with tempfile.TemporaryDirectory(prefix="web-probe-") as name:
        ports, started = _start(squid, nginx, Path(name))
        ports["https"] = int(https)
        try:
            for _ in range(ROUNDS):
                runs.append(_child("ours", ports, seconds))
                peers.append(_child("httpx", ports, seconds)["rate"])
                if limit is not None:
                    limits.append(curl(limit, ports, Path(name)))
        finally:
            for process in started:
                process.terminate()
                process.wait()
    value, peer = statistics.median(run["rate"] for run in runs), statistics.median(peers)
    return {
        "name": "web-probe", "value": round(value), "unit": "requests/s", "peer": "httpx on trio, same proxy",
        "peer_value": round(peer), "peer_n": round(peer * seconds), "ratio": round(value / peer, 2),
        "limit": "curl" if limits else "curl: not installed",
        "limit_value": round(statistics.median(limits)) if limits else None,
        "rss_mib": round(max(run["rss_mib"] for run in runs), 1),
    }  # fmt: skip


def main(arguments: list[str]) -> int:
    """The runner, or with ``--child WHICH PORTS SECONDS`` one timed run."""
    if arguments[:1] == ["--child"]:
        which, ports, seconds = arguments[1], json.loads(arguments[2]), float(arguments[3])
        rate = trio.run({"ours": ours, "httpx": with_httpx}[which], ports, seconds)
        print(json.dumps({"rate": rate, "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
        return 0
    squid, nginx = shutil.which("squid"), shutil.which("nginx")
    if squid is None or nginx is None:
        print("web-probe: squid and nginx are needed; install them or run elsewhere", file=sys.stderr)
        return 1
    seconds = next((float(text) for text in arguments if text.replace(".", "").isdigit()), SECONDS)
    print(json.dumps(_measure(squid, nginx, seconds, https="--https" in arguments)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
