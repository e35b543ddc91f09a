"""Zip archives from strangers, unpacked so that nothing lands outside one fresh, private folder.

Sizes and counts are those really met, never those an archive claims.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import struct
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from workflows.core.failure import Failed, Missing
from workflows.core.step import Cancel
from workflows.core.text import clean, size
from workflows.iexec.streams import CHUNK, Tell, trouble

_DRIVE = re.compile(r"[A-Za-z]:")
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LARGEST_READ = 4 * CHUNK


@dataclass(frozen=True)
class Limits:
    """What an archive may become: bytes, files and folders, bytes out per byte in (after `free`), depth."""

    size: int = 4 << 30
    files: int = 10_000
    ratio: int = 250
    depth: int = 32
    free: int = 64 << 20


@dataclass(frozen=True)
class Unpacked:
    """The files below `folder`, as sorted relative POSIX paths, and their bytes in all."""

    folder: Path
    files: tuple[str, ...]
    size: int


def is_zip(path: Path) -> bool:
    """Whether a file starts and ends as a zip archive does."""
    try:
        with path.open("rb") as file:
            return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06") and zipfile.is_zipfile(file)
    except OSError:
        return False


@contextlib.contextmanager
def opened(source: Path | BinaryIO) -> Iterator[zipfile.ZipFile]:
    """A zip archive whose directory is of a bearable size; whatever is broken in it becomes a Failed."""
    with contextlib.ExitStack() as stack:
        try:
            if isinstance(source, Path):
                with trouble(source):
                    source = stack.enter_context(source.open("rb"))
            # zipfile takes the whole directory in one read, before anyone can count its entries
            archive = stack.enter_context(zipfile.ZipFile(cast(BinaryIO, _Bounded(source))))
            yield archive
        except _BROKEN as error:
            raise Failed(
                f"the archive is damaged: {clean(str(error)) or type(error).__name__}",
                "Download it again.",
                name="bad_archive",
            ) from None


def unpack(
    source: Path | BinaryIO,
    folder: Path,
    limits: Limits | None = None,
    progress: Tell | None = None,
    cancel: Cancel | None = None,
) -> Unpacked:
    """Unpack into a new folder of mode 0700 that appears when all of it is there.

    Failed, with nothing left on disk: names that lead outside or clash, links, encrypted or exotic entries,
    archives beyond the limits. Missing: the folder exists and is not empty.
    """
    limits = limits or Limits()
    _free(folder)
    with trouble(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        with trouble(folder), opened(source) as archive:
            entries = _plan(archive, limits)
            written = _write(archive, entries, staging, limits, progress, cancel)
            staging.rename(folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    files = sorted("/".join(parts) for parts, info in entries if not info.is_dir())
    return Unpacked(folder, tuple(files), written)


class _Bounded:
    """A file that refuses to hand out too much at once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, count: int = -1) -> bytes:
        if count > _LARGEST_READ:
            raise refused("its directory is too long", "too_many_files")
        return self._file.read(_LARGEST_READ if count < 0 else count)


def refused(why: str, name: str = "hostile_archive") -> Failed:
    """The failure of an archive that is not unpacked."""
    return Failed(
        f"the archive is refused: {why}",
        "Nothing was unpacked. Ask whoever made it; do not open it with another program.",
        name=name,
    )


_Entry = tuple[tuple[str, ...], zipfile.ZipInfo]


