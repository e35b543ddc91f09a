"""Signed enclaves measured again: every kind of layout entry, group, patch, relocation and fill."""

import dataclasses
import json
import struct
import tempfile
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sgx import enclaves
from tests.sgx.enclaves import (
    ADD,
    EXTEND,
    GUARD,
    HEAP,
    PAGE,
    POST_ADD,
    REG,
    RESERVED,
    STACK,
    TCS,
    TCS_ID,
    USER,
    Built,
    Entry,
    Group,
    Plan,
    R,
    Segment,
    W,
    X,
    build,
    sigstruct,
    thread,
)
from workflows.cli import main
from workflows.core.failure import Failed
from workflows.sgx.inspection import Inspection, inspect
from workflows.sgx.metadata import KINDS

TCS_CONTENT = bytes(16) + struct.pack("<QIIQQQQII", 0x1000, 0, 2, 0x400, 0, 0x3000, 0x4000, 1, 1)
FEATURES = {
    "segments only": Plan(),
    "heap": Plan(layout=[Entry(HEAP, 1000, ADD)]),
    "heap in three parts": Plan(layout=[Entry(1, 5, ADD), Entry(2, 3, ADD | 24), Entry(3, 9, POST_ADD)]),
    "one thread": Plan(layout=thread()),
    "threads in a group": Plan(layout=[Entry(HEAP, 4, ADD), *thread(), Group(7, 5)]),
    "two groups": Plan(layout=[*thread(), Group(7, 2), *thread(5), Group(7, 3)]),
    "a group of one": Plan(layout=[Entry(STACK, 3, fill=1), Group(1, 300)]),
    "a group that is never loaded": Plan(layout=[*thread(), Group(7, 0)]),
    "removed again": Plan(layout=[Entry(STACK, 3, ADD | EXTEND | 4, fill=0xCCCCCCCC)]),
    "guards": Plan(layout=[Entry(GUARD, 16, 0, 0), Entry(HEAP, 1, ADD), Entry(GUARD, 16, ADD, 0)]),
    "reserved and executable": Plan(layout=[Entry(RESERVED, 8, ADD, REG | R | W | X)]),
    "added later": Plan(layout=[Entry(USER, 64, POST_ADD), Entry(14, 1, POST_ADD | 32, TCS, TCS_CONTENT)]),
    "content": Plan(layout=[Entry(23, 3, ADD, REG | R, b"content" * 800), Entry(99, 1, content=b"x" * PAGE)]),
    "a TCS that is not measured": Plan(layout=[Entry(TCS_ID, 1, ADD, TCS, TCS_CONTENT)]),
    "a TCS without content": Plan(layout=[Entry(TCS_ID, 2, ADD | EXTEND, TCS)]),
    "addresses that wrap": Plan(layout=[Entry(TCS_ID, 1, content=bytes(16) + b"\xff" * 56, flags=TCS)]),
    "patches": Plan(patches=[(0x1000, b"first"), (0x1003, b"over the first"), (0x1FF0, b"p" * 40), (0x1FF8, b"")]),
    "a patch in data": Plan(patches=[(0x3100 + 8, b"patched")]),
    "relocated code": Plan(relocations=[0, 0x10, 0xFFC, 0x3104]),
    "relocations without TEXTREL": Plan(relocations=[0x10], textrel=False),
    "an unaligned segment": Plan(segments=[Segment(0x0, b"c" * 20000, 5), Segment(0x5FFF, b"d" * 9000, 6, 30000)]),
    "only zeros": Plan(segments=[Segment(0, b"c", 5), Segment(0x1800, b"", 6, 0x1900)]),
    "segments of whole pages": Plan(segments=[Segment(0, b"a" * 8192, 4), Segment(0x2000, b"b" * 8192, 5, 8192)]),
    "write, read, execute": Plan(segments=[Segment(0, b"a" * 5000, 7)]),
    "larger frames": Plan(ssa=4),
    "version 2.4": Plan(version=(2, 4), layout=thread()),
    "version 3.3": Plan(version=(3, 3), layout=thread()),
    "version 1.3": Plan(
        version=(1, 3),
        segments=[Segment(0, b"a" * 99, 5), Segment(0x1F00, b"b" * 0x80, 6), Segment(0x4F80, b"c" * 4000, 6)],
    ),
    "an address range": Plan(version=(11, 5), elrange=(0x200000, 0, 0x400000), layout=thread()),
    "blocks for two loaders": Plan(version=(3, 3), more_versions=[(1, 5)], layout=[*thread(), Group(7, 2)]),
}  # fmt: skip


