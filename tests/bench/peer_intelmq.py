"""IntelMQ's generic CSV parser on a URLhaus export, in its library mode; run by IntelMQ's own Python, imports nothing of ours."""

from __future__ import annotations

import base64
import json
import sys
import time
from pathlib import Path


def main() -> None:
    """Parse the file once and print rows a second."""
    from intelmq.bots.parsers.generic.parser_csv import GenericCsvParserBot
    from intelmq.lib.bot import BotLibSettings

    columns = "extra.id,time.source,source.url,status,extra.last_online,extra.threat,extra.tags,extra.reference,extra.reporter"
    settings = BotLibSettings | {"columns": columns, "default_fields": {"classification.type": "malware-distribution"}}
    bot = GenericCsvParserBot("bench", settings=settings)
    raw = base64.b64encode(Path(sys.argv[1]).read_bytes()).decode()
    report = {"__type": "Report", "raw": raw, "feed.name": "bench", "time.observation": "2026-01-01T00:00:00+00:00"}
    started = time.perf_counter()
    queues = bot.process_message(report)
    seconds = time.perf_counter() - started
    events = len(queues["output"])
    print(json.dumps({"rate": events / seconds, "rows": events}))


if __name__ == "__main__":
    main()
