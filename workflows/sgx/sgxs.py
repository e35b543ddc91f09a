"""SGXS: the measured stream as a file, so that its SHA-256 is MRENCLAVE; and ESGXS, which holds more.

Source: doc/SGXS.md of Fortanix's rust-sgx. Records of 64 bytes, after EEXTEND and UNMEASRD 256 bytes of
content. UNMEASRD is loaded and not measured; a stream that begins with UNSIZED has no size yet.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import cycle

from workflows.sgx.enclave import CHUNK, EXECUTE, PAGE, TCS, WRITE
from workflows.sgx.records import RING, BackgroundDigest, Offsets
from workflows.sgx.region import Region
from workflows.sgx.source import Malformed, Source

ECREATE, UNSIZED = b"ECREATE\0", b"UNSIZED\0"
EADD, EEXTEND, UNMEASURED = b"EADD\0\0\0\0", b"EEXTEND\0", b"UNMEASRD"
_RECORD = struct.Struct("<8sQQ40s")
_CREATE = struct.Struct("<8sIQ44s")
_ROW = 64 + 16 * (64 + CHUNK)
_BUFFER = 128 * _ROW  # 664 KB
_MOST_AREAS = 4096
_ZEROS = bytes(48)


@dataclass
class Summary:
    """What a stream adds. `areas` are runs of equal pages (the first 4096; `cut` when there are more).

    `open_code` are executable pages that are not wholly measured, `writable_code` those that can be written.
    """

    size: int = 0
    ssa_frame_size: int = 0
    mrenclave: str = ""
    added: int = 0
    measured: int = 0
    chunks: int = 0
    unmeasured: int = 0
    threads: int = 0
    open_code: int = 0
    writable_code: int = 0
    cut: bool = False
    areas: list[Region] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)  # what is not canonical


class _Rows:
    """Recognises many equal rows at once: pages with all chunks measured, or pages with none."""

    def __init__(self, chunks: int, rows: int) -> None:
        self.rows, self.chunks, self.words = rows, chunks, 8 + 40 * chunks
        self._offsets = Offsets(rows, chunks)
        self._columns = [(0, _same(EADD, rows))]
        self._columns += [(word, _same(bytes(8), rows)) for word in range(3, 8)]
        for start in range(8, self.words, 40):
            self._columns.append((start, _same(EEXTEND, rows)))
            self._columns += [(word, _same(bytes(8), rows)) for word in range(start + 2, start + 8)]

    def match(self, words: memoryview) -> bool:
        """Whether `words` begins with the rows, at consecutive offsets and with the same flags."""
        size, first, flags = self.words, words[1], words[2]
        last = (self.rows - 1) * size
        if last + size > len(words) or words[last + 1] != first + (self.rows - 1) * PAGE or first % PAGE:
            return False
        words = words[: last + size]
        if words[2::size] != _same(struct.pack("=Q", flags), self.rows):
            return False
        columns = zip((1, *range(9, size, 40)), self._offsets.columns(first), strict=True)
        return all(words[word::size] == column for word, column in (*self._columns, *columns))


def _same(word: bytes, rows: int) -> memoryview:
    return memoryview(array("Q", struct.unpack("=Q", word) * rows))


def looks_like(data: bytes) -> bool:
    """Whether these first bytes begin a stream."""
    return data[:8] in (ECREATE, UNSIZED)


def read(source: Source, progress: Callable[[int, int], None] | None = None) -> Summary:
    """The summary of a stream with its MRENCLAVE; Malformed for what is no stream or cannot be measured.

    `progress` gets bytes done and their number.
    """
    walk = _Walk()
    buffers = cycle([memoryview(bytearray(min(_BUFFER, source.size))) for _ in range(RING)])
    offset = 0
    with BackgroundDigest() as digest:
        while offset < source.size:
            piece = next(buffers)[: source.size - offset]
            source.scatter([piece], len(piece), offset)
            used, hashed = walk.piece(piece, last=offset + len(piece) == source.size)
            if not used:
                raise Malformed(f"the stream ends in the middle of a record, at byte {offset:,}")
            digest.update(hashed)
            offset += used
            if progress is not None:
                progress(offset, source.size)
        return walk.finish(digest.hexdigest())


class _Walk:
    def __init__(self) -> None:
        self.found = Summary()
        self._page: int | None = None
        self._flags = 0
        self._seen: set[int] = set()
        self._measured = 0
        self._fast = (_Rows(16, 64), _Rows(0, 512))

    def piece(self, data: memoryview, last: bool) -> tuple[int, memoryview | bytes]:
        """Take whole records: how many bytes that was, and what of them is measured.

        But for the `last` piece, a page that may go on behind it is left for the next.
        """
        at, kept, skipped = 0, 0, []
        words = data[: len(data) // 8 * 8].cast("Q")
        while at + 64 <= len(data):
            tag, offset, flags, rest = _RECORD.unpack_from(data, at)
            if not self.found.size:
                self._create(bytes(data[at : at + 64]))
                at += 64
            elif tag == EADD:
                if at + _ROW > len(data) and not last:
                    break
                rows = next((rows for rows in self._fast if rows.match(words[at // 8 :])), None)
                if rows is not None and self._add_many(offset, flags, rows):
                    at += rows.rows * rows.words * 8
                    continue
                self._add(offset, flags, rest)
                at += 64
            elif tag in (EEXTEND, UNMEASURED):
                if at + 64 + CHUNK > len(data):
                    break
                self._extend(offset, tag == EEXTEND)
                if tag == UNMEASURED:
                    skipped.append(data[kept:at])
                    kept = at + 64 + CHUNK
                at += 64 + CHUNK
            else:
                raise Malformed(f"an unknown record in the stream: {tag.hex()}")
        return at, b"".join([*skipped, data[kept:at]]) if skipped else data[:at]

    def finish(self, mrenclave: str) -> Summary:
        self._close_page()
        if not self.found.size:
            raise Malformed("the stream is empty")
        self.found.mrenclave = mrenclave
        return self.found

    def _create(self, record: bytes) -> None:
        tag, ssa, size, _ = _CREATE.unpack(record)
        if tag == UNSIZED:
            raise Malformed(
                "the stream begins with UNSIZED: the enclave has no size yet, so it has no MRENCLAVE",
                "Give it a size with the tool that made it (it then begins with ECREATE).",
            )
        if tag != ECREATE or size < 2 * PAGE or size & (size - 1):
            raise Malformed("the stream does not begin with ECREATE and a size that is a power of two")
        self.found.size, self.found.ssa_frame_size = size, ssa

    def _add_many(self, offset: int, flags: int, rows: _Rows) -> bool:
        """Rows that follow each other properly; False leaves them to the slow way, which says what is odd."""
        end = offset + rows.rows * PAGE
        ordered = self._page is None or offset > self._page
        if end > self.found.size or not ordered or (flags & 0xFF00 == TCS and flags & 0x7):
            return False
        self._close_page()
        self._run(offset, rows.rows, flags, rows.chunks)
        self._page = end - PAGE
        self._measured, self._seen = -1, set(range(rows.chunks))
        return True

    def _add(self, offset: int, flags: int, rest: bytes) -> None:
        if offset % PAGE or offset + PAGE > self.found.size:
            raise Malformed(f"a page is added at {offset:#x}, which is not a page of the enclave")
        before = self._page
        self._close_page()
        if before is not None and offset <= before:
            self._odd(f"the page at {offset:#x} is added after a higher one, or twice")
        if any(rest[:32]):
            self._odd(f"reserved bytes of the page at {offset:#x} are not zero")
        if flags & 0xFF00 == TCS and flags & 0x7:
            self._odd(f"the thread control page at {offset:#x} has permissions")
        self._page, self._flags, self._measured, self._seen = offset, flags, 0, set()

    def _extend(self, offset: int, measured: bool) -> None:
        if offset % CHUNK or offset + CHUNK > self.found.size or self._page is None:
            raise Malformed(f"content for {offset:#x}, where no page was added")
        chunk = (offset - self._page) // CHUNK
        if not 0 <= chunk < 16 or chunk in self._seen:
            self._odd(f"content for {offset:#x} is not in the page just added, or comes twice")
        self._seen.add(chunk)
        if not measured:
            self.found.unmeasured += 1
        elif self._measured < 0:
            self.found.chunks += 1  # one more for a page that was counted already
        else:
            self._measured += 1

    def _close_page(self) -> None:
        if self._page is not None and self._measured >= 0:
            self._run(self._page, 1, self._flags, self._measured)
            self._measured = -1

    def _run(self, offset: int, count: int, flags: int, chunks: int) -> None:
        found = self.found
        found.added += count
        found.measured += count if chunks else 0
        found.chunks += count * chunks
        found.threads += count if flags & 0xFF00 == TCS else 0
        if flags & EXECUTE and flags & 0xFF00 != TCS:
            found.open_code += count if chunks < 16 else 0
            found.writable_code += count if flags & WRITE else 0
        kind = "tcs" if flags & 0xFF00 == TCS else "pages"
        if chunks not in (0, 16):
            kind += f", {chunks} of 16 chunks measured"
        last = found.areas[-1] if found.areas else None
        if last and (last.kind, last.end, last.flags, last.measured) == (kind, offset, flags, bool(chunks)):
            found.areas[-1] = Region(kind, last.offset, last.pages + count, flags, True, last.measured)
        elif len(found.areas) < _MOST_AREAS:
            found.areas.append(Region(kind, offset, count, flags, True, bool(chunks)))
        else:
            found.cut = True

    def _odd(self, text: str) -> None:
        if len(self.found.odd) < 8:
            self.found.odd.append(text)
