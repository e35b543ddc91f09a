"""Where an app starts and what it needs installed, read from its files without running any of them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import tomli

from workflows.core.text import clean, plural

Language = Literal["python", "node"]

SUFFIXES: dict[str, Language] = {".py": "python", ".js": "node", ".mjs": "node", ".cjs": "node"}
INTERPRETERS: dict[Language, str] = {"python": "python3", "node": "node"}
LARGEST = 2**20  # bytes of a manifest that are read

_TITLES: dict[Language, str] = {"python": "Python", "node": "JavaScript"}
_OTHERS = {
    "go.mod": "Go", "Cargo.toml": "Rust", "pom.xml": "Java", "build.gradle": "Java", "CMakeLists.txt": "C or C++",
    "Gemfile": "Ruby", "composer.json": "PHP",
}  # fmt: skip
_USUAL: dict[Language, tuple[str, ...]] = {
    "python": ("app.py", "main.py", "__main__.py"),
    "node": tuple(
        f"{name}.{suffix}" for name in ("app", "index", "main", "server") for suffix in ("js", "mjs", "cjs")
    ),
}
_NOT_STARTED = re.compile(
    r"(^|/)(tests?|docs?|examples?|\.[^/]+)/|(^|/)(test_[^/]*|conftest|setup)\.py$|\.(test|spec|config)\.[cm]?js$"
)
_MAIN = re.compile(rb"""^if\s+__name__\s*==\s*['"]__main__['"]""", re.MULTILINE)
_RELATIVE = re.compile(rb"^from \.+[\w ]", re.MULTILINE)
_INCLUDE = re.compile(r"\s*(?:-r|--requirement|-c|--constraint)[\s=]+(\S+)")
_FROM_PATH = re.compile(r"\s*(-e\b|--editable\b|\.{1,2}/|file:)")
_LOCK_VERSION = re.compile(rb'"lockfileVersion"\s*:\s*([0-9]+)')


def head(path: Path, count: int) -> bytes:
    """The first bytes of a regular file; nothing when it is none or cannot be read."""
    try:
        if path.is_file():
            with path.open("rb") as file:
                return file.read(count)
    except OSError:
        pass
    return b""


def package_json(root: Path, paths: Sequence[str], notes: list[str]) -> dict[str, Any]:
    """The project's package.json; empty when there is none or it is broken (then noted)."""
    if "package.json" not in paths:
        return {}
    try:
        record = json.loads(head(root / "package.json", LARGEST))
    except (ValueError, RecursionError):
        notes.append("package.json is not JSON")
        return {}
    return record if isinstance(record, dict) else {}


def entries(root: Path, paths: Sequence[str], package: dict[str, Any]) -> tuple[str, ...]:
    """Files that can be started, likeliest first: what package.json names, usual names, those with a main."""
    named = _named(package, paths)
    ranked: list[tuple[int, str]] = []
    for path in paths:
        pure = PurePosixPath(path)
        language = SUFFIXES.get(pure.suffix)
        if language is None or (path != named and _NOT_STARTED.search(path)):
            continue
        depth = len(pure.parts) - 1 - (len(pure.parts) > 1 and pure.parts[0] == "src")
        usual = _USUAL[language]
        if path == named:
            ranked.append((0, path))
        elif pure.name in usual:
            ranked.append((20 * (1 + depth) + usual.index(pure.name), path))
        elif depth == 0 and language == "python" and _MAIN.search(head(root / path, 2**16)):
            ranked.append((39, path))
        elif depth == 0:
            ranked.append((100, path))
        if ranked and ranked[-1][1] == path and part_of_a_package(root, path):
            ranked[-1] = (ranked[-1][0] + 200, path)
    return tuple(path for _, path in sorted(ranked)[:20])


def part_of_a_package(root: Path, path: str) -> bool:
    """Whether a Python file imports relatively, and so cannot be started by its path."""
    return path.endswith(".py") and _RELATIVE.search(head(root / path, 2**16)) is not None


