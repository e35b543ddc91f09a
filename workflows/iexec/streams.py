"""Files read and written in chunks: a target appears whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shlex
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from workflows.core.failure import Failed, Missing
from workflows.core.files import near, sync_dir

CHUNK = 1 << 20
Tell = Callable[[int, int | None], None]
"""Called as `progress(done, total)` in bytes; `total` is None while unknown."""


@contextlib.contextmanager
def trouble(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into a Failed that names the file and the way out."""
    try:
        yield
    except OSError as error:
        where = Path(error.filename) if isinstance(error.filename, str) else path
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Failed(
                f"no space left for {path}",
                "Free some space there, or choose another folder with --output.",
                name="no_space",
            ) from None
        reason = (error.strerror or type(error).__name__).lower()
        raise Failed(f"{where}: {reason}", "Check the path and its mode.", name="file_trouble") from None


@contextlib.contextmanager
def reading(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """A regular file opened for reading, with its size in bytes. Missing for anything else."""
    with os.fdopen(_regular(path), "rb") as file:
        yield cast(BinaryIO, file), os.fstat(file.fileno()).st_size


@contextlib.contextmanager
def replacing(target: Path, mode: int = 0o600) -> Iterator[BinaryIO]:
    """A file that takes the name `target` when the block ends well, in one step; otherwise nothing is left.

    Where the file system has files without a name (Linux O_TMPFILE) this holds for a killed program too.
    """
    handle, temporary = _open(target)
    try:
        with os.fdopen(handle, "w+b") as file:
            os.fchmod(file.fileno(), mode)
            yield cast(BinaryIO, file)
            file.flush()
            os.fsync(file.fileno())
            if temporary is None:
                temporary = target.parent / f".{target.name}.{secrets.token_hex(6)}"
                # src_dir_fd makes Python use linkat, the only call that follows the link in /proc
                os.link(f"/proc/self/fd/{file.fileno()}", temporary, src_dir_fd=0, follow_symlinks=True)
        temporary.replace(target)
    except BaseException:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise
    sync_dir(target.parent)


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[BinaryIO]:
    """A file without a name in `folder`, gone when the block ends or the program dies."""
    with tempfile.TemporaryFile(dir=folder) as file:
        yield cast(BinaryIO, file)


def _regular(path: Path) -> int:
    """A descriptor of a regular file; not blocking, or a pipe without a writer would hold us for ever."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        meant = near(path) if isinstance(error, FileNotFoundError) else ""
        hint = f"Did you mean {path.with_name(meant)}?" if meant else "Check the path and its mode."
        raise Missing(f"{path}: {reason}", hint) from None
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return handle
    os.close(handle)
    if stat.S_ISDIR(mode):
        raise Missing(f"{path} is a folder", f"Pack it into one file first: {_packing(path)}")
    raise Missing(f"{path} is not a regular file", "Give the path of a file.")


def _packing(folder: Path) -> str:
    """The command that makes one file of a folder, beside it; `.` and `..` under their own names."""
    if folder.name in ("", ".."):
        folder = folder.resolve()
    if not folder.name:
        return "of the whole disk, only what is needed"
    words = ["tar", "-czf", f"{folder}.tgz", "-C", str(folder.parent), folder.name]
    return shlex.join(word for word in words if folder.parent != Path() or word not in ("-C", "."))


def _open(target: Path) -> tuple[int, Path | None]:
    """A new file in the folder of `target`: without a name where that can be had, else a hidden one."""
    flag = getattr(os, "O_TMPFILE", 0)
    if flag and Path("/proc/self/fd").is_dir():
        try:
            return os.open(target.parent, flag | os.O_RDWR | os.O_CLOEXEC, 0o600), None
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
                raise
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:  # of the folder, whose name a person knows, and not of a name of ours
        raise OSError(error.errno, error.strerror, str(target.parent)) from None
    return handle, Path(name)
