"""The page ``arke status`` shows, for a person at night: what is wrong first, then snapshots, queue and mail.

Pure: from the status answer alone. It reads an older or newer daemon's answer too: what is missing is left out, what is
unknown passed over, and another version is told. No contact and no domain is in the answer, so none is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from panopticond import __version__

API = 1
"""The newest status answer this page was written for."""


def page(answer: Mapping[str, Any]) -> str:
    """The answer as lines of text."""
    sending = "sending" if answer.get("sending") else "sends nothing (drafts only)"
    lines = [f"arke {answer.get('version', '?')} at {answer.get('at', '?')}: {sending}", *_other(answer), ""]
    lines += [f"  WRONG  {sentence}" for sentence in wrong(answer)] or ["  nothing is wrong"]
    return "\n".join([*lines, "", *_snapshots(answer), *_queue(answer), *_mail(answer), *_next(answer)])


def wrong(answer: Mapping[str, Any]) -> list[str]:
    """What an operator should look into, a sentence each."""
    refused = [f"refused .{tld}: {reason}" for tld, reason in sorted((answer.get("refused") or {}).items())]
    return refused + [f"{key}: {sentence}" for key, sentence in sorted((answer.get("problems") or {}).items())]


def _other(answer: Mapping[str, Any]) -> Iterator[str]:
    """A daemon that is not of this command's version, told."""
    if answer.get("version") != __version__:
        yield f"this command is {__version__}: restart the daemon after an upgrade, so that both are the same"
    if (api := answer.get("api", 0)) > API:
        yield f"the daemon's status has format {api}, this command knows {API}: some of it may be missing here"


def _snapshots(answer: Mapping[str, Any]) -> Iterator[str]:
    snapshots = answer.get("snapshots") or {}
    if not snapshots:
        yield "snapshots  none accepted yet"
    for tld, snapshot in sorted(snapshots.items()):
        yield (
            f"snapshot   .{tld}: {snapshot.get('serial')} to {snapshot.get('to')}, mail until "
            f"{snapshot.get('expires')}, {snapshot.get('open_cases', 0)} open cases"
        )


def _queue(answer: Mapping[str, Any]) -> Iterator[str]:
    queue = answer.get("queue") or {}
    waiting = queue.get("waiting", 0) + queue.get("held", 0)
    yield f"queue      {waiting} wait for a person" + ("; see `arke queue list`" if waiting else "")


def _mail(answer: Mapping[str, Any]) -> Iterator[str]:
    outbox = answer.get("outbox") or {}
    counts = ", ".join(f"{outbox.get(word, 0)} {word}" for word in ("accepted", "failed", "bounced"))
    yield f"mail       {counts}, {outbox.get('waiting', 0)} to be sent"


def _next(answer: Mapping[str, Any]) -> Iterator[str]:
    due = (answer.get("outbox") or {}).get("next_due")
    if due:
        yield f"next       {due}  a notice"
    if answer.get("working"):
        yield "next       now: cases are being followed"
    if answer.get("poll"):
        yield f"next       within {answer['poll']}: a look for a new snapshot"
