"""Files that only their owner reads, that are never half written, and TOML."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

from workflows.core.failure import Missing
from workflows.core.text import shorten

_MOST_NAMES = 2000  # in a folder, among which a misspelt name is looked for


def private_dir(path: Path) -> Path:
    """The directory, made if needed with those above it, mode 0700 whatever the umask."""
    if not path.parent.exists():
        private_dir(path.parent)
    path.mkdir(exist_ok=True)
    path.chmod(0o700)
    return path


def write_atomic(path: Path, data: bytes | str, mode: int = 0o600) -> None:
    """Replace a file in one step: temp file beside it, fsync, rename, fsync of the folder."""
    payload = data.encode() if isinstance(data, str) else data
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_dir(path.parent)


def unused(path: Path) -> Path:
    """The path, or the first of `name-2`, `name-3` … that nothing has: what is there is never written over."""
    found, count = path, 1
    while os.path.lexists(found):
        count += 1
        found = path.with_name(f"{path.stem}-{count}{path.suffix}")
    return found


def create_private(path: Path, data: bytes | str) -> None:
    """A new file with mode 0600; FileExistsError instead of overwriting."""
    payload = data.encode() if isinstance(data, str) else data
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(payload)
        file.flush()
        os.fsync(file.fileno())
    sync_dir(path.parent)


def private(path: str, flags: int) -> int:
    """The `opener` of a file that nobody else may read when it is new."""
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def append_line(path: Path, line: bytes) -> None:
    """Add one line to a file of mode 0600, on the disk when this returns; the whole line, or nothing of it.

    A torn line before it (a power loss) keeps its own line.
    """
    new = not path.exists()
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        end = os.fstat(handle).st_size
        torn = end and os.pread(handle, 1, end - 1) != b"\n"
        payload = b"\n" * bool(torn) + line + b"\n"
        try:
            if os.write(handle, payload) != len(payload):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(handle)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(handle, end)
            raise
    finally:
        os.close(handle)
    if new:
        sync_dir(path.parent)


def sync_dir(path: Path) -> None:
    """Make a rename or a new name in this folder survive a power loss."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def near(path: Path) -> str:
    """The name beside a path that is not there which was probably meant, else empty."""
    import difflib

    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in islice(entries, _MOST_NAMES) if entry.name.isprintable()]
    except OSError:
        return ""
    spelt = {name.lower(): name for name in names}
    found = difflib.get_close_matches(path.name.lower(), spelt, n=1, cutoff=0.7)
    return spelt[found[0]] if found else ""


def existing(value: Any) -> str:
    """The path of a file that is there. ValueError says what is wrong with it, and which one was meant."""
    path = Path(str(value))
    try:
        if path.is_dir():
            raise ValueError(f"{value} is a folder, not a file")
        there = path.is_file()
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise ValueError(f"{shorten(str(value), 40, 20)}: {error.strerror}") from None
    if not there:
        meant = near(path)
        raise ValueError(f"there is no file {value}" + (f"; did you mean {meant}?" if meant else ""))
    return str(value)


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Missing names the file and the line that is wrong."""
    import tomli

    try:
        with path.open("rb") as file:
            return tomli.load(file)
    except OSError as error:
        raise Missing(f"{path} cannot be read: {error.strerror}", "check the path and its mode") from None
    except (tomli.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Missing(f"{path} is not valid TOML: {error}", "mend that line, or move the file away") from None
