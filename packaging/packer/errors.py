"""The one error of the packing tools: a sentence for whoever runs make."""

from __future__ import annotations


class PackingError(Exception):
    """A package cannot be built, or is not as it must be; the message says what to do."""
