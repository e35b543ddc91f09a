"""The files of an image, read once from its tar stream: names, modes, hashes, links; lines of small texts.

Nothing is unpacked and nothing is run. Names are kept as they are: clean them before they are shown.
"""

from __future__ import annotations

import hashlib
import io
import posixpath
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from workflows.core.failure import Failed
from workflows.core.step import Cancel

Kind = Literal["file", "link", "dir", "other"]
LARGEST_TEXT = 64 << 10
MOST_LINES = 2000
MOST_TEXTS = 500
_BLOCK = 256 << 10
_MOST_LINKS = 40
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Entry:
    """One name. content: SHA-256 of a file (64 hex digits), target of a link, empty otherwise."""

    kind: Kind
    mode: int
    content: str = ""


@dataclass
class Tree:
    """All names of an image (absolute, without a slash at the end); texts: path → hashes of its lines."""

    entries: dict[str, Entry] = field(default_factory=dict)
    texts: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def resolve(self, path: str) -> str:
        """The path with the links on it followed, inside the image; as far as it leads."""
        done, waiting, links = "/", [part for part in path.split("/") if part], 0
        while waiting:
            part = waiting.pop(0)
            if part in (".", ".."):
                done = posixpath.dirname(done) if part == ".." else done
                continue
            here = posixpath.join(done, part)
            entry = self.entries.get(here)
            if entry is None or entry.kind != "link" or links == _MOST_LINKS:
                done = here
                continue
            links += 1
            done = "/" if entry.content.startswith("/") else done
            waiting = [one for one in entry.content.split("/") if one] + waiting
        return done

    def program(self, word: str, search: str = "") -> tuple[str, str] | None:
        """(path, file behind its links) of a program as the engine would find it; None when it is not there.

        search: the image's PATH.
        """
        folders = [""] if "/" in word else [folder for folder in (search or _PATH).split(":") if folder]
        for folder in folders:
            path = posixpath.join(folder, word) if folder else word
            file = self.resolve(path)
            entry = self.entries.get(file)
            if entry is not None and entry.kind == "file" and entry.mode & 0o111:
                return path, file
        return None


def read(blocks: Iterator[bytes], texts: Callable[[str], bool], cancel: Cancel | None = None) -> Tree:
    """The tree of an image's root folder, from the engine's tar of `/`. texts: whose lines are wanted.

    Failed when the stream breaks off.
    """
    tree = Tree()
    try:
        with tarfile.open(fileobj=Stream(blocks), mode="r|", bufsize=_BLOCK) as archive:
            for member in archive:
                if cancel is not None:
                    cancel.check()
                path = posixpath.normpath("/" + member.name.lstrip("/"))
                if path != "/":
                    _add(tree, archive, member, path, texts)
    except tarfile.TarError as error:
        raise Failed(
            f"the files of the image could not be read to their end: {error}", "try again", name="export"
        ) from None
    return tree


def listing(archive: tarfile.TarFile) -> dict[str, Entry]:
    """The entries of one layer's tar."""
    tree = Tree()
    for member in archive:
        _add(tree, archive, member, posixpath.normpath("/" + member.name.lstrip("/")), lambda path: False)
    return tree.entries


def lines_of(data: bytes) -> tuple[str, ...] | None:
    """A short hash (8 hex digits) of each line of a small text; None when it is no text, or too long."""
    if len(data) > LARGEST_TEXT or b"\0" in data or data.count(b"\n") > MOST_LINES:
        return None
    try:
        data.decode()
    except UnicodeDecodeError:
        return None
    return tuple(hashlib.sha256(line).hexdigest()[:8] for line in data.splitlines())


def _add(
    tree: Tree, archive: tarfile.TarFile, member: tarfile.TarInfo, path: str, texts: Callable[[str], bool]
) -> None:
    mode = member.mode & 0o7777
    if member.issym():
        tree.entries[path] = Entry("link", 0, member.linkname)
    elif member.isdir():
        tree.entries[path] = Entry("dir", mode)
    elif member.islnk():  # a second name of a file that came before
        first = posixpath.normpath("/" + member.linkname.lstrip("/"))
        tree.entries[path] = tree.entries.get(first, Entry("other", mode))
    elif member.isfile():
        tree.entries[path] = Entry("file", mode, _hash(tree, archive, member, path, texts))
    else:
        tree.entries[path] = Entry("other", mode)


def _hash(
    tree: Tree, archive: tarfile.TarFile, member: tarfile.TarInfo, path: str, texts: Callable[[str], bool]
) -> str:
    file = archive.extractfile(member)
    assert file is not None  # noqa: S101 - a regular file has content
    if member.size <= LARGEST_TEXT:
        data = file.read()
        if len(tree.texts) < MOST_TEXTS and texts(path) and (lines := lines_of(data)) is not None:
            tree.texts[path] = lines
        return hashlib.sha256(data).hexdigest()
    digest = hashlib.sha256()
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


class Stream(io.RawIOBase):
    """A file over blocks."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        target = memoryview(buffer)  # type: ignore[arg-type]
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def owner(path: str, roots: Mapping[str, str]) -> str | None:
    """The key of `roots` (root → anything) that is the longest root of a path; None when none holds it."""
    while True:
        if path in roots:
            return path
        above = posixpath.dirname(path)
        if above == path:  # the top, or a relative path's end
            return None
        path = above
