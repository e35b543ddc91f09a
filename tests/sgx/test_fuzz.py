"""The targets of `make fuzz` with hypothesis: valid files, changed in a few places."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS
from workflows.sgx import sdk

STARTS = [b"\x7fELF\x02\x01\x01", b"ECREATE\0", b"\x03\0\x02\0\0\0\0\0", b"\x02\0\0\0"]
MARKS = [0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, (1 << 63) - 1, (1 << 64) - 4096, (1 << 64) - 1]


@cache
def seeds(name: str) -> list[bytes]:
    return list(TARGETS[name].seeds())


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdk, "LARGEST_STREAM", 64 << 20)


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
@settings(max_examples=120)
def test_a_document_or_one_clear_line(name: str, data: st.DataObject) -> None:
    seed = bytearray(data.draw(st.sampled_from(seeds(name))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(seed) - 1) | st.integers(0, min(4096, len(seed) - 1)))
        if data.draw(st.booleans()):
            size = data.draw(st.sampled_from([1, 2, 4, 8]))
            value = data.draw(st.sampled_from(MARKS)) & (1 << 8 * size) - 1
            seed[at : at + size] = value.to_bytes(size, "little")
        else:
            seed[at] ^= 1 << data.draw(st.integers(0, 7))
    if data.draw(st.integers(0, 9)) == 0:
        del seed[data.draw(st.integers(0, len(seed))) :]
    TARGETS[name].one(bytes(seed))


@given(st.binary(max_size=6000))
def test_noise(data: bytes) -> None:
    TARGETS["enclaves"].one(data)


@given(
    st.sampled_from([b"\x7fELF\x02\x01\x01", b"ECREATE\0", b"\x03\0\x02\0\0\0\0\0", b"\x02\0\0\0"]),
    st.binary(max_size=3000),
)
def test_noise_behind_a_known_beginning(start: bytes, data: bytes) -> None:
    TARGETS["enclaves"].one(start + data)
