"""Outside text is hostile: nothing that a terminal acts on may be left in it."""

from __future__ import annotations

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.core.text import MAX_LINE, LineCutter, clean, plural, shorten, size

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("\x1b]0;PWNED\x07title", "title"),
        ("\x1b]52;c;cm0gLXJm\x1b\\copied", "copied"),
        ("\x1b[2J\x1b[31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1bPq#0;2;0;0;0\x1b\\image", "image"),
        ("\x90q\x9cimage", "image"),
        ("abc\x08\x08\x08xyz", "abcxyz"),
        ("user\u202egnp.exe", "usergnp.exe"),
        ("a\u200bb\ufeffc", "abc"),
        ("\x1b]8;;http://evil\x07link\x1b]8;;\x07", "link"),
        ("tab\there", "tab     here"),
        ("bell\x07", "bell"),
        ("[markup] stays", "[markup] stays"),
        ("\x1b", ""),
        ("\x1b[", ""),
        ("日本語 é €", "日本語 é €"),
    ],
)
def test_known_attacks(hostile: str, harmless: str) -> None:
    assert clean(hostile) == harmless


@given(st.text(max_size=200))
def test_nothing_is_left_that_a_terminal_acts_on(text: str) -> None:
    result = clean(text)
    assert not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in result)
    assert not set(result) & set(BIDI)
    assert clean(result) == result


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=6))
def test_how_a_stream_is_split_does_not_matter(data: bytes, cuts: list[int]) -> None:
    whole = LineCutter()
    expected = whole.feed(data) + whole.flush()
    parts = LineCutter()
    found: list[str] = []
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    for start, end in itertools.pairwise(edges):
        found += parts.feed(data[start:end])
    assert found + parts.flush() == expected


def test_a_carriage_return_replaces_the_line_so_far() -> None:
    cutter = LineCutter()
    assert cutter.feed(b"10%\r50%\r100%\nnext\r\n") == ["100%", "next"]


def test_a_stream_without_line_ends_does_not_fill_the_memory() -> None:
    cutter = LineCutter()
    lines = [line for _ in range(200) for line in cutter.feed(b"x" * 10_000)]
    assert lines
    assert all(len(line) <= MAX_LINE + 2 for line in lines)


def test_small_words() -> None:
    assert plural(1, "file") == "1 file"
    assert plural(1200, "file") == "1,200 files"
    assert size(734) == "734 B"
    assert size(3 << 20) == "3.0 MiB"
    assert shorten("0x" + "a" * 40) == "0xaaaaaaaa…aaaa"
    assert shorten("short") == "short"
