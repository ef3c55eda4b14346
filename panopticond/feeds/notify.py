"""NOTIFY for zones that are feeds: a change at the server rings, so that the next transfer need not wait (RFC 1996).

Beside ``follow``, for a feed with ``notify``. A listener believes a message only from the server the zone is
transferred from, for that zone, and with the feed's TSIG key when it has one; ringing too often does no harm, for
``follow`` keeps the provider's least interval.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import trio

from panopticond.feeds.catalogue import TRANSFER, FeedSpec, listening_at
from panopticond.feeds.transfer import keyring_of
from panopticond.shared.errors import PanopticonError

MESSAGE_BYTES = 4096

log = logging.getLogger(__name__)


async def heed_notify(
    spec: FeedSpec,
    ring: Callable[[], None],
    *,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listen for ever at the feed's ``notify`` address; starts with its port. PanopticonError if it cannot."""
    address, port = listening_at(spec.notify or "")
    family = trio.socket.AF_INET6 if ":" in address else trio.socket.AF_INET
    with trio.socket.socket(family, trio.socket.SOCK_DGRAM) as sock:
        try:
            await sock.bind((address, port))
        except OSError as error:
            raise PanopticonError(f"feed {spec.name}: cannot listen at {spec.notify}: {error.strerror}") from error
        task_status.started(sock.getsockname()[1])
        while True:
            try:
                wire, sender = await sock.recvfrom(MESSAGE_BYTES)
                answer = answer_notify(spec, wire, sender[0])
                if answer is not None:
                    ring()
                    await sock.sendto(answer, sender)
            except OSError as error:  # an ICMP error of an earlier answer, a full buffer: the next message may be good
                log.info("feed %s: notify: %s", spec.name, error.strerror)


def answer_notify(spec: FeedSpec, wire: bytes, sender: str) -> bytes | None:
    """The answer to a message that rings, None for one that does not; never raises."""
    match = TRANSFER.match(spec.url)
    if match is None or sender != (match[1] or match[2]):
        return None
    try:
        keyring = keyring_of(spec)
        message = dns.message.from_wire(wire, keyring=keyring)
        good = (
            message.opcode() == dns.opcode.NOTIFY
            and not message.flags & dns.flags.QR
            and len(message.question) == 1
            and message.question[0].rdtype == dns.rdatatype.SOA
            and message.question[0].name == dns.name.from_text(match[4])
            and (keyring is None or message.had_tsig)
        )
        if not good:
            return None
        response = dns.message.make_response(message)
        response.flags |= dns.flags.AA
        response.set_rcode(dns.rcode.NOERROR)
        return response.to_wire()
    except (dns.exception.DNSException, PanopticonError, ValueError):
        return None
