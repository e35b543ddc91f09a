"""`scone signer info`, read by its field names; damaged or contradicting printouts are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scone.printed import MODULUS, MRENCLAVE, MRSIGNER, TEXT, YAML
from workflows.core.failure import Failed
from workflows.scone import signer_info
from workflows.scone.printouts import Unreadable


def test_the_text() -> None:
    found = signer_info.read(TEXT)
    assert (found.mrenclave, found.mrsigner) == (MRENCLAVE, MRSIGNER)
    assert (found.debug, found.date, found.product, found.svn) == (True, "2023-06-08", "1", "2")
    assert found.attributes == "06000000000000000300000000000000"
    assert found.fields["header2"].startswith("01010000")


def test_yaml() -> None:
    found = signer_info.read(YAML)
    assert (found.mrenclave, found.mrsigner, found.debug, found.product) == (MRENCLAVE, MRSIGNER, False, "1")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "Reading signature of python3\n\n" + text,
        lambda text: text.replace(":  ", " = "),
        lambda text: text.replace(MRENCLAVE, MRENCLAVE.upper()),
        lambda text: text.replace("MRENCLAVE:", "\x1b[1mMRENCLAVE:\x1b[0m"),
    ],
)
def test_what_stands_around_does_not_matter(change) -> None:
    assert signer_info.read(change(TEXT)).mrenclave == MRENCLAVE


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (f"MRENCLAVE:         {MRENCLAVE}", "", "no field MRENCLAVE"),
        (MRENCLAVE, MRENCLAVE[:-2], "mrenclave is not 64 hex digits"),
        (MODULUS[400:], "", "modulus is not 768 hex digits"),
        ("Debug:             yes", "Debug:             no", "do not agree"),
        ("Debug:             yes", "Debug:             maybe", "neither yes nor no"),
        ("ISV SVN:           2", "ISV SVN:           2\nISV SVN:  3", "twice"),
        ("ISV SVN:           2", f"MRSIGNER: {'0' * 64}", "not the hash of the modulus"),
    ],
)
def test_damage_is_refused(old: str, new: str, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        signer_info.read(TEXT.replace(old, new))


@given(st.lists(st.sampled_from(TEXT.splitlines()) | st.text(max_size=40)))
def test_any_text_is_read_or_refused(lines: list[str]) -> None:
    try:
        found = signer_info.read("\n".join(lines))
    except Failed as failure:
        assert failure.message
    else:
        assert found.mrenclave == MRENCLAVE
