"""The measured stream of many pages at the speed of the hash.

One EADD and sixteen EEXTEND records a page leave only 256 bytes between headers. So headers are laid out
once for many pages, the file is read straight between them (one system call for 64 pages), and a thread
hashes what is filled. Memory is four batches of 64 pages, whatever the enclave's size.
"""

from __future__ import annotations

import hashlib
import struct
import sys
import threading
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import cycle
from queue import SimpleQueue
from types import TracebackType

from workflows.sgx.enclave import CHUNK, PAGE, WRITE, Enclave
from workflows.sgx.region import Region, Stretch
from workflows.sgx.source import Source

_HEADER = 64
_CHUNKS = PAGE // CHUNK
_ROW = _HEADER + _CHUNKS * (_HEADER + CHUNK)  # the records of one measured page
_WORDS = _ROW // 8
_OFFSETS = (1, *range(9, _WORDS, 40))  # the words with offsets
_EADD = int.from_bytes(b"EADD\0\0\0\0", "little")
_EEXTEND = int.from_bytes(b"EEXTEND\0", "little")
_ROWS = 64  # pages of a batch: what fits the processor's cache, and one system call fills
_INLINE = 1 << 16
DEPTH = 3  # parts that may wait for the hash
RING = DEPTH + 1

Progress = Callable[[int], object]


class BackgroundDigest:
    """SHA-256 in a thread: `update` returns while it hashes, unless DEPTH parts are waiting for that.

    What was given must stay as it is for DEPTH further updates: fill RING buffers in turn.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._queue: SimpleQueue[bytes | memoryview | None] = SimpleQueue()
        self._free = threading.Semaphore(DEPTH)
        self._thread: threading.Thread | None = None

    def update(self, data: bytes | memoryview) -> None:
        if self._thread is None:
            if len(data) < _INLINE:  # handing it over would take longer
                self._hash.update(data)
                return
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()
        self._free.acquire()
        self._queue.put(data)

    def hexdigest(self) -> str:
        for _ in range(DEPTH):  # all has been hashed when all places are free
            self._free.acquire()
        self._free.release(DEPTH)
        return self._hash.hexdigest()

    def close(self) -> None:
        self._queue.put(None)

    def __enter__(self) -> BackgroundDigest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _work(self) -> None:
        while (data := self._queue.get()) is not None:
            self._hash.update(data)
            self._free.release()


class Offsets:
    """Where `rows` pages in a row and their chunks are, as columns of 64-bit numbers, for any first page.

    One sum of long integers adds the first offset to all of them: a loop would take as long as the hash.
    """

    def __init__(self, rows: int, chunks: int) -> None:
        self._rows = rows
        starts = [0, *(chunk * CHUNK for chunk in range(chunks))]
        places = [start + row * PAGE for start in starts for row in range(rows)]
        self._base = int.from_bytes(struct.pack(f"<{len(places)}Q", *places), "little")
        self._ones = int.from_bytes(struct.pack("<Q", 1) * len(places), "little")
        self._size = 8 * len(places)

    def columns(self, first: int) -> Iterator[memoryview]:
        """The pages' offsets, then those of their first chunks, of their second … (little endian)."""
        whole = memoryview((self._base + first * self._ones).to_bytes(self._size, "little")).cast("Q")
        return (whole[start : start + self._rows] for start in range(0, len(whole), self._rows))


class Batch:
    """The records of up to `rows` pages in one buffer."""

    def __init__(self, rows: int = _ROWS) -> None:
        self.rows = rows
        self._bytes = memoryview(bytearray(rows * _ROW))
        self._words = self._bytes.cast("Q")
        self._offsets = Offsets(rows, _CHUNKS)
        self._filled: tuple[bytes, int] = (b"", 0)
        self._column(0, [_EADD] * rows)
        for chunk in range(_CHUNKS):
            self._column(8 + 40 * chunk, [_EEXTEND] * rows)
        self._content = [
            self._bytes[start : start + CHUNK]
            for row in range(0, rows * _ROW, _ROW)
            for start in range(row + 2 * _HEADER, row + _ROW, _HEADER + CHUNK)
        ]

    def number(self, offset: int, rows: int, flags: int, writable: Iterable[int] = ()) -> None:
        """Offsets and flags of the first `rows` pages; those in `writable` get W too."""
        for word, column in zip(_OFFSETS, self._offsets.columns(offset), strict=True):
            self._words[word : rows * _WORDS : _WORDS] = column[:rows]
        self._column(2, [flags] * rows)
        for row in writable:
            self._column(2 + row * _WORDS, [flags | WRITE])

    def fill(self, page: bytes, rows: int) -> None:
        """The same content in the first `rows` pages."""
        if self._filled[0] != page or self._filled[1] < rows:
            for row in range(rows):
                self.put(row, page)
            self._filled = (page, rows)

    def put(self, row: int, page: bytes) -> None:
        """The content of one page."""
        self._filled = (b"", 0)
        for chunk in range(_CHUNKS):
            self._content[row * _CHUNKS + chunk][:] = page[chunk * CHUNK : (chunk + 1) * CHUNK]

    def read(self, source: Source, offset: int, row: int, rows: int) -> None:
        """The content of `rows` pages from a file."""
        self._filled = (b"", 0)
        source.scatter(self._content[row * _CHUNKS : (row + rows) * _CHUNKS], CHUNK, offset)

    def records(self, rows: int) -> memoryview:
        """The measured stream of the first `rows` pages."""
        return self._bytes[: rows * _ROW]

    def _column(self, word: int, values: Iterable[int]) -> None:
        column = array("Q", values)
        if sys.byteorder == "big":
            column.byteswap()
        self._words[word : word + (len(column) - 1) * _WORDS + 1 : _WORDS] = memoryview(column)


def measure(
    size: int,
    ssa_frame_size: int,
    regions: Iterable[Region],
    source: Source,
    progress: Progress | None = None,
) -> str:
    """The MRENCLAVE (64 hex digits) of regions loaded in this order; `progress` gets counts of pages done."""
    batches: Iterator[Batch] | None = None
    with BackgroundDigest() as digest:
        enclave = Enclave(size, ssa_frame_size, digest=digest)
        for region in regions:
            if not region.added:
                continue
            if not region.measured:
                enclave.add(region.offset, region.pages, region.flags)
                if progress is not None:
                    progress(region.pages)
                continue
            content = region.content
            for first in range(0, region.pages, _ROWS):
                rows = min(_ROWS, region.pages - first)
                batches = batches or cycle([Batch() for _ in range(RING)])
                batch = next(batches)
                batch.number(
                    region.offset + first * PAGE, rows, region.flags, region.writable_rows(first, rows)
                )
                if isinstance(content, Stretch):
                    _fill(batch, source, content, first, rows)
                else:
                    batch.fill(content, rows)
                enclave.records(batch.records(rows))
                if progress is not None:
                    progress(rows)
        return enclave.mrenclave()


def _fill(batch: Batch, source: Source, stretch: Stretch, first: int, rows: int) -> None:
    """Pages `first` … of a stretch of the file: whole pages in few calls, those at its ends one by one."""
    here = range(first, first + rows)
    whole = range(max(first, stretch.whole.start), min(first + rows, stretch.whole.stop))
    if whole:
        start = stretch.at(whole.start)
        batch.read(source, start, whole.start - first, len(whole))
        for index in source.patched(start, start + len(whole) * PAGE):
            batch.put(whole.start - first + index, source.read(start + index * PAGE, PAGE))
    for page in {here[0], here[-1]} - set(whole[:1]) - set(whole[-1:]):
        batch.put(page - first, stretch.page(page, source))
