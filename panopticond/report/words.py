"""The few words of a mailed report that stand in no template, by language: headings of its table, and what they count.

Used by ``mails``; a language of the configuration that is not here reads English, as its templates do.
"""

from __future__ import annotations

from collections.abc import Mapping

FALLBACK = "en"
RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ur"})
WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "listed": "listed", "validated": "validated", "unknown": "unknown", "phishing": "Phishing",
        "malware": "Malware", "botnetCc": "Botnet C&C", "spam": "Spam",
    },
    "fr": {
        "listed": "signalés", "validated": "validés", "unknown": "inconnu", "phishing": "Hameçonnage",
        "malware": "Logiciels malveillants", "botnetCc": "Commande de botnet", "spam": "Pourriel",
    },
    "es": {
        "listed": "en listas", "validated": "validados", "unknown": "desconocido", "phishing": "Suplantación",
        "malware": "Programas maliciosos", "botnetCc": "Control de botnet", "spam": "Correo basura",
    },
    "pt": {
        "listed": "em listas", "validated": "validados", "unknown": "desconhecido", "phishing": "Phishing",
        "malware": "Programas maliciosos", "botnetCc": "Controlo de botnet", "spam": "Correio não solicitado",
    },
    "ar": {
        "listed": "مدرجة", "validated": "متحقَّق منها", "unknown": "غير معروف", "phishing": "تصيّد",
        "malware": "برمجيات خبيثة", "botnetCc": "تحكم بشبكات البوت", "spam": "بريد مزعج",
    },
}  # fmt: skip
"""By language, then by what is named."""


def words(language: str) -> Mapping[str, str]:
    """The words of a language, English where there are none."""
    return WORDS.get(language, WORDS[FALLBACK])


def direction(language: str) -> str:
    """``rtl`` or ``ltr``, as HTML's ``dir`` says it; English, which stands in for what is not here, is ``ltr``."""
    return "rtl" if language in RIGHT_TO_LEFT and language in WORDS else "ltr"
