"""Order tags and their names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.core.failure import Failed
from workflows.iexec import tags

tag_values = st.binary(min_size=32, max_size=32).map(lambda raw: "0x" + raw.hex())


@pytest.mark.parametrize(
    ("names", "value"),
    [((), 0), (("tee", "scone"), 3), (("tee", "gramine"), 5), (("tee", "tdx"), 9), (("gpu",), 0x100)],
)
def test_known_names(names: tuple[str, ...], value: int) -> None:
    tag = tags.encode(names)
    assert int(tag, 16) == value
    assert tags.decode(tag) == names


@given(tag=tag_values)
def test_names_of_any_tag_give_it_back(tag: str) -> None:
    assert tags.encode(tags.decode(tag)) == tag


@given(one=tag_values, other=tag_values)
def test_union_lacks_nothing_of_its_parts(one: str, other: str) -> None:
    union = tags.union(one, other)
    assert tags.missing(one, union) == tags.missing(other, union) == ()
    assert set(tags.missing(union, one)) == set(tags.decode(other)) - set(tags.decode(one))


@given(tag=tag_values)
def test_framework_is_exactly_one_with_tee(tag: str) -> None:
    names = set(tags.decode(tag)) & {"tee", *tags.FRAMEWORKS}
    expected = next(iter(names - {"tee"})) if "tee" in names and len(names) == 2 else None
    assert tags.framework(tag) == expected


@pytest.mark.parametrize(
    ("names", "name"),
    [
        (("scone",), "tag_without_tee"),
        (("tee", "scone", "tdx"), "tag_frameworks_exclusive"),
        (("tee",), "tag_without_framework"),
    ],
)
def test_refused(names: tuple[str, ...], name: str) -> None:
    with pytest.raises(Failed) as caught:
        tags.check(tags.encode(names))
    assert caught.value.name == name


def test_tee_alone_is_fine_for_datasets_and_requests() -> None:
    tags.check(tags.encode(("tee",)), framework_needed=False)
    tags.check(tags.TEE_SCONE)
    tags.check(tags.encode(()))


def test_unknown_name_is_named() -> None:
    with pytest.raises(Failed, match="sgx"):
        tags.encode(("sgx",))
