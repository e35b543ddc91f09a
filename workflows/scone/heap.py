"""Sizes the way SCONE writes them: plain bytes, or a number with K, M or G (powers of 1024)."""

from __future__ import annotations

import re

from workflows.core.failure import Missing

KIB, MIB, GIB = 2**10, 2**20, 2**30
SUFFIXES = {"": 1, "K": KIB, "M": MIB, "G": GIB}
DEFAULT = GIB  # what protect-fs.sh and sconify used; SCONE itself starts with 64 MiB
SMALLEST = MIB
LARGEST = 64 * GIB  # SCONE reserves 64 GB of address space for an enclave

_SIZE = re.compile(r"([0-9]{1,12})([KMG]?)")


def parse(text: str) -> int:
    """Bytes of `1G`, `512M`, `65536K` or `1073741824`; Missing when it is not such a size or out of range."""
    match = _SIZE.fullmatch(text.strip().upper())
    if match is None:
        raise Missing(
            f"{text!r} is not a size",
            "Write bytes, or a number with K, M or G: 1G, 512M.",
            name="invalid_heap",
        )
    count = int(match[1]) * SUFFIXES[match[2]]
    if not SMALLEST <= count <= LARGEST:
        raise Missing(
            f"a heap of {text} is outside 1M to 64G",
            "1G fits most apps; an enclave that asks for too much is killed without a message.",
            name="invalid_heap",
        )
    return count


def show(count: int) -> str:
    """The shortest exact spelling of a number of bytes: 1073741824 → `1G`; ValueError below zero."""
    if count < 0:
        raise ValueError(f"a size is not negative: {count}")
    for suffix in ("G", "M", "K"):
        if count and count % SUFFIXES[suffix] == 0:
            return f"{count // SUFFIXES[suffix]}{suffix}"
    return str(count)
