"""A look at an app's folder: what it is written in, where it starts, what goes into the image.

Nothing in the folder is executed or imported, links are not followed, and names are treated as hostile.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from workflows.containers import hygiene
from workflows.containers.ignore import Ignored, bounded
from workflows.core.failure import Missing
from workflows.core.step import Cancel
from workflows.core.text import clean, plural
from workflows.scone import data, manifests, unwanted
from workflows.scone.manifests import INTERPRETERS, SUFFIXES, Language

MOST_FILES = 20_000
_KEY_HEAD = 2**16
_BY_NPM = (("npm", "start"), ("npm", "run", "start"), ("yarn", "start"))
_IGNORED = "named in .dockerignore"
_AS_DATA = "name it as the dataset, or add a COPY line"
_NAME_IT = "if it is none, add a COPY line that names it"
_RENAME = "if it is none, give it another name"
_DATA_FOLDERS = ("dataset", "datasets", "iexec_in", "iexec_out")


@dataclass(frozen=True)
class LeftOut:
    """A path that does not go into the image, fit to be shown.

    dangerous: a secret, so say it loudly. remedy: what to do for it to go in all the same, "" for nothing.
    guessed: a COPY line that names it brings it.
    """

    path: str
    why: str
    dangerous: bool = False
    remedy: str = ""
    guessed: bool = False


@dataclass(frozen=True)
class Project:
    """What a folder holds. Paths are posix and relative to `root`; sizes in bytes.

    files: what goes into the image. entries: files to start, likeliest first. dependencies: manifests for the
    install step. requirements: what pyproject.toml asks for. dockerfiles: those already there.
    excludes: what to keep out of the build context. data: what a draft leaves out, and a COPY line may bring.
    """

    root: Path
    name: str
    language: Language | None
    why: str
    entries: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    size: int = 0
    dependencies: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    dockerfiles: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    excludes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    data: tuple[str, ...] = ()

    @property
    def present(self) -> tuple[str, ...]:
        """All that is there, the left out too: what a `COPY . .` could bring."""
        return (*self.files, *self.data, *self.excludes, *self.dockerfiles)

    @property
    def code(self) -> bool:
        """Whether there is a file that Python or Node can run; which one starts may have to be told."""
        return any(PurePosixPath(path).suffix in SUFFIXES for path in self.files)

    def command(self, words: Sequence[str], folder: str) -> list[str]:
        """The words with the project's files by their paths in the image, where it lies in `folder`: a session
        starts in `/`. A script that would be started itself gets its interpreter in front: that is the enclave.
        What npm would start is started without it."""
        if tuple(words) in _BY_NPM and self.language == "node" and self.entries:
            words = [INTERPRETERS["node"], self.entries[0]]
        place = PurePosixPath(folder)
        found = [
            str(place / word) if str(PurePosixPath(word)) in self.files and not word.startswith("/") else word
            for word in words
        ]
        language = SUFFIXES.get(PurePosixPath(found[0]).suffix) if found else None
        return [INTERPRETERS[language], *found] if language else [*words[:1], *found[1:]]

    @property
    def folders(self) -> tuple[str, ...]:
        """Every folder with something in it that goes into the image: the choices for a region."""
        found = {str(parent) for path in self.files for parent in PurePosixPath(path).parents}
        return tuple(sorted(found - {"."}))


def look(root: Path, chosen: Language | None = None, cancel: Cancel | None = None) -> Project:
    """The project in a folder; Missing when there is no such folder, nothing in it, or more than an app has.

    chosen: the language that a person said it is, believed if there is a file of it.
    """
    if not root.is_dir():
        raise Missing(
            f"there is no folder {clean(str(root))}",
            "Give the folder of your app with --project.",
            name="project",
        )
    paths: list[str] = []
    left_out: list[LeftOut] = []
    excludes: list[str] = []
    dockerfiles: list[str] = []
    notes: list[str] = []
    size = 0
    for entry, path, reason in _walk(root, cancel or Cancel()):
        if is_dockerfile(path) and entry.is_file(follow_symlinks=False) and not awkward(entry.name):
            dockerfiles.append(path)
        elif reason is not None:
            left_out.append(reason)
            excludes.append(path)
        elif len(paths) == MOST_FILES:
            notes.append(f"more than {plural(MOST_FILES, 'file')}: the rest was not looked at")
            break
        else:
            paths.append(path)
            size += entry.stat(follow_symlinks=False).st_size
    apart = data.find(root, paths)
    if not paths and not dockerfiles:
        hidden = next((f": {one.path} is {one.why}" for one in left_out if one.why == _IGNORED), "")
        raise Missing(
            f"there is nothing to run in {clean(str(root))}{hidden}",
            "Put your app there, or try the sample first: creamtea run demo.",
            name="empty_project",
        )
    rest = set(paths).difference(apart)
    paths = [path for path in paths if path in rest]
    left_out += [LeftOut(path, data.WHY, remedy=_AS_DATA) for path in apart]
    package = manifests.package_json(root, paths, notes)
    found = manifests.entries(root, paths, package)
    language, why = manifests.language(paths, found, chosen)
    if found and manifests.part_of_a_package(root, found[0]):
        notes.append(
            f"{found[0]} imports relatively, which fails in a file that is started: import by full names"
        )
    dependencies: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    if language == "python":
        dependencies, requirements = manifests.python(root, paths, notes)
    elif language == "node":
        dependencies = manifests.node(root, paths, package, notes)
    return Project(
        root=root,
        name=_slug(root.resolve().name),
        language=language,
        why=why,
        entries=tuple(path for path in found if SUFFIXES[PurePosixPath(path).suffix] == language),
        files=tuple(paths),
        size=size,
        dependencies=dependencies,
        requirements=requirements,
        dockerfiles=tuple(sorted(dockerfiles, key=lambda path: (path.count("/"), path))),
        left_out=tuple(left_out),
        excludes=tuple(excludes),
        notes=tuple(notes),
        data=tuple(apart),
    )


def including(project: Project, folders: Iterable[str]) -> Project:
    """The project with what looks like data in these folders of it: who names a folder wants what is in it."""
    wanted = [PurePosixPath(folder) for folder in folders if folder.strip("/.")]
    brought = [
        path for path in project.data if any(PurePosixPath(path).is_relative_to(one) for one in wanted)
    ]
    return (
        replace(
            project,
            files=tuple(sorted((*project.files, *brought), key=lambda path: (path.count("/"), path))),
            left_out=tuple(one for one in project.left_out if one.path not in brought),
            data=tuple(path for path in project.data if path not in brought),
        )
        if brought
        else project
    )


def without(project: Project, private: Iterable[str]) -> Project:
    """The project less some of its files and folders, which are the data, the secrets or the results of a task."""
    guessed = [one.path for one in project.left_out if one.guessed]
    here = (*project.files, *project.data, *guessed)  # what is guessed might be brought by name
    apart = {
        name: {path for path in here if path == name or path.startswith(f"{name}/")}
        | {name for path in guessed if name.startswith(f"{path}/")}
        for name in private
    }
    apart = {name: paths for name, paths in apart.items() if paths}
    gone = {path for paths in apart.values() for path in paths}
    why = "data, a secret or a result of a task, not built into the image"
    return replace(
        project,
        files=tuple(path for path in project.files if path not in gone),
        left_out=(
            *(one for one in project.left_out if one.path not in gone),
            *(LeftOut(clean(name), why, True) for name in apart),
        ),
        excludes=(*project.excludes, *apart),
        data=tuple(path for path in project.data if path not in gone),
    )


def awkward(name: str) -> bool:
    """Whether a name means something else to a Dockerfile, or cannot be shown: wildcards, $, quotes …"""
    return name != clean(name) or name != name.strip() or any(letter in "*?[]\\$\"'`" for letter in name)


def is_dockerfile(path: str) -> bool:
    """Whether a path is named like a Dockerfile: `Dockerfile`, `tee/Dockerfile`, `Dockerfile.sgx`."""
    name = path.rsplit("/", 1)[-1].lower()
    return name == "dockerfile" or name.startswith("dockerfile.") or name.endswith(".dockerfile")


def _walk(root: Path, cancel: Cancel) -> Iterator[tuple[os.DirEntry[str], str, LeftOut | None]]:
    """Every file, and every path that stays out; those folders are not entered."""
    ignored = Ignored(root)
    waiting = [""]
    seen = 0
    while waiting:
        folder = waiting.pop()
        try:
            found = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
        except OSError:
            continue  # its own entry was reported as unreadable
        inner = []
        seen += len(found)
        bounded(root, seen)
        for entry in found:
            cancel.check()
            path = f"{folder}/{entry.name}" if folder else entry.name
            reason = _reason(root, entry, path) or _ignored(ignored, entry, path)
            if reason is None and entry.is_dir(follow_symlinks=False):
                inner.append(path)
            else:
                yield entry, path, reason
        waiting += reversed(inner)


def _ignored(ignored: Ignored, entry: os.DirEntry[str], path: str) -> LeftOut | None:
    """What the project's own .dockerignore keeps out."""
    hidden = ignored.folder(path) if entry.is_dir(follow_symlinks=False) else ignored.file(path)
    return LeftOut(clean(path), _IGNORED) if hidden else None


