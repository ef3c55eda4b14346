"""The contacts inside an RDAP domain object: jCard (RFC 7095), JSContact (RFC 9553), redaction (RFC 9537). Pure.

Only arke, with the registry's credentials, asks for them (``fetch_domain``). A contact is an address or the reason
there is none; a placeholder or a redacted address is not an address.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import msgspec

ENTITIES = 100
ROLES = ("registrant", "administrative", "technical", "billing", "abuse", "registrar", "reseller")
"""The roles of which contacts are read; nested under another entity, ``abuse`` only."""
_ADDRESS = re.compile(
    r"^[^\s@<>\"(),:;\\\[\]\x00-\x1f\x7f]{1,64}@(?:[^\s@<>\"(),:;\\\[\]_\x00-\x1f\x7f]{1,63}\.)+[^\s@.0-9]{2,63}$"
)
_REDACTED_WORDS = re.compile(
    r"redact|privacy|protected|not disclosed|non-public|withheld|gdpr|masked|hidden", re.IGNORECASE
)
_REDACTED_LOCAL = re.compile(r"^(redacted|masked|gdpr|not[._-]?disclosed|data[._-]?protected)", re.IGNORECASE)
_NOWHERE = frozenset({"invalid", "localhost", "localdomain"})
_HIDING_STATUSES = frozenset({"private", "removed", "obscured", "redacted"})


class RdapContact(msgspec.Struct, frozen=True):
    """One role's contact: an address, or None and the problem."""

    role: str
    email: str | None
    problem: str = ""
    """``redacted``, ``placeholder``, ``missing`` or ``contact-uri`` (a web form only); empty with an address."""


class Card(msgspec.Struct, frozen=True):
    """What is read of a jCard or a JSContact card: all e-mails, best first, and web forms."""

    name: str | None = None
    emails: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()


def contacts_of(entities: object, redacted: object, *, wanted: Collection[str] = ROLES) -> tuple[RdapContact, ...]:
    """Every wanted role's contact, in the order of the object: top-level entities, with abuse contacts nested in them.

    Of an entity that has no wanted role nothing is read but, one level down, its abuse contact.
    """
    found: list[RdapContact] = []
    left = ENTITIES
    for entity in entities[:ENTITIES] if isinstance(entities, list) else ():
        if not isinstance(entity, dict) or left <= 0:
            continue
        left -= 1
        roles = roles_of(entity.get("roles")) or roles_of(jcard_values(entity.get("vcardArray"), "role"))
        if kept := [role for role in roles if role in wanted]:
            card = _card(entity)
            found += [_contact(role, card, entity, redacted) for role in kept]
        nested = entity.get("entities")
        for inner in nested[:left] if isinstance(nested, list) else ():
            left -= 1
            if isinstance(inner, dict) and "abuse" in roles_of(inner.get("roles")):
                found.append(_contact("abuse", _card(inner), inner, redacted))
    return tuple(found)


def roles_of(value: object) -> tuple[str, ...]:
    """The known roles in a ``roles`` member, lower case, each once; a lone text counts as a list of one."""
    values = value if isinstance(value, list) else [value]
    roles = [word.strip().lower() for word in values[:20] if isinstance(word, str)]
    return tuple(dict.fromkeys(role for role in roles if role in ROLES))


def jcard_text(card: object, name: str) -> str | None:
    """The first text of a jCard property; ``org`` may be an array of parts."""
    for value in jcard_values(card, name):
        if isinstance(value, str) and value.strip():
            return value.strip()
        if isinstance(value, list):
            parts = [part.strip() for part in value if isinstance(part, str) and part.strip()]
            if parts:
                return ", ".join(parts)
    return None


def jcard_values(card: object, name: str) -> list[Any]:
    """Values of every property called ``name``, preferred first; properties of too few elements are passed over."""
    found = [(_preference(entry), value) for entry in _properties(card, name) for value in entry[3:]]
    return [value for _, value in sorted(found, key=lambda pair: pair[0])]


def jscontact(entity: dict[str, Any]) -> Card:
    """The JSContact card of an entity, under either member name the drafts used; empty when there is none."""
    for member in ("jscontact_card", "jscard", "jsCard", "jscontact"):
        card = entity.get(member)
        if isinstance(card, dict):
            break
    else:
        return Card()
    name = card.get("name")
    full = name.get("full") if isinstance(name, dict) else card.get("fullName")
    emails = [
        (entry["pref"] if isinstance(entry.get("pref"), int) else 101, entry["address"])
        for entry in _entries(card.get("emails"))
        if isinstance(entry.get("address"), str)
    ]
    forms = [
        entry["uri"]
        for entry in _entries(card.get("links"))
        if entry.get("kind") == "contact" and isinstance(entry.get("uri"), str)
    ]
    ordered = tuple(address for _, address in sorted(emails, key=lambda pair: pair[0]))
    return Card(full if isinstance(full, str) else None, ordered, tuple(forms))


