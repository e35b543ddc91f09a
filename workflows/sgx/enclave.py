"""How the processor measures an enclave: MRENCLAVE as a running SHA-256 over what a loader adds.

Standard library and Python 3.6 syntax only: this file also travels inside the stand-in runtime, where
the base image decides the Python. Source of the records: Intel SDM vol. 3D, ECREATE, EADD, EEXTEND.
"""

import hashlib
import struct
import sys
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Protocol

    class Digest(Protocol):
        """What a running SHA-256 offers."""

        def update(self, __data: "bytes | memoryview") -> None: ...

        def hexdigest(self) -> str: ...


PAGE = 4096
CHUNK = 256  # what one EEXTEND measures

# SECINFO flags: what a page may be used for, and its type.
READ, WRITE, EXECUTE = 0x1, 0x2, 0x4
TCS = 0x100
REGULAR = 0x200
READ_ONLY = REGULAR | READ
DATA = REGULAR | READ | WRITE
CODE = REGULAR | READ | EXECUTE

_ECREATE = struct.Struct("<8sIQ44x")
_EADD = struct.Struct("<8sQQ40x")
_EEXTEND = struct.Struct("<8sQ48x")
_CHUNKS = PAGE // CHUNK
_MEASURED_PAGE = struct.Struct("<8sQQ40x" + "8sQ48x256s" * _CHUNKS)
_TAG = struct.unpack("<Q", b"EADD\0\0\0\0")[0]
_BATCH = 8192  # EADD records hashed at once: 512 KiB of memory, and no Python call per page


def pages(size: int) -> int:
    """How many pages hold `size` bytes."""
    return -(-size // PAGE)


def next_power_of_two(size: int) -> int:
    """The smallest enclave size (a power of two, at least two pages) that holds `size` bytes."""
    return max(2 * PAGE, 1 << (size - 1).bit_length())


class Enclave:
    """An enclave under construction: add pages in load order, then read its MRENCLAVE.

    `size` in bytes is a power of two, `ssa_frame_size` in pages. `write` also receives the measured stream,
    which is what an SGXS file holds. Offsets are bytes from the enclave's base. ValueError for what the
    processor would refuse. `digest` (`update`, `hexdigest`) takes the place of hashlib's SHA-256.
    """

    def __init__(
        self,
        size: int,
        ssa_frame_size: int = 1,
        write: "Callable[[bytes], object] | None" = None,
        digest: "Digest | None" = None,
    ) -> None:
        if size < 2 * PAGE or size & (size - 1):
            raise ValueError(f"an enclave's size is a power of two of at least two pages, not {size}")
        self.size = size
        self._hash = hashlib.sha256() if digest is None else digest
        self._write = write
        self._update(_ECREATE.pack(b"ECREATE", ssa_frame_size, size))

    def eadd(self, offset: int, flags: int) -> None:
        """One page added; its offset and flags are measured, its content is not."""
        self._check(offset, 1)
        self._update(_EADD.pack(b"EADD", offset, flags))

    def eextend(self, offset: int, chunk: bytes) -> None:
        """256 bytes of a page that was added, measured with their offset."""
        if len(chunk) != CHUNK or offset % CHUNK or not 0 <= offset < self.size:
            raise ValueError("EEXTEND measures 256 aligned bytes inside the enclave")
        self._update(_EEXTEND.pack(b"EEXTEND", offset))
        self._update(chunk)

    def add(self, offset: int, count: int, flags: int) -> int:
        """`count` pages added and not measured (heap, stack). The offset after them."""
        self._check(offset, count)
        end = offset + count * PAGE
        step = _BATCH * PAGE
        for start in range(offset, end, step):
            offsets = array("Q", range(start, min(start + step, end), PAGE))
            words = array("Q", bytes(64 * len(offsets)))
            words[0::8] = array("Q", [_TAG]) * len(offsets)
            words[1::8] = offsets
            words[2::8] = array("Q", [flags]) * len(offsets)
            if sys.byteorder == "big":
                words.byteswap()
            self._update(words.tobytes())
        return end

    def load(self, offset: int, content: bytes, flags: int) -> int:
        """`content`, padded with zeros to whole pages, added and measured. The offset after it."""
        count = pages(len(content))
        self._check(offset, count)
        for start in range(0, len(content), PAGE):
            page = content[start : start + PAGE]
            fields: list[object] = [b"EADD", offset + start, flags]
            for position in range(0, PAGE, CHUNK):
                fields += (b"EEXTEND", offset + start + position, page[position : position + CHUNK])
            self._update(_MEASURED_PAGE.pack(*fields))  # "256s" pads what is short
        return offset + count * PAGE

    def records(self, records: "bytes | memoryview") -> None:
        """Records that were laid out elsewhere, as the processor would write them; they are not checked."""
        self._update(records)

    def mrenclave(self) -> str:
        """The measurement so far, 64 hex digits; EINIT adds nothing to it."""
        return self._hash.hexdigest()

    def _update(self, record: "bytes | memoryview") -> None:
        self._hash.update(record)
        if self._write is not None:
            self._write(bytes(record))

    def _check(self, offset: int, count: int) -> None:
        if offset % PAGE or offset < 0 or offset + count * PAGE > self.size:
            raise ValueError(
                f"{count} page(s) at offset {offset:#x} do not fit an enclave of {self.size:#x} bytes"
            )
