"""What is in a file of SGX: told apart by content, measured, its signature checked, as one document."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Any

from workflows.core.failure import Missing
from workflows.core.text import clean
from workflows.sgx import elf, metadata, sdk, sgxs, sigstruct
from workflows.sgx.enclave import PAGE
from workflows.sgx.region import Region, permissions
from workflows.sgx.sigstruct import ATTRIBUTES, Sigstruct, flag_names
from workflows.sgx.source import Malformed, Source

_HEAD = 4096
_TEXT = 1 << 20  # a quote or a SIGSTRUCT in hex or base64 is shorter
_BLANK: dict[str, Any] = dict.fromkeys(("mrenclave", "sigstruct", "matches", "pages", "heap", "threads"))
_OTHERS = (
    "MRENCLAVE was not computed again: only the layout of Intel's SDK is known here. SCONE signs anew at start "
    "when heap or stack differ, so a signed value holds for the signed settings; SCONE_HASH=1 prints the one in force"
)
_OPEN_ENCLAVE = (
    "MRENCLAVE was not computed again: this is an enclave of the Open Enclave SDK, whose layout is not known here; "
    "what is shown is what its signer said"
)

Progress = Callable[[int, int], None]


class Unknown(Malformed):
    """The file is none of the things that are read here."""


@dataclass(frozen=True)
class Inspection:
    """The document of `creamtea measure` (without `v`), and whether nothing in it was found wrong."""

    document: dict[str, Any]
    sound: bool


def inspect(
    path: Path,
    *,
    layout: bool = False,
    signature: Path | None = None,
    collateral: Path | None = None,
    at: datetime | None = None,
    progress: Progress | None = None,
) -> Inspection:
    """A signed enclave, an SGXS stream, a SIGSTRUCT or a quote. Malformed, Missing or BadQuote otherwise.

    `layout` adds the map; `signature` is a SIGSTRUCT to compare a stream with; `collateral` and `at` are for
    quotes; `progress` gets how much is done of how much.
    """
    with Source.open(path) as source:
        head = source.read(0, min(_HEAD, source.size))
        if not _known(head, source.size) and source.size <= _TEXT:
            data = _unwrapped(source.read(0, source.size))
            if data is not None:
                with Source.of(data) as decoded:
                    return _inspect(decoded, data[:_HEAD], layout, signature, collateral, at, progress)
        return _inspect(source, head, layout, signature, collateral, at, progress)


def _known(head: bytes, size: int) -> bool:
    if head.startswith(elf.MAGIC) or sgxs.looks_like(head):
        return True
    if sigstruct.looks_like(head) and size >= sigstruct.SIZE:
        return True
    return _is_quote(head)


def _is_quote(head: bytes) -> bool:
    from workflows.sgx import quote_format  # enclaves do without

    return quote_format.looks_like(head)


def _unwrapped(data: bytes) -> bytes | None:
    """What is written in a text, when it is one of the things that are read here, or holds a quote."""
    from workflows.sgx import quote_format, wrapping

    return wrapping.unwrap(
        data, lambda inner: _known(inner[:_HEAD], len(inner)) or bool(quote_format.find(inner))
    )


def _inspect(
    source: Source,
    head: bytes,
    layout: bool,
    signature: Path | None,
    collateral: Path | None,
    at: datetime | None,
    progress: Progress | None,
) -> Inspection:
    now = at or datetime.now(timezone.utc)
    if sgxs.looks_like(head):
        return _stream(source, layout, signature, progress)
    trouble: Malformed | None = None
    if head.startswith(elf.MAGIC):
        try:
            plans = sdk.plans(source)
        except Malformed as failure:
            plans, trouble = [], failure
        if plans:
            return _enclave(source, plans, layout, signature, progress)
    if signature is not None:
        raise Missing(
            "nothing in this file is measured, so there is nothing to compare a SIGSTRUCT with",
            "leave --sigstruct out, or give an enclave or an SGXS stream",
        )
    if sigstruct.looks_like(head) and source.size == sigstruct.SIZE:
        return _signature(sigstruct.parse(source.read(0, source.size)), [])
    if not head.startswith(elf.MAGIC) and _is_quote(head):
        return _quote(source, 0, collateral, now)
    return _embedded(source, trouble, collateral, now)


def _enclave(
    source: Source, plans: list[sdk.Plan], layout: bool, given: Path | None, progress: Progress | None
) -> Inspection:
    measured: dict[tuple[object, ...], str | None] = {}
    blocks, warnings, faults = [], [], 0
    other = _given(given) if given is not None else None
    for plan in plans:
        signature = other or plan.signature
        if plan.recipe not in measured:
            measured[plan.recipe] = None if plan.too_large else plan.measure(source, progress)
        computed = measured[plan.recipe]
        matches = None if computed is None else computed == signature.mrenclave
        valid = signature.valid
        faults += not (matches and valid)
        blocks.append(
            {
                "version": "{}.{}".format(*plan.metadata.version),
                "mrenclave": computed,
                "sigstruct_mrenclave": signature.mrenclave,
                "matches": matches,
                "signature_valid": valid,
            }
        )
    first, signature = plans[0], other or plans[0].signature
    if first.too_large:
        warnings.append(
            f"MRENCLAVE was not computed: {first.stream >> 30:,} GiB would have to be hashed, "
            "and no known enclave is so large"
        )
    if len({block["mrenclave"] for block in blocks}) > 1:
        warnings.append(
            "its metadata blocks describe different enclaves: which one runs depends on the loader"
        )
    document = {
        "kind": "sdk",
        **_BLANK,
        "mrenclave": blocks[0]["mrenclave"],
        "sigstruct": _fields(signature),
        "matches": None if first.too_large else all(block["matches"] for block in blocks),
        "pages": {"added": first.added, "measured": first.measured},
        "heap": first.heap,
        "threads": first.threads,
        "warnings": [
            *_signer_warnings(signature),
            *_code_warnings(first.open_code, first.writable_code),
            *warnings,
        ],
        "size": first.size,
        "ssa_frame_size": first.ssa_frame_size,
        "stream": first.stream,
        "metadata": blocks,
    }
    if layout:
        document["map"] = _map(first.regions)
    return Inspection(document, not faults)


def _stream(source: Source, layout: bool, signature: Path | None, progress: Progress | None) -> Inspection:
    found = sgxs.read(source, progress)
    warnings = [f"the stream is not canonical: {odd}" for odd in found.odd]
    signed = _given(signature) if signature is not None else None
    if signed is not None:
        warnings = [*_signer_warnings(signed), *warnings]
    if found.unmeasured:
        warnings.append(f"{found.unmeasured:,} chunks are loaded and not measured (UNMEASRD)")
    document = {
        "kind": "sgxs",
        **_BLANK,
        "mrenclave": found.mrenclave,
        "sigstruct": _fields(signed) if signed else None,
        "matches": found.mrenclave == signed.mrenclave if signed else None,
        "pages": {"added": found.added, "measured": found.measured},
        "threads": found.threads,
        "warnings": [*warnings, *_code_warnings(found.open_code, found.writable_code)],
        "size": found.size,
        "ssa_frame_size": found.ssa_frame_size,
        "chunks": found.chunks,
        "stream": source.size,
    }
    if layout:
        document["map"] = _map(found.areas)
        if found.cut:
            document["warnings"].append(f"the map ends after {len(found.areas):,} areas; there are more")
    return Inspection(document, signed is None or (document["matches"] is True and signed.valid))


def _given(path: Path) -> Sigstruct:
    """The SIGSTRUCT in a file of its own."""
    with Source.open(path) as source:
        return sigstruct.parse(source.read(0, min(source.size, sigstruct.SIZE + 1)))


def _signature(found: Sigstruct, warnings: list[str]) -> Inspection:
    document = {
        "kind": "sigstruct",
        **_BLANK,
        "sigstruct": _fields(found),
        "warnings": [*_signer_warnings(found), *warnings],
    }
    return Inspection(document, found.valid)


def _embedded(
    source: Source, trouble: Malformed | None, collateral: Path | None, now: datetime
) -> Inspection:
    """A file of another kind: the SIGSTRUCT or the quote in it. `trouble`: what is wrong with it as an enclave."""
    found = list(islice(sigstruct.scan(source), 16))
    if trouble and (not found or any(metadata.holds(source, at) for at, _ in found)):
        raise trouble
    if not found:
        return _within(source, collateral, now)
    at, chosen = next((each for each in found if each[1].valid), found[0])
    warnings = [_OPEN_ENCLAVE if elf.has_section(source, ".oeinfo") else _OTHERS]
    if len(found) > 1:
        warnings.append(f"{len(found)} SIGSTRUCTs are in the file; this is the one at offset {at:,}")
    inspection = _signature(chosen, warnings)
    inspection.document["offset"] = at
    return inspection


def _within(source: Source, collateral: Path | None, now: datetime) -> Inspection:
    """The quote that something else holds: evidence of Open Enclave, a certificate, a message."""
    from workflows.sgx import quote_format

    places = quote_format.find(source.read(0, source.size)) if source.size <= _TEXT else []
    if not places:
        raise Unknown(
            "the file is empty"
            if not source.size
            else "it is no signed enclave, SGXS stream, SIGSTRUCT or quote, and no SIGSTRUCT is in it",
            "Give a .signed.so, a .sgxs, a .sig of 1,808 bytes, or a quote (binary, hex or base64).",
        )
    inspection = _quote(source, places[0], collateral, now)
    said = f"the quote is that at offset {places[0]:,} of the file; what stands around it was not looked at"
    if len(places) > 1:
        said = f"{len(places)} quotes are in the file; this is the one at offset {places[0]:,}"
    inspection.document["warnings"].append(said)
    inspection.document["offset"] = places[0]
    return inspection


def _quote(source: Source, at: int, collateral: Path | None, now: datetime) -> Inspection:
    from workflows.sgx import evidence  # X.509 is needed for quotes alone, and takes long to load

    if source.size > _TEXT:
        raise Malformed(f"a quote has some thousand bytes, this file {source.size:,}")
    document, sound = evidence.describe(source.read(at, source.size - at), collateral, now)
    return Inspection({"kind": "quote", **_BLANK, **document}, sound)


def _fields(found: Sigstruct) -> dict[str, Any]:
    checks = found.checks()
    return {
        "mrenclave": found.mrenclave,
        "mrsigner": found.mrsigner,
        "date": found.date,
        "vendor": found.vendor,
        "isvprodid": found.isv_prod_id,
        "isvsvn": found.isv_svn,
        "attributes": found.attributes.hex(),
        "attribute_names": flag_names(int.from_bytes(found.attributes[:8], "little"), ATTRIBUTES),
        "attribute_mask": found.attribute_mask.hex(),
        "debug": found.debug,
        "debug_allowed": found.debug_allowed,
        "misc_select": found.misc_select,
        "misc_mask": found.misc_mask,
        "isv_ext_prod_id": found.isv_ext_prod_id.hex(),
        "isv_family_id": found.isv_family_id.hex(),
        "swdefined": found.swdefined,
        "signature_valid": all(checks.values()),
        "checks": checks,
    }


def _signer_warnings(found: Sigstruct) -> list[str]:
    warnings = []
    if found.mrsigner in sigstruct.PUBLIC_KEYS:
        key = sigstruct.PUBLIC_KEYS[found.mrsigner]
        warnings.append(f"signed with {key}: anybody has that key, so MRSIGNER says nothing")
    if found.mrsigner in sigstruct.INTEL:
        warnings.append(f"signed by Intel: one of its own enclaves ({sigstruct.INTEL[found.mrsigner]})")
    if found.pre_production:
        warnings.append(
            "its header is that of a debug release (bit 31 of the type), which only processors before production "
            "take; Intel's launch enclave has its other SIGSTRUCT in le_prod_css.bin: give that with --sigstruct"
        )
    if found.debug:
        warnings.append("DEBUG is set: whoever runs the machine can read its memory, nothing is protected")
    elif found.debug_allowed:
        warnings.append("who starts it may set DEBUG (the mask allows it): check DEBUG in every quote")
    names = flag_names(int.from_bytes(found.attributes[:8], "little"), ATTRIBUTES)
    if "PROVISIONKEY" in names:
        warnings.append("it asks for the provisioning key, which tells machines apart")
    if "EINITTOKENKEY" in names:
        warnings.append("it asks for the launch key, with which it could let other enclaves start")
    if found.date is None:
        warnings.append("its date is none")
    return warnings


def _code_warnings(unmeasured: int, writable: int) -> list[str]:
    warnings = []
    if unmeasured:
        warnings.append(
            f"{unmeasured:,} executable pages are not measured: a loader can fill them with any code"
        )
    if writable:
        warnings.append(f"{writable:,} pages can be written and executed")
    return warnings


def _map(regions: Iterable[Region]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for region in regions:
        row = {
            "kind": clean(region.kind),
            "offset": region.offset,
            "size": region.pages * PAGE,
            "pages": region.pages,
            "flags": permissions(region.flags),
            "added": region.added,
            "measured": region.measured,
            "relocated": len(region.writable),
        }
        last = rows[-1] if rows else None
        same = ("kind", "flags", "added", "measured")
        if last and last["offset"] + last["size"] == row["offset"] and all(last[k] == row[k] for k in same):
            for key in ("size", "pages", "relocated"):
                last[key] += row[key]
        else:
            rows.append(row)
    return rows
