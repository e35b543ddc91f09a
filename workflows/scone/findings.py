"""One thing about a Dockerfile, and how much it matters."""

from __future__ import annotations

from typing import Literal, NamedTuple

Level = Literal["error", "warning", "info"]
LEVELS: tuple[Level, ...] = ("error", "warning", "info")


class Finding(NamedTuple):
    """line counts from 1, 0 for the whole file. text: what and why. hint: what to do."""

    level: Level
    line: int
    text: str
    hint: str


def error(line: int, text: str, hint: str) -> Finding:
    """The image will not become an app that runs, or it gives a secret away."""
    return Finding("error", line, text, hint)


def warning(line: int, text: str, hint: str) -> Finding:
    """It may go wrong, and one has to know."""
    return Finding("warning", line, text, hint)


def info(line: int, text: str, hint: str) -> Finding:
    """Worth knowing."""
    return Finding("info", line, text, hint)
