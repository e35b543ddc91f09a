"""Content identifiers of files as kubo's `add` makes them: UnixFS in dag-pb, a balanced tree of chunks.

Chunks of 262144 bytes, at most 174 links a node. Version 0: leaves are dag-pb nodes too. Version 1 as kubo's
`cid-version=1`: raw leaves. Sources: the UnixFS and dag-pb specifications of IPFS.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

CHUNK = 262_144
WIDTH = 174
_FILE = 2  # UnixFS Data.Type
_RAW_V1, _DAG_PB_V1 = b"\x01\x55", b"\x01\x70"


@dataclass(frozen=True)
class Node:
    """A node of the tree: its binary CID, the bytes of file below it, and of all blocks below it."""

    cid: bytes
    size: int
    total: int


@dataclass(frozen=True)
class Cid:
    """The identifier of a file. `total` is what kubo reports as Size: the bytes of all its blocks."""

    text: str
    multihash: bytes
    total: int


class FileHasher:
    """Feed chunks of any length, then `cid()`. Memory: one chunk and the digests of the leaves."""

    def __init__(self, version: int = 0) -> None:
        if version not in (0, 1):
            raise ValueError(f"there is no CID version {version}")
        self._version = version
        self._pending = bytearray()
        self._leaves: list[Node] = []

    def update(self, data: bytes) -> None:
        """More of the file."""
        self._pending += data
        while len(self._pending) >= CHUNK:
            self._leaf(bytes(self._pending[:CHUNK]))
            del self._pending[:CHUNK]

    def cid(self) -> Cid:
        """The identifier of all that was fed."""
        if self._pending or not self._leaves:
            self._leaf(bytes(self._pending))
            self._pending.clear()
        level = self._leaves
        while len(level) > 1:
            level = [self._parent(level[start : start + WIDTH]) for start in range(0, len(level), WIDTH)]
        return _finished(level[0])

    def _leaf(self, chunk: bytes) -> None:
        if self._version == 1:
            self._leaves.append(Node(_RAW_V1 + _multihash(chunk), len(chunk), len(chunk)))
        else:
            self._leaves.append(self._node([], chunk, len(chunk)))

    def _parent(self, children: list[Node]) -> Node:
        return self._node(children, b"", sum(child.size for child in children))

    def _node(self, children: list[Node], data: bytes, size: int) -> Node:
        """A dag-pb node: links before data, as the canonical form wants it."""
        unixfs = _integer(1, _FILE) + (_bytes(2, data) if data else b"") + _integer(3, size)
        unixfs += b"".join(_integer(4, child.size) for child in children)
        links = (_bytes(1, child.cid) + _bytes(2, b"") + _integer(3, child.total) for child in children)
        block = b"".join(_bytes(2, link) for link in links) + _bytes(1, unixfs)
        prefix = _DAG_PB_V1 if self._version == 1 else b""
        return Node(prefix + _multihash(block), size, len(block) + sum(child.total for child in children))


def of(chunks: Iterable[bytes], version: int = 0) -> Cid:
    """The identifier of a file that comes in chunks."""
    hasher = FileHasher(version)
    for chunk in chunks:
        hasher.update(chunk)
    return hasher.cid()


def multihash(text: str) -> bytes:
    """The multihash inside a CID of version 0 or 1; ValueError when it is none over SHA-256."""
    from multiformats import CID

    try:
        digest = bytes(CID.decode(text).digest)
    except Exception:  # the library has a kind of its own for every flaw
        raise ValueError(f"not a CID: {text[:80]!r}") from None
    if digest[:2] != b"\x12\x20" or len(digest) != 34:
        raise ValueError(f"not a CID over SHA-256: {text[:80]!r}")
    return digest


def _multihash(block: bytes) -> bytes:
    return b"\x12\x20" + sha256(block).digest()


def _finished(root: Node) -> Cid:
    from multiformats import CID

    cid = CID.decode(root.cid)
    text = str(cid) if cid.version == 0 else cid.encode("base32")
    return Cid(str(text), bytes(cid.digest), root.total)


def _integer(field: int, value: int) -> bytes:
    return bytes([field << 3]) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return bytes([field << 3 | 2]) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
