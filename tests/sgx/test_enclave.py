"""MRENCLAVE: the SHA-256 of an SGXS stream, record by record as the processor defines them."""

import hashlib
import io
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflows.sgx.enclave import CODE, DATA, PAGE, READ_ONLY, TCS, Enclave, next_power_of_two, pages

SIZE = 1 << 24
blocks = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 40), st.sampled_from([DATA, READ_ONLY])),
        st.tuples(st.just("load"), st.binary(max_size=3 * PAGE), st.sampled_from([CODE, TCS, READ_ONLY])),
    ),
    max_size=6,
)


def sgxs(size: int, loaded: list[tuple[int, bytes | None, int]]) -> bytes:
    """An SGXS stream written by hand: (offset, content or None, flags) of each page."""
    stream = b"ECREATE\0" + struct.pack("<IQ", 1, size) + bytes(44)
    for offset, content, flags in loaded:
        stream += b"EADD\0\0\0\0" + struct.pack("<QQ", offset, flags) + bytes(40)
        for chunk in range(0, PAGE, 256) if content is not None else ():
            stream += b"EEXTEND\0" + struct.pack("<Q", offset + chunk) + bytes(48)
            stream += content.ljust(PAGE, b"\0")[chunk : chunk + 256]
    return stream


@given(blocks)
def test_it_is_the_hash_of_the_sgxs_stream(plan) -> None:
    file, loaded = io.BytesIO(), []
    enclave = Enclave(SIZE, write=file.write)
    offset = 0
    for kind, what, flags in plan:
        if kind == "add":
            loaded += [(offset + i * PAGE, None, flags) for i in range(what)]
            offset = enclave.add(offset, what, flags)
        else:
            loaded += [(offset + i, what[i : i + PAGE], flags) for i in range(0, len(what), PAGE)]
            offset = enclave.load(offset, what, flags)
        assert offset == len(loaded) * PAGE
    stream = sgxs(SIZE, loaded)
    assert file.getvalue() == stream
    assert enclave.mrenclave() == hashlib.sha256(stream).hexdigest()


@given(st.integers(1, 3), st.integers(8190, 8194))
@settings(max_examples=10)
def test_many_pages_at_once_are_the_same_as_one_by_one(start: int, count: int) -> None:
    batched, single = Enclave(1 << 26), Enclave(1 << 26)
    batched.add(start * PAGE, count, DATA)
    for index in range(count):
        single.eadd((start + index) * PAGE, DATA)
    assert batched.mrenclave() == single.mrenclave()


def test_a_page_loaded_is_one_eadd_and_sixteen_eextends() -> None:
    content = bytes(range(256)) * 16
    loaded, single = Enclave(1 << 16), Enclave(1 << 16)
    loaded.load(PAGE, content, CODE)
    single.eadd(PAGE, CODE)
    for chunk in range(0, PAGE, 256):
        single.eextend(PAGE + chunk, content[chunk : chunk + 256])
    assert loaded.mrenclave() == single.mrenclave()


@pytest.mark.parametrize("size", [0, PAGE, PAGE * 3, -PAGE * 2])
def test_a_size_that_the_processor_refuses(size: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        Enclave(size)


def test_pages_outside_of_the_enclave_are_refused() -> None:
    enclave = Enclave(4 * PAGE)
    for offset, count in ((4 * PAGE, 1), (PAGE, 4), (-PAGE, 1), (17, 1)):
        with pytest.raises(ValueError, match="do not fit"):
            enclave.add(offset, count, DATA)
    with pytest.raises(ValueError, match="256 aligned bytes"):
        enclave.eextend(0, b"short")
    with pytest.raises(ValueError, match="256 aligned bytes"):
        enclave.eextend(4 * PAGE, bytes(256))


@given(st.integers(1, 1 << 40))
def test_sizes(size: int) -> None:
    whole = next_power_of_two(size)
    assert whole & (whole - 1) == 0
    assert whole >= size
    assert whole == 2 * PAGE or whole // 2 < size
    assert (pages(size) - 1) * PAGE < size <= pages(size) * PAGE


def test_it_needs_nothing_but_the_standard_library() -> None:
    source = Path(sys.modules[Enclave.__module__].__file__)
    program = f"import runpy; runpy.run_path({str(source)!r})['Enclave'](8192)"
    subprocess.run([sys.executable, "-ISc", program], check=True)
