"""Metrics in Prometheus' text format, written by hand: declared names in, declared names out, nothing else.

Beside the status socket of both daemons, which answer ``GET /metrics`` with it. A metric is declared once, as data,
its unit in its name; a sample of an undeclared name or with other labels is a defect and raises. The format is version
0.0.4 (prometheus.io, exposition formats).
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

VALUES_LIMIT = 50_000
"""Samples of one metric at most: labels are words of the configuration, and this is more than any has."""


class Metric(msgspec.Struct, frozen=True):
    """One metric: its name with the unit in it, what it says, and the labels each of its samples has."""

    name: str
    kind: Literal["counter", "gauge"]
    text: str
    labels: tuple[str, ...] = ()


class Sample(msgspec.Struct, frozen=True):
    """One value of a metric; None is not written: what is not known is not 0."""

    name: str
    value: float | None
    labels: Mapping[str, str] = {}


PROCESS = (
    Metric("process_start_time_seconds", "gauge", "When the process started, seconds since 1970."),
    Metric("process_cpu_seconds_total", "counter", "Processor time used, user and system."),
    Metric("process_resident_memory_bytes", "gauge", "Memory it holds (VmRSS)."),
    Metric("process_open_fds", "gauge", "Open file descriptors."),
    Metric("process_max_fds", "gauge", "How many it may open."),
)
"""What Prometheus' own libraries call them, of this process."""


def process() -> list[Sample]:
    """This process now (proc(5)); what the system does not tell is left out."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return [
        Sample("process_start_time_seconds", _started()),
        Sample("process_cpu_seconds_total", used.ru_utime + used.ru_stime),
        Sample("process_resident_memory_bytes", _resident_bytes()),
        Sample("process_open_fds", _open_files()),
        Sample("process_max_fds", float(resource.getrlimit(resource.RLIMIT_NOFILE)[0])),
    ]


def render(declared: Sequence[Metric], samples: Iterable[Sample]) -> str:
    """The text of a scrape: metrics in the order declared, each with HELP and TYPE, and only those that have a value.

    ValueError for a sample nobody declared, with other labels than declared, or for one of far too many.
    """
    known = {metric.name: metric for metric in declared}
    lines: dict[str, list[str]] = {}
    for sample in samples:
        metric = known.get(sample.name)
        if metric is None or tuple(sample.labels) != metric.labels:
            raise ValueError(f"{sample.name}{tuple(sample.labels)} is no declared metric")
        if sample.value is None:
            continue
        values = lines.setdefault(sample.name, [])
        if len(values) >= VALUES_LIMIT:
            raise ValueError(f"{sample.name} has more than {VALUES_LIMIT} values")
        labels = ",".join(f'{label}="{_escaped(text)}"' for label, text in sample.labels.items())
        values.append(f"{sample.name}{f'{{{labels}}}' if labels else ''} {_number(sample.value)}")
    text = ""
    for metric in declared:
        if metric.name in lines:
            text += f"# HELP {metric.name} {metric.text}\n# TYPE {metric.name} {metric.kind}\n"
            text += "\n".join(lines[metric.name]) + "\n"
    return text


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _started() -> float | None:
    """Seconds since 1970 at which this process began (proc_pid_stat(5): the 22nd field, in ticks since the boot)."""
    try:
        ticks = int(Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[19])
        uptime_seconds = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return round(time.time() - uptime_seconds + ticks / os.sysconf("SC_CLK_TCK"), 2)


def _resident_bytes() -> float | None:
    try:
        return float(int(Path("/proc/self/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, IndexError):
        return None


def _open_files() -> float | None:
    try:
        return float(len(os.listdir("/proc/self/fd")))  # noqa: PTH208 - a directory of the kernel's, read once
    except OSError:
        return None
