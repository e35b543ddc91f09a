"""Folders on disk as entries of an FSPF: hashed, copied, or encrypted file by file."""

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from typing import Any

from workflows.localnet.runtime import libcrypto
from workflows.localnet.runtime.refusals import Altered, BadFiles

KERNEL_MADE = ("/proc", "/sys", "/dev")  # not part of any image


def walk(
    source: str, owns: "Callable[[str], bool]", forbidden: "list[str] | None" = None
) -> "Iterator[tuple[str, str, os.stat_result]]":
    """(path relative to `source`, path on disk, lstat) of all below a folder that `owns(relative)` accepts.

    What is not owned is left out with all that is below it. BadFiles when something cannot be read; folders
    that this user may not read are appended to `forbidden` instead, as `relative/`, where it is given.
    """
    waiting = [("", source)]
    while waiting:
        prefix, folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                found = [
                    (prefix + entry.name, entry.path, entry.stat(follow_symlinks=False)) for entry in entries
                ]
        except OSError as error:
            if forbidden is not None and isinstance(error, PermissionError):
                forbidden.append(prefix)
                continue
            raise BadFiles(f"{error.filename or folder} cannot be read: {error.strerror}") from None
        for relative, path, status in found:
            if path in KERNEL_MADE or not owns(relative):
                continue
            yield relative, path, status
            if stat.S_ISDIR(status.st_mode):
                waiting.append((relative + "/", path))


def describe(path: str, status: os.stat_result, content: bool = True) -> "dict[str, Any]":
    """The FSPF entry of what is at `path`; without `content`, a file's entry has no hash."""
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return {"type": "link", "target": os.readlink(path)}
    if stat.S_ISDIR(status.st_mode):
        return {"type": "dir", "mode": mode}
    if not stat.S_ISREG(status.st_mode):
        raise BadFiles(f"{path} is neither a file, nor a folder, nor a link: it cannot be protected")
    return (
        {"type": "file", "mode": mode, "sha256": sha256(path)} if content else {"type": "file", "mode": mode}
    )


def sha256(path: str) -> str:
    """The SHA-256 of a file, 64 hex digits; BadFiles when it cannot be read."""
    digest = hashlib.sha256()
    for block in blocks(path):
        digest.update(block)
    return digest.hexdigest()


def blocks(path: str) -> "Iterator[bytes]":
    """A file's bytes; BadFiles when it cannot be read."""
    try:
        with open(path, "rb", buffering=0) as file:
            block = file.read(libcrypto.BLOCK)
            while block:
                yield block
                block = file.read(libcrypto.BLOCK)
    except OSError as error:
        raise BadFiles(f"{path} cannot be read: {error.strerror}") from None


def restore(
    entries: "dict[str, dict[str, Any]]", target: str, put: "Callable[[str, str, dict[str, Any]], None]"
) -> None:
    """All entries made again below `target`: `put(relative path, path on disk, entry)` writes a file.

    Links come after the files, so that nothing is written through one; modes of folders come last.
    """
    folders = [name for name, entry in entries.items() if entry["type"] == "dir"]
    for name in folders:
        os.makedirs(os.path.join(target, name), exist_ok=True)
    for name, entry in entries.items():
        path = os.path.join(target, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if entry["type"] == "file":
            put(name, path, entry)
    for name, entry in entries.items():
        if entry["type"] == "link":
            os.symlink(entry["target"], os.path.join(target, name))
    for name in sorted(folders, reverse=True):
        os.chmod(os.path.join(target, name), entries[name]["mode"])


def copy(source: str, target: str, entry: "dict[str, Any]") -> None:
    """A file with the mode of its entry."""
    shutil.copyfile(source, target)
    os.chmod(target, entry["mode"])


def encrypt(source: str, target: str, key: bytes) -> "dict[str, str]":
    """A file's ciphertext written to `target`; the nonce and the tag that its FSPF entry needs, in hex."""
    nonce = libcrypto.fresh(libcrypto.NONCE)
    sealer = libcrypto.Sealer(key, nonce)
    with open(target, "wb") as output:
        for block in blocks(source):
            output.write(sealer.update(block))
    return {"nonce": nonce.hex(), "tag": sealer.finish().hex()}


def decrypt(source: str, target: str, key: bytes, entry: "dict[str, Any]") -> None:
    """A file's plaintext and mode, at `target`; BadFiles, and nothing left, when it was altered."""
    opener = libcrypto.Opener(key, bytes.fromhex(entry["nonce"]), bytes.fromhex(entry["tag"]))
    try:
        with open(target, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as output:
            for block in blocks(source):
                output.write(opener.update(block))
        opener.finish()
    except Altered:
        os.unlink(target)
        raise BadFiles(f"{source} was changed: its bytes are not those that were encrypted") from None
    os.chmod(target, entry["mode"])
