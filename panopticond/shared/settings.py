"""Configuration files into frozen structs, every fault at once with its path.

First step of both daemons. TOML (panopticond) and JSON (arke) both become plain data here, then structs; unknown and
doubled keys, wrong types and impossible values are collected, not raised one by one; what is sound of a faulty file is
still held against the rules, so that one look tells everything.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from panopticond.shared.errors import ConfigurationError

T = TypeVar("T")
FILE_LIMIT_BYTES = 1 << 20  # a configuration is written by hand; anything larger is a mistake
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)\Z")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_WRITTEN = r"\A[0-9]+(\.[0-9]+)?(ms|s|m|h|d)\Z"
LONGEST_SECONDS = 3650 * 86400.0
"""Ten years: a longer span is a slip of the hand, and overflows what times are counted in."""
Duration = Annotated[str, msgspec.Meta(pattern=_WRITTEN, extra={"least": 0.001})]
"""A span of time that passes: 1 ms to ten years."""
Delay = Annotated[str, msgspec.Meta(pattern=_WRITTEN, extra={"least": 0.0})]
"""The same, and ``0s`` for none."""
_GONE = object()


def seconds(text: str) -> float:
    """Seconds in a duration such as ``90s``, ``5m``, ``24h`` or ``7d``; raises ``ValueError`` for anything else."""
    match = _DURATION.match(text)
    if match is None:
        raise ValueError(f"{text!r} is no duration; write a number and ms, s, m, h or d, as in 24h")
    return float(match[1]) * _SECONDS[match[2]]


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file; ConfigurationError names the file and line when it is missing or no TOML."""
    try:
        return tomllib.loads(_read(path))
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, or a number of thousands of digits
        raise ConfigurationError([f"{path}: {error}"]) from error


def read_json(path: Path, *, told: list[str] | None = None) -> dict[str, Any]:
    """The object in a JSON file, doubled keys refused; ConfigurationError names the file and the place.

    With ``told`` doubled keys are put there for the caller to tell with the rest, and the last one counts.
    """
    doubled: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for key, value in items:
            if key in seen:
                doubled.append(key)
            seen[key] = value
        return seen

    try:
        data = json.loads(_read(path), object_pairs_hook=pairs)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a plain ValueError
        raise ConfigurationError([f"{path}: {error}"]) from error
    problems = [f"{key}: given twice" for key in doubled]
    if not isinstance(data, dict):
        problems.append(f"{path}: must be a JSON object")
    elif told is not None:
        told += problems
        problems = []
    if problems:
        raise ConfigurationError(problems)
    return typing.cast("dict[str, Any]", data)


def convert(data: object, struct: type[T], check: Callable[[T], list[str]] | None = None) -> T:
    """``data`` as ``struct``, refused with every fault at once: types, values and unknown keys, and ``check``'s rules.

    Where keys are faulty the rules are held against what is sound, and what they say of the faulty keys is left out.
    """
    problems = list(_faults(data, struct, ""))
    value = _sound(data, struct)
    if check is not None and value is not _GONE:
        known = [problem.partition(": ")[0] for problem in problems]
        problems += [problem for problem in check(value) if not _speaks_of(problem, known)]
    if problems:
        raise ConfigurationError(problems)
    return typing.cast("T", value)


