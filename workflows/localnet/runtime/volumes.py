"""Encrypted volumes: one sealed tar between two enclaves, plain only in the memory of each.

`volume.enc` = SCONEVOL1 ‖ nonce (12) ‖ AES-256-GCM(tar) ‖ tag (16), under the key that CAS makes for a
session. An empty or absent file is an empty volume.
"""

import os
import stat
import tarfile
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from workflows.localnet.runtime import libcrypto, tree
from workflows.localnet.runtime.places import Places, fresh, link, memory_for
from workflows.localnet.runtime.refusals import Altered, BadFiles, BadVolume

MAGIC = b"SCONEVOL1"
FILE = "volume.enc"


class Volume(NamedTuple):
    """A volume of a session: its name, where the program sees it, its key."""

    name: str
    path: str
    key: bytes


def mount(volume: Volume, places: Places) -> str:
    """The volume's files in a folder in memory that `volume.path` leads to; that folder."""
    folder = fresh(places, memory_for(places, volume.path))
    file = os.path.join(places.volumes, volume.name, FILE)
    if os.path.exists(file) and os.path.getsize(file):
        plain = folder + ".tar"
        try:
            _decrypt(file, plain, volume)
            _extract(plain, folder, volume)
        finally:
            if os.path.lexists(plain):
                os.unlink(plain)
    link(volume.path, folder)
    return folder


def unmount(volume: Volume, folder: str, places: Places) -> None:
    """What the program left in `folder`, sealed again into the volume."""
    home = os.path.join(places.volumes, volume.name)
    if not os.path.isdir(home):
        if os.listdir(folder):
            raise BadVolume(f"volume {volume.name} is not mounted: what was written to {volume.path} is lost")
        return
    file = os.path.join(home, FILE)
    nonce = libcrypto.fresh(libcrypto.NONCE)
    sealer = libcrypto.Sealer(volume.key, nonce)
    try:
        with open(file + ".new", "wb") as output:
            output.write(MAGIC + nonce)
            _pack(folder, lambda data: output.write(sealer.update(data)))
            output.write(sealer.finish())
            output.flush()
            os.fsync(output.fileno())
        os.replace(file + ".new", file)
    except (OSError, BadFiles) as error:
        raise BadVolume(f"volume {volume.name} cannot be written back: {error}") from None


class _Stream:
    """What tarfile needs of a file that is only written."""

    def __init__(self, write: "Callable[[bytes], object]") -> None:
        self.write = write


def _pack(folder: str, write: "Callable[[bytes], object]") -> None:
    with tarfile.open(
        fileobj=_Stream(write), mode="w|", bufsize=libcrypto.BLOCK, format=tarfile.PAX_FORMAT
    ) as tar:  # type: ignore[call-overload]
        for name, path, status in sorted(tree.walk(folder, lambda _: True)):
            member = tarfile.TarInfo(name)
            member.mode, member.mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
            if stat.S_ISREG(status.st_mode):
                member.size = status.st_size
                with open(path, "rb") as content:
                    tar.addfile(member, content)
            elif stat.S_ISDIR(status.st_mode):
                member.type = tarfile.DIRTYPE
                tar.addfile(member)
            elif stat.S_ISLNK(status.st_mode):
                member.type, member.linkname = tarfile.SYMTYPE, os.readlink(path)
                tar.addfile(member)  # sockets and pipes mean nothing to the next enclave


def _decrypt(file: str, plain: str, volume: Volume) -> None:
    def read(source: BinaryIO, size: int) -> bytes:
        data = source.read(size)
        if len(data) != size:
            raise BadVolume(f"volume {volume.name} is cut short")
        return data

    try:
        with open(file, "rb") as source, open(plain, "wb") as output:
            length = os.fstat(source.fileno()).st_size - len(MAGIC) - libcrypto.NONCE - libcrypto.TAG
            if length < 0 or read(source, len(MAGIC)) != MAGIC:
                raise BadVolume(f"volume {volume.name} is not an encrypted volume")
            nonce = read(source, libcrypto.NONCE)
            source.seek(-libcrypto.TAG, os.SEEK_END)
            opener = libcrypto.Opener(volume.key, nonce, read(source, libcrypto.TAG))
            source.seek(len(MAGIC) + libcrypto.NONCE)
            while length:
                block = read(source, min(length, libcrypto.BLOCK))
                output.write(opener.update(block))
                length -= len(block)
            opener.finish()
    except Altered:
        raise BadVolume(f"volume {volume.name} was changed, or sealed for another session") from None
    except OSError as error:
        raise BadVolume(f"volume {volume.name} cannot be read: {error.strerror}") from None


def _extract(plain: str, folder: str, volume: Volume) -> None:
    kinds = {tarfile.REGTYPE: "file", tarfile.DIRTYPE: "dir", tarfile.SYMTYPE: "link"}
    with tarfile.open(plain, "r:") as tar:
        members = {}
        for member in tar:
            parts = member.name.split("/")
            if member.type not in kinds or not all(parts) or "." in parts or ".." in parts:
                raise BadVolume(f"volume {volume.name} holds {member.name!r}, which cannot be unpacked")
            members[member.name] = member
        entries = {
            name: {"type": kinds[member.type], "mode": member.mode & 0o777, "target": member.linkname}
            for name, member in members.items()
        }

        def put(name: str, path: str, entry: "dict[str, object]") -> None:
            with open(path, "wb") as output:
                content = tar.extractfile(members[name])
                for block in iter(lambda: content.read(libcrypto.BLOCK) if content else b"", b""):
                    output.write(block)
            os.chmod(path, members[name].mode & 0o777)

        tree.restore(entries, folder, put)
