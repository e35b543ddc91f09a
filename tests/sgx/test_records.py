"""The stream is hashed while the next part of it is made: neither may disturb the other."""

import hashlib
import time

import pytest

from tests.sgx.enclaves import ADD, HEAP, STACK, Entry, Plan, Segment, build, ecreate, page_records
from tests.sgx.test_signed_enclaves import measured
from workflows.sgx import records
from workflows.sgx.inspection import inspect


class Slow:
    """A SHA-256 that takes its time before it looks at what it was given."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, data: bytes) -> None:
        if len(data) > 1 << 16:
            time.sleep(0.02)
        self._hash.update(data)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        sha256 = Slow

    monkeypatch.setattr(records, "hashlib", Library)


def test_a_slow_hash_sees_what_was_meant_for_it(slow: None) -> None:
    code = b"".join(number.to_bytes(8, "little") for number in range(512 * 1100))
    layout = [
        Entry(STACK, 700, fill=0xCCCCCCCC),
        Entry(HEAP, 20000, ADD),
        Entry(STACK, 300),
        Entry(STACK, 300),
    ]
    built = build(Plan(segments=[Segment(0x100, code, 5)], layout=layout))
    assert measured(built).document["mrenclave"] == built.mrenclave


def test_and_so_with_streams(slow: None, tmp_path) -> None:
    stream = ecreate(1 << 30) + b"".join(
        page_records(number * 4096, 0x203, number.to_bytes(8, "little") * 512) for number in range(1000)
    )
    (tmp_path / "enclave.sgxs").write_bytes(stream)
    assert inspect(tmp_path / "enclave.sgxs").document["mrenclave"] == hashlib.sha256(stream).hexdigest()


def test_small_and_large_parts_keep_their_order() -> None:
    digest = records.BackgroundDigest()
    whole = b"".join(bytes([number]) * (1 << number) for number in range(20))
    for number in range(20):
        digest.update(bytes([number]) * (1 << number))
    assert digest.hexdigest() == hashlib.sha256(whole).hexdigest()
    digest.close()
