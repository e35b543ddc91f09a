"""SGXS and ESGXS streams: their SHA-256 is MRENCLAVE, and what is odd in them is told."""

import hashlib
import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sgx.enclaves import PAGE, R, W, X, ecreate, page_records, record, sigstruct
from workflows.core.failure import Failed
from workflows.sgx.inspection import Inspection, inspect

SIZE = 1 << 30
CODE, DATA, TCS = 0x205, 0x203, 0x100


def read(stream: bytes, **options: object) -> Inspection:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "enclave.sgxs")
        file.write_bytes(stream)
        return inspect(file, **options)


def chunk(tag: bytes, offset: int, content: bytes = b"c" * 256) -> bytes:
    return record(tag, offset) + content


def test_a_small_one(tmp_path: Path) -> None:
    stream = ecreate(SIZE) + page_records(0, CODE, b"\x90" * PAGE) + page_records(PAGE, TCS, bytes(PAGE))
    stream += page_records(2 * PAGE, DATA, None) + page_records(3 * PAGE, DATA, None)
    stream += page_records(5 * PAGE, DATA, b"d" * PAGE)[: 64 + 3 * 320]
    found = read(stream, layout=True)
    document = found.document
    assert found.sound
    assert document["mrenclave"] == hashlib.sha256(stream).hexdigest()
    assert document["pages"] == {"added": 5, "measured": 3}
    assert document["chunks"] == 35
    assert document["threads"] == 1
    assert document["heap"] is None
    assert document["warnings"] == []
    assert [(row["kind"], row["pages"], row["flags"], row["measured"]) for row in document["map"]] == [
        ("pages", 1, "R-X", True),
        ("tcs", 1, "TCS", True),
        ("pages", 2, "RW-", False),
        ("pages, 3 of 16 chunks measured", 1, "RW-", True),
    ]


runs = st.lists(
    st.tuples(
        st.integers(1, 700), st.sampled_from([CODE, DATA, TCS, 0x201]), st.booleans(), st.integers(0, 2)
    ),
    min_size=1,
    max_size=5,
)


@given(runs, st.integers(0, 3))
@settings(max_examples=25)
def test_runs_of_pages_are_counted_as_they_are(plan, gap: int) -> None:
    """Long runs take another way through the reader than single pages."""
    stream, offset, added, measured, threads = [ecreate(SIZE, 2)], 0, 0, 0, 0
    for count, flags, with_content, odd in plan:
        for _ in range(count):
            content = (struct.pack("<Q", offset) * 512) if with_content else None
            stream.append(page_records(offset, flags, content))
            offset += PAGE
        added, measured = added + count, measured + count * with_content
        threads += count if flags == TCS else 0
        if odd:
            stream.append(page_records(offset, flags, bytes(PAGE))[: 64 + odd * 320])
            added, measured, threads = added + 1, measured + 1, threads + (flags == TCS)
            offset += PAGE
        offset += gap * PAGE
    whole = b"".join(stream)
    document = read(whole, layout=True).document
    assert document["mrenclave"] == hashlib.sha256(whole).hexdigest()
    assert document["pages"] == {"added": added, "measured": measured}
    assert document["threads"] == threads
    assert document["size"] == SIZE
    assert document["ssa_frame_size"] == 2
    assert not [warning for warning in document["warnings"] if "canonical" in warning]
    assert sum(row["pages"] for row in document["map"]) == added


def test_what_is_not_measured_is_skipped() -> None:
    before = ecreate(SIZE) + record(b"EADD", 0, DATA) + chunk(b"EEXTEND", 0)
    after = chunk(b"EEXTEND", 512) + page_records(PAGE, CODE, b"\x90" * PAGE)
    skipped = chunk(b"UNMEASRD", 256, b"u" * 256)
    found = read(before + skipped + after + page_records(2 * PAGE, DATA, None) + chunk(b"UNMEASRD", 2 * PAGE))
    stream = before + after + page_records(2 * PAGE, DATA, None)
    assert found.document["mrenclave"] == hashlib.sha256(stream).hexdigest()
    assert found.document["pages"] == {"added": 3, "measured": 2}
    assert any("2 chunks" in warning for warning in found.document["warnings"])


