"""The grammar of SCONE's image tags: {app-version}-{os-version}[-scone{MAJOR[.MINOR[.PATCH]]}].

Source: SCONE documentation, "semantic versioning". Tags outside the grammar exist too (`R`, `3-alpine-slim`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

FAMILIES = {
    "alpine": "alpine",
    "ubuntu": "ubuntu",
    "debian": "debian",
    "buster": "debian",
    "bullseye": "debian",
    "bookworm": "debian",
}

_TAG = re.compile(
    r"(?P<app>[A-Za-z0-9_][A-Za-z0-9_.-]*?)"
    rf"-(?P<os>(?:{'|'.join(FAMILIES)})[0-9]*(?:\.[0-9]+)*)"
    r"(?:-scone(?P<scone>[0-9]+(?:\.[0-9]+){0,2}))?"
)


@dataclass(frozen=True)
class Tag:
    """A tag in its parts: app `python-3.7.3`, os `alpine3.10`, scone `3.0` (None: the newest)."""

    app: str
    os: str
    scone: str | None = None

    def __str__(self) -> str:
        return f"{self.app}-{self.os}" + (f"-scone{self.scone}" if self.scone else "")

    @property
    def family(self) -> str:
        """alpine, debian or ubuntu: whose package manager the image has."""
        return FAMILIES[re.match("[a-z]+", self.os)[0]]  # type: ignore[index]

    @property
    def pin(self) -> Literal["newest", "major", "minor", "patch"]:
        """How far the tag fixes SCONE; only `patch` keeps the same MRENCLAVE over time."""
        if self.scone is None:
            return "newest"
        pins: tuple[Literal["major", "minor", "patch"], ...] = ("major", "minor", "patch")
        return pins[self.scone.count(".")]


def parse(tag: str) -> Tag:
    """The parts of a tag; ValueError when it does not follow the grammar."""
    match = _TAG.fullmatch(tag)
    if match is None or len(tag) > 128:  # the length that registries allow
        raise ValueError(f"{tag!r} does not follow app-os[-sconeVERSION]")
    return Tag(match["app"], match["os"], match["scone"])
