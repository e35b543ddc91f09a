"""Dockerfiles, cut into instructions with exact positions; what they need; other bases put in.

A lexer of our own because dockerfile-parse knows neither positions nor heredocs, and a FROM inside a
heredoc must stay what it is. Grammar: docs.docker.com/reference/dockerfile, moby/buildkit's parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from workflows.containers.reference import same_image

_DIRECTIVE = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*")
_HEREDOC = re.compile(r"""(?<!\S)\d*<<(-?)(["']?)([A-Za-z0-9_.][\w.-]*)\2(?=[\s;|&>)]|$)""")
_FROM = re.compile(r"\s*FROM((?:\s+--\S+)*)\s+(\S+)(?:\s+AS\s+(\S+))?\s*", re.IGNORECASE)
_COPY_FROM = re.compile(r"\s*COPY(?:\s+--(?!from=)\S+)*\s+--from=(\S+)", re.IGNORECASE)
_MOUNT_FROM = re.compile(r"(?<=\s)--mount=(?:\S*,)?from=([^,\s]+)", re.IGNORECASE)
_VARIABLE = re.compile(r"\\\$|\$(?:(\w+)|\{(\w+)(?:(:?[-+])([^}]*))?\})")
_ARGUMENT = re.compile(r"""([A-Za-z_]\w*)(?:=("(?:\\.|[^"\\])*"|'[^']*'|(?:\\.|[^\s\\])*))?""")
_PLATFORM = {
    "TARGETPLATFORM": "linux/amd64", "TARGETOS": "linux", "TARGETARCH": "amd64", "TARGETVARIANT": "",
    "BUILDPLATFORM": "linux/amd64", "BUILDOS": "linux", "BUILDARCH": "amd64", "BUILDVARIANT": "",
}  # fmt: skip


@dataclass(frozen=True)
class Instruction:
    """One instruction: keyword in upper case, its text with continued lines joined, its first line (from 1).

    `offsets[i]` is where `text[i]` stands in the file; `heredocs` are the delimiters it opens.
    """

    keyword: str
    text: str
    line: int
    offsets: tuple[int, ...]
    heredocs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Change:
    """A line that was rewritten (number from 1), and the image put in the place of another."""

    line: int
    before: str
    after: str


@dataclass(frozen=True)
class Base:
    """An image that a Dockerfile takes from outside: as resolved, and where its name stands in the file."""

    image: str
    line: int
    start: int
    end: int


def directives(text: str) -> dict[str, str]:
    """The parser directives at the top (`syntax`, `escape`, `check`), names in lower case."""
    found: dict[str, str] = {}
    for line in text.removeprefix("\ufeff").split("\n"):
        match = _DIRECTIVE.fullmatch(line.strip())
        if match is None or match[1].lower() in found:
            break
        found[match[1].lower()] = match[2]
    return found


def instructions(text: str) -> Iterator[Instruction]:
    """The instructions of a Dockerfile in order; heredoc bodies belong to the one that opens them."""
    escape = "`" if directives(text).get("escape") == "`" else "\\"
    continued = re.compile(rf"(?:^|(?<=[^{re.escape(escape)}])){re.escape(escape)}[ \t]*$")
    lines = text.split("\n")
    at, number = 0, 0
    pieces: list[str] = []
    offsets: list[int] = []
    first = 0
    bom = 1 if text.startswith("\ufeff") else 0
    while number < len(lines):
        line = lines[number]
        start, at, number = at, at + len(line) + 1, number + 1
        shown = line[bom if number == 1 else 0 :].rstrip("\r")
        start += bom if number == 1 else 0
        if not shown.strip() or shown.lstrip().startswith("#"):
            if number < len(lines) or not pieces:
                continue
            shown = ""
        if not pieces:
            first = number
        match = continued.search(shown)
        part = shown[: match.start()] if match else shown
        pieces.append(part)
        offsets.extend(range(start, start + len(part)))
        if match and number < len(lines):
            continue
        whole = "".join(pieces)
        words = whole.split(None, 1)
        keyword = words[0].upper() if words else ""
        delimiters: list[str] = []
        if keyword in ("RUN", "COPY", "ADD") and not (len(words) > 1 and words[1].lstrip().startswith("[")):
            for dash, _, word in _HEREDOC.findall(whole):
                delimiters.append(word)
                while number < len(lines):
                    body = lines[number].rstrip("\r")
                    at, number = at + len(lines[number]) + 1, number + 1
                    if (body.lstrip("\t") if dash else body) == word:
                        break
        if keyword:
            yield Instruction(keyword, whole, first, tuple(offsets), tuple(delimiters))
        pieces, offsets = [], []


def bases(text: str, args: Mapping[str, str] | None = None) -> list[Base]:
    """All images that come from outside, in order: of FROM, COPY --from and RUN --mount from=.

    Stages, `scratch` and names that stay unknown (an ARG without a value) are left out. `args` are build
    arguments; they win over the defaults of ARG before the first FROM.
    """
    known = dict(_PLATFORM)
    given = dict(args or {})
    stages: set[str] = set()
    count = 0
    found: list[Base] = []
    for one in instructions(text):
        if one.keyword == "ARG" and not count:
            for name, value in _ARGUMENT.findall(
                one.text.split(None, 1)[1] if " " in one.text.strip() else ""
            ):
                known[name] = given.get(name, expand(value, known) if value else known.get(name, ""))
        elif one.keyword == "FROM":
            match = _FROM.fullmatch(one.text)
            if match is None:
                continue
            image = expand(match[2], known)
            if image and image.lower() not in stages and image != "scratch":
                found.append(_base(text, one, image, match.span(2)))
            stages |= {str(count), (match[3] or str(count)).lower()}
            count += 1
        elif one.keyword == "COPY" and (match := _COPY_FROM.match(one.text)):
            found += _outside(text, one, match, stages)
        elif one.keyword == "RUN":
            for match in _MOUNT_FROM.finditer(one.text):
                found += _outside(text, one, match, stages)
    return found


def rewrite_from(
    text: str, mapping: Mapping[str, str], args: Mapping[str, str] | None = None
) -> tuple[str, list[Change]]:
    """The Dockerfile with other images put in, and the lines that changed; nothing else is touched.

    `mapping` says which image stands for which; names are compared by meaning (`python` is
    `docker.io/library/python:latest`) after ARG values were put in. Stages are never taken for images.
    """
    changes: list[Change] = []
    for base in reversed(bases(text, args)):
        new = next((new for old, new in mapping.items() if same_image(old, base.image)), None)
        if new is not None and text[base.start : base.end] != new:
            text = text[: base.start] + new + text[base.end :]
            changes.insert(0, Change(base.line, base.image, new))
    return text, changes


def expand(word: str, values: Mapping[str, str]) -> str:
    """A word with quotes removed and `$A`, `${A}`, `${A:-b}`, `${A:+b}` put in, as Docker does."""
    if len(word) > 1 and word[0] == word[-1] == "'":
        return word[1:-1]
    if len(word) > 1 and word[0] == word[-1] == '"':
        word = word[1:-1]

    def value(match: re.Match[str]) -> str:
        if match[0] == "\\$":
            return "$"
        name = match[1] or match[2]
        have = values.get(name)
        sign, other = match[3] or "", match[4] or ""
        present = bool(have) if ":" in sign else have is not None
        if sign.endswith("-"):
            return have or "" if present else expand(other, values)
        if sign.endswith("+"):
            return expand(other, values) if present else ""
        return have or ""

    return _VARIABLE.sub(value, word)


def _outside(text: str, one: Instruction, match: re.Match[str], stages: set[str]) -> list[Base]:
    image = expand(match[1], {})
    if not image or "$" in match[1] or image.lower() in stages or image == "scratch":
        return []
    return [_base(text, one, image, match.span(1))]


def _base(text: str, one: Instruction, image: str, span: tuple[int, int]) -> Base:
    start, end = one.offsets[span[0]], one.offsets[span[1] - 1] + 1
    return Base(image, text.count("\n", 0, start) + 1, start, end)
