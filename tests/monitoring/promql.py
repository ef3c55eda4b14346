"""The part of PromQL our alert rules use, evaluated on values of one moment, so that each rule is seen to fire and not.

Instant vectors with label matchers, numbers, ``time()``, ``abs()``, ``sum()``, ``absent()``, ``+ - * /``, comparisons
that filter, ``ignoring(...)``, ``unless`` with ``on (...)``, and ``increase(...[1h])`` from values of that time ago.
Vectors meet by equal labels, as in Prometheus.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Series = Mapping[tuple[str, Labels], float]
_TOKEN = re.compile(
    r'\s*(?:(\d+(?:\.\d+)?)|([a-z_]+)|("(?:[^"\\]|\\.)*")|(==|!=|>=|<=|=~|!~|[-+*/<>=(){},])|(\[\w+\]))'
)
_WORDS = {"time", "abs", "sum", "max", "min", "by", "rate", "on", "absent", "increase", "unless"}
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq, "!=": operator.ne, ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
_SUM = {"+": operator.add, "-": operator.sub}
_PRODUCT: dict[str, Callable[[float, float], float]] = {
    "*": operator.mul,
    "/": lambda a, b: a / b if b else float("nan"),
}


def series(text: str) -> dict[tuple[str, Labels], float]:
    """A scrape as values by name and labels."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            head, _, value = line.rpartition(" ")
            name, _, labels = head.partition("{")
            pairs = re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', labels)
            found[name, frozenset(pairs)] = float(value)
    return found


def names(expression: str) -> set[str]:
    """The metrics an expression reads."""
    bare = re.sub(r"\{[^}]*\}|(?:ignoring|on) ?\([^)]*\)|\[\w+\]|\"[^\"]*\"", "", expression)
    return set(re.findall(r"[a-z][a-z_]+", bare)) - _WORDS


def evaluate(expression: str, values: Series, at: float, before: Series | None = None) -> Vector:
    """What an expression gives at a time: empty when nothing matches, which for a rule means no alarm.

    ``before`` are the values at the beginning of a range.
    """
    reader = _Reader(expression, values, at, before or {})
    result = reader.unless()
    if reader.peek() is not None:
        raise ValueError(f"{expression}: {reader.peek()!r} is more than this reads")
    return result if isinstance(result, dict) else {frozenset(): result}


class _Reader:
    def __init__(self, text: str, values: Series, at: float, before: Series) -> None:
        self._tokens: list[str] = []
        self._values, self._at, self._before = values, at, before
        place = 0
        while place < len(text.rstrip()):
            match = _TOKEN.match(text, place)
            if match is None:
                raise ValueError(f"{text}: cannot be read at {text[place:]!r}")
            self._tokens.append(match[0].strip())
            place = match.end()

    def peek(self) -> str | None:
        return self._tokens[0] if self._tokens else None

    def take(self, wanted: str = "") -> str:
        token = self._tokens.pop(0)
        if wanted and token != wanted:
            raise ValueError(f"{wanted!r} is missing before {token!r}")
        return token

    def unless(self) -> Vector | float:
        left = self.comparison()
        while self.peek() == "unless":
            self.take()
            on = self._labels("on")
            right = self.comparison()
            if not isinstance(left, dict) or not isinstance(right, dict):
                raise TypeError("unless stands between vectors")
            there = {_only(labels, on) for labels in right}
            left = {labels: value for labels, value in left.items() if _only(labels, on) not in there}
        return left

    def comparison(self) -> Vector | float:
        left = self.sum()
        if (word := self.peek()) not in _COMPARE or word is None:
            return left
        self.take()
        test, right = _COMPARE[word], self.sum()
        if not isinstance(left, dict):
            raise TypeError("a comparison without a vector is no alarm")
        return {key: value for key, value, other in _pairs(left, right) if test(value, other)}

    def sum(self) -> Vector | float:
        return self._chain(_SUM, self.product)

    def product(self) -> Vector | float:
        return self._chain(_PRODUCT, self.atom)

    def _chain(
        self, words: Mapping[str, Callable[[float, float], float]], part: Callable[[], Vector | float]
    ) -> Vector | float:
        left = part()
        while (word := self.peek()) in words and word is not None:
            self.take()
            ignored = self._labels("ignoring") or frozenset()
            right, work = part(), words[word]
            if isinstance(left, dict) or isinstance(right, dict):
                left = {key: work(one, two) for key, one, two in _pairs(left, right, ignored)}
            else:
                left = work(left, right)
        return left

    def _labels(self, word: str) -> frozenset[str] | None:
        """The labels of ``on (...)`` or ``ignoring (...)``, None where it is not there."""
        if self.peek() != word:
            return None
        self.take()
        self.take("(")
        labels = set()
        while (label := self.take()) != ")":
            labels |= {label} - {","}
        return frozenset(labels)

    def atom(self) -> Vector | float:
        token = self.take()
        if token[0].isdigit():
            return float(token)
        if token == "(":
            inner = self.comparison()
            self.take(")")
            return inner
        if token in ("time", "abs", "sum", "absent", "increase"):
            return self._call(token)
        return self._select(token)

    def _call(self, function: str) -> Vector | float:
        self.take("(")
        if function == "time":
            self.take(")")
            return self._at
        if function == "increase":
            return self._increase()
        inner = self.comparison()
        self.take(")")
        if not isinstance(inner, dict):
            raise TypeError(f"{function} of a number")
        if function == "abs":
            return {key: abs(value) for key, value in inner.items()}
        if function == "absent":
            return {} if inner else {frozenset(): 1.0}
        return {frozenset(): sum(inner.values())} if inner else {}

    def _increase(self) -> Vector:
        name = self.take()
        now, then = (
            self._select(name),
            {labels: value for (found, labels), value in self._before.items() if found == name},
        )
        self.take()
        self.take(")")
        return {labels: value - then[labels] for labels, value in now.items() if labels in then}

    def _select(self, name: str) -> Vector:
        tests: list[Callable[[dict[str, str]], bool]] = []
        if self.peek() == "{":
            self.take()
            while self.peek() != "}":
                label, word, text = self.take(), self.take(), self.take()[1:-1]
                tests.append(_matcher(label, word, text))
                if self.peek() == ",":
                    self.take()
            self.take("}")
        return {
            labels: value
            for (found, labels), value in self._values.items()
            if found == name and all(test(dict(labels)) for test in tests)
        }


def _only(labels: Labels, on: frozenset[str] | None) -> Labels:
    return labels if on is None else frozenset(pair for pair in labels if pair[0] in on)


def _matcher(label: str, word: str, text: str) -> Callable[[dict[str, str]], bool]:
    return {
        "=": lambda labels: labels.get(label, "") == text,
        "!=": lambda labels: labels.get(label, "") != text,
        "=~": lambda labels: re.fullmatch(text, labels.get(label, "")) is not None,
        "!~": lambda labels: re.fullmatch(text, labels.get(label, "")) is None,
    }[word]


def _pairs(
    left: Vector | float, right: Vector | float, ignored: frozenset[str] = frozenset()
) -> list[tuple[Labels, float, float]]:
    def key(labels: Labels) -> Labels:
        return frozenset(pair for pair in labels if pair[0] not in ignored)

    if not isinstance(left, dict):
        assert isinstance(right, dict)
        return [(labels, left, value) for labels, value in right.items()]
    if not isinstance(right, dict):
        return [(labels, value, right) for labels, value in left.items()]
    others = {key(labels): value for labels, value in right.items()}
    return [(key(labels), value, others[key(labels)]) for labels, value in left.items() if key(labels) in others]
