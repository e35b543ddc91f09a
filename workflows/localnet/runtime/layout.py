"""The pages of a stand-in enclave, and their MRENCLAVE.

In load order, every size rounded up to pages of 4096 bytes; "added" pages count with offset and flags,
"measured" pages with their content too:

    ECREATE   SSA frame of 1 page, size the next power of two
    settings  1 page, read-only, measured: the struct SETTINGS below
    code      zipapp, interpreter, the interpreter's own libraries, each from a new page: R-X, measured
    threads   SCONE_TCS times: stack RW added · guard page left out · TCS measured · 2 SSA pages RW added
    heap      RW added

A TCS page holds OSSA = the first SSA page, NSSA = 2, OENTRY = the first code page of the interpreter,
OFSBASE = OGSBASE = the last stack page (thread-local storage), limits 0xffffffff. So heap, stack, threads,
dlopen, fork and the version change the hash; the scripts that the interpreter runs do not, as with SCONE.
"""

import re
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from workflows.localnet.runtime.refusals import BadSetting
from workflows.sgx.enclave import CODE, DATA, PAGE, READ_ONLY, TCS, Enclave, next_power_of_two, pages

LAYOUT = 1
VERSION = "5.8.0"  # the generation of SCONE whose interface this runtime follows
LARGEST = 64 << 30  # SCONE reserves 64 GB of address space for an enclave
MOST_THREADS = 1024

SETTINGS = struct.Struct("<16sIIQQIIII32s")  # mark, layout, 0, heap, stack, threads, dlopen, fork, 0, version
MARK = b"SIMULATED SCONE"
_TCS = struct.Struct("<16xQIIQ8xQQII")  # from the start of the page: state, flags, OSSA, CSSA, NSSA, …
_SSA_FRAMES = 2
_SIZE = re.compile("([0-9]{1,12})([KMG]?)")
_SUFFIXES = {"": 0, "K": 10, "M": 20, "G": 30}


class Settings(NamedTuple):
    """What SCONE_* variables say about an enclave; heap and stack in bytes."""

    heap: int
    stack: int
    tcs: int
    dlopen: int
    fork: int
    version: str


def settings_from_env(env: "Mapping[str, str]") -> Settings:
    """Heap and stack in bytes, threads, dlopen 0–2, fork 0–1, from SCONE_* or its defaults. BadSetting."""
    settings = Settings(
        heap=_size(env, "SCONE_HEAP", 64 << 20),
        stack=_size(env, "SCONE_STACK", 2 << 20),
        tcs=_number(env, "SCONE_TCS", 8, range(1, MOST_THREADS + 1)),
        dlopen=_number(env, "SCONE_ALLOW_DLOPEN", 0, range(3)),
        fork=_number(env, "SCONE_FORK", 0, range(2)),
        version=VERSION,
    )
    if settings.tcs * settings.stack > LARGEST:
        raise BadSetting(f"SCONE_STACK times SCONE_TCS ({settings.tcs} threads) is more than 64G")
    return settings


def measure(settings: Settings, parts: "Sequence[bytes]") -> str:
    """MRENCLAVE, 64 hex digits, of [zipapp, interpreter, its libraries …] under these settings."""
    if len(parts) < 2:
        raise ValueError("the parts of an enclave are the zipapp, the interpreter and its libraries")
    stack, heap = pages(settings.stack), pages(settings.heap)
    thread = stack + 1 + 1 + _SSA_FRAMES
    code = sum(pages(len(part)) for part in parts)
    enclave = Enclave(next_power_of_two((1 + code + settings.tcs * thread + heap) * PAGE))
    page = SETTINGS.pack(
        MARK,
        LAYOUT,
        0,
        settings.heap,
        settings.stack,
        settings.tcs,
        settings.dlopen,
        settings.fork,
        0,
        settings.version.encode(),
    )
    offset = enclave.load(0, page, READ_ONLY)
    entry = offset + pages(len(parts[0])) * PAGE
    for part in parts:
        offset = enclave.load(offset, part, CODE)
    for _ in range(settings.tcs):
        top = enclave.add(offset, stack, DATA)
        tcs = top + PAGE  # the page between them is left out: a stack that overflows hits nothing
        local = top - PAGE
        content = _TCS.pack(tcs + PAGE, 0, _SSA_FRAMES, entry, local, local, 0xFFFFFFFF, 0xFFFFFFFF)
        offset = enclave.add(enclave.load(tcs, content, TCS), _SSA_FRAMES, DATA)
    enclave.add(offset, heap, DATA)
    return enclave.mrenclave()


def _size(env: "Mapping[str, str]", name: str, default: int) -> int:
    text = env.get(name, "")
    if not text:
        return default
    match = _SIZE.fullmatch(text)
    if match is None:
        raise BadSetting(f"{name}={text!r} is not a size: write bytes, or a number with K, M or G, as in 1G")
    size = int(match.group(1)) << _SUFFIXES[match.group(2)]
    if not PAGE <= size <= LARGEST:
        raise BadSetting(f"{name}={text} is outside of what an enclave can have: 4K to 64G")
    return size


def _number(env: "Mapping[str, str]", name: str, default: int, allowed: range) -> int:
    text = env.get(name, "")
    if not text:
        return default
    if not re.fullmatch("[0-9]{1,4}", text) or int(text) not in allowed:
        raise BadSetting(f"{name}={text!r} is not a number from {allowed[0]} to {allowed[-1]}")
    return int(text)
