"""Content identifiers of files as kubo's `add` makes them: UnixFS in dag-pb, a balanced tree of chunks.

Chunks of 262144 bytes, at most 174 links a node. Version 0: leaves are dag-pb nodes too. Version 1 as kubo's
`cid-version=1`: raw leaves. Sources: the UnixFS and dag-pb specifications of IPFS.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

CHUNK = 262_144
WIDTH = 174
_FILE = 2  # UnixFS Data.Type
_RAW, _DAG_PB = 0x55, 0x70
_RAW_V1, _DAG_PB_V1 = bytes([1, _RAW]), bytes([1, _DAG_PB])
_SHA256 = b"\x12\x20"  # multihash: the function and the length of its digest


@dataclass(frozen=True)
class Cid:
    """A CID over SHA-256: `raw` blocks are the file itself, `dag-pb` ones a tree or a wrapped chunk.

    Its text is `Qm…` (version 0) or `b…` (version 1).
    """

    version: int
    codec: Literal["raw", "dag-pb"]
    digest: bytes

    @property
    def multihash(self) -> bytes:
        """The digest after its kind and length, as it is in both versions of a CID."""
        return _SHA256 + self.digest

    def __str__(self) -> str:
        from multiformats import CID

        return str(CID("base32" if self.version else "base58btc", self.version, self.codec, self.multihash))


@dataclass(frozen=True)
class _Node:
    """A node of the tree: its binary CID, the bytes of file below it, and of all blocks below it."""

    cid: bytes
    size: int
    total: int


def parse(text: str) -> Cid:
    """The parts of a CID. ValueError: no CID, or one with another hash or codec than files have."""
    from multiformats import CID

    try:
        cid = CID.decode(text)
        digest, codec = bytes(cid.digest), cid.codec.code
    except Exception:  # the library has a kind of its own for every flaw
        raise ValueError(f"not a CID: {text[:80]!r}") from None
    if len(digest) != 34 or digest[:2] != _SHA256 or codec not in (_RAW, _DAG_PB):
        raise ValueError(f"not a CID of a file over SHA-256: {text[:80]!r}")
    return Cid(int(cid.version), "raw" if codec == _RAW else "dag-pb", digest[2:])


class Verifier:
    """Tells while a file streams by whether it is the file of a CID."""

    def __init__(self, cid: Cid) -> None:
        self._cid = cid
        self._tree = FileHasher(cid.version)
        self._plain = hashlib.sha256()

    def update(self, data: bytes) -> None:
        """More of the file."""
        if self._cid.codec == "raw":
            self._plain.update(data)
        else:
            self._tree.update(data)

    def verdict(self) -> bool | None:
        """True: it is. False: it is not. None: it may be, cut into blocks in another way than kubo's own."""
        if self._cid.codec == "raw":
            return self._plain.digest() == self._cid.digest
        return True if self._tree.cid().digest == self._cid.digest else None


class FileHasher:
    """Feed chunks of any length, then `cid()`. Memory: one chunk and the nodes of the lowest level."""

    def __init__(self, version: int = 0) -> None:
        if version not in (0, 1):
            raise ValueError(f"there is no CID version {version}")
        self._version = version
        self._pending = bytearray()
        self._leaves: list[_Node] = []

    def update(self, data: bytes) -> None:
        """More of the file."""
        self._pending += data
        whole = len(self._pending) // CHUNK * CHUNK
        for start in range(0, whole, CHUNK):
            self._leaf(bytes(self._pending[start : start + CHUNK]))
        del self._pending[:whole]

    def cid(self) -> Cid:
        """The CID of all that was fed."""
        root = self._root().cid
        return Cid(self._version, "raw" if root.startswith(_RAW_V1) else "dag-pb", root[-32:])

    def total(self) -> int:
        """The bytes of all its blocks, which kubo reports as Size."""
        return self._root().total

    def _root(self) -> _Node:
        level = list(self._leaves)
        if self._pending or not level:
            level.append(self._leaf(bytes(self._pending), keep=False))
        while len(level) > 1:
            level = [self._parent(level[start : start + WIDTH]) for start in range(0, len(level), WIDTH)]
        return level[0]

    def _leaf(self, chunk: bytes, *, keep: bool = True) -> _Node:
        if self._version == 1:
            node = _Node(_RAW_V1 + _multihash(chunk), len(chunk), len(chunk))
        else:
            node = self._node([], chunk, len(chunk))
        if keep:
            self._leaves.append(node)
        return node

    def _parent(self, children: list[_Node]) -> _Node:
        return self._node(children, b"", sum(child.size for child in children))

    def _node(self, children: list[_Node], data: bytes, size: int) -> _Node:
        """A dag-pb node: links before data, as the canonical form wants it."""
        unixfs = _integer(1, _FILE) + (_bytes(2, data) if data else b"") + _integer(3, size)
        unixfs += b"".join(_integer(4, child.size) for child in children)
        links = (_bytes(1, child.cid) + _bytes(2, b"") + _integer(3, child.total) for child in children)
        block = b"".join(_bytes(2, link) for link in links) + _bytes(1, unixfs)
        prefix = _DAG_PB_V1 if self._version == 1 else b""
        return _Node(prefix + _multihash(block), size, len(block) + sum(child.total for child in children))


def _multihash(block: bytes) -> bytes:
    return _SHA256 + hashlib.sha256(block).digest()


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
