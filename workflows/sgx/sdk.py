"""Enclaves of Intel's SDK (.signed.so): MRENCLAVE computed again from the file, as the loader would load it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from workflows.sgx import metadata, records, sigstruct
from workflows.sgx.elf import Elf, Segment
from workflows.sgx.enclave import EXECUTE, PAGE, TCS, WRITE, pages
from workflows.sgx.metadata import Metadata
from workflows.sgx.region import Region
from workflows.sgx.sigstruct import Sigstruct
from workflows.sgx.source import Malformed, Patches, Source

LARGEST_STREAM = 16 << 30  # bytes hashed for one enclave: a heap of 1 TiB, or 12 GiB that are measured
_ADDED, _MEASURED = 64, 64 + 16 * 320  # bytes of the measured stream for a page


@dataclass(frozen=True)
class Plan:
    """What a loader does for one metadata block: `regions` in load order, `size` in bytes."""

    metadata: Metadata
    signature: Sigstruct
    size: int
    ssa_frame_size: int
    regions: tuple[Region, ...]
    patches: Patches

    @property
    def recipe(self) -> tuple[object, ...]:
        """Equal for plans with the same measurement."""
        added = (replace(region, kind="") for region in self.regions if region.added)
        return (self.size, self.ssa_frame_size, self.patches, *added)

    @property
    def added(self) -> int:
        """Pages."""
        return sum(region.pages for region in self.regions if region.added)

    @property
    def measured(self) -> int:
        """Pages whose content is measured."""
        return sum(region.pages for region in self.regions if region.measured)

    @property
    def stream(self) -> int:
        """Bytes that are hashed."""
        return 64 + self.added * _ADDED + self.measured * (_MEASURED - _ADDED)

    @property
    def too_large(self) -> bool:
        """Whether measuring it would take longer than anybody waits: the file of a mischief-maker."""
        return self.stream > LARGEST_STREAM

    @property
    def heap(self) -> int:
        """Bytes, as far as it may grow."""
        return PAGE * sum(region.pages for region in self.regions if region.kind.startswith("heap_"))

    @property
    def threads(self) -> int:
        """Thread control pages that are loaded."""
        return sum(region.pages for region in self.regions if region.added and region.flags == TCS)

    @property
    def open_code(self) -> int:
        """Executable pages that are loaded and not measured."""
        return sum(region.pages for region in self._code() if not region.measured)

    @property
    def writable_code(self) -> int:
        """Pages that can be written and executed."""
        return sum(region.pages if region.flags & WRITE else len(region.writable) for region in self._code())

    def _code(self) -> Iterator[Region]:
        return (region for region in self.regions if region.added and region.flags & EXECUTE)

    def measure(self, source: Source, progress: Callable[[int, int], None] | None = None) -> str:
        """MRENCLAVE, 64 hex digits; `progress` gets bytes of memory done, and all of them."""
        done, total = 0, self.added

        def count(some: int) -> None:
            nonlocal done
            done += some
            if progress is not None:
                progress(done * PAGE, total * PAGE)

        source.patches = self.patches
        return records.measure(self.size, self.ssa_frame_size, self.regions, source, count)


def plans(source: Source) -> list[Plan]:
    """One plan for each metadata block of an ELF file, none when it has no such section.

    Malformed for what no loader would take.
    """
    elf = Elf(source)
    return [_plan(source, elf, block) for block in metadata.read(source, elf)]


def _plan(source: Source, elf: Elf, block: Metadata) -> Plan:
    segments = elf.regions()
    extra = block.library()
    if extra is not None:
        at, address, size = extra
        segments += Elf(source, at, size).regions(address)
    regions = [
        replace(region, offset=region.offset + block.shift) if block.shift else region
        for region in (*_image(segments, block), *block.layout())
    ]
    _check(regions, block)
    return Plan(
        block,
        sigstruct.parse(block.signature),
        block.size,
        block.ssa_frame_size,
        tuple(regions),
        block.patches(source.size),
    )


def _image(segments: list[tuple[Segment, list[Region]]], block: Metadata) -> Iterator[Region]:
    last: Segment | None = None
    for segment, regions in segments:
        if last and block.oldest:
            yield from _behind(last, segment.address // PAGE * PAGE)
        if segment.address > (last.address if last else 0):
            last = segment
        yield from regions
    if last and block.oldest:
        yield from _behind(last, None)


def _behind(segment: Segment, following: int | None) -> Iterator[Region]:
    """The page that loaders of version 1.3 add where a segment's own size, rounded up, reaches into one more."""
    end = pages(segment.address + segment.memory_size) * PAGE
    reach = pages(pages(segment.memory_size) * PAGE + segment.address) * PAGE
    if end < reach and (following is None or end < following):
        yield Region("bss", end, 1, segment.flags, True, True)


def _check(regions: list[Region], block: Metadata) -> None:
    """All inside of the enclave, and none over another."""
    ranges = sorted((region.offset, region.end, region.kind) for region in regions if region.pages)
    before, name = block.shift, ""
    for start, end, kind in ranges:
        if start < before:
            raise Malformed(
                f"two areas of the enclave overlap: {kind} at {start:#x} and {name or 'its beginning'}"
            )
        before, name = end, f"{kind} that ends at {end:#x}"
    if before > block.shift + block.image_size:
        raise Malformed(
            f"the enclave has {pages(block.image_size):,} pages, and its {name} lies outside of them"
        )