def read_secret(path: str | Path) -> str:
    """The first line of a secret file, stripped; ConfigurationError names the file when it is missing or empty."""
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text, or no path"
        raise ConfigurationError([f"{path}: cannot read the secret: {reason}"]) from error
    if not text:
        raise ConfigurationError([f"{path}: the secret file is empty"])
    return text.splitlines()[0].strip()


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > FILE_LIMIT_BYTES:
            raise ConfigurationError([f"{path}: larger than {FILE_LIMIT_BYTES} bytes; this is no configuration"])
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError([f"{path}: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError([f"{path}: not UTF-8 text"]) from error


def _faults(data: object, kind: Any, path: str) -> list[str]:
    """Every fault of ``data`` against ``kind``; descends into structs, lists and maps so that one fault hides none."""
    struct = _struct_in(kind)
    if struct is not None and isinstance(data, dict):
        return _struct_faults(data, struct, path)
    if struct is not None and data is not None and not isinstance(data, dict):
        return [f"{path or 'file'}: must be a table, not {_name(data)}"]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (list, tuple) and isinstance(data, list) and arguments:
        return [fault for at, item in enumerate(data) for fault in _faults(item, arguments[0], f"{path}[{at}]")]
    if origin is Annotated and isinstance(data, list) and (faults := _faults(data, arguments[0], path)):
        return faults  # the items' own paths; only then how many there may be
    if origin is dict and isinstance(data, dict):
        return [fault for key, item in data.items() for fault in _faults(item, arguments[1], f"{path}.{key}")]
    try:
        msgspec.convert(data, kind, strict=True)
    except (msgspec.ValidationError, OverflowError) as error:
        return [f"{path}: {str(error).split(' - at `')[0]}"]
    return [f"{path}: {fault}" for fault in _value_faults(data, kind)]


def _value_faults(data: object, kind: Any) -> list[str]:
    """What no type says: numbers that are none, control characters, durations that never pass or overflow."""
    if isinstance(data, list):
        return [fault for item in data for fault in _value_faults(item, kind)]
    if isinstance(data, float) and not math.isfinite(data):
        return [f"{data} is no finite number"]
    if not isinstance(data, str):
        return []
    if any(letter < " " and letter != "\t" for letter in data):
        return ["holds a control character"]
    least = _least_seconds(kind)
    if least is not None and not least <= seconds(data) <= LONGEST_SECONDS:
        return [f"{data[:40]} is not between {'0s' if least == 0 else '1ms'} and {LONGEST_SECONDS / 86400:.0f}d"]
    return []


def _least_seconds(kind: Any) -> float | None:
    """The shortest duration a type allows; None where it is no duration."""
    for part in typing.get_args(kind):
        if isinstance(part, msgspec.Meta) and part.extra is not None and "least" in part.extra:
            return float(part.extra["least"])
        if (least := _least_seconds(part)) is not None:
            return least
    return None


def _sound(data: object, kind: Any) -> Any:
    """``data`` without its faults: defaults and empty texts stand in, so that indices stay; or _GONE."""
    if not _faults(data, kind, ""):
        return msgspec.convert(data, kind, strict=True)
    struct, plain = _struct_in(kind), typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind
    if struct is not None:
        return _sound_struct(data if isinstance(data, dict) else {}, struct)
    origin, arguments = typing.get_origin(plain), typing.get_args(plain)
    if origin in (list, tuple) and arguments:
        items = [_sound(item, arguments[0]) for item in (data if isinstance(data, list) else [])]
        return origin(item for item in items if item is not _GONE)
    if plain in (str, int, float, bool):
        return data if isinstance(data, plain) else plain()
    return _GONE


def _sound_struct(data: dict[str, Any], struct: Any) -> Any:
    given = {}
    hints = typing.get_type_hints(struct, include_extras=True)
    for field in msgspec.structs.fields(struct):
        present, kind = field.encode_name in data, hints[field.name]
        nested = _struct_in(kind) is not None or isinstance(data.get(field.encode_name), list)
        if present and not nested and not field.required and _faults(data[field.encode_name], kind, ""):
            continue  # the default stands in
        if present or field.required:
            value = _sound(data.get(field.encode_name), kind)
            if value is not _GONE:
                given[field.name] = value
            elif field.required:
                return _GONE
    return struct(**given)


def _speaks_of(problem: str, known: list[str]) -> bool:
    """Whether a rule's problem is about a key that has been faulted already, or about one around or within it."""

    def within(inner: str, outer: str) -> bool:
        return inner == outer or inner.startswith((f"{outer}.", f"{outer}["))

    keys = problem.partition(": ")[0].split(", ")
    return any(within(key, path) or within(path, key) for key in keys for path in known)


def _struct_faults(data: dict[str, Any], struct: Any, path: str) -> list[str]:
    prefix = f"{path}." if path else ""
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    hints = typing.get_type_hints(struct, include_extras=True)
    problems = [f"{prefix}{key}: unknown key" for key in data if key not in fields]
    for name, field in fields.items():
        if name in data:
            problems += _faults(data[name], hints[field.name], f"{prefix}{name}")
        elif field.required:
            problems.append(f"{prefix}{name}: missing")
    if not problems:
        try:
            msgspec.convert(data, struct, strict=True)
        except msgspec.ValidationError as error:
            problems.append(f"{path or 'file'}: {error}")
    return problems


def _struct_in(kind: Any) -> Any:
    """The struct type in ``kind`` or in its optional union, else None."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        structs = [option for option in typing.get_args(kind) if _struct_in(option) is not None]
        others = [option for option in typing.get_args(kind) if option is not type(None) and option not in structs]
        return structs[0] if len(structs) == 1 and not others else None
    return None


def _name(data: object) -> str:
    return {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list"}.get(
        type(data), type(data).__name__
    )