def language(
    paths: Sequence[str], found: Sequence[str], chosen: Language | None = None
) -> tuple[Language | None, str]:
    """The language of the likeliest entry, and a sentence on why; None when there is no entry.

    chosen: wins if there is a file of it.
    """
    counts = dict.fromkeys(_TITLES, 0)
    for path in paths:
        if (kind := SUFFIXES.get(PurePosixPath(path).suffix)) is not None:
            counts[kind] += 1
    entries = [SUFFIXES[PurePosixPath(path).suffix] for path in found]
    if chosen is not None and counts[chosen] and entries[:1] != [chosen]:
        what = "as chosen" if chosen in entries else "and none of them looks like the one to start"
        return chosen, f"{plural(counts[chosen], f'{_TITLES[chosen]} file')}, {what}"
    if found:
        best = SUFFIXES[PurePosixPath(found[0]).suffix]
        return best, f"{plural(counts[best], f'{_TITLES[best]} file')}, and {found[0]} to start"
    if any(counts.values()):
        return None, "no file looks like the one to start, such as app.py, main.py, app.js or index.js"
    other = next((f", but {name} ({path})" for path, name in _OTHERS.items() if path in paths), "")
    return None, f"no Python and no JavaScript in it{other}: bring a Dockerfile on a base for its language"


def python(root: Path, paths: Sequence[str], notes: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(requirements files with all that they include, or else what pyproject.toml asks for)."""
    if "requirements.txt" in paths:
        return tuple(_included(root, "requirements.txt", paths, notes)), ()
    for lock in ("Pipfile", "poetry.lock", "uv.lock", "environment.yml"):
        if lock in paths:
            notes.append(f"{lock} is not read: export it to requirements.txt")
    if "pyproject.toml" not in paths:
        return (), ()
    try:
        record = tomli.loads(head(root / "pyproject.toml", LARGEST).decode())
    except (ValueError, RecursionError):
        notes.append("pyproject.toml is not TOML")
        return (), ()
    section = record.get("project")
    listed = section.get("dependencies") if isinstance(section, dict) else None
    wanted = listed if isinstance(listed, list) else []
    sound = tuple(
        item
        for item in wanted
        if isinstance(item, str) and item == clean(item) and re.match(r"[A-Za-z0-9]", item)
    )
    if len(sound) != len(wanted):
        notes.append("pyproject.toml has dependencies that cannot be written down; they are left out")
    return (), sound


def node(root: Path, paths: Sequence[str], package: dict[str, Any], notes: list[str]) -> tuple[str, ...]:
    """package.json and its lock when there is something to install."""
    if not package.get("dependencies"):
        return ()
    for lock in ("npm-shrinkwrap.json", "package-lock.json"):
        if lock in paths:
            match = _LOCK_VERSION.search(head(root / lock, LARGEST))
            if match and int(match[1]) > 2:
                notes.append(
                    f"{lock} has version {int(match[1])}, which npm 6 of the old bases does not read: "
                    "npm install --package-lock-only --lockfile-version 2"
                )
            return ("package.json", lock)
    for lock in ("yarn.lock", "pnpm-lock.yaml"):
        if lock in paths:
            notes.append(f"{lock} is not read: npm install --package-lock-only makes a lock for npm")
    notes.append("package.json has no lock beside it: every build may install other versions")
    return ("package.json",)


def _named(package: dict[str, Any], paths: Sequence[str]) -> str | None:
    """What `npm start` runs with node, or else `main`."""
    scripts = package.get("scripts")
    start = scripts.get("start") if isinstance(scripts, dict) else None
    words = start.split() if isinstance(start, str) else []
    candidates = [words[1]] if len(words) == 2 and words[0] == "node" else []
    candidates += [package["main"]] if isinstance(package.get("main"), str) else []
    return next((path for name in candidates if (path := name.removeprefix("./")) in paths), None)


def _included(root: Path, first: str, paths: Sequence[str], notes: list[str]) -> Iterator[str]:
    """A requirements file and those it names with -r or -c, each once."""
    waiting, seen = [first], {first}
    while waiting:
        path = waiting.pop(0)
        yield path
        for line in head(root / path, LARGEST).decode("utf-8", "replace").splitlines():
            if (match := _INCLUDE.match(line)) is not None:
                target = os.path.normpath(str(PurePosixPath(path).parent / match[1]))
                if target not in paths:
                    notes.append(f"{path} includes {clean(match[1])}, which is not in the project")
                elif target not in seen:
                    seen.add(target)
                    waiting.append(target)
            elif _FROM_PATH.match(line):
                notes.append(
                    f"{path} installs from a path ({clean(line.strip())}): copy that in before pip runs"
                )
