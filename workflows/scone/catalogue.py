"""SCONE's curated images: read from `catalogue.toml`, found by typing."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal

from workflows.core.failure import Missing
from workflows.core.files import read_toml

Access = Literal["public", "account", "paid", "iexec"]
Role = Literal["runtime", "compiler", "cli", "sconifier", "service", "demo"]

ACCESS: dict[Access, str] = {
    "public": "anyone can pull it",
    "account": "needs a free account at gitlab.scontain.com and docker login",
    "paid": "for subscribers of SCONE; ask Scontain",
    "iexec": "granted on request by iExec and Scontain",
}


@dataclass(frozen=True)
class Entry:
    """One image. scone: a version, `newest` (the tag floats) or `none`; an empty text: not stated."""

    reference: str
    role: Role
    language: str
    version: str
    os: str
    scone: str
    registry: str
    access: Access
    note: str
    source: str
    iexec: bool = False

    @property
    def tag(self) -> str:
        """What stands behind the last colon of the reference; `latest` when nothing does."""
        name = self.reference.rsplit("/", 1)[-1]
        return name.partition(":")[2] or "latest"

    @property
    def repository(self) -> str:
        """The last part of the image's name, without its tag: equal tags are told apart by it."""
        return self.reference.rsplit("/", 1)[-1].partition(":")[0]

    @property
    def pinned(self) -> bool:
        """Whether the tag names one SCONE build, so that a rebuild keeps the MRENCLAVE."""
        return self.scone.count(".") == 2

    @property
    def family(self) -> str:
        """alpine, debian or ubuntu; empty when the OS is not stated."""
        return self.os.partition(" ")[0].lower()

    @property
    def needs(self) -> str:
        """What it takes to pull the image, in words."""
        return ACCESS[self.access]


@cache
def load() -> tuple[Entry, ...]:
    """Every entry, in the order of the file."""
    records = read_toml(Path(__file__).with_name("catalogue.toml"))["image"]
    return tuple(_entry(record) for record in records)


def find(reference: str) -> Entry | None:
    """The entry with exactly this reference, with or without `docker.io/` before it."""
    bare = _bare(reference)
    return next((entry for entry in load() if _bare(entry.reference) == bare), None)


def default(language: str) -> Entry:
    """iExec's reference base of a language; Missing when it has none."""
    for entry in load():
        if entry.iexec and entry.language == language:
            return entry
    known = ", ".join(sorted(entry.language for entry in load() if entry.iexec))
    raise Missing(
        f"there is no reference base for {language}",
        f"Choose a base image; {known} have one.",
        name="base_image",
    )


def languages() -> tuple[str, ...]:
    """The languages to filter by, in the order of the catalogue."""
    return tuple(dict.fromkeys(entry.language for entry in load() if entry.language != "any"))


def search(text: str, language: str | None = None) -> list[Entry]:
    """The entries for what was typed so far, best first; equal ones stay in the order of the catalogue.

    Every word must occur: as a word, at the start of one, inside one, or with its letters in order.
    """
    words = text.lower().split()
    ranked: list[tuple[int, int, Entry]] = []
    for place, entry in enumerate(load()):
        if language is not None and entry.language != language:
            continue
        scores = [_score(word, entry) for word in words]
        if all(score is not None for score in scores):
            ranked.append((sum(score or 0 for score in scores), place, entry))
    return [entry for *_, entry in sorted(ranked, key=lambda item: item[:2])]


def _score(word: str, entry: Entry) -> int | None:
    """0 is best; None when the word is not there at all."""
    marks = ("iexec", "reference", "default") if entry.iexec else ()
    key = _words(entry.tag, entry.language, entry.version, entry.os, *marks)
    if word in key or word == entry.reference.lower():
        return 0
    if any(part.startswith(word) for part in key):
        return 1
    if word in entry.reference.lower():
        return 2
    if word in " ".join((entry.role, entry.access, entry.os, entry.scone, entry.note)).lower():
        return 4
    if len(word) >= 3 and any(_in_order(word, part) for part in key):
        return 8
    return None


@cache
def _words(*texts: str) -> tuple[str, ...]:
    parts: list[str] = []
    for text in texts:
        lower = text.lower()
        parts += [lower, *lower.replace(":", "-").replace(" ", "-").split("-")]
    return tuple(part for part in dict.fromkeys(parts) if part)


def _in_order(word: str, part: str) -> bool:
    """Whether the letters stand in the part in this order, close together: `pyton` in `python`."""
    start = place = part.find(word[0])
    if start < 0:
        return False
    for letter in word[1:]:
        place = part.find(letter, place + 1)
        if place < 0:
            return False
    return place - start < len(word) + 3


def _bare(reference: str) -> str:
    return reference.removeprefix("docker.io/")


def _entry(record: dict[str, Any]) -> Entry:
    known = {field.name for field in fields(Entry)}
    if unknown := record.keys() - known:
        raise ValueError(f"catalogue: {record.get('reference')}: unknown key {sorted(unknown)}")
    return Entry(**record)
