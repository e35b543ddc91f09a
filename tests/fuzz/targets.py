"""What is fuzzed: each target takes bytes, may refuse them with Failed in one line, and must do nothing else.

The tests run the same targets with hypothesis (`tests/sgx/test_fuzz.py`), `make fuzz` with atheris.
"""

from __future__ import annotations

import json
import os
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from workflows.commands.measure import Measure
from workflows.core.failure import Failed
from workflows.sgx.inspection import inspect


@dataclass(frozen=True)
class Target:
    """`one` is called with an input, `seeds` gives inputs to begin with."""

    one: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]


def measure(data: bytes) -> None:
    """`creamtea measure FILE` on any bytes: a document that can be shown, or one clear line."""
    handle, name = tempfile.mkstemp()
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        document = inspect(Path(name), layout=True).document
    except Failed as failure:
        if not failure.hint or not failure.message.isprintable():
            raise AssertionError(f"not one clear line: {failure.message!r}") from failure
        return
    finally:
        Path(name).unlink()
    json.dumps(document)
    if not all(line.isprintable() for line in Measure().lines(document)):
        raise AssertionError("a line that a terminal would act on")


def enclaves() -> Iterator[bytes]:
    from tests.sgx.enclaves import ADD, HEAP, Entry, Group, Plan, build, thread

    yield build(Plan()).file
    layout = [Entry(HEAP, 9, ADD), *thread(), Group(7, 2), Entry(99, 2, content=b"c" * 5000)]
    yield build(Plan(layout=layout, patches=[(0x1010, b"patch")], relocations=[0x10])).file
    yield build(Plan(version=(11, 5), elrange=(0x200000, 0, 0x400000))).file
    yield build(Plan(version=(3, 3), more_versions=[(1, 5)])).file
    yield build(Plan(version=(1, 3))).file


def streams() -> Iterator[bytes]:
    from tests.sgx.enclaves import ecreate, page_records, record

    whole = ecreate(1 << 20) + page_records(0, 0x205, b"c" * 4096) + page_records(4096, 0x100, bytes(4096))
    yield whole + b"".join(page_records(at * 4096, 0x203, None) for at in range(2, 9))
    yield whole + record(b"UNMEASRD", 4096) + bytes(256)


def sigstructs() -> Iterator[bytes]:
    from tests.sgx.enclaves import sigstruct

    yield sigstruct(bytes(32))
    yield sigstruct(bytes(32)).hex().encode()


def quotes() -> Iterator[bytes]:
    from tests.sgx.quotes import BODY, Platform

    platform = Platform()
    yield platform.quote(body=BODY.pack())
    yield platform.quote(4, 0x81, bytes(584))
    yield platform.quote(5, 0x81, bytes(648))
    yield struct.pack("<HH44x", 2, 1) + BODY.pack() + struct.pack("<I", 8) + bytes(8)


TARGETS = {
    "enclaves": Target(measure, enclaves),
    "streams": Target(measure, streams),
    "sigstructs": Target(measure, sigstructs),
    "quotes": Target(measure, quotes),
}
