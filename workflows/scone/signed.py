"""A signed enclave, SGXS stream, SIGSTRUCT or quote as a measurement record, so that it can be compared."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workflows.core.events import now
from workflows.core.failure import Failed
from workflows.scone.fingerprint import Fingerprint
from workflows.scone.record import Area, Record
from workflows.sgx import elf, sdk
from workflows.sgx.enclave import PAGE
from workflows.sgx.inspection import inspect
from workflows.sgx.region import Region, Stretch, permissions
from workflows.sgx.source import Source

_MOST_AREAS = 2000


def read(path: Path) -> Record:
    """The record of a file of SGX: computed MRENCLAVE, else the signed one. Malformed when it is no such file."""
    document = inspect(path, layout=True).document
    said: dict[str, Any] = document["quote"] if document["kind"] == "quote" else document["sigstruct"] or {}
    mrenclave = document["mrenclave"] or said.get("mrenclave")
    if mrenclave is None:
        raise Failed(
            "a quote of a TDX machine has no MRENCLAVE", "compare enclaves of SGX", name="no_mrenclave"
        )
    areas: dict[str, Area] | None = None  # a SIGSTRUCT and a quote say nothing of it
    if document["kind"] == "sdk":
        areas = dict(_areas(path))
    elif "map" in document:
        areas = _rows(document["map"])
    stacks = [area.pages for name, area in (areas or {}).items() if name in ("stack_max", "stack_min")]
    product = {name: said[name] for name in ("isvprodid", "isvsvn") if name in said}
    return Record(
        name=f"{document['kind']} {path.name}",
        at=now(),
        fingerprint=Fingerprint(None, None, mrenclave, heap=document["heap"] or None),
        simulated=document.get("simulated"),
        stack=sum(stacks) * PAGE or None,
        threads=document["threads"],
        signer=said.get("mrsigner"),
        product=" ".join(f"{name.upper()} {value}" for name, value in product.items()) or None,
        debug=said.get("debug"),
        layout=areas,
    )


def _areas(path: Path) -> Iterator[tuple[str, Area]]:
    """The areas of an enclave of Intel's SDK, with the hashes of what the file gives them."""
    with Source.open(path) as source:
        if source.read(0, len(elf.MAGIC)) != elf.MAGIC:
            return
        counts: dict[str, int] = {}
        for region in sdk.plans(source)[0].regions[:_MOST_AREAS]:
            counts[region.kind] = number = counts.get(region.kind, 0) + 1
            name = region.kind if number == 1 else f"{region.kind} {number}"
            content = tuple(_pages(region, source)) if region.measured else ()
            yield name, Area(region.offset, region.pages, permissions(region.flags), region.measured, content)


def _pages(region: Region, source: Source) -> Iterator[str]:
    if isinstance(region.content, Stretch):
        for page in range(region.pages):
            yield hashlib.sha256(region.content.page(page, source)).hexdigest()[:8]
    else:
        yield hashlib.sha256(region.content).hexdigest()[:8]


def _rows(rows: list[dict[str, Any]]) -> dict[str, Area]:
    found: dict[str, Area] = {}
    for row in rows[:_MOST_AREAS]:
        name = f"{row['kind']} {sum(one.startswith(row['kind']) for one in found) + 1}"
        found[name] = Area(row["offset"], row["pages"], row["flags"], bool(row["measured"]))
    return found