def measured(built: Built, **options: object) -> Inspection:
    with tempfile.TemporaryDirectory() as folder:
        return inspect(built.write(Path(folder, "enclave.signed.so")), **options)


def refused(built: Built, file: bytes | None = None) -> Failed:
    with pytest.raises(Failed) as caught:
        measured(dataclasses.replace(built, file=built.file if file is None else file))
    assert caught.value.hint
    assert "\n" not in caught.value.message
    return caught.value


@pytest.mark.parametrize("name", FEATURES)
def test_it_measures_what_the_manuals_say(name: str) -> None:
    built = build(FEATURES[name])
    found = measured(built)
    document = found.document
    assert document["mrenclave"] == built.mrenclave
    assert document["sigstruct"]["mrenclave"] == built.mrenclave
    assert document["pages"] == {"added": built.added, "measured": built.measured}
    assert document["stream"] == len(built.stream)
    assert document["matches"] is True
    assert found.sound


entries = st.builds(
    Entry,
    id=st.sampled_from(sorted(KINDS)),
    pages=st.integers(0, 9),
    attributes=st.integers(0, 63),
    flags=st.sampled_from([0, REG | R, REG | R | W, REG | R | W | X]),
    fill=st.sampled_from([0, 0xCCCCCCCC, 1]),
)
threads = st.builds(
    Entry,
    id=st.just(TCS_ID),
    pages=st.integers(1, 2),
    attributes=st.integers(0, 7),
    flags=st.just(TCS),
    content=st.binary(min_size=1, max_size=72),
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    segments, address = [], 0
    for _ in range(draw(st.integers(1, 3))):
        address += draw(st.integers(0, 5000))
        data = draw(st.binary(max_size=300)) * draw(st.integers(0, 40))
        segments.append(
            Segment(address, data, draw(st.integers(1, 7)), len(data) + draw(st.integers(0, 9000)))
        )
        address = -(-(address + max(1, segments[-1].size)) // PAGE) * PAGE
    layout = draw(st.lists(st.one_of(entries, threads), max_size=6))
    if layout and draw(st.booleans()):
        layout.append(Group(draw(st.integers(1, len(layout))), draw(st.integers(0, 4))))
        layout += draw(st.lists(entries, max_size=2))
    top = sum(len(segment.data) for segment in segments)
    patches = draw(st.lists(st.tuples(st.integers(PAGE, PAGE + top), st.binary(max_size=40)), max_size=3))
    plan = Plan(segments, layout, patches if top else [], ssa=draw(st.integers(1, 4)))
    if top and draw(st.booleans()):
        images = [segment for segment in segments if len(segment.data) > 8]
        for segment in draw(st.lists(st.sampled_from(images), max_size=4)) if images else []:
            plan.relocations.append(segment.address + draw(st.integers(0, len(segment.data) - 8)))
    return plan


@given(plans())
@settings(max_examples=60)
def test_any_layout_measures_to_what_was_signed(plan: Plan) -> None:
    built = build(plan)
    document = measured(built).document
    assert document["mrenclave"] == built.mrenclave
    assert document["pages"] == {"added": built.added, "measured": built.measured}


def test_many_pages_from_the_file_with_patches_in_several_batches() -> None:
    code = b"".join(struct.pack("<I", number) for number in range(1024 * 700))
    plan = Plan(
        segments=[Segment(0, b"x" * 64, 4), Segment(0x1234, code[:-77], 5)],
        patches=[(0x1234 + at, b"PATCH") for at in (0, 4094, 1 << 20, (1 << 20) - 0x236, 2_500_000)],
        relocations=[0x1234 + at for at in range(0, 2_000_000, 70_001)],
        layout=[Entry(STACK, 700, fill=0xCCCCCCCC), Entry(STACK, 1, fill=7)],
    )
    built = build(plan)
    document = measured(built, layout=True).document
    assert document["mrenclave"] == built.mrenclave
    code_row = next(row for row in document["map"] if row["kind"] == "code")
    assert code_row["relocated"] == 29


@pytest.mark.parametrize("what", ["code", "heap", "fill", "patch", "content"])
def test_what_was_changed_after_signing_differs(what: str) -> None:
    plan = Plan(
        layout=[Entry(HEAP, 8, ADD), Entry(STACK, 2, fill=0xCCCCCCCC), Entry(99, 1, content=b"content")],
        patches=[(0x1010, b"patched")],
    )
    built = build(plan)
    file = bytearray(built.file)
    places = {
        "code": PAGE + 77,
        "heap": built.layout_at + 2,
        "fill": built.layout_at + 32 + 16,
        "patch": built.file.index(b"patched", built.meta),
        "content": built.file.index(b"content", built.meta),
    }
    file[places[what]] ^= 2
    found = measured(dataclasses.replace(built, file=bytes(file)))
    assert found.document["matches"] is False
    assert found.document["mrenclave"] != built.mrenclave == found.document["sigstruct"]["mrenclave"]
    assert found.document["sigstruct"]["signature_valid"] is True
    assert not found.sound


def test_blocks_that_describe_different_enclaves_are_told() -> None:
    built = build(FEATURES["blocks for two loaders"])
    file = bytearray(built.file)
    second = built.file.index(built.file[built.meta : built.meta + 8], built.meta + 8)
    size = int.from_bytes(file[built.meta + 16 : built.meta + 20], "little")
    assert second == built.meta + size
    file[second + (built.layout_at - built.meta) + 32 + 2] ^= 2  # the stack's content is not measured
    found = measured(dataclasses.replace(built, file=bytes(file)))
    assert [block["matches"] for block in found.document["metadata"]] == [True, False]
    assert found.document["matches"] is False
    assert any("different enclaves" in warning for warning in found.document["warnings"])


def test_the_map_says_what_is_where() -> None:
    plan = Plan(layout=[Entry(1, 30, ADD), Entry(3, 10, POST_ADD), *thread(), Group(7, 2)], relocations=[8])
    document = measured(build(plan), layout=True).document
    assert document["heap"] == 40 * PAGE
    assert document["threads"] == 3
    rows = document["map"]
    assert [row["kind"] for row in rows[:6]] == ["code", "data", "bss", "heap_min", "heap_max", "guard"]
    assert rows[0] == {
        "kind": "code", "offset": 0, "size": 2 * PAGE, "pages": 2, "flags": "R-X", "added": True, "measured": True,
        "relocated": 1,
    }  # fmt: skip
    assert rows[3]["flags"] == "RW-"
    assert not rows[3]["measured"]
    assert not rows[4]["added"]
    assert sum(row["pages"] for row in rows if row["flags"] == "TCS") == 3
    assert all(one["offset"] + one["size"] <= two["offset"] for one, two in pairwise(rows))
    assert any("written and executed" in warning for warning in document["warnings"])


def test_code_that_is_not_measured_is_told() -> None:
    document = measured(build(FEATURES["reserved and executable"])).document
    assert any("executable pages are not measured" in warning for warning in document["warnings"])


def test_memory_does_not_grow_with_the_heap() -> None:
    peaks = []
    for heap in (1 << 14, 1 << 19):  # 64 MiB and 2 GiB
        plan = Plan(layout=[Entry(HEAP, heap, ADD), Entry(STACK, 600, fill=0xCCCCCCCC)])
        plan.size = 1 << 33
        built = build(Plan(layout=[]))
        file = header_of(plan, built)
        tracemalloc.start()
        found = measured(dataclasses.replace(built, file=file))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found.document["heap"] == heap * PAGE
    assert peaks[1] < 16 << 20
    assert peaks[1] < peaks[0] + (4 << 20)  # the records of the heap's pages are 33 MiB


def header_of(plan: Plan, small: Built) -> bytes:
    """The file of a plan whose stream is too long to be written down; its signature says something else."""
    enclaves.place(plan)
    block, _, _ = enclaves.metadata(plan, plan.version, bytes(32))
    return small.file[: small.meta] + block + small.file[small.meta + len(block) :]


def test_an_unsigned_enclave_says_so() -> None:
    built = build(Plan())
    size = len(built.file)
    file = built.file[: built.meta] + bytes(0x5000) + built.file[built.meta + 0x5000 : size]
    assert "not signed" in refused(built, file).message


def altered(built: Built, at: int, form: str, value: int) -> bytes:
    data = struct.pack(form, value)
    return built.file[:at] + data + built.file[at + len(data) :]


HOSTILE = Plan(
    layout=[Entry(HEAP, 8, ADD), Entry(STACK, 2, fill=1), Group(1, 2), Entry(99, 2, content=b"c" * 5000)],
    patches=[(0x1010, b"patched")],
)
LAYOUT = [
    (4, "<I", 0xFFFFFFFF),  # pages of the heap
    (8, "<Q", 0xFFFFFFFFFFFFF000),  # its address
    (8, "<Q", 0x10001),  # an address inside of a page
    (8, "<Q", 0),  # over the code
    (24, "<Q", 0x1000000000000203),  # flags that no page has
    (64 + 2, "<H", 3),  # a group of more entries than there are
    (64 + 2, "<H", 0xFFFF),
    (64 + 4, "<I", 0xFFFFFFFF),  # its repetitions
    (64 + 8, "<Q", 0),  # its step
    (64 + 8, "<Q", 0xFFFFFFFFFFFFF000),
    (64 + 8, "<Q", 0x1000 - 1),
    (32, "<H", 0x1000),  # a group in a group
    (96 + 16, "<I", 0xFFFFFFFF),  # size of a content
    (96 + 16, "<I", 9000),
    (96 + 20, "<I", 0xFFFFFF00),  # where it is
]


@pytest.mark.parametrize(("at", "form", "value"), LAYOUT)
def test_a_hostile_layout_is_refused(at: int, form: str, value: int) -> None:
    built = build(HOSTILE)
    refused(built, altered(built, built.layout_at + at, form, value))


@pytest.mark.parametrize(
    ("at", "form", "value"),
    [(0, "<Q", 1 << 40), (0, "<Q", (1 << 64) - 1), (0, "<Q", 0x7FFFFFFF), (8, "<I", 0xFFFFFFF0), (12, "<I", 1 << 31)],
)  # fmt: skip
def test_a_hostile_patch_is_refused(at: int, form: str, value: int) -> None:
    built = build(HOSTILE)
    refused(built, altered(built, built.patches_at + at, form, value))


@pytest.mark.parametrize(
    ("at", "form", "value"),
    [
        (16, "<I", 0),  # size of the block
        (16, "<I", 0xFFFFFFFF),
        (24, "<I", 0),  # SSA frame
        (24, "<I", 1 << 30),
        (40, "<Q", 0),  # size of the enclave
        (40, "<Q", 4096),
        (40, "<Q", (1 << 63) + 1),
        (1872, "<I", 0xFFFFFFFF),  # patch table
        (1876, "<I", 33),
        (1880, "<I", 0xFFFFFFFF),  # layout table
        (1884, "<I", 0xFFFFFFE0),
    ],
)
def test_hostile_metadata_is_refused(at: int, form: str, value: int) -> None:
    built = build(HOSTILE)
    refused(built, altered(built, built.meta + at, form, value))


def test_an_enclave_that_would_take_for_ever_is_not_measured() -> None:
    """What its signer said is shown all the same."""
    built = build(Plan(size=1 << 62))
    at = built.file.index(struct.pack("<Q", 9000), 64)  # memory size of the second segment
    found = measured(dataclasses.replace(built, file=altered(built, at, "<Q", 1 << 50)))
    document = found.document
    assert not found.sound
    assert document["mrenclave"] is document["matches"] is None
    assert document["sigstruct"]["mrenclave"] == built.mrenclave
    assert document["pages"]["added"] > 1 << 37
    assert any("would have to be hashed" in text for text in document["warnings"])
    wide = build(Plan(size=1 << 62, layout=[Entry(STACK, 1), Group(1, 1)]))
    refused(wide, altered(wide, wide.layout_at + 32 + 4, "<I", 0xFFFFFFFF))


def test_another_sigstruct_for_an_enclave(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As Intel ships its launch enclave: in production another SIGSTRUCT takes the place of the one inside."""
    built = build(Plan(layout=thread(), sign={"kind": 1 << 31}))
    enclave, other = built.write(tmp_path / "enclave.signed.so"), tmp_path / "production.css"
    other.write_bytes(sigstruct(bytes.fromhex(built.mrenclave), prod=32))
    assert any("debug release" in text for text in inspect(enclave).document["warnings"])
    found = inspect(enclave, signature=other)
    assert found.sound
    assert found.document["matches"] is True
    assert found.document["sigstruct"]["isvprodid"] == 32
    assert found.document["warnings"] == []
    other.write_bytes(sigstruct(bytes(32)))
    assert main(["measure", str(enclave), "--sigstruct", str(other)]) == 1
    assert "DIFFERS" in capsys.readouterr().out
    assert main(["measure", str(other), "--sigstruct", str(other)]) == 2
    assert main(["measure", str(enclave), "--at", "2026-01-31"]) == 0
    assert "--at are for quotes" in capsys.readouterr().out


def test_an_enclave_for_32_bits_is_refused() -> None:
    built = build(Plan())
    assert "32 bits" in refused(built, altered(built, 4, "<B", 1)).message


def test_an_enclave_of_open_enclave_is_named(tmp_path: Path) -> None:
    """Its section .oeinfo holds a SIGSTRUCT: what it says is shown, and that nothing was computed."""
    built = build(Plan())
    file = built.file.replace(b".note.sgxmeta", b".oeinfo\0\0\0\0\0\0")
    file = file.replace(bytes.fromhex("4c0e5d639402a886"), bytes(8))
    found = measured(dataclasses.replace(built, file=file))
    assert found.document["kind"] == "sigstruct"
    assert found.document["sigstruct"]["mrenclave"] == built.mrenclave
    assert any("Open Enclave SDK" in text for text in found.document["warnings"])


@pytest.mark.parametrize(
    ("at", "form", "value"),
    [
        (32, "<Q", 1 << 60),  # program headers
        (40, "<Q", (1 << 64) - 1),  # section headers
        (54, "<H", 1),  # their sizes
        (58, "<H", 63),
        (60, "<H", 0xFFFF),  # their counts
        (56, "<H", 0xFFFF),
        (64 + 8, "<Q", 1 << 40),  # offset of a segment
        (64 + 16, "<Q", (1 << 64) - 4096),  # its address
        (64 + 32, "<Q", 1 << 40),  # its size in the file
        (64 + 40, "<Q", 1 << 63),  # and in memory
        (64 + 40, "<Q", 8),
        (68, "<I", 0),  # its flags
        (4, "<B", 1),  # 32 bit
    ],
)
def test_a_hostile_elf_is_refused(at: int, form: str, value: int) -> None:
    built = build(HOSTILE)
    refused(built, altered(built, at, form, value))


@pytest.mark.parametrize("value", [0x5000, (1 << 64) - 1])
def test_a_relocation_outside_of_the_image_is_refused(value: int) -> None:
    built = build(Plan(segments=[Segment(0, b"a" * 9000, 5)], relocations=[0x1122]))
    at = built.file.index(struct.pack("<QQ", 0x1122, 8))
    refused(built, altered(built, at, "<Q", value))


def test_every_truncation_is_refused() -> None:
    built = build(HOSTILE)
    for size in range(0, len(built.file) - 1, 997):
        refused(built, built.file[:size])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    built = build(Plan(layout=[Entry(HEAP, 16, ADD), *thread()]))
    file = built.write(tmp_path / "enclave.signed.so")
    assert main(["measure", str(file), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["v"] == 1
    assert document["kind"] == "sdk"
    assert document["heap"] == 16 * PAGE
    assert document["threads"] == 1
    assert "map" not in document
    assert set(document["sigstruct"]) >= {
        "mrenclave", "mrsigner", "date", "vendor", "isvprodid", "isvsvn", "attributes", "debug", "signature_valid",
    }  # fmt: skip
    assert document["sigstruct"]["date"] == "2026-01-31"
    assert (document["sigstruct"]["isvprodid"], document["sigstruct"]["isvsvn"]) == (7, 3)

    assert main(["measure", str(file), "--map"]) == 0
    shown = capsys.readouterr().out
    assert built.mrenclave in shown
    assert "heap 64.0 KiB, 1 thread" in shown
    assert "heap_min" in shown

    file.write_bytes(altered(built, PAGE + 5, "<B", 0xAB))
    assert main(["measure", str(file), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["matches"] is False

    file.write_bytes(built.file[:5000])
    assert main(["measure", str(file)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    assert main(["measure", str(tmp_path / "nothing")]) == 2
    assert main(["measure", str(tmp_path)]) == 2
