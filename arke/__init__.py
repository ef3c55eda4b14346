"""arke: reads a registry's signed snapshot, adds what only the registry knows, and mails the domain's contacts."""

from panopticond import __version__

__all__ = ["__version__"]
