"""The explainer: what a status, cause, revert, code or message means, what to look at and what to do.

The knowledge is in `causes.toml`; this finds what of it a text speaks of.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflows.core.files import read_toml
from workflows.iexec.ids import keccak

SESSION = "TEE_SESSION_GENERATION_"
LONGEST = 64 * 1024
_NAME = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|(?<![A-Za-z0-9_])[A-Z]{4,}(?![A-Za-z0-9_])")
_MATCH = re.compile(r"(?:iExecV5-)?matchOrders-(0x[0-9a-f]{2})(?![0-9a-f])", re.IGNORECASE)
_HEX = re.compile(r"0x[0-9a-f]{8}(?:[0-9a-f]{2})*(?![0-9a-f])", re.IGNORECASE)
_ERROR_STRING, _PANIC = "08c379a0", "4e487b71"
_PANICS = {
    0x01: "an assertion failed",
    0x11: "a number overflowed or went below zero",
    0x12: "a division by zero was tried",
    0x32: "an index was outside of its list",
}


@dataclass(frozen=True)
class Explanation:
    """What one signal means. `command` helps to find out or to mend, where there is one; `also`: other names.

    `failure` is the name of the Failed which a contract's refusal with this signal becomes here.
    """

    name: str
    group: str
    meaning: str
    look: str
    do: str
    command: str | None = None
    also: tuple[str, ...] = ()
    failure: str | None = None


@dataclass(frozen=True)
class _Known:
    """The data, ready to be searched; names in lower case."""

    groups: Mapping[str, str]
    all: tuple[Explanation, ...]
    names: Mapping[str, tuple[Explanation, ...]]
    patterns: tuple[tuple[re.Pattern[str], Explanation], ...]
    selectors: Mapping[str, Explanation]


def explain(text: str) -> list[Explanation]:
    """What a name, a code, revert data or a whole message speaks of, the most telling first; empty if unknown.

    A text that is a name gives that name's entries; in a longer one names, codes, hex data and known
    messages are found.
    """
    text = text.strip()[:LONGEST]
    if not text:
        return []
    exact = _named(text)
    if exact:
        return exact
    found: dict[Explanation, None] = {}
    for finder in (_codes, _names, _data, _messages, _words):
        # single words like FAILED say little beside anything else
        if finder is _words and found:
            break
        for entry in finder(text):
            found.setdefault(entry)
    return list(found)


def near(text: str, count: int = 5, also: Mapping[str, str] | None = None) -> list[str]:
    """Known names that look like this text, best first: for "did you mean". `also`: lower case → further names."""
    known = _load()
    spelt = {name.lower(): name for entry in known.all for name in (entry.name, *entry.also)} | dict(
        also or {}
    )
    word = text.strip().lower()[:200]
    close = difflib.get_close_matches(word, spelt, 2 * count, 0.6)  # several spellings are one name
    parts = [
        name for name in spelt if len(word) >= 4 and word.replace(" ", "_") in name and name not in close
    ]
    return list(dict.fromkeys(spelt[name] for name in (*close, *sorted(parts, key=len))))[:count]


def entries() -> tuple[Explanation, ...]:
    """Everything that can be explained, in the order of the data."""
    return _load().all


def _named(text: str) -> list[Explanation]:
    names = _load().names
    plain = text.strip("\"'`.,:;()[] ").lower()
    if re.fullmatch(r"0x[0-9a-f]{2}", plain):
        plain = f"iexecv5-matchorders-{plain}"
    return list(names.get(plain) or names.get(re.sub(r"[\s-]+", "_", plain)) or ())


def _codes(text: str) -> Iterator[Explanation]:
    for match in _MATCH.finditer(text):
        yield from _named(match[1])


def _names(text: str) -> Iterator[Explanation]:
    names = _load().names
    for match in _NAME.finditer(text):
        if "_" in match[0]:
            yield from names.get(match[0].lower(), ())


def _words(text: str) -> Iterator[Explanation]:
    names = _load().names
    for match in _NAME.finditer(text):
        if "_" not in match[0]:
            yield from names.get(match[0].lower(), ())


def _messages(text: str) -> Iterator[Explanation]:
    for pattern, entry in _load().patterns:
        if pattern.search(text):
            yield entry


def _data(text: str) -> Iterator[Explanation]:
    """Entries for Solidity error data: a reason in text, a panic, an error of the contracts."""
    for match in _HEX.finditer(text):
        digits = match[0][2:].lower()
        selector, rest = digits[:8], digits[8:]
        if selector == _ERROR_STRING:
            yield from explain(_string(rest))
        elif selector == _PANIC and len(rest) == 64:
            code = int(rest, 16)
            yield Explanation(
                f"Panic(0x{code:02x})",
                _load().groups["revert"],
                f"The contract stopped itself: {_PANICS.get(code, 'an internal check failed')}.",
                "The values of the call.",
                "This is a fault of the contract or of the values: check them.",
            )
        elif (entry := _load().selectors.get(selector)) is not None:
            yield entry
            if entry.name == "IncompatibleDatasetOrder":
                yield from explain(_string(rest))


def _string(digits: str) -> str:
    """The one string in ABI-encoded data, as far as it is there."""
    data = bytes.fromhex(digits[: len(digits) // 2 * 2])
    length = int.from_bytes(data[32:64], "big")
    return data[64 : 64 + min(length, 1000)].decode("utf-8", "replace")


@functools.cache
def _load() -> _Known:
    document = read_toml(Path(__file__).with_name("causes.toml"))
    every: list[Explanation] = []
    names: dict[str, list[Explanation]] = {}
    patterns: list[tuple[re.Pattern[str], Explanation]] = []
    selectors: dict[str, Explanation] = {}
    for group, title in document["groups"].items():
        for record in document[group]:
            entry = _entry(group, title, record)
            every.append(entry)
            for name in dict.fromkeys(name.lower() for name in (entry.name, *entry.also)):
                names.setdefault(name, []).append(entry)
            patterns += [(re.compile(one, re.IGNORECASE), entry) for one in _patterns(record)]
            if "selector" in record:
                selectors[keccak(record["selector"].encode())[:4].hex()] = entry
    frozen = {name: tuple(found) for name, found in names.items()}
    return _Known(document["groups"], tuple(every), frozen, tuple(patterns), selectors)


def _entry(group: str, title: str, record: Mapping[str, Any]) -> Explanation:
    name, also, failure = record["name"], tuple(record.get("also", ())), record.get("failure")
    if group == "session":  # the worker puts the prefix before what the SMS says
        also += tuple(SESSION + one for one in (name, *also))
    if group == "match":
        also, failure = (*also, name.removeprefix("iExecV5-")), name
    elif failure:
        also += (failure,)
    return Explanation(
        name, title, record["meaning"], record["look"], record["do"], record.get("command"), also, failure
    )


def _patterns(record: Mapping[str, Any]) -> Iterator[str]:
    """The patterns of an entry, and its name itself where it is a message rather than a word."""
    yield from record.get("match", ())
    if " " in record["name"] or "-" in record["name"]:
        yield r"(?<!\w)" + re.escape(record["name"]) + r"(?!\w)"
