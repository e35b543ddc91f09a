"""Stretches of an enclave's memory, as a loader adds them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from workflows.sgx.enclave import EXECUTE, PAGE, READ, TCS, WRITE
from workflows.sgx.source import Source

ZEROS = bytes(PAGE)


@dataclass(frozen=True)
class Stretch:
    """`size` bytes of a file from `offset`, beginning `lead` bytes into the first page."""

    offset: int
    size: int
    lead: int = 0

    def at(self, page: int) -> int:
        """Where in the file a page begins (before the stretch for a page with a lead)."""
        return self.offset - self.lead + page * PAGE

    @property
    def whole(self) -> range:
        """The pages all of whose bytes come from the file."""
        return range(1 if self.lead else 0, (self.lead + self.size) // PAGE)

    def page(self, page: int, source: Source) -> bytes:
        """One page, with zeros around what the file gives."""
        start = max(self.offset, self.at(page))
        end = min(self.offset + self.size, self.at(page + 1))
        return (bytes(start - self.at(page)) + source.read(start, end - start)).ljust(PAGE, b"\0")


@dataclass(frozen=True)
class Region:
    """Pages of one kind: `offset` in bytes from the enclave's base, `flags` of SECINFO.

    What is not `added` is only reserved. `content` is a stretch of the file or one page that is repeated;
    `writable` are the pages (counted from 0) that get W because a relocation is in them.
    """

    kind: str
    offset: int
    pages: int
    flags: int
    added: bool = True
    measured: bool = False
    content: Stretch | bytes = field(default=ZEROS, repr=False)
    writable: frozenset[int] = field(default=frozenset(), repr=False)

    @property
    def end(self) -> int:
        """The offset after its last page, in bytes."""
        return self.offset + self.pages * PAGE

    def writable_rows(self, first: int, rows: int) -> Iterator[int]:
        """Those of the pages `first` … that get W, counted from `first`."""
        if not self.writable:
            return iter(())
        return (row for row in range(rows) if first + row in self.writable)


def permissions(flags: int) -> str:
    """`R-X` or `TCS`, `---` for what is not accessible."""
    if flags & 0xFF00 == TCS:
        return "TCS"
    return "".join(
        letter if flags & bit else "-" for bit, letter in ((READ, "R"), (WRITE, "W"), (EXECUTE, "X"))
    )
