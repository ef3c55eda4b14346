"""Real servers in the stand-ins' place: NSD, nginx, squid and Postfix, each in the foreground with a configuration of ours.

Used by ``tests/integration/test_real_servers.py``. Every server listens on free ports of loopback, keeps all its files in
one temporary directory, and is ended with its whole process group; none is left behind and none is the machine's own.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import trio

PACKAGES = {
    "nsd": "nsd",
    "nginx": "nginx-light",
    "squid": "squid",
    "postfix": "postfix",
    "minisign": "minisign",
    "sqlite3": "sqlite3",
}
"""Program -> the Debian package that has it."""
READY_SECONDS = 20.0
STOP_SECONDS = 10.0
_QUEUES = ("maildrop", "incoming", "active", "deferred")
_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


class ServerError(Exception):
    """A server did not start; the sentence has the end of its log."""


class MissingError(Exception):
    """A program is not installed; the sentence names its package."""


def find(program: str) -> str:
    """The program's path; MissingError when it is not installed."""
    path = shutil.which(program, path=_PATH)
    if path is None:
        raise MissingError(f"{program} is not installed: apt-get install {PACKAGES[program]}")
    return path


def free_port(hosts: Sequence[str] = ("127.0.0.1",)) -> int:
    """A port free for TCP and UDP at every one of these addresses; above all ports the guard denies."""
    for _ in range(100):
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(socket.socket())
            first.bind((hosts[0], 0))
            port = int(first.getsockname()[1])
            try:
                for host in hosts:
                    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                        if (host, kind) != (hosts[0], socket.SOCK_STREAM):
                            stack.enter_context(socket.socket(type=kind)).bind((host, port))
            except OSError:
                continue
            return port
    raise ServerError("no free port at all")


