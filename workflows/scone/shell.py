"""What the shell commands of a RUN do that matters here: FSPF regions, and who measures which program."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from workflows.scone.regions import APP, SYSTEM, Kind

_SEPARATOR = re.compile(r"[;&|()]+")
_FLAGS: dict[str, Kind] = {
    "--not-protected": "not-protected", "-n": "not-protected",
    "--authenticated": "authenticated", "-a": "authenticated",
    "--encrypted": "encrypted", "-e": "encrypted",
}  # fmt: skip
_WITH_VALUE = ("--kernel", "--chunk-length", "-c", "--key-length", "-k")
_ASSIGNMENT = re.compile(r"\w+=")
_KEYWORDS = ("do", "then", "else", "if", "while", "until", "exec", "time", "command", "sudo", "!", "{")


def tokens(command: str) -> list[str]:
    """Words and separators; empty when the quotes do not match."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return list(lexer)
    except ValueError:
        return []


def commands(command: str) -> Iterator[list[str]]:
    """The simple commands in a shell text, each as its words; assignments and keywords before it stay off."""
    current: list[str] = []
    for token in [*tokens(command), ";"]:
        if not _SEPARATOR.fullmatch(token):
            current.append(token)
            continue
        while current and (current[0] in _KEYWORDS or _ASSIGNMENT.match(current[0])):
            current.pop(0)
        if current:
            yield current
        current = []


def regions(command: str) -> dict[str, Kind]:
    """The regions that a RUN declares with `scone fspf addr`, in loops too, or through protect-fs.sh."""
    found: dict[str, Kind] = {}
    loops = _loops(tokens(command))
    for words in commands(command):
        script = next((place for place, word in enumerate(words) if word.endswith("protect-fs.sh")), None)
        if script is not None and words[0] in ("sh", "bash", "ash", words[script]):
            folder = words[script + 1] if len(words) > script + 1 else APP
            found |= {"/": "not-protected", **dict.fromkeys([*SYSTEM, folder], "authenticated")}
        if words[:3] != ["scone", "fspf", "addr"]:
            continue
        kind: Kind | None = None
        places: list[str] = []
        rest = iter(words[3:])
        for word in rest:
            if word in _FLAGS:
                kind = _FLAGS[word]
            elif word in _WITH_VALUE:
                next(rest, None)
            elif not word.startswith("-"):
                places.append(word)
        if kind is not None and len(places) > 1:
            name = places[1].strip("${}") if places[1].startswith("$") else None
            for path in loops.get(name, []) if name else [places[1]]:
                found[path] = kind
    return found


def protects(command: str) -> bool:
    """Whether a RUN finishes an FSPF: by `scone fspf encrypt`, or through protect-fs.sh."""
    return ("protect-fs.sh" in command and bool(regions(command))) or any(
        words[:3] == ["scone", "fspf", "encrypt"] for words in commands(command)
    )


def measured(command: str) -> str | None:
    """The program that a RUN starts with SCONE_HASH=1; None when it starts none, or a variable."""
    match = re.search(r"\bSCONE_HASH=1\s+(?:\w+=\S+\s+)*([\w./-]+)", command)
    return match[1] if match else None


def recorded(command: str) -> str | None:
    """The entrypoint that the fingerprint step writes down."""
    for words in commands(command):
        if words[0] == "printf" and words[-2:] == [">", "entrypoint"] and len(words) == 5:
            return words[2]
    return None


def _loops(words: Sequence[str]) -> dict[str, list[str]]:
    """The words that each loop variable runs over."""
    found: dict[str, list[str]] = {}
    for place, word in enumerate(words[:-3]):
        if word == "for" and words[place + 2] == "in":
            inside = found.setdefault(words[place + 1], [])
            for item in words[place + 3 :]:
                if _SEPARATOR.fullmatch(item) or item == "do":
                    break
                inside.append(item)
    return found
