"""The glossary: what the words of SGX, SCONE and iExec mean. The knowledge is in `words.toml`."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workflows.core.files import read_toml


@dataclass(frozen=True)
class Word:
    """One word. `long` is what its letters stand for, `see` names other words, `source` where to read on."""

    name: str
    meaning: str
    source: str
    long: str | None = None
    also: tuple[str, ...] = ()
    see: tuple[str, ...] = ()


def find(text: str) -> Word | None:
    """The word that a whole text is, however it is spelt; None for any other text."""
    return _load().get(_plain(text))


def spellings() -> Mapping[str, str]:
    """Every spelling in lower case, and the name it belongs to: for "did you mean"."""
    return {spelling: word.name for spelling, word in _load().items()}


def entries() -> tuple[Word, ...]:
    """All words, in the order of the data."""
    return tuple(dict.fromkeys(_load().values()))


def _plain(text: str) -> str:
    return re.sub(r"[\s_-]+", " ", text.strip("\"'`.,:;?()[] \t\n").lower())


@functools.cache
def _load() -> Mapping[str, Word]:
    found: dict[str, Word] = {}
    for record in read_toml(Path(__file__).with_name("words.toml"))["word"]:
        word = Word(
            record["name"], record["meaning"], record["source"], record.get("long"),
            tuple(record.get("also", ())), tuple(record.get("see", ())),
        )  # fmt: skip
        for spelling in (word.name, word.long or word.name, *word.also):
            found[_plain(spelling)] = word
    return found
