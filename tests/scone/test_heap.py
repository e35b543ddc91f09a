"""Sizes as SCONE writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.core.failure import Missing
from workflows.scone import heap


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1G", 2**30),
        ("1g", 2**30),
        ("512M", 2**29),
        (" 65536K ", 2**26),
        ("67108864", 67108864),
        ("64G", 2**36),
    ],
)
def test_parse(text, count):
    assert heap.parse(text) == count


@pytest.mark.parametrize(
    "text", ["", "0", "0G", "-1G", "1.5G", "1GB", "1 G", "65G", "99999999999999", "1K", "٣G", "G"]
)
def test_refused(text):
    with pytest.raises(Missing) as caught:
        heap.parse(text)
    assert caught.value.hint


@given(st.integers(heap.SMALLEST, heap.LARGEST))
def test_show_is_exact(count):
    assert heap.parse(heap.show(count)) == count


@pytest.mark.parametrize(("count", "text"), [(2**30, "1G"), (3 * 2**29, "1536M"), (1025, "1025"), (0, "0")])
def test_show(count, text):
    assert heap.show(count) == text
