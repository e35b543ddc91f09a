"""Backups of the SMS on disk: a file of the database, and beside it the key that opens it (`NAME.key`).

All are below one folder, the storage. A storage id is the hex of a folder's path, as with the real service, but
nothing outside of the storage has one; a name is one file name. ValueError: it is none. LookupError: not there.
FileExistsError: nothing is written over, but for the one backup in `work`.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from workflows.core.files import private_dir, sync_dir, write_atomic
from workflows.localnet.sms.store import Store

WORK, BACKUP = "work", "backup.sql"  # the real service's names; ours is an SQLite file
KEY = ".key"
_ID = re.compile(r"(?:[0-9a-fA-F]{2}){1,1024}")
_NAME = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z._-]{0,127}")


def folder_name(storage_id: str) -> str:
    """The path that a storage id is the hex of."""
    if not _ID.fullmatch(storage_id):
        raise ValueError("not a storage id")
    text = bytes.fromhex(storage_id).decode()
    if "\0" in text or not text.strip():
        raise ValueError("not a path")
    return text


def file_name(text: str) -> str:
    """A name for a backup: letters, digits, dot, dash and underscore, not that of a key."""
    if not _NAME.fullmatch(text) or text.endswith(KEY):
        raise ValueError("not a name for a backup")
    return text


class Backups:
    """What /admin does, on a store and its storage. All methods block on the disk."""

    def __init__(self, store: Store, storage: Path) -> None:
        self._store = store
        self._storage = storage

    def create(self) -> None:
        """The state of now as `work/backup.sql`, in place of the one before."""
        work = private_dir(self._root() / WORK)
        handle, name = tempfile.mkstemp(prefix=f".{BACKUP}.", dir=work)
        os.close(handle)
        written = Path(name)
        try:
            self._store.backup(written)
            if self._store.key_file is None:
                _key(work / BACKUP).unlink(missing_ok=True)
            else:
                write_atomic(_key(work / BACKUP), self._store.key_file.read_bytes())
            written.replace(work / BACKUP)
        except BaseException:
            written.unlink(missing_ok=True)
            raise
        sync_dir(work)

    def replicate(self, folder: str, name: str) -> None:
        """The one in `work` once more, elsewhere."""
        self._duplicate(self._there(WORK), BACKUP, folder, name)

    def copy(self, folder: str, name: str, other: str, new: str) -> None:
        """A backup once more, elsewhere."""
        self._duplicate(self._there(folder), name, other, new)

    def restore(self, folder: str, name: str) -> None:
        """Make it the state of now."""
        file, key = self._pair(self._there(folder), name)
        self._store.restore(file, key)

    def delete(self, folder: str, name: str) -> None:
        """Remove a backup and its key."""
        place = self._there(folder)
        found = [path for path in (place / name, _key(place / name)) if path.is_file()]
        if not found:
            raise LookupError("no such backup")
        for path in found:
            path.unlink()
        sync_dir(place)

    def _root(self) -> Path:
        """The storage; one that is there keeps its mode, as it may be a place that serves others too."""
        if not self._storage.exists():
            private_dir(self._storage)
        return self._storage.resolve()

    def _there(self, folder: str) -> Path:
        """A folder of the storage; links lead out of it as little as `..` does."""
        root = self._root()
        place = (root / folder).resolve()
        if not place.is_relative_to(root) or not place.is_dir():
            raise LookupError("no such folder in the storage")
        return place

    def _pair(self, folder: Path, name: str) -> tuple[Path, Path | None]:
        """The files of a backup; without a key of its own it needs that of the environment."""
        file, key = folder / name, _key(folder / name)
        if any(path.is_symlink() for path in (file, key)) or not file.is_file():
            raise LookupError("no such backup")
        if key.is_file():
            return file, key
        if self._store.key_file is not None:
            raise LookupError("the key of this backup is not there")
        return file, None

    def _duplicate(self, source: Path, name: str, folder: str, new: str) -> None:
        file, key = self._pair(source, name)
        place = self._there(folder)
        target = place / new
        if os.path.lexists(_key(target)):
            raise FileExistsError(_key(target))
        _copy(file, target)
        if key is not None:
            _copy(key, _key(target))
        sync_dir(place)


def _key(file: Path) -> Path:
    return file.with_name(file.name + KEY)


def _copy(source: Path, target: Path) -> None:
    """Whole or not at all, mode 0600, over nothing."""
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as written, source.open("rb") as read:
            shutil.copyfileobj(read, written)
            written.flush()
            os.fsync(written.fileno())
    except BaseException:
        target.unlink()
        raise
