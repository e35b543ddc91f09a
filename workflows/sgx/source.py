"""A file of somebody else's, read in pieces: nothing in it decides how much memory is taken."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from workflows.core.failure import Failed, Missing

_PIECES = 1024  # buffers of one system call (IOV_MAX)
_LARGEST_READ = 32 << 20


Patches = tuple[tuple[int, bytes], ...]


class Malformed(Failed):
    """The file is damaged, cut short or made to mislead; the message says what is wrong with it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint or "Get the file again from its source.", name="malformed")


class Source:
    """Random access to a regular file, with patches laid over it.

    All reads are exact: Malformed when the file ends before. Close it, or use it in a `with`.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size
        self.patches: Patches = ()  # what every later `read` sees: offsets and bytes, the last one wins

    @classmethod
    def open(cls, path: Path) -> Source:
        """Missing when it cannot be read or is no regular file."""
        hint = "give the path of a signed enclave, an SGXS stream, a SIGSTRUCT or a quote"
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise Missing(f"{path} cannot be read: {reason}", hint) from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise Missing(f"{path} is not a file", hint)
        return cls(descriptor)

    @classmethod
    def of(cls, data: bytes) -> Source:
        """Bytes that are already here."""
        with tempfile.TemporaryFile(buffering=0) as file:
            file.write(data)
            return cls(os.dup(file.fileno()))

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def patched(self, start: int, end: int) -> list[int]:
        """The pages (of 4096 bytes, counted from `start`) in which patches change something."""
        touched: set[int] = set()
        for offset, data in self.patches:
            first, last = max(offset, start), min(offset + len(data), end)
            if first < last:
                touched.update(range((first - start) // 4096, (last - start - 1) // 4096 + 1))
        return sorted(touched)

    def read(self, offset: int, size: int, *, original: bool = False) -> bytes:
        """`size` bytes at `offset`, patches applied unless `original`."""
        if size < 0 or offset < 0 or offset + size > self.size:
            raise Malformed(f"the file ends before offset {offset + size:,}: it has {self.size:,} bytes")
        if size > _LARGEST_READ:
            raise Malformed(f"{size:,} bytes in one table: no enclave has that")
        data = os.pread(self._descriptor, size, offset)
        if len(data) != size:
            raise Malformed("the file became shorter while it was read")
        if original or not self.patches:
            return data
        buffer = bytearray(data)
        for at, patch in self.patches:
            first, last = max(at, offset), min(at + len(patch), offset + size)
            if first < last:
                buffer[first - offset : last - offset] = patch[first - at : last - at]
        return bytes(buffer)

    def scatter(self, buffers: Sequence[memoryview], each: int, offset: int) -> None:
        """Fill buffers of `each` bytes one after another from `offset`, without patches."""
        for start in range(0, len(buffers), _PIECES):
            some = buffers[start : start + _PIECES]
            if os.preadv(self._descriptor, some, offset + start * each) != len(some) * each:
                raise Malformed("the file is shorter than it says")