def _plan(archive: zipfile.ZipFile, limits: Limits) -> list[_Entry]:
    """Every entry with the parts of its path, all of them checked before the first byte is written."""
    infos = archive.infolist()
    if len(infos) > limits.files:
        raise refused(f"it has {len(infos):,} entries, more than {limits.files:,}", "too_many_files")
    entries = [(_parts(info, limits.depth), info) for info in infos]
    folders: set[tuple[str, ...]] = set()
    files: dict[tuple[str, ...], tuple[str, ...]] = {}
    for parts, info in entries:
        # as a file system that ignores case and composes accents would see it
        folded = tuple(unicodedata.normalize("NFC", part).casefold() for part in parts)
        if not info.is_dir():
            if folded in files:
                raise refused(f"two entries share the name {_shown('/'.join(parts))}")
            files[folded] = parts
        folders.update(folded[:depth] for depth in range(1, len(folded) + info.is_dir()))
        if len(folders) > limits.files:
            raise refused(f"it has more than {limits.files:,} folders", "too_many_files")
    for both in folders & files.keys():
        raise refused(f"{_shown('/'.join(files[both]))} is a file and a folder")
    return [(parts, info) for parts, info in entries if parts]


def _parts(info: zipfile.ZipInfo, depth: int) -> tuple[str, ...]:
    name = info.orig_filename  # zipfile cuts `filename` at a NUL
    kind = stat.S_IFMT(info.external_attr >> 16)
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        raise refused(f"a name has control characters: {_shown(name)}")
    if "\\" in name or name.startswith("/") or _DRIVE.match(name):
        raise refused(f"a name is no relative path: {_shown(name)}")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise refused(f"a name leads outside: {_shown(name)}")
    if not parts and not info.is_dir():
        raise refused("an entry has no name")
    if len(parts) > depth or any(len(os.fsencode(part)) > 255 for part in parts):
        raise refused(f"a name is too long or too deep: {_shown(name)}")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or (kind == stat.S_IFDIR) > info.is_dir():
        raise refused(f"{_shown(name)} is a link or a special file")
    if info.flag_bits & 0x1:
        raise refused(f"{_shown(name)} is protected by a zip password")
    if info.compress_type not in _METHODS:
        raise refused(f"{_shown(name)} is compressed in an unusual way (method {info.compress_type})")
    return parts


def _write(
    archive: zipfile.ZipFile,
    entries: list[_Entry],
    staging: Path,
    limits: Limits,
    progress: Tell | None,
    cancel: Cancel | None,
) -> int:
    packed = sum(info.compress_size for _, info in entries)
    claimed = sum(info.file_size for _, info in entries)
    archive_size = _length(archive)
    done = 0
    for parts, info in entries:
        path = staging.joinpath(*parts)
        (path if info.is_dir() else path.parent).mkdir(mode=0o700, parents=True, exist_ok=True)
        if info.is_dir():
            continue
        before = done
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as target, archive.open(info) as entry:
            while chunk := entry.read(CHUNK):
                if cancel is not None:
                    cancel.check()
                done += len(chunk)
                if done > limits.size:
                    raise refused(f"it unpacks to more than {size(limits.size)}", "archive_too_large")
                if done > limits.free and done > limits.ratio * max(1, min(packed, archive_size)):
                    raise refused(
                        f"it unpacks to more than {limits.ratio} times its size", "archive_too_large"
                    )
                target.write(chunk)
                if progress is not None:
                    progress(done, max(done, min(claimed, limits.size)))
        if done - before != info.file_size:
            raise zipfile.BadZipFile(f"{_shown(info.filename)} has another size than it claims")
    return done


def _length(archive: zipfile.ZipFile) -> int:
    """Bytes of the archive file itself: overlapping entries may claim more."""
    file = archive.fp
    if file is None:
        return 0
    here = file.tell()
    end = file.seek(0, os.SEEK_END)
    file.seek(here)
    return end


def _free(folder: Path) -> None:
    """Refuse a folder with something in it, or a link in its place."""
    if not os.path.lexists(folder):
        return
    if folder.is_symlink() or not folder.is_dir() or any(folder.iterdir()):
        raise Missing(f"{folder} exists already", "Choose another --output, or move it away.", name="exists")


def _shown(name: str) -> str:
    text = clean(name.replace("\n", " "))
    return repr(text if len(text) <= 80 else text[:80] + "…")
