"""Where the runtime finds and puts things in a container, and folders in memory that stand at other paths."""

import os
import shutil
from typing import NamedTuple

from workflows.localnet.runtime.refusals import Refused

MOVED = (
    ".scone-encrypted"  # added to the name of a folder of ciphertext that its plaintext takes the place of
)


class Places(NamedTuple):
    """`memory` must be a folder on tmpfs that only this user can make; `archive` is the zipapp itself."""

    archive: str
    settings: str = "/etc/scone-simulated"
    memory: str = "/dev/shm/scone"  # noqa: S108 - checked in `fresh` to be a private folder of this user
    volumes: str = "/.scone/volumes"


def fresh(places: Places, folder: str) -> str:
    """An empty private folder below `places.memory`."""
    try:
        os.makedirs(places.memory, 0o700, exist_ok=True)
        status = os.lstat(places.memory)
        if os.path.islink(places.memory) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise Refused(f"{places.memory} was there before, and is not a private folder of this user")
        if os.path.lexists(folder):
            shutil.rmtree(folder)
        os.makedirs(folder, 0o700)
    except OSError as error:
        raise Refused(f"no folder in memory: {error.filename or folder}: {error.strerror}") from None
    return folder


def memory_for(places: Places, path: str) -> str:
    """The folder in memory that `path` leads to (a link made at build time), or will lead to."""
    if os.path.islink(path):
        target = os.path.normpath(os.readlink(path))
        if target.startswith(places.memory + "/"):
            return target
    return os.path.join(places.memory, path.strip("/").replace("%", "%25").replace("/", "%2F"))


def link(path: str, target: str) -> None:
    """`path` leads to `target`: what stood there must be such a link, an empty folder, or nothing."""
    try:
        if os.path.islink(path):
            if os.path.normpath(os.readlink(path)) == target:
                return
            raise Refused(f"{path} is a link to {os.readlink(path)}, and not to {target}")
        if os.path.isdir(path):
            os.rmdir(path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(target, path)
    except OSError as error:
        hint = (
            f"make it at build time, as a link to {target}, or as an empty folder that this user may replace"
        )
        raise Refused(f"{path} cannot lead to memory: {error.strerror}; {hint}") from None


def cover(path: str, target: str) -> None:
    """Like `link`, but a folder of ciphertext at `path` is moved aside."""
    if os.path.isdir(path) and not os.path.islink(path):
        try:
            shutil.move(path, path + MOVED)
        except OSError as error:
            raise Refused(f"{path} cannot be moved aside: {error.strerror}") from None
    link(path, target)
