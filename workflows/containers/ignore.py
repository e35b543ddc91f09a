"""What a project's .dockerignore leaves out of its build context."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from workflows.core.failure import Missing
from workflows.core.step import Cancel
from workflows.core.text import clean

NAME = ".dockerignore"
MOST_ENTRIES = 100_000  # files and folders that are looked at; an app with all its node_modules has fewer
_WILD = frozenset("*?[")


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


class Matcher:
    """Patterns of .dockerignore as docker-py reads them: the last one that matches a path decides.

    One matches what lies in a folder, too, when it matches the folder with as many parts as it has itself. Plain
    names are looked up and wildcards compiled once: a home folder has thousands of the first.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        from docker.utils.build import Pattern
        from docker.utils.fnmatch import translate

        found = [pattern for line in (*lines, f"!{NAME}") if (pattern := Pattern(line)).dirs]
        self._excludes = [not pattern.exclusion for pattern in found]
        self.reopened = [pattern.cleaned_pattern for pattern in found if pattern.exclusion]
        self._plain: dict[str, int] = {}
        self._wild: list[tuple[int, int, re.Pattern[str]]] = []
        for index, pattern in enumerate(found):
            text = pattern.cleaned_pattern.lower()
            if _WILD.isdisjoint(text):
                self._plain[text] = index
            else:
                self._wild.insert(0, (index, len(pattern.dirs), re.compile(translate(text))))

    def last(self, path: str, inherited: int = -1) -> int:
        """The number of the last pattern that matches a path, -1 for none; `inherited` from its folder's `below`."""
        return self._last(path, inherited, None)

    def below(self, folder: str, inherited: int = -1) -> int:
        """The number of the last pattern that matches all in a folder by the folder's path."""
        return self._last(folder, inherited, folder.count("/") + 1)

    def excludes(self, number: int) -> bool:
        """Whether what this pattern was the last to match is left out."""
        return number >= 0 and self._excludes[number]

    def matches(self, path: str) -> bool:
        """Whether a path is left out."""
        inherited = -1
        for place, letter in enumerate(path):
            if letter == "/":
                inherited = self.below(path[:place], inherited)
        return self.excludes(self.last(path, inherited))

    def enters(self, folder: str) -> bool:
        """Whether a pattern may let something pass again in a folder that is left out."""
        return any(pattern.startswith(folder) for pattern in self.reopened)

    def _last(self, path: str, best: int, parts: int | None) -> int:
        name = path.lower()
        best = max(best, self._plain.get(name, -1))
        for index, length, pattern in self._wild:
            if index <= best:
                break
            if parts in (None, length) and pattern.match(name):
                return index
        return best


def walk(folder: Path, lines: Iterable[str], closed: Collection[str], cancel: Cancel) -> list[str]:
    """The paths in a folder that these patterns let pass, sorted; what is named in `closed` is not entered.

    OSError for a folder that cannot be read, Missing for too much of it, Cancelled.
    """
    matcher = Matcher(lines)
    found: list[str] = []
    seen = 0
    waiting = [("", -1)]
    while waiting:
        place, inherited = waiting.pop()
        with os.scandir(folder / place) as entries:
            for entry in entries:
                cancel.check()
                seen += 1
                bounded(folder, seen)
                if entry.name in closed:
                    continue
                path = f"{place}/{entry.name}" if place else entry.name
                out = matcher.excludes(matcher.last(path, inherited))
                if not out:
                    found.append(path)
                if entry.is_dir(follow_symlinks=False) and (not out or matcher.enters(path)):
                    waiting.append((path, matcher.below(path, inherited)))
    return sorted(found)


def bounded(folder: Path, seen: int) -> None:
    """Missing when more was seen in a folder than an app has."""
    if seen > MOST_ENTRIES:
        raise Missing(
            f"{clean(str(folder))} has more than {MOST_ENTRIES:,} files and folders: is this your app's folder?",
            f"name it with --project, or list what is not of the app in {NAME}",
            name="too_many_files",
        )


class Ignored:
    """What the rules of a folder's .dockerignore match. Paths are posix and relative to the folder."""

    def __init__(self, folder: Path) -> None:
        lines = rules(folder)
        self._matcher = Matcher(lines) if lines else None

    def file(self, path: str) -> bool:
        """Whether a file is not sent."""
        return self._matcher is not None and self._matcher.matches(path)

    def folder(self, path: str) -> bool:
        """Whether nothing of a folder is sent: no rule lets something in it pass again."""
        reopened = self._matcher.reopened if self._matcher is not None else ()
        return self.file(path) and not any(rule.startswith(path) or "*" in rule for rule in reopened)
