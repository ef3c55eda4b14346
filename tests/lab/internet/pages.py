"""What the simulated sites show: kits, ordinary pages, and the parking, suspension, hold and challenge pages."""

from __future__ import annotations

import itertools
import random

from tests.lab.internet.http import Reply
from tests.lab.model import Behaviour

EVERY_PATH = frozenset({"soft-404", "parked", "suspended", "hold", "challenge", "forbidden", "error"})
HOLD_TEXT = "This name is on hold by the registry"
_nonce = itertools.count(1)


def control() -> Reply:
    """The control host's page: always 200."""
    return 200, {"Content-Type": "text/html"}, b"<html><head><title>control</title></head><body>ok</body></html>"


def render(page: str, behaviour: Behaviour, host: str, target: str) -> Reply:
    """The reply for a page; the bodies carry a number that changes with every request, as real pages do."""
    html = {"Content-Type": "text/html; charset=utf-8"}
    if page in ("redirect", "loop"):
        return 302, {"Location": behaviour.location if page == "redirect" else target}, b""
    if page == "challenge":
        return 403, {**html, "Server": "cloudflare", "cf-mitigated": "challenge"}, _challenge()
    status = {"not-found": 404, "gone": 410, "error": 500, "forbidden": 403}.get(page, 200)
    return status, html, _body(page, behaviour.seed, host).encode()


def _body(page: str, seed: int, host: str) -> str:
    if page in ("kit", "huge", "slow"):
        return _kit(seed)
    if page == "ordinary":
        return _ordinary(seed, host)
    text = {
        "soft-404": ("Page not found", "<h2>Sorry</h2><p>We could not find what you were looking for.</p>"),
        "parked": (
            f"{host} - parked",
            "<p>This domain is parked free of charge.</p><p>Buy this domain. The domain may be for sale by its owner!"
            "</p><script src='https://sedoparking.example/frmpark/x.js'></script>",
        ),
        "suspended": (
            "Account Suspended",
            "<h1>Account Suspended</h1><p>This Account has been suspended. Contact your hosting provider for more "
            "information.</p><img src='/cgi-sys/images/suspendedpage.png'>",
        ),
        "hold": ("On hold", f"<h1>{HOLD_TEXT}</h1>"),
        "not-found": ("404 Not Found", "<h1>Not Found</h1><hr><address>lab</address>"),
        "gone": ("410 Gone", "<h1>Gone</h1>"),
        "error": ("500", "<h1>Internal Server Error</h1>"),
        "forbidden": ("403 Forbidden", "<h1>Forbidden</h1>"),
    }[page]
    return f"<!doctype html><html><head><title>{text[0]}</title></head><body>{text[1]}{_noise()}</body></html>"


def _noise() -> str:
    return f"<!-- served {next(_nonce)} -->"


def _kit(seed: int) -> str:
    draw = random.Random(f"kit {seed}")
    brand = "".join(draw.choice("bdfgklmnprstvz") + draw.choice("aeiou") for _ in range(3)).title()
    inputs = "".join(f"<label>Field {at}</label><input name='f{at}'>" for at in range(2 + seed % 6))
    return (
        f"<!doctype html><html><head><title>{brand} - sign in {seed}</title></head><body><div><img src='logo.png'>"
        f"<form method='post' action='next.php'>{inputs}<button>Continue</button></form></div>{_noise()}"
        f"<footer>{'<span>help</span>' * (1 + seed % 4)}</footer></body></html>"
    )


def _ordinary(seed: int, host: str) -> str:
    items = "".join(f"<li><a href='/p{at}'>Item {at}</a></li>" for at in range(3 + seed % 5))
    paragraphs = "".join(f"<p>Paragraph {at} about gardens, bread and boats.</p>" for at in range(2 + seed % 4))
    return (
        f"<!doctype html><html><head><title>{host}: gardens and bread</title></head><body><nav><ul>{items}</ul></nav>"
        f"<article><h1>Welcome</h1>{paragraphs}</article>{_noise()}<aside>Open daily</aside></body></html>"
    )


def _challenge() -> bytes:
    return (
        f"<!doctype html><html><head><title>Just a moment...</title></head><body><h1>Checking your browser</h1>"
        f"<script src='/cdn-cgi/challenge-platform/h/b/orchestrate/{next(_nonce)}'></script></body></html>"
    ).encode()