def _reason(root: Path, entry: os.DirEntry[str], path: str) -> LeftOut | None:
    """Why an entry stays out; None when it goes in."""
    if awkward(entry.name):
        return LeftOut(clean(path), "its name cannot stand in a Dockerfile: rename it")
    kind = unwanted.kind(path)
    if kind is not None and not (kind == "secret" and _package(entry)):
        return _unwanted(path, kind)
    if (why := _unfit(root, entry, path)) is not None:
        return LeftOut(path, why)
    if not entry.is_file(follow_symlinks=False):
        return None
    start = manifests.head(root / path, _KEY_HEAD)
    if hygiene.holds_private_key(start):
        return LeftOut(path, "holds a private key", True)
    return (
        LeftOut(path, unwanted.WHY["secret"], True, _NAME_IT, True) if hygiene.opaque(path, start) else None
    )


def _unwanted(path: str, kind: unwanted.Kind) -> LeftOut:
    if kind not in unwanted.DANGEROUS:
        return LeftOut(path, unwanted.WHY[kind])
    named = hygiene.named(path)
    if named is not None and named.sure == "guess":
        return LeftOut(path, unwanted.WHY[kind], True, _NAME_IT, True)
    return LeftOut(path, unwanted.WHY[kind], True, _RENAME if kind == "secret" else "")


