"""Notice templates: XML by expat, a whitelist of ``{{names}}``, ``<if>`` and ``<each>``, nothing else.

Read once at start from the operator's file and the shipped ones; ``notice`` renders one with the facts of a case. The
language is described in docs/reference/notice-template.md. A template is data: it can compute nothing, open nothing and
name nothing that is not in :data:`NAMES`.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Union
from xml.parsers import expat

import msgspec

from arke.mail.words import KEYS, Words
from panopticond.shared.errors import ConfigurationError

SIZE_LIMIT_BYTES = 256 << 10
DEPTH_LIMIT = 16
LINE_COLUMNS = 72
KINDS = (
    "new", "reminder", "resolved", "reopened", "malicious", "registrar", "manager", "hoster", "digest",
    "resolved-digest", "hoster-digest",
)  # fmt: skip
SHIPPED_LANGUAGES = ("en", "fr", "es", "pt", "ar")

_INDICATOR = frozenset(
    {"uri", "host", "threats", "first_seen", "last_active", "state", "feeds", "address", "address_at"}
)
_EVIDENCE = frozenset({"at", "vantage", "country", "outcome", "status", "title", "final", "address", "sha256"})
_CASE = frozenset(
    {
        "case", "tld", "domain", "subject_name", "threats", "class", "class_malicious", "class_compromised",
        "class_undetermined", "class_shared", "reasons", "opened", "first_seen", "last_seen", "count", "registrar",
        "registered_at",
    }
)  # fmt: skip
_MAIL = frozenset(
    {
        "organisation", "sender", "verify_page", "now", "deadline", "role", "role_holder", "role_registrar",
        "role_manager", "role_hoster", "rechecked", "unchecked", "recheck_at", "recheck_reason", "attached",
        "cases_count", "earlier",
    }
)  # fmt: skip
NAMES: dict[str, frozenset[str]] = {
    "": _CASE | _MAIL,
    "cases": _CASE,
    "indicators": _INDICATOR,
    "evidence": _EVIDENCE,
}
"""The names a template may use at the top and inside each kind of ``<each>``; inner ones see the outer ones too."""
_LISTS = {"": {"indicators", "cases"}, "cases": {"indicators"}, "indicators": {"evidence"}, "evidence": set[str]()}
_NAME = re.compile(r"\{\{\s*(.*?)\s*\}\}")

Facts = Mapping[str, Any]
"""Texts by name, and under ``indicators``, ``cases`` and ``evidence`` lists of further facts."""


class Block(msgspec.Struct, frozen=True):
    """``<p>`` (wrapped) or ``<line>`` (as it stands): one paragraph or line of the mail."""

    wrap: bool
    indent: int
    text: str


class If(msgspec.Struct, frozen=True):
    """``<if name="...">``: its content when the name has a text."""

    name: str
    body: tuple[Node, ...]


class Each(msgspec.Struct, frozen=True):
    """``<each name="...">``: its content once for every item of a list."""

    name: str
    body: tuple[Node, ...]


Node = Union[Block, If, Each]  # noqa: UP007 - a recursive alias has to be evaluated late


class Template(msgspec.Struct, frozen=True):
    """One kind of notice in one language."""

    kind: str
    language: str
    subject: str
    body: tuple[Node, ...]

    def render(self, facts: Facts) -> tuple[str, str]:
        """(subject, body): the subject one line, the body wrapped at 72 columns but for ``<line>``; pure."""
        lines: list[str] = []
        _render(self.body, [facts], lines)
        while lines and not lines[-1]:
            lines.pop()
        return " ".join(_fill(self.subject, [facts]).split()), "\n".join(lines) + "\n"


class Templates(msgspec.Struct, frozen=True):
    """Every template at hand: the operator's first, then the shipped ones."""

    language: str
    by_key: dict[tuple[str, str], Template]
    vocabularies: Mapping[str, Mapping[str, str]] = {}
    """By language, the words of a file by their names in ``of``."""

    def words(self, language: str) -> Words:
        """Our vocabulary in a language; what a language has no word for is said in English."""
        english = self.vocabularies.get("en", {})
        return Words(self.vocabularies.get(language, {}) if language != "en" else english, english)

    def select(self, kind: str, language: str | None = None) -> Template:
        """The template of a kind: in the language asked for, else the default one, else English."""
        for wanted in (language, self.language, "en"):
            if wanted is not None and (found := self.by_key.get((kind, wanted))) is not None:
                return found
        raise ConfigurationError([f"template: no {kind!r} notice in {language or self.language!r} nor in English"])