def test_unmeasured_chunks_across_many_buffers() -> None:
    parts = [ecreate(SIZE)]
    for number in range(1500):
        parts.append(record(b"EADD", number * PAGE, DATA))
        parts += [chunk(b"UNMEASRD" if at % 3 else b"EEXTEND", number * PAGE + at * 256) for at in range(16)]
    document = read(b"".join(parts)).document
    kept = b"".join(part for part in parts if not part.startswith(b"UNMEASRD"))
    assert document["mrenclave"] == hashlib.sha256(kept).hexdigest()
    assert document["pages"] == {"added": 1500, "measured": 1500}


def test_a_stream_without_a_size_cannot_be_measured() -> None:
    with pytest.raises(Failed, match="UNSIZED"):
        read(b"UNSIZED\0" + ecreate(SIZE)[8:] + page_records(0, CODE, None))


@pytest.mark.parametrize(
    "tail",
    [
        page_records(0, DATA, None),  # a second time
        page_records(2 * PAGE, DATA, None) + page_records(PAGE, DATA, None),
        chunk(b"EEXTEND", 0),  # a chunk twice
        chunk(b"EEXTEND", 5 * PAGE),  # of another page
        record(b"EADD", PAGE, TCS | R | W),
        record(b"EADD", PAGE, DATA, 7),  # something in reserved bytes
    ],
)
def test_what_is_not_canonical_is_told(tail: bytes) -> None:
    stream = ecreate(SIZE) + page_records(0, CODE, b"c" * PAGE) + tail
    document = read(stream).document
    assert document["mrenclave"] == hashlib.sha256(stream).hexdigest()
    assert any("not canonical" in warning for warning in document["warnings"])


@pytest.mark.parametrize(
    "tail",
    [
        record(b"EADD", 7, DATA),
        record(b"EADD", SIZE, DATA),
        record(b"EADD", (1 << 64) - PAGE, DATA),
        record(b"EEXTEND", 256),  # without its content
        chunk(b"EEXTEND", 100),
        chunk(b"EEXTEND", SIZE),
        ecreate(SIZE),
        record(b"EINIT"),
        b"EADD",
        bytes(64),
    ],
)
def test_what_is_no_stream_is_refused(tail: bytes) -> None:
    with pytest.raises(Failed) as caught:
        read(ecreate(SIZE) + page_records(0, CODE, b"c" * PAGE) + tail)
    assert caught.value.hint


@pytest.mark.parametrize("size", [0, 1, PAGE, 3 * PAGE, (1 << 64) - 1])
def test_a_size_that_no_enclave_has_is_refused(size: int) -> None:
    with pytest.raises(Failed, match="power of two"):
        read(ecreate(size) + page_records(0, CODE, None))


def test_content_before_any_page_is_refused() -> None:
    with pytest.raises(Failed, match="no page was added"):
        read(ecreate(SIZE) + chunk(b"EEXTEND", 0))


def test_pages_at_the_end_of_the_address_space_are_refused() -> None:
    top = (1 << 64) - 512 * PAGE
    with pytest.raises(Failed):
        read(ecreate(1 << 63) + b"".join(page_records(top + at * PAGE, DATA, None) for at in range(512)))


def test_against_a_sigstruct(tmp_path: Path) -> None:
    stream = ecreate(SIZE) + page_records(0, CODE, b"c" * PAGE)
    right, wrong = tmp_path / "right.sig", tmp_path / "wrong.sig"
    right.write_bytes(sigstruct(hashlib.sha256(stream).digest()))
    wrong.write_bytes(sigstruct(bytes(32)))
    found = read(stream, signature=right)
    assert found.sound
    assert found.document["matches"] is True
    assert found.document["sigstruct"]["signature_valid"] is True
    found = read(stream, signature=wrong)
    assert not found.sound
    assert found.document["matches"] is False
    wrong.write_bytes(bytes(1809))
    with pytest.raises(Failed, match="1808"):
        read(stream, signature=wrong)


def test_executable_pages_that_are_not_measured_are_told() -> None:
    document = read(ecreate(SIZE) + page_records(0, 0x200 | R | W | X, None)).document
    assert any("not measured" in warning for warning in document["warnings"])
    assert any("written and executed" in warning for warning in document["warnings"])


def test_many_areas_are_cut_off_in_the_map_alone() -> None:
    pages = [page_records(number * 2 * PAGE, DATA, None) for number in range(5000)]
    document = read(ecreate(SIZE) + b"".join(pages), layout=True).document
    assert document["pages"]["added"] == 5000
    assert len(document["map"]) == 4096
    assert any("4,096" in warning for warning in document["warnings"])
