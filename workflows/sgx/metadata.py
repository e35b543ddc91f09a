"""What Intel's signing tool leaves in an enclave: settings, signature, patches and the layout of memory.

Source: `metadata_t` and its tables (common/inc/internal/metadata.h of Intel's SDK) and what its loader
(psw/urts/loader.cpp) refuses. Versions 1.x are for processors without dynamic memory, 2.x and 3.x for those
with it; ten more in the major number means that the address range is larger than the enclave (ELRANGE).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from workflows.sgx import sigstruct
from workflows.sgx.elf import Elf
from workflows.sgx.enclave import PAGE, TCS
from workflows.sgx.region import ZEROS, Region
from workflows.sgx.source import Malformed, Patches, Source

MAGIC = bytes.fromhex("4c0e5d639402a886")
SECTION = ".note.sgxmeta"
_FIXED = struct.Struct(f"<8sQIIIIIIQ16s{sigstruct.SIZE}s8I")
_SIGNATURE_AT = 64
_SHORT = _FIXED.size - 16  # the oldest versions have two directories instead of four
_ENTRY = struct.Struct("<HHIQIIQ")
_GROUP = struct.Struct("<HHIQ16x")
_PATCH = struct.Struct("<QII16x")
_RANGE = struct.Struct("<QQQ")
_EXTENSION = struct.Struct("<IIIxxxx")
_LIBRARY = struct.Struct("<QQQQ")
_TCS = struct.Struct("<16xQ24xQQ")  # where OSSA, OFSBASE and OGSBASE are
_EADD, _EEXTEND, _DYNAMIC_THREAD = 0x1, 0x2, 0x20
_IS_GROUP = 0x1000
_SHARED_OBJECT = 0x1002
_EXTERNAL_FLAGS = 0xFF07
_LARGEST_BLOCK = 1 << 16  # Intel's tool leaves 24 KiB
_MOST_REGIONS = 1 << 16
_PATCH_DIR, _LAYOUT_DIR, _RANGE_DIR, _EXTEND_DIR = range(4)

KINDS = {
    1: "heap_min", 2: "heap_init", 3: "heap_max", 4: "tcs", 5: "thread_data", 6: "ssa", 7: "stack_max",
    8: "stack_min", 10: "guard", 11: "heap_dyn_min", 12: "heap_dyn_init", 13: "heap_dyn_max", 14: "tcs_dyn",
    15: "thread_data_dyn", 16: "ssa_dyn", 17: "stack_dyn_max", 18: "stack_dyn_min", 20: "reserved_min",
    21: "reserved_init", 22: "reserved_max", 23: "user_region",
}  # fmt: skip


@dataclass(frozen=True)
class Metadata:
    """One metadata block; `at` is where it begins in the file, `data` all its bytes."""

    at: int
    data: bytes
    version: tuple[int, int]
    ssa_frame_size: int
    image_size: int
    signature: bytes
    directories: tuple[tuple[int, int], ...]

    @property
    def size(self) -> int:
        """Bytes of address space, as ECREATE measures it."""
        return self._range[0] if self._range else self.image_size

    @property
    def shift(self) -> int:
        """Where the image begins in that address space."""
        return self._range[1] if self._range else 0

    @property
    def oldest(self) -> bool:
        """Version 1.3, whose loader adds one more page behind some segments."""
        return self.version == (1, 3)

    @cached_property
    def _range(self) -> tuple[int, int] | None:
        if self.version[0] <= 10:
            return None
        raw = self._slice(*self.directories[_RANGE_DIR], "address range")
        if len(raw) != _RANGE.size:
            raise Malformed("its address range has a wrong size")
        image, start, size = _RANGE.unpack(raw)
        sound = not (size & (size - 1) or start % max(size, 1) or image % PAGE)
        if not sound or not start <= image or image + self.image_size > start + size:
            raise Malformed("its address range does not hold the enclave")
        return size, image - start

    def patches(self, file_size: int) -> Patches:
        """What the loader writes over the file before it loads it, in order."""
        found = []
        for target, origin, size in self._table(_PATCH, _PATCH_DIR, "patch table"):
            if target + size > min(file_size, self.image_size):
                raise Malformed(f"a patch changes {size:,} bytes at {target:#x}, outside of the file")
            found.append((target, self._slice(origin, size, "patch")))
        return tuple(found)

    def library(self) -> tuple[int, int, int] | None:
        """A further library in the same file: its offset, its address, its size."""
        directory, size = self.directories[_EXTEND_DIR]
        # Old blocks of the same version have other things where this directory is now.
        if not self._extensible or size % _EXTENSION.size or directory + size > len(self.data):
            return None
        for kind, length, offset in self._table(_EXTENSION, _EXTEND_DIR, "extensions"):
            if kind == _SHARED_OBJECT and offset and length:
                at, address, total, _ = _LIBRARY.unpack(self._slice(offset, _LIBRARY.size, "extension"))
                return at, address, total
        return None

    def layout(self) -> list[Region]:
        """The areas behind the image, in load order, groups unrolled."""
        regions: list[Region] = []
        rows = self._table(_ENTRY, _LAYOUT_DIR, "layout table", whole=True)
        for number, row in enumerate(rows):
            if not row[0] & _IS_GROUP:
                regions += self._entry(row, 0)
                continue
            _, count, times, step = _GROUP.unpack(_ENTRY.pack(*row))
            members = rows[number - count : number] if count <= number else []
            if (count and not members) or any(member[0] & _IS_GROUP for member in members):
                raise Malformed(
                    "a group of its layout repeats what is no entry; Intel's loader refuses that too"
                )
            if not any(member[2] for member in members):
                continue
            if step * times > self.image_size or (not step and times):
                raise Malformed(
                    f"a group of its layout is repeated {times:,} times: more than the enclave holds"
                )
            if len(regions) + times * count > _MOST_REGIONS:
                raise Malformed(f"its layout has more than {_MOST_REGIONS:,} areas: no enclave has that")
            for turn in range(1, times + 1):
                for member in members:
                    regions += self._entry(member, turn * step)
        return regions

    def _entry(self, row: tuple[int, ...], delta: int) -> Iterator[Region]:
        number, attributes, count, rva, size, offset, flags = row
        kind, start = KINDS.get(number, f"area_{number}"), rva + delta
        added, measured = bool(attributes & _EADD), attributes & (_EADD | _EEXTEND) == _EADD | _EEXTEND
        if start % PAGE or start + count * PAGE > self.image_size:
            raise Malformed(
                f"an area of its layout ({kind} at {start:#x}, {count:,} pages) lies outside of the enclave"
            )
        if flags & ~_EXTERNAL_FLAGS and added:
            raise Malformed(
                f"an area of its layout ({kind} at {start:#x}) has flags {flags:#x} that no page has"
            )
        if not count:
            return
        content = self._slice(offset, size, "content of an area") if offset else b""
        if not added or not (flags or offset):
            yield Region(kind, start, count, flags, False)
            return
        page = ZEROS
        if offset:
            content = self._slice(offset, size, "content of an area")
            if flags != TCS:
                yield from _filled(kind, start, count, flags, content)
                return
            page = _thread(content, start)
        elif size:
            page = struct.pack("<I", size) * (PAGE // 4)
        yield Region(kind, start, count, flags, True, measured, page)

    @property
    def _extensible(self) -> bool:
        major, minor = self.version[0] % 10, self.version[1]
        return not (major == 2 or (major == 1 and minor < 5) or (major == 3 and minor < 2))

    def _table(
        self, form: struct.Struct, directory: int, what: str, whole: bool = False
    ) -> list[tuple[int, ...]]:
        offset, size = self.directories[directory]
        if size % form.size:
            raise Malformed(f"its {what} has {size} bytes, no multiple of {form.size}")
        return list(form.iter_unpack(self._slice(offset, size, what)))

    def _slice(self, offset: int, size: int, what: str) -> bytes:
        if offset + size > len(self.data):
            raise Malformed(f"its {what} lies outside of the metadata")
        return self.data[offset : offset + size]


def read(source: Source, elf: Elf) -> list[Metadata]:
    """The metadata blocks of a signed enclave, first the one for the newest loader; none when there is no section.

    Malformed when the section is there and holds nothing that a loader would take.
    """
    section = elf.section(SECTION)
    if section is None:
        return []
    if section.size > _LARGEST_BLOCK:
        raise Malformed(f"its metadata section has {section.size:,} bytes: Intel's tool leaves 24 KiB")
    block = source.read(section.offset, section.size, original=True)
    at = block.find(MAGIC, 0, 64)
    if at < 0:
        raise Malformed(
            "the enclave is not signed yet: its metadata section is empty",
            "Sign it (sgx_sign sign -enclave … -key … -out …), then measure the signed file.",
        )
    found: list[Metadata] = []
    while block[at : at + len(MAGIC)] == MAGIC:
        size = int.from_bytes(block[at + 16 : at + 20], "little")
        if size < _SHORT or at + size > len(block):
            raise Malformed(f"a metadata block says that it has {size:,} bytes")
        found.append(_metadata(section.offset + at, block[at : at + size]))
        at += size
    return found


def holds(source: Source, at: int) -> bool:
    """Whether the SIGSTRUCT at this offset is that of a metadata block."""
    start = at - _SIGNATURE_AT
    return start >= 0 and source.read(start, len(MAGIC), original=True) == MAGIC


def _metadata(at: int, data: bytes) -> Metadata:
    _, version, _, _, ssa, _, _, _, size, _, css, *directories = _FIXED.unpack_from(
        data.ljust(_FIXED.size, b"\0")
    )
    numbers = (version >> 32, version & 0xFFFFFFFF)
    if size & (size - 1) or size < 2 * PAGE:
        raise Malformed(f"its metadata gives an enclave of {size:,} bytes, which is no power of two")
    if not 1 <= ssa <= 64:
        raise Malformed(f"its metadata gives an SSA frame of {ssa:,} pages")
    pairs = tuple(zip(directories[::2], directories[1::2], strict=True))
    return Metadata(at, data, numbers, ssa, size, css, pairs)


def _filled(kind: str, start: int, count: int, flags: int, content: bytes) -> Iterator[Region]:
    """An area with content, which the loader treats like a segment: measured, whatever its entry says."""
    if len(content) > count * PAGE:
        raise Malformed("the content of an area is larger than the area")
    for at in range(0, len(content), PAGE):
        yield Region(kind, start + at, 1, flags, True, True, content[at : at + PAGE].ljust(PAGE, b"\0"))
    rest = count - -(-len(content) // PAGE)
    if rest:
        yield Region(kind, start + (count - rest) * PAGE, rest, flags, True, True)


def _thread(content: bytes, address: int) -> bytes:
    """A TCS page: its addresses become relative to the enclave's base."""
    page = bytearray(content.ljust(PAGE, b"\0"))
    if len(page) != PAGE:
        raise Malformed("the content of a thread's control page is larger than a page")
    ossa, ofs, ogs = (value + address & 0xFFFFFFFFFFFFFFFF for value in _TCS.unpack_from(page))
    struct.pack_into("<Q", page, 16, ossa)
    struct.pack_into("<QQ", page, 48, ofs, ogs)
    return bytes(page)
