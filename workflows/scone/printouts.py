"""What SCONE's tools print, read without guessing: a record, or a refusal that says what is missing.

Covers SCONE_HASH=1, SCONE_VERSION=1 from 2018 to SCONE 7, the lines of `scone fspf`, and the block that
protect-fs.sh printed in its three generations. Streams may be merged (a terminal merges them), so warnings
and other output may stand between the lines; a log may put something before each of them. Sources: the SCONE
documentation and public logs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from workflows.core.failure import Failed
from workflows.core.text import clean
from workflows.scone import fingerprint
from workflows.scone.fingerprint import Fingerprint

_HASH = re.compile(r"[0-9a-f]{64}")
_SETTING = re.compile(r"(?:export )?(SCONE_[A-Z0-9_]+)(?:=|: )(.*)")
_ENCLAVE_HASH = re.compile(r"Enclave hash: (.*)")
_SCONE_VERSION = re.compile(r"SCONE version: (\S+)")
_MUSL_VERSION = re.compile(r"musl version: (\S+)")
_REVISION = re.compile(r"Revision: (\S+)")
_FSPF = {
    "created": re.compile(
        r"Created empty file system protection file in (?P<file>.+?)\. AES-GCM tag: (?P<tag>[0-9a-f]{32})"
    ),
    "region": re.compile(
        r"Added region (?P<region>.+) to file system protection file (?P<file>.+?) "
        r"new AES-GCM tag: (?P<tag>[0-9a-f]{32})"
    ),
    "files": re.compile(
        r"Added files to file system protection file (?P<file>.+?) new AES-GCM tag: (?P<tag>[0-9a-f]{32})"
    ),
    "encrypted": re.compile(
        r"Encrypted file system protection file (?P<file>.+?) "
        r"AES-GCM tag: (?P<tag>[0-9a-f]{32}) key: (?P<key>[0-9a-f]{64})"
    ),
}
_BLOCKS = (
    re.compile(r'^\s*"mrenclave"\s*:\s*"(?P<value>[^"]*)"'),  # mid 2020, as a line of iexec.json
    re.compile(r"^MREnclave: (?P<value>.*)$"),  # 2019
)
_READY_2020 = re.compile(
    r"Application's fingerprint \(use this when deploying your app onchain\):\s*(?P<value>.*)$"
)
# What stands before a line that somebody kept: BuildKit's plain progress (#12 3.4), a service's name in Compose
# (api_1  | ), a time of docker logs, kubectl or CI.
_PREFIX = re.compile(
    r"#[0-9]+ (?:[0-9]+\.[0-9]+ )?"
    r"|[A-Za-z0-9][A-Za-z0-9_.-]*\s+\|(?: |$)"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2}) "
)

T = TypeVar("T")


class Unreadable(Failed):
    """The text is not, or not only, what this reader knows."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint, name="unreadable_printout")


class Absent(Unreadable):
    """Nothing of what this reader knows is in the text."""


@dataclass(frozen=True)
class Settings:
    """A SCONE_VERSION=1 printout. heap, stack: bytes; mode: sim, hw, auto; settings: every SCONE_* seen."""

    mrenclave: str
    heap: int
    stack: int | None
    mode: str
    dlopen: str | None
    threads: int | None
    scone: str | None
    musl: str | None
    revision: str | None
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def simulated(self) -> bool:
        """Ran outside an enclave, so it could not be attested."""
        return self.mode == "sim"


FspfAction = Literal["created", "region", "files", "encrypted"]


@dataclass(frozen=True)
class FspfLine:
    """One line of `scone fspf`: tag is 32 hex digits; key (64) only if encrypted; region only if added."""

    action: FspfAction
    file: str
    tag: str
    region: str | None = None
    key: str | None = None


def enclave_hash(text: str) -> str:
    """The MRENCLAVE that SCONE_HASH=1 printed (64 hex digits, alone on a line)."""
    found = {line for line in _lines(text) if _HASH.fullmatch(line)}
    return _only(
        found, "a line of 64 hex digits", "Is the program SCONE's? A native one ignores SCONE_HASH and runs."
    )


def settings(text: str) -> Settings:
    """The settings and the enclave hash that SCONE_VERSION=1 printed; other output is passed over.

    The printout comes first, so nothing after its hash line counts: a program cannot change what is read.
    """
    values: dict[str, str] = {}
    versions: dict[str, str] = {}
    for line in _lines(text):
        if match := _ENCLAVE_HASH.fullmatch(line):
            if not _HASH.fullmatch(match[1]):
                raise Unreadable("the enclave hash is not 64 hex digits", "Was the text cut?")
            return _settings(match[1], values, versions)
        if match := _SETTING.fullmatch(line):
            if values.setdefault(match[1], match[2]) != match[2]:
                raise Unreadable(
                    f"{match[1]} is printed twice with different values", "Give one printout at a time."
                )
            continue
        for name, pattern in (("scone", _SCONE_VERSION), ("musl", _MUSL_VERSION), ("revision", _REVISION)):
            if match := pattern.match(line):
                versions[name] = match[1]
    raise Absent(
        "there is no line “Enclave hash: …”",
        "Start the program with SCONE_VERSION=1, and keep its whole output.",
    )