def load(path: Path | None = None, wanted: str | None = None) -> Templates:
    """The shipped templates, and over them the operator's file; ConfigurationError names file, line and fault.

    Also where nothing at all is in the language ``wanted``: a kind that lacks it falls back, a wrong code does not.
    """
    by_key: dict[tuple[str, str], Template] = {}
    vocabularies: dict[str, Mapping[str, str]] = {}

    def take(made: Parsed) -> None:
        by_key.update({(template.kind, template.language): template for template in made.templates})
        vocabularies[made.language] = {**vocabularies.get(made.language, {}), **made.words}

    for name in SHIPPED_LANGUAGES:
        shipped = resources.files("arke.mail") / "templates" / f"{name}.xml"
        take(parse(shipped.read_bytes(), f"templates/{name}.xml"))
    language = "en"
    if path is not None:
        try:
            with path.open("rb") as file:
                data = file.read(SIZE_LIMIT_BYTES + 1)
        except OSError as error:
            raise ConfigurationError([f"template: {path}: {error.strerror}"]) from error
        made = parse(data, str(path))
        language = made.language
        take(made)
    known = sorted({template.language for template in by_key.values()})
    if wanted is not None and wanted not in known:
        raise ConfigurationError([f"language: no notice is in {wanted!r}; there are {', '.join(known)}"])
    return Templates(language, by_key, vocabularies)


class Parsed(msgspec.Struct, frozen=True):
    """One file: its language, its notices, its words."""

    language: str
    templates: list[Template]
    words: Mapping[str, str]


def parse(data: bytes, label: str) -> Parsed:
    """What an XML file holds; ConfigurationError names ``label``, line and fault."""
    if len(data) > SIZE_LIMIT_BYTES:
        raise ConfigurationError([f"template: {label}: larger than {SIZE_LIMIT_BYTES} bytes"])
    reader = _Reader(label)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    reader.line = lambda: parser.CurrentLineNumber
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # the last two: an encoding that nobody has
        raise ConfigurationError([f"template: {label}: {error}"]) from error
    if reader.faults:
        raise ConfigurationError(reader.faults)
    if not reader.templates and not reader.words:
        raise ConfigurationError([f"template: {label}: holds no <notice>; leave template out to use the shipped ones"])
    return Parsed(reader.language, reader.templates, reader.words)


class _Open(msgspec.Struct):
    """An element being read."""

    tag: str
    attributes: dict[str, str]
    nodes: list[Node] = msgspec.field(default_factory=list)
    text: list[str] = msgspec.field(default_factory=list)


_CHILDREN = {
    "": {"notices"},
    "notices": {"notice", "words"},
    "words": {"word"},
    "notice": {"subject", "body"},
    "body": {"p", "line", "if", "each"},
    "if": {"p", "line", "if", "each"},
    "each": {"p", "line", "if", "each"},
}
_ATTRIBUTES = {
    "notices": {"language"},
    "notice": {"kind", "language"},
    "p": {"indent"},
    "line": {"indent"},
    "if": {"name"},
    "each": {"name"},
    "word": {"of"},
}


