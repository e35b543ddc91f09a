"""What a project's .dockerignore leaves out of its build context."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from workflows.core.failure import Missing
from workflows.core.text import clean

NAME = ".dockerignore"


def rules(folder: Path, names: Sequence[str] = (NAME,)) -> list[str]:
    """The lines of the first of these files that is there, without comments; those of no other count.

    Missing names a line that is no pattern.
    """
    for name in names:
        file = folder / name
        if file.is_file():
            lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
            found = [line for line in lines if line.strip() and not line.startswith("#")]
            _check(name, found)
            return found
    return []


def _check(name: str, lines: Sequence[str]) -> None:
    from docker.utils.build import Pattern

    for line in lines:
        try:
            Pattern(line).match("")
        except re.error as error:
            raise Missing(
                f"{name} has a line that is no pattern: {clean(line)[:80]} ({error.msg})",
                "correct that line; docker build refuses it too",
                name="dockerignore",
            ) from None


class Ignored:
    """What the rules of a folder's .dockerignore match. Paths are posix and relative to the folder."""

    def __init__(self, folder: Path) -> None:
        self._lines = rules(folder)
        if self._lines:
            from docker.utils.build import PatternMatcher

            self._matcher = PatternMatcher(self._lines)

    def file(self, path: str) -> bool:
        """Whether a file is not sent."""
        return bool(self._lines) and bool(self._matcher.matches(path))  # type: ignore[arg-type]  # typed as PathLike

    def folder(self, path: str) -> bool:
        """Whether nothing of a folder is sent: no rule lets something in it pass again."""
        reopened = any(
            rule.exclusion and (rule.cleaned_pattern.startswith(path) or "*" in rule.cleaned_pattern)
            for rule in (self._matcher.patterns if self._lines else ())
        )
        return self.file(path) and not reopened