def _entries(value: object) -> list[dict[str, Any]]:
    return [entry for entry in list(value.values())[:50] if isinstance(entry, dict)] if isinstance(value, dict) else []


def _card(entity: dict[str, Any]) -> Card:
    vcard = entity.get("vcardArray", entity.get("vcards"))
    other = jscontact(entity)
    emails = [value for value in jcard_values(vcard, "email") if isinstance(value, str)]
    forms = [value for value in jcard_values(vcard, "contact-uri") if isinstance(value, str)]
    return Card(jcard_text(vcard, "fn") or other.name, (*emails, *other.emails), (*forms, *other.forms))


def _contact(role: str, card: Card, entity: dict[str, Any], redacted: object) -> RdapContact:
    mailed = [form[7:].partition("?")[0] for form in card.forms if form.lower().startswith("mailto:")]
    given = [address.strip().removeprefix("mailto:") for address in (*card.emails, *mailed) if address.strip()]
    for address in given[:20]:
        if _ADDRESS.match(address) and len(address) <= 254 and not _placeholder(address):
            return RdapContact(role, address)
    if any(_REDACTED_WORDS.search(address) for address in given):
        return RdapContact(role, None, "redacted")
    if given:
        return RdapContact(role, None, "placeholder")
    if any(form.lower().startswith(("http://", "https://")) for form in card.forms):
        return RdapContact(role, None, "contact-uri")
    hidden = _hides(entity) or _names_role(redacted, role)
    return RdapContact(role, None, "redacted" if hidden else "missing")


def _placeholder(address: str) -> bool:
    """An address that stands for none: at example.com and its like, at a name that cannot exist, or a word for secrecy.

    ``.example`` as a top-level name is left to whoever sends: it reaches nobody.
    """
    local, _, host = address.lower().rpartition("@")
    labels = host.split(".")
    return labels[-1] in _NOWHERE or labels[-2] == "example" or bool(_REDACTED_LOCAL.search(local))


def _hides(entity: dict[str, Any]) -> bool:
    """Whether an entity says that something of it was taken away: by its status or a remark's title or type."""
    statuses = entity.get("status")
    if isinstance(statuses, list) and any(str(word).lower() in _HIDING_STATUSES for word in statuses[:20]):
        return True
    remarks = entity.get("remarks")
    for remark in remarks[:20] if isinstance(remarks, list) else ():
        if isinstance(remark, dict):
            text = f"{remark.get('title', '')} {remark.get('type', '')}".lower()
            if "redacted" in text or "privacy" in text or "due to authorization" in text:
                return True
    return False


def _names_role(redacted: object, role: str) -> bool:
    """Whether an RFC 9537 entry speaks of this role: by its name, or by the role in one of its paths."""
    word = {"administrative": "admin", "technical": "tech"}.get(role, role)
    for entry in redacted[:100] if isinstance(redacted, list) else ():
        if not isinstance(entry, dict):
            continue
        name = entry.get("name")
        texts = list(name.values()) if isinstance(name, dict) else [name]
        texts += [entry.get("prePath"), entry.get("postPath"), entry.get("replacementPath")]
        if any(isinstance(text, str) and word in text.lower() for text in texts[:10]):
            return True
    return False


def _properties(card: object, name: str) -> list[list[Any]]:
    """The jCard's properties of a name with at least four elements; some servers leave the outer array out."""
    if not isinstance(card, list):
        return []
    body = card[1] if len(card) > 1 and card[0] == "vcard" and isinstance(card[1], list) else card
    return [
        entry
        for entry in body[:200]
        if isinstance(entry, list) and len(entry) >= 4 and isinstance(entry[0], str) and entry[0].lower() == name
    ]


def _preference(entry: list[Any]) -> int:
    parameters = entry[1] if isinstance(entry[1], dict) else {}
    given = parameters.get("pref")
    value = given[0] if isinstance(given, list) and given else given
    return int(value) if isinstance(value, (int, str)) and str(value).isdigit() and len(str(value)) < 4 else 101