class _Reader:
    """Expat's handlers: builds templates, refuses everything the language does not have."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.language = "en"
        self.templates: list[Template] = []
        self.words: dict[str, str] = {}
        self.faults: list[str] = []
        """Every unknown name, each with its line: the rest is refused at once."""
        self.line: Callable[[], int] = lambda: 0
        self._open: list[_Open] = []
        self._parts: dict[str, Any] = {}

    def refuse(self, fault: str) -> ConfigurationError:
        return ConfigurationError([f"template: {self.label}: line {self.line()}: {fault}"])

    def doctype(self, *_: object) -> None:
        raise self.refuse("a DOCTYPE is not allowed")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        parent = self._open[-1].tag if self._open else ""
        if len(self._open) >= DEPTH_LIMIT:
            raise self.refuse(f"nested deeper than {DEPTH_LIMIT}")
        if tag not in _CHILDREN.get(parent, set()):
            raise self.refuse(f"<{tag}> may not stand in <{parent}>" if parent else f"<{tag}>: expected <notices>")
        if unknown := set(attributes) - _ATTRIBUTES.get(tag, set()):
            raise self.refuse(f"<{tag}> has no attribute {min(unknown)!r}")
        if tag in {"if", "each"} and "name" not in attributes:
            raise self.refuse(f"<{tag}> needs a name")
        if tag == "notices":
            self.language = attributes.get("language", "en")
        if tag == "notice":
            if attributes.get("kind") not in KINDS:
                raise self.refuse(f"kind must be one of {', '.join(KINDS)}")
            self._parts = {}
        if tag == "each":
            lists = _LISTS[self._scope()]
            if attributes["name"] not in lists:
                allowed = ", ".join(sorted(lists)) or "nothing"
                raise self.refuse(f"<each name={attributes['name']!r}>: here only {allowed} can be repeated")
        if tag == "word" and attributes.get("of") not in KEYS:
            raise self.refuse(f"<word of={attributes.get('of', '')!r}>: no such word; known: {', '.join(sorted(KEYS))}")
        if tag == "if":
            self._known(attributes["name"], lists=True)
        self._open.append(_Open(tag, attributes))

    def text(self, data: str) -> None:
        if self._open[-1].tag in {"p", "line", "subject", "word"}:
            self._open[-1].text.append(data)
        elif data.strip():
            raise self.refuse(f"text may not stand in <{self._open[-1].tag}>; put it into <p> or <line>")

    def end(self, tag: str) -> None:
        done = self._open.pop()
        text = "".join(done.text)
        for name in _NAME.findall(text):
            self._known(name)
        if "{{" in _NAME.sub("", text) or "}}" in _NAME.sub("", text):
            raise self.refuse("a {{ without its }}, or the other way round")
        if tag in {"p", "line"}:
            indent = done.attributes.get("indent", "0")
            if not re.fullmatch(r"[0-9]|1[0-9]|20", indent):
                raise self.refuse("indent must be a number from 0 to 20")
            self._open[-1].nodes.append(Block(tag == "p", int(indent), " ".join(text.split())))
        elif tag == "if":
            self._open[-1].nodes.append(If(done.attributes["name"], tuple(done.nodes)))
        elif tag == "each":
            self._open[-1].nodes.append(Each(done.attributes["name"], tuple(done.nodes)))
        elif tag == "subject":
            self._parts["subject"] = " ".join(text.split())
        elif tag == "body":
            self._parts["body"] = tuple(done.nodes)
        elif tag == "word":
            self.words[done.attributes["of"]] = " ".join(text.split())
        elif tag == "notice":
            self._notice(done)

    def _notice(self, done: _Open) -> None:
        kind, language = done.attributes["kind"], done.attributes.get("language", self.language)
        missing = [part for part in ("subject", "body") if not self._parts.get(part)]
        if missing:
            raise self.refuse(f"notice {kind!r} has no {missing[0]}")
        if any((kind, language) == (template.kind, template.language) for template in self.templates):
            raise self.refuse(f"notice {kind!r} in {language!r} is given twice")
        self.templates.append(Template(kind, language, self._parts["subject"], self._parts["body"]))

    def _scope(self) -> str:
        return next((item.attributes["name"] for item in reversed(self._open) if item.tag == "each"), "")

    def _known(self, name: str, *, lists: bool = False) -> None:
        scopes = ["", *(item.attributes["name"] for item in self._open if item.tag == "each")]
        known = frozenset[str]().union(*(NAMES[scope] for scope in scopes))
        if lists:
            known |= frozenset[str]().union(*(_LISTS[scope] for scope in scopes))
        if name not in known:
            self.faults += self.refuse(f"unknown name {{{{{name}}}}}; known here: {', '.join(sorted(known))}").problems


def _render(nodes: Sequence[Node], scopes: list[Facts], lines: list[str]) -> None:
    for node in nodes:
        if isinstance(node, Block):
            _block(node, _fill(node.text, scopes), lines)
        elif isinstance(node, If):
            if _look(node.name, scopes):
                _render(node.body, scopes, lines)
        else:
            for item in _look(node.name, scopes) or ():
                _render(node.body, [*scopes, item], lines)


def _block(block: Block, text: str, lines: list[str]) -> None:
    """Paragraphs stand apart by a blank line; lines follow each other."""
    if block.wrap:
        if lines and lines[-1]:
            lines.append("")
        pad = " " * block.indent
        lines.extend(
            textwrap.wrap(
                text, LINE_COLUMNS, initial_indent=pad, subsequent_indent=pad,
                break_long_words=False, break_on_hyphens=False,
            )
        )  # fmt: skip
        lines.append("")
    else:
        lines.append(" " * block.indent + text if text else "")


def _fill(text: str, scopes: list[Facts]) -> str:
    return _NAME.sub(lambda match: str(_look(match[1], scopes) or ""), text)


def _look(name: str, scopes: list[Facts]) -> Any:
    for facts in reversed(scopes):
        if name in facts:
            return facts[name]
    return ""
