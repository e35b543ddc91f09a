"""The arguments of a request, as a session splits them."""

from __future__ import annotations

import pytest

from workflows.steps.request import as_split


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ("", None),
        ("one two", None),
        ("--n=3 é /iexec_in/x", None),
        ("say 'two words'", "say · 'two · words'"),
        ('"one"', '"one"'),
        ("it's", "it's"),
        ("a\\ b", "a\\ · b"),
    ],
)
def test_quotes_that_mean_nothing_are_told(args: str, told: str | None) -> None:
    assert as_split(args) == told