@contextlib.contextmanager
def own_directory() -> Iterator[Path]:
    """A directory servers that give up root may enter, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="real-") as name:
        root = Path(name)
        root.chmod(0o755)
        yield root


@contextlib.asynccontextmanager
async def _running(command: Sequence[str], address: tuple[str, int], log: Path) -> AsyncIterator[None]:
    """The process for the length of the block, from when it takes connections; ServerError when it does not."""
    with log.open("ab") as out:
        process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env={**os.environ, "PATH": _PATH},
        )
    try:
        with trio.move_on_after(READY_SECONDS) as waiting:
            while not await _listens(address):
                if process.poll() is not None:
                    raise ServerError(f"{command[0]} ended with {process.returncode}: {_end_of(log)}")
                await trio.sleep(0.05)
        if waiting.cancelled_caught:
            raise ServerError(f"{command[0]} does not listen: {_end_of(log)}")
        yield
    finally:
        with trio.CancelScope(shield=True):
            await _end(process)


async def _listens(address: tuple[str, int]) -> bool:
    try:
        await (await trio.open_tcp_stream(*address)).aclose()
    except OSError:
        return False
    return True


async def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    with trio.move_on_after(STOP_SECONDS):
        while process.poll() is None:  # noqa: ASYNC110 - a child of another process group tells nobody
            await trio.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-800:] if log.is_file() else ""


@contextlib.asynccontextmanager
async def nsd(root: Path, zones: Mapping[str, str], key: str | None = None) -> AsyncIterator[tuple[str, ...]]:
    """NSD with these zones (origin -> master file's text) at two addresses; both as ``address:port``.

    With ``key``, the base64 secret of the TSIG key ``arke.``, it gives them away whole and by their differences.
    """
    program = find("nsd")
    hosts = ("127.0.0.1", "127.0.0.2")
    port = free_port(hosts)
    lines = [
        "server:",
        *(f"  ip-address: {host}@{port}" for host in hosts),
        f'  username: "{pwd.getpwuid(os.getuid()).pw_name}"',
        '  chroot: ""',
        '  database: ""',
        "  server-count: 1",
        f'  zonesdir: "{root}"',
        *(f'  {key}: "{root}/nsd.{key}"' for key in ("pidfile", "xfrdfile", "zonelistfile", "logfile")),
        f'  xfrdir: "{root}"',
        "remote-control:",
        "  control-enable: no",
    ]
    given = []
    if key is not None:
        lines += ["key:", '  name: "arke."', "  algorithm: hmac-sha256", f'  secret: "{key}"']
        given = ["  provide-xfr: 127.0.0.1 arke.", "  store-ixfr: yes", "  create-ixfr: yes"]
    for number, (origin, text) in enumerate(zones.items()):
        (root / f"zone{number}").write_text(text)
        lines += ["zone:", f'  name: "{origin}"', f'  zonefile: "zone{number}"', *given]
    (root / "nsd.conf").write_text("\n".join(lines) + "\n")
    async with _running([program, "-d", "-c", str(root / "nsd.conf")], (hosts[0], port), root / "nsd.logfile"):
        yield tuple(f"{host}:{port}" for host in hosts)


@contextlib.asynccontextmanager
async def nginx(root: Path, pages: Mapping[str, str]) -> AsyncIterator[int]:
    """Nginx answering these paths (exactly) with HTML and everything else with 404; its port."""
    program, port = find("nginx"), free_port()
    places = "".join(
        f"location = {path} {{ default_type text/html; return 200 '{body}'; }}\n" for path, body in pages.items()
    )
    temporary = "".join(
        f"{kind}_temp_path {root}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (root / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {root}/nginx.pid;\nerror_log {root}/nginx.log;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{temporary}"
        f"server {{ listen 127.0.0.1:{port}; server_name _;\n{places}location / {{ return 404; }}\n}}\n}}\n"
    )
    command = [program, "-p", str(root), "-c", str(root / "nginx.conf"), "-e", str(root / "nginx.log")]
    async with _running(command, ("127.0.0.1", port), root / "nginx.log"):
        yield port


@contextlib.asynccontextmanager
async def squid(root: Path, *, user: str, password: str, hosts: Mapping[str, str]) -> AsyncIterator[int]:
    """Squid as a proxy for one user, knowing these hosts (name -> address) and no others; its port."""
    program, port = find("squid"), free_port()
    helper = root / "helper"
    helper.write_text(
        f'#!/bin/sh\nwhile read -r user password; do\n'
        f'  if [ "$user $password" = "{user} {password}" ]; then echo OK; else echo ERR; fi\ndone\n'
    )  # fmt: skip
    helper.chmod(0o755)
    (root / "hosts").write_text("".join(f"{address} {name}\n" for name, address in hosts.items()))
    logs = root / "squid"
    logs.mkdir()
    logs.chmod(0o777)
    (root / "squid.conf").write_text(
        f"http_port 127.0.0.1:{port}\nauth_param basic program {helper}\nauth_param basic children 1 startup=1\n"
        "acl known proxy_auth REQUIRED\nhttp_access allow known\nhttp_access deny all\ncache deny all\n"
        f"hosts_file {root}/hosts\ndns_nameservers 127.0.0.1\ndns_timeout 1 seconds\nconnect_timeout 2 seconds\n"
        "connect_retries 0\nforward_max_tries 1\nshutdown_lifetime 0 seconds\npinger_enable off\n"
        f"access_log none\ncache_store_log none\nlogfile_rotate 0\nnetdb_filename none\n"
        f"cache_log {logs}/cache.log\npid_filename {logs}/squid.pid\ncoredump_dir {logs}\n"
    )
    command = [program, "-N", "-f", str(root / "squid.conf")]
    async with _running(command, ("127.0.0.1", port), root / "squid.log"):
        yield port


class PostfixServer(msgspec.Struct, frozen=True):
    """A running Postfix: its port, the log in which it says what became of each mail, and its queue."""

    port: int
    log: Path
    spool: Path

    async def emptied(self) -> None:
        """Wait until every mail it took has left its queue; trio.TooSlowError when one stays."""
        with trio.fail_after(READY_SECONDS):
            while any(path.is_file() for name in _QUEUES for path in (self.spool / name).rglob("*")):  # noqa: ASYNC110
                await trio.sleep(0.05)

    async def said(self, *texts: str) -> None:
        """Wait until one log line has all these texts; trio.TooSlowError when none comes."""
        with trio.fail_after(READY_SECONDS):
            while not any(all(text in line for text in texts) for line in _lines(self.log)):  # noqa: ASYNC110
                await trio.sleep(0.05)


def _lines(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines() if log.is_file() else []


@contextlib.asynccontextmanager
async def postfix(root: Path, *, relay: int | None = None) -> AsyncIterator[PostfixServer]:
    """Postfix that accepts from loopback and discards, or hands on to a port there; needs root to start.

    It does not pause when mails come faster than they leave (``in_flow_delay``): whom that met would be chance.
    """
    program, port = find("postfix"), free_port()
    spool, data, log = root / "spool", root / "data", root / "mail.log"
    spool.mkdir()
    data.mkdir()
    shutil.chown(data, "postfix")
    config = root / "postfix"
    config.mkdir()
    (config / "main.cf").write_text(
        f"compatibility_level = 3.6\nqueue_directory = {spool}\ndata_directory = {data}\n"
        "command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\n"
        f"mail_owner = postfix\nsetgid_group = postdrop\nmaillog_file = {log}\nmaillog_file_prefixes = {root}\n"
        "inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmyhostname = mail.nic.test\nmydestination =\n"
        "mynetworks = 127.0.0.0/8\nsmtpd_relay_restrictions = permit_mynetworks, reject\n"
        f"default_transport = {'discard' if relay is None else f'smtp:[127.0.0.1]:{relay}'}\nlocal_transport = discard\n"
        "alias_maps =\nalias_database =\nlocal_recipient_maps =\nin_flow_delay = 0\n"
    )
    rows = [f"127.0.0.1:{port} inet n - n - - smtpd", "qmgr unix n - n 300 1 qmgr", "cleanup unix n - n - 0 cleanup"]
    rows += [f"{name} unix - - n - 0 bounce" for name in ("bounce", "defer", "trace")]
    rows += [f"{name} unix - - n - - {name}" for name in ("discard", "error", "showq", "proxymap", "smtp")]
    rows += ["scache unix - - n - 1 scache"]
    rows += ["rewrite unix - - n - - trivial-rewrite", "anvil unix - - n - 1 anvil", "tlsmgr unix - - n 1000? 1 tlsmgr"]
    rows += ["postlog unix-dgram n - n - 1 postlogd", "flush unix n - n 1000? 0 flush", "pickup unix n - n 60 1 pickup"]
    (config / "master.cf").write_text("\n".join(rows) + "\n")
    # Its master makes a session of its own even in the foreground, so that only its own stop command reaches it.
    await _postfix(program, config, "start")
    try:
        with trio.move_on_after(READY_SECONDS):
            while not await _listens(("127.0.0.1", port)):  # noqa: ASYNC110 - a port tells nobody
                await trio.sleep(0.05)
        yield PostfixServer(port, log, spool)
    finally:
        with trio.CancelScope(shield=True):
            await _postfix(program, config, "stop")


async def _postfix(program: str, config: Path, word: str) -> None:
    environment = {**os.environ, "PATH": _PATH}
    done = await trio.run_process(
        [program, "-c", str(config), word], capture_stdout=True, capture_stderr=True, check=False, env=environment
    )
    if done.returncode != 0:
        raise ServerError(f"postfix {word}: {(done.stdout + done.stderr).decode(errors='replace')[-800:]}")
