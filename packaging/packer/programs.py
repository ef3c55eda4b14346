"""The two programs that are packed, as data: what each takes of the tree, what it needs not, where it lives on a host.

First step of every build. What is left out is proven by `tests/packaging`: every module of a site is imported from it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Program:
    """One command and its package."""

    name: str
    """Of the command, its package and its unit."""
    user: str
    """Its system user and group, and the name of its directories under /etc, /var/lib and /run."""
    configuration: str
    """File name under /etc/<user>."""
    summary: str
    """The package's first line, without a full stop."""
    description: tuple[str, ...]
    """Paragraphs of the package's description."""
    rooms: tuple[str, ...]
    """What of the source it takes: packages and modules as paths below the root."""
    without: frozenset[str]
    """Requirements of the distribution that only the other program imports (import-linter's fences)."""
    extras: tuple[str, ...]
    """Extras of the distribution it brings along."""
    manuals: tuple[str, ...]
    """Its manual pages, ``name.section``."""

    @property
    def folder(self) -> str:
        """Its private directory, which holds ``site``."""
        return f"/usr/lib/{self.name}"


PANOPTICOND = Program(
    name="panopticond",
    user="panopticon",
    configuration="panopticond.toml",
    summary="domain-abuse validation for country-code TLDs",
    description=(
        "panopticond follows threat feeds, keeps what concerns the country-code TLDs it serves, and looks at every "
        "reported address four times in every rolling 24 hours: delegation, Quad9, http and https from two countries, "
        "Web Risk, popularity, registration data.",
        "Once a day and TLD it publishes a signed snapshot: all raw data as SQL, a report, aggregates. It holds no "
        "contact data. The registry's half is the package arke.",
    ),
    rooms=("panopticond",),
    without=frozenset({"aiosmtplib"}),
    extras=("postgres",),
    manuals=("panopticond.8", "panopticond.toml.5", "panopticon-records.5", "panopticon-manifest.5"),
)
ARKE = Program(
    name="arke",
    user="arke",
    configuration="arke.json",
    summary="tells domain holders about abuse that Panopticon validated",
    description=(
        "arke runs at a domain registry. It verifies the signed snapshots of panopticond, finds a domain's own "
        "contacts by credentialed RDAP, looks once more, sends each of them one clear mail and follows each case until "
        "it is resolved.",
        "It also lists names of the zone that imitate a protected one or look generated. No personal data leaves it, "
        "and it suspends nothing.",
    ),
    rooms=(
        "arke",
        "panopticond/__init__.py",
        "panopticond/model.py",
        "panopticond/shared",
        "panopticond/probe",
        "panopticond/judge",
    ),
    without=frozenset({"jinja2", "starlette", "hypercorn"}),
    extras=(),
    manuals=("arke.8", "arke.json.5", "arke-notice.5"),
)
PROGRAMS = {program.name: program for program in (PANOPTICOND, ARKE)}
