"""The documented pages: what changes the measurement, what does not, and what the settings refuse."""

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.localnet.runtime.layout import Settings, measure, settings_from_env
from workflows.localnet.runtime.refusals import BadSetting

SMALL = Settings(heap=1 << 20, stack=1 << 16, tcs=2, dlopen=0, fork=0, version="5.8.0")
PARTS = [b"zipapp", b"interpreter" * 1000, b"library"]
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def test_it_is_the_documented_layout() -> None:
    """The stream written by hand for two pages of stack, one thread, three pages of heap."""
    chosen = Settings(heap=3 * 4096 - 5, stack=8192, tcs=1, dlopen=1, fork=1, version="5.8.0")
    stream = b"ECREATE\0" + struct.pack("<IQ", 1, 16 * 4096) + bytes(44)

    def add(page: int, flags: int, content: bytes | None = None) -> bytes:
        record = b"EADD\0\0\0\0" + struct.pack("<QQ", page * 4096, flags) + bytes(40)
        for at in range(0, 4096, 256) if content is not None else ():
            record += b"EEXTEND\0" + struct.pack("<Q", page * 4096 + at) + bytes(48)
            record += content.ljust(4096, b"\0")[at : at + 256]
        return record

    setting = b"SIMULATED SCONE\0" + struct.pack("<IIQQIIII", 1, 0, 3 * 4096 - 5, 8192, 1, 1, 1, 0) + b"5.8.0"
    stream += add(0, 0x201, setting)
    stream += add(1, 0x205, b"zip") + add(2, 0x205, b"i" * 4096) + add(3, 0x205, b"i")
    stream += add(4, 0x203) + add(5, 0x203)  # the stack; page 6 is its guard
    tcs = bytes(16) + struct.pack("<QIIQ", 8 * 4096, 0, 2, 2 * 4096) + bytes(8)
    tcs += struct.pack("<QQII", 5 * 4096, 5 * 4096, 0xFFFFFFFF, 0xFFFFFFFF)
    stream += add(7, 0x100, tcs)
    for page in range(8, 13):
        stream += add(page, 0x203)  # two SSA pages, three of heap
    assert measure(chosen, [b"zip", b"i" * 4097]) == hashlib.sha256(stream).hexdigest()


def test_every_setting_and_every_part_counts() -> None:
    seen = {measure(SMALL, PARTS)}
    for change in (
        {"heap": 1 << 21},
        {"heap": (1 << 20) + 1},
        {"stack": 1 << 17},
        {"tcs": 3},
        {"dlopen": 1},
        {"fork": 1},
        {"version": "5.9.0"},
    ):
        seen.add(measure(SMALL._replace(**change), PARTS))
    for at in range(len(PARTS)):
        other = list(PARTS)
        other[at] += b"!"
        seen.add(measure(SMALL, other))
    seen.add(measure(SMALL, PARTS[:2]))
    assert len(seen) == 12


@given(
    st.builds(
        Settings,
        heap=st.integers(4096, 1 << 22),
        stack=st.integers(4096, 1 << 18),
        tcs=st.integers(1, 8),
        dlopen=st.integers(0, 2),
        fork=st.integers(0, 1),
        version=st.just("5.8.0"),
    ),
    st.lists(st.binary(max_size=9000), min_size=2, max_size=4),
)
def test_the_same_gives_the_same(chosen: Settings, parts: list[bytes]) -> None:
    assert measure(chosen, parts) == measure(chosen, [bytes(part) for part in parts])


@given(st.integers(1, 999), st.sampled_from("KMG"))
def test_sizes(count: int, unit: str) -> None:
    size = count * UNITS[unit]
    env = {"SCONE_HEAP": f"{count}{unit}", "SCONE_TCS": "1"}
    if 4096 <= size <= 64 << 30:
        assert settings_from_env(env).heap == size
        assert settings_from_env({"SCONE_HEAP": str(size)}).heap == size
        assert settings_from_env({"SCONE_STACK": f"{count}{unit}", "SCONE_TCS": "1"}).stack == size
    else:
        with pytest.raises(BadSetting, match="SCONE_HEAP"):
            settings_from_env(env)


@given(st.text(max_size=12))
def test_a_heap_is_a_size_or_refused(text: str) -> None:
    known = text.isascii() and text[:-1].isdigit() and (text[-1:].isdigit() or text[-1:] in UNITS)
    if text and not (known or (text.isascii() and text.isdigit())):
        with pytest.raises(BadSetting, match="SCONE_HEAP"):
            settings_from_env({"SCONE_HEAP": text})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCONE_HEAP", value)
        for value in ("1X", "-1", "1.5G", " 1G", "1g", "1GB", "0", "65G", "G", "٣G", "1e9", "9" * 99)
    ]
    + [("SCONE_STACK", "big"), ("SCONE_STACK", "64G")]
    + [("SCONE_TCS", value) for value in ("0", "1025", "-1", "eight", "8.0")]
    + [("SCONE_ALLOW_DLOPEN", "3"), ("SCONE_ALLOW_DLOPEN", "yes"), ("SCONE_FORK", "2")],
)
def test_nonsense_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(BadSetting, match="SCONE_") as caught:
        settings_from_env({name: value})
    assert name in str(caught.value)


def test_the_defaults_are_scones() -> None:
    expected = Settings(heap=67108864, stack=2097152, tcs=8, dlopen=0, fork=0, version="5.8.0")
    assert settings_from_env({}) == expected
    assert settings_from_env({"SCONE_HEAP": "", "PATH": "/bin"}) == expected