def _package(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder of code, which its name makes no secret: `secrets`, `token`."""
    if not entry.is_dir(follow_symlinks=False) or entry.name.startswith("."):
        return False
    return any(path.suffix in SUFFIXES for path in Path(entry.path).rglob("*"))


def _unfit(root: Path, entry: os.DirEntry[str], path: str) -> str | None:
    """Why an entry stays out that is neither a secret nor a tool's."""
    full = root / path
    if entry.is_symlink():
        try:
            goal, home = full.resolve(), full.parent.resolve()
            inside = goal.is_relative_to(root.resolve())
        except (OSError, RuntimeError):  # a loop
            inside = False
        if inside and not full.exists():
            return "a link that leads nowhere"
        if inside and home.is_relative_to(goal):  # COPY follows a link
            return "a link to a folder that it lies in: a copy would hold itself"
        return None if inside else "a link that leads out of the project"
    if not os.access(full, os.R_OK):
        return "cannot be read"
    if entry.is_dir(follow_symlinks=False):
        if (full / "pyvenv.cfg").exists():
            return unwanted.WHY["cache"]
        if "/" not in path and entry.name.lower() in _DATA_FOLDERS and not _has_code(full):
            return "data of a task: it is encrypted and sent, not built into the image"
        return None
    if not entry.is_file(follow_symlinks=False):
        return "neither a file nor a folder"
    return None


def _has_code(folder: Path) -> bool:
    return any(path.suffix in SUFFIXES for path in folder.iterdir())


def _slug(name: str) -> str:
    """A name that fits an image: lower case, digits, single dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60].rstrip("-") or "app"
