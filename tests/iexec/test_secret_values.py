"""Values on their way in: nothing is cut, and what nobody can see in one is told."""

from __future__ import annotations

import io

import pytest

from workflows.core.failure import Missing
from workflows.iexec.secrets import values


def take(raw: bytes) -> str:
    return values.take(io.BytesIO(raw), "the file")


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"pin\r\n", "pin"), (b"a\nb\n\n", "a\nb"), (b"x" * 4096 + b"\r\n", "x" * 4096),
        ("€".encode() * 1365, "€" * 1365), (b" pin ", " pin "),
    ],
)  # fmt: skip
def test_a_value_is_taken_as_it_is_but_for_its_line_end(raw: bytes, value: str) -> None:
    assert take(raw) == value


@pytest.mark.parametrize(
    "raw",
    [b"x" * 4097, b"x" * 4096 + b"\n\n\nand more", b"x" * 4090 + b"\n" * 9 + b"more", "€".encode() * 1366],
    ids=["4097", "after line ends", "many line ends", "multi-byte"],
)
def test_a_value_that_is_too_long_is_refused_whole(raw: bytes) -> None:
    with pytest.raises(Missing, match="more than 4096 bytes"):
        take(raw)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("\ufeffpin", ["byte order mark"]), (" pin", ["blanks"]), ("pin\t", ["blanks"]), ("a\nb", ["2 lines"]),
        ("a\u202eb", ["not shown"]), ("\x1b[31mred", ["not shown"]), ("a\r\nb", ["2 lines", "not shown"]),
        ("pin", []), ("p i\tn", []), ("x" * 4096, []), ("Grüße 💙", []),
    ],
)  # fmt: skip
def test_what_nobody_sees_in_a_value_is_told(value: str, words: list[str]) -> None:
    found = list(values.oddities(value))
    assert len(found) == len(words), found
    for sentence, word in zip(found, words, strict=True):
        assert word in sentence and "pin" not in sentence and "red" not in sentence
