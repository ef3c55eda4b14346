"""The nginx example of docs/how-to, as it stands there, serving a published tree: accounts apart, nothing else visible."""

from __future__ import annotations

import base64
import http.client
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from panopticond.snapshot.publish import publish_tld
from tests.panopticond.snapshot.ledger import NOW, TLD, TODAY, press, world

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "serve-with-nginx.md"
pytestmark = pytest.mark.skipif(
    shutil.which("nginx") is None or shutil.which("openssl") is None, reason="nginx or openssl is not installed"
)


class Served:
    """nginx with the example's own server block, at a port of loopback."""

    def __init__(self, root: Path) -> None:
        self.root = root
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        (root / "etc").mkdir()
        made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        made += ["-keyout", str(root / "etc/tls.key"), "-out", str(root / "etc/tls.pem"), "-days", "2"]
        made += ["-subj", "/CN=panopticon.example", "-addext", "subjectAltName=DNS:panopticon.example"]
        subprocess.run(made, check=True, capture_output=True)
        for tld in ("zz", "yy"):
            hashed = subprocess.run(
                ["openssl", "passwd", "-6", f"{tld}-secret"], check=True, capture_output=True, text=True
            ).stdout
            (root / f"etc/{tld}.htpasswd").write_text(f"arke-{tld}:{hashed}")
        owner = "user root;\n" if os.geteuid() == 0 else ""  # workers must get into the test's own directory
        (root / "nginx.conf").write_text(
            f"daemon off;\n{owner}pid {root}/pid;\nerror_log {root}/error.log;\nevents {{}}\nhttp {{\naccess_log off;\n"
            + "".join(
                f"{kind}_temp_path {root}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            + self._block()
            + "}\n"
        )
        command = ["nginx", "-p", str(root), "-c", str(root / "nginx.conf"), "-e", str(root / "error.log")]
        self.process = subprocess.Popen(command)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError((root / "error.log").read_text())

    def _block(self) -> str:
        found = re.search(r"```nginx\n(.*?)```", PAGE.read_text(), re.DOTALL)
        assert found is not None
        block = found[1].replace("/etc/nginx/panopticon", str(self.root / "etc"))
        block = block.replace("/var/lib/panopticon/repository", str(self.root / "root"))
        return block.replace("listen 443 ssl", f"listen 127.0.0.1:{self.port} ssl")

    def ask(self, path: str, user: str = "arke-zz:zz-secret", method: str = "GET", **headers: str) -> tuple[int, bytes]:
        context = ssl.create_default_context(cafile=str(self.root / "etc/tls.pem"))
        raw = socket.create_connection(("127.0.0.1", self.port), 5)
        connection = http.client.HTTPConnection("panopticon.example")
        connection.sock = context.wrap_socket(raw, server_hostname="panopticon.example")
        sent = {"Authorization": "Basic " + base64.b64encode(user.encode()).decode()} if user else {}
        connection.request(method, path, headers=sent | headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture
async def served(tmp_path: Path) -> Iterator[Served]:  # type: ignore[misc]
    await publish_tld(press(tmp_path / "root"), world(), TLD, TODAY, NOW)  # type: ignore[arg-type]
    made = Served(tmp_path)
    yield made
    made.close()


async def test_the_example_serves_the_tree_and_nothing_else(served: Served) -> None:
    """The bytes on disk to the TLD's own account; 401 for others, 404 for what is no published file, 403 for writing."""
    manifest = (served.root / "root/zz/latest/manifest.json").read_bytes()
    assert served.ask("/zz/latest/manifest.json") == (200, manifest)
    assert served.ask("/zz/2026112101/manifest.json") == (200, manifest)
    assert served.ask("/zz/latest/records.sql", Range="bytes=0-12") == (206, b"-- Panopticon")
    assert served.ask("/zz/latest/manifest.json", "")[0] == 401
    assert served.ask("/zz/latest/manifest.json", "arke-zz:wrong")[0] == 401
    assert served.ask("/zz/latest/manifest.json", "arke-yy:yy-secret")[0] == 401
    assert served.ask("/xx/latest/manifest.json")[0] == 403
    assert served.ask("/zz/latest/manifest.json", method="PUT")[0] == 403
    for path in ("/", "/zz/", "/zz/latest/", "/.zz.lock", "/zz/.staging-1/records.sql", "/zz/latest/../../.zz.lock"):
        assert served.ask(path)[0] == 404, path
