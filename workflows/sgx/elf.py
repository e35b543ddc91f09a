"""As much of ELF as a loader of enclaves reads: segments, sections, relocations (64 bit, x86-64)."""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace

from workflows.sgx.enclave import EXECUTE, PAGE, READ, REGULAR, WRITE
from workflows.sgx.region import ZEROS, Region, Stretch
from workflows.sgx.source import Malformed, Source

MAGIC = b"\x7fELF"
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_DYNAMIC = struct.Struct("<QQ")
_RELA = struct.Struct("<QQq")
_LOAD, _DYNAMIC_SEGMENT = 1, 2
_TEXTREL, _JMPREL, _PLTRELSZ, _RELA_AT, _RELASZ = 22, 23, 2, 7, 8
_RELOCATIONS = 4096 * _RELA.size  # bytes read at once
_WORD = 8


@dataclass(frozen=True)
class Segment:
    """A program header; `flags` are those of SECINFO, places and sizes in bytes."""

    kind: int
    flags: int
    offset: int
    address: int
    file_size: int
    memory_size: int


@dataclass(frozen=True)
class Section:
    """A section header: `offset` and `size` in the file, `address` in memory, all in bytes."""

    name: str
    address: int
    offset: int
    size: int


class Elf:
    """A 64-bit ELF file at `base` in a source. Malformed when it is something else, or cut short."""

    def __init__(self, source: Source, base: int = 0, size: int | None = None) -> None:
        self._source, self._base = source, base
        self._size = source.size - base if size is None else size
        if base < 0 or self._size < 0 or base + self._size > source.size:
            raise Malformed("the file names a library outside of itself")
        header = _HEADER.unpack(self._read(0, _HEADER.size, "ELF header"))
        ident, _, _, _, _, segments_at, sections_at, _, _, each, count, each_s, count_s, names = header
        if ident[:5] == MAGIC + b"\x01":
            raise Malformed(
                "it is an ELF file for 32 bits: only enclaves for 64 bits can be measured here",
                "Give the build for x86-64.",
            )
        if ident[:4] != MAGIC or ident[4:6] != b"\x02\x01":
            raise Malformed("it is no 64-bit little-endian ELF file, as enclaves are")
        self.segments = [
            Segment(row[0], _secinfo(row[1]), row[2], row[3], row[5], row[6])
            for row in self._table(_SEGMENT, segments_at, each, count, "program headers")
        ]
        self.sections = list(self._sections(sections_at, each_s, count_s, names))

    def section(self, name: str) -> Section | None:
        """The first section with this name."""
        return next((section for section in self.sections if section.name == name), None)

    @property
    def loaded(self) -> list[Segment]:
        """The segments that are loaded into memory."""
        return [segment for segment in self.segments if segment.kind == _LOAD]

    def regions(self, base: int = 0) -> list[tuple[Segment, list[Region]]]:
        """Each loaded segment, `base` bytes into the enclave, with its pages: from the file, then zeros."""
        relocated = self._relocated()
        return [
            (replace(segment, address=base + segment.address), self._segment(segment, relocated, base))
            for segment in self.loaded
        ]

    def _segment(self, segment: Segment, relocated: list[int], base: int) -> list[Region]:
        if segment.file_size > segment.memory_size or segment.flags == REGULAR:
            raise Malformed("a segment is larger in the file than in memory, or nobody may use it")
        if segment.offset + segment.file_size > self._size:
            raise Malformed("the file ends before one of its segments")
        lead, regions = segment.address % PAGE, []
        start, kind = segment.address - lead, "code" if segment.flags & EXECUTE else "data"
        filled = -(-(lead + segment.file_size) // PAGE) if segment.file_size else 0
        total = -(-(lead + segment.memory_size) // PAGE) if segment.memory_size else 0
        first = start // PAGE
        if filled:
            writable = frozenset[int]()
            if not segment.flags & WRITE:
                some = relocated[bisect_left(relocated, first) : bisect_left(relocated, first + filled)]
                writable = frozenset(page - first for page in some)
            content = Stretch(self._base + segment.offset, segment.file_size, lead)
            regions.append(Region(kind, base + start, filled, segment.flags, True, True, content, writable))
        if total > filled:
            offset = base + start + filled * PAGE
            regions.append(Region("bss", offset, total - filled, segment.flags, True, True, ZEROS))
        return regions

    def _relocated(self) -> list[int]:
        """The read-only pages that the loader changes, in order, where the file allows it (TEXTREL)."""
        dynamic = self._dynamic()
        if _TEXTREL not in dynamic:
            return []
        pages: set[int] = set()
        for at, size in ((_RELA_AT, _RELASZ), (_JMPREL, _PLTRELSZ)):
            if at in dynamic and dynamic.get(size):
                pages.update(self._touched(dynamic[at], dynamic[size]))
        return sorted(pages)

    def _touched(self, address: int, size: int) -> Iterator[int]:
        section = next((section for section in self.sections if section.address == address), None)
        if section is None:
            raise Malformed("its relocations are in no section")
        end = max((segment.address + segment.memory_size for segment in self.loaded), default=0)
        fixed = sorted((s.address, s.address + s.file_size) for s in self.loaded if not s.flags & WRITE)
        starts = [start - start % PAGE for start, _ in fixed]
        for start in range(0, size - size % _RELA.size, _RELOCATIONS):
            block = self._read(section.offset + start, min(_RELOCATIONS, size - start), "relocations")
            for place, info, _ in _RELA.iter_unpack(block[: len(block) - len(block) % _RELA.size]):
                if not info & 0xFFFFFFFF:
                    continue
                if place + _WORD > end:
                    raise Malformed("a relocation lies outside of the image")
                for touched in {place // PAGE, (place + _WORD - 1) // PAGE}:
                    index = bisect_right(starts, touched * PAGE) - 1
                    if index >= 0 and touched * PAGE < fixed[index][1]:
                        yield touched

    def _dynamic(self) -> dict[int, int]:
        for segment in self.segments:
            if segment.kind == _DYNAMIC_SEGMENT:
                size = segment.file_size - segment.file_size % _DYNAMIC.size
                found: dict[int, int] = {}
                for tag, value in _DYNAMIC.iter_unpack(self._read(segment.offset, size, "dynamic section")):
                    if not tag:
                        break
                    found[tag] = value
                return found
        return {}

    def _sections(self, at: int, each: int, count: int, names: int) -> Iterator[Section]:
        rows = self._table(_SECTION, at, each, count, "section headers")
        text = b""
        if names < len(rows):
            text = self._read(rows[names][4], rows[names][5], "section names")
        for row in rows:
            name = text[row[0] : row[0] + 64].split(b"\0", 1)[0].decode("latin-1")
            yield Section(name, row[3], row[4], row[5])

    def _table(self, form: struct.Struct, at: int, each: int, count: int, what: str) -> list[tuple[int, ...]]:
        if not count:
            return []
        if each != form.size:
            raise Malformed(f"its {what} have {each} bytes each, not {form.size}")
        return list(form.iter_unpack(self._read(at, each * count, what)))

    def _read(self, offset: int, size: int, what: str) -> bytes:
        if offset + size > self._size:
            raise Malformed(f"the file ends before its {what}")
        return self._source.read(self._base + offset, size, original=True)


def has_section(source: Source, name: str) -> bool:
    """Whether a source is an ELF file with such a section; False for what cannot be read as one."""
    try:
        return Elf(source).section(name) is not None
    except Malformed:
        return False


def _secinfo(flags: int) -> int:
    """SECINFO's flags for a segment's (R 4, W 2, X 1)."""
    return REGULAR | (READ if flags & 4 else 0) | (WRITE if flags & 2 else 0) | (EXECUTE if flags & 1 else 0)
