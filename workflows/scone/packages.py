"""OS packages for a base: Alpine's names, and Debian's where a stand-in base is Debian."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from workflows.core.failure import Missing
from workflows.core.files import read_toml
from workflows.core.text import clean

_NAME = re.compile(r"[a-z0-9][a-z0-9+._-]{0,80}")
_APK_ADD = re.compile(r"\bapk\s+(?:-\S+\s+)*add\b([^;&|]*)")


def install(names: Sequence[str], family: str) -> str:
    """The command that installs packages (Alpine's names) on `alpine`, or on `debian` or `ubuntu`.

    Empty when the base has them all. Missing when a name is none, or has no counterpart.
    """
    for name in names:
        if not _NAME.fullmatch(name):
            raise Missing(
                f"{clean(name)!r} is no package name", "Give names as apk add takes them.", name="packages"
            )
    if family == "alpine":
        return f"apk add --no-cache {' '.join(names)}" if names else ""
    wanted = counterparts(names)
    if not wanted:
        return ""
    return (
        f"apt-get update && apt-get install -y --no-install-recommends {' '.join(wanted)} "
        "&& rm -rf /var/lib/apt/lists/*"
    )


def counterparts(names: Sequence[str]) -> list[str]:
    """What Debian calls these packages, each once; Missing names those that the table does not have."""
    unknown = [name for name in names if name not in _debian()]
    if unknown:
        raise Missing(
            f"no Debian package is known for Alpine's {', '.join(unknown)}",
            "The stand-in base is Debian: write the apt-get line for it yourself.",
            name="packages",
        )
    return list(dict.fromkeys(package for name in names for package in _debian()[name]))


def added_by_apk(command: str) -> list[str]:
    """The packages that a shell command adds with apk, without versions."""
    found = []
    for match in _APK_ADD.finditer(command):
        words = iter(match[1].split())
        for word in words:
            if word in ("-t", "--virtual", "-X", "--repository"):
                next(words, None)
            elif not word.startswith("-"):
                found.append(re.split("[<>=~@]", word)[0])
    return [name for name in found if _NAME.fullmatch(name)]


@cache
def _debian() -> dict[str, list[str]]:
    table: dict[str, list[str]] = read_toml(Path(__file__).with_name("packages.toml"))["debian"]
    return table