def hash_lines(text: str) -> int:
    """How many lines name an enclave's hash."""
    return sum(_ENCLAVE_HASH.fullmatch(line) is not None for line in _lines(text))


def _settings(mrenclave: str, values: Mapping[str, str], versions: Mapping[str, str]) -> Settings:
    for name in ("SCONE_HEAP", "SCONE_MODE"):
        if name not in values:
            raise Unreadable(f"the printout has no {name}", "Was its beginning cut?")

    def number(name: str) -> int | None:
        if name not in values:
            return None
        if not re.fullmatch(r"[0-9]{1,15}", values[name]):
            raise Unreadable(f"{name} is not a number: {values[name]!r}")
        return int(values[name])

    mode = values["SCONE_MODE"].lower()
    if mode not in ("sim", "hw", "auto"):
        raise Unreadable(f"SCONE_MODE is none of sim, hw, auto: {mode!r}")
    return Settings(
        mrenclave=mrenclave,
        heap=number("SCONE_HEAP") or 0,
        stack=number("SCONE_STACK"),
        mode=mode,
        dlopen=values.get("SCONE_ALLOW_DLOPEN"),
        threads=number("SCONE_TCS"),
        scone=versions.get("scone"),
        musl=versions.get("musl"),
        revision=versions.get("revision"),
        settings=dict(values),
    )


def fspf_line(line: str) -> FspfLine:
    """One line that `scone fspf create, addr, addf or encrypt` printed."""
    text = _tidy(line)
    for action, pattern in _FSPF.items():
        if match := pattern.fullmatch(text):
            groups = match.groupdict()
            return FspfLine(
                action,  # type: ignore[arg-type]
                groups["file"],
                groups["tag"],
                groups.get("region"),
                groups.get("key"),
            )
    raise Unreadable(f"not a line of scone fspf: {text[:80]!r}")


def fspf_lines(text: str) -> list[FspfLine]:
    """All lines of `scone fspf` in a log, in their order; other lines are passed over."""
    return list(_readable(fspf_line, _lines(text)))


def keytag(text: str) -> tuple[str, str]:
    """(key, tag) of what `scone fspf encrypt` printed. It starts with the tag; fingerprints with the key."""
    found = {(line.key, line.tag) for line in fspf_lines(text) if line.key is not None}
    key, tag = _only(
        found, "the line of scone fspf encrypt", "The image keeps it in /build/keytag when it was protected."
    )
    assert key is not None  # noqa: S101 - filtered above
    return key, tag


def protect_block(text: str) -> Fingerprint:
    """The fingerprint in what protect-fs.sh printed at the end of a build, any of its three generations."""
    found: dict[str, Fingerprint] = {}
    expect_value = False
    for line in _lines(text):
        values = [match["value"] for pattern in _BLOCKS if (match := pattern.match(line))]
        if expect_value and line.strip(" #"):
            values.append(line)
            expect_value = False
        if match := _READY_2020.search(line):
            if match["value"].strip():
                values.append(match["value"])
            else:
                expect_value = True
        for value in values:
            found[value] = fingerprint.parse(value.strip())
    value = _only(
        set(found), "the block of protect-fs.sh", "Build without the layer cache, or read /build/fingerprint."
    )
    return found[value]


def _lines(text: str) -> Iterable[str]:
    return (_tidy(line) for line in text.split("\n"))


def _tidy(line: str) -> str:
    """One line as it was printed; a carriage return replaces what stands before it, as on a terminal."""
    text = clean(line.rstrip("\r").rpartition("\r")[2])
    while match := _PREFIX.match(text):
        text = text[match.end() :]
    return text.rstrip()


def _readable(reader: Callable[[str], T], lines: Iterable[str]) -> Iterable[T]:
    for line in lines:
        try:
            yield reader(line)
        except Unreadable:
            continue


def _only(found: set[T], what: str, hint: str = "") -> T:
    if not found:
        raise Absent(f"{what} is missing", hint)
    if len(found) > 1:
        raise Unreadable(
            f"{what} occurs {len(found)} times with different values", "Give one printout at a time."
        )
    return found.pop()
