"""Request parameters: strict for those who write them, as the servers for those who read them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.core.failure import Failed
from workflows.iexec import params
from workflows.iexec.params import Params

names = st.from_regex(params.SECRET_NAME.pattern.replace(r"\Z", ""), fullmatch=True)
urls = st.from_regex(r"https?://[a-z]{1,9}\.org/[a-z0-9]{0,9}", fullmatch=True)
documents = st.builds(
    Params,
    args=st.text(),
    input_files=st.lists(urls, max_size=3).map(tuple),
    secrets=st.dictionaries(st.integers(1, 2**31 - 1), names, max_size=3),
    result_encryption=st.booleans(),
    storage_provider=st.sampled_from([None, *params.STORAGE_PROVIDERS]),
    storage_proxy=st.none() | urls,
    bulk_cid=st.none() | st.text(min_size=1).filter(str.strip),  # a blank one is none
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=20), inner, max_size=3),
    max_leaves=10,
)


@given(document=documents)
def test_what_is_written_is_read(document: Params) -> None:
    text = document.to_text()
    assert params.parse_strict(text) == document
    assert params.parse(text) == document


@given(value=json_values)
def test_strict_reading_names_a_key_or_takes_all(value: Any) -> None:
    try:
        taken = params.validate(value)
    except Failed as failure:
        assert failure.name == "invalid_params"
    else:
        assert taken == params.parse(json.dumps(value))


@given(text=st.text() | json_values.map(json.dumps))
def test_servers_read_anything(text: str) -> None:
    taken = params.parse(text)
    assert taken.args == text or text.lstrip().startswith("{")


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"iexec_arg": "x"}, "iexec_arg"),
        ({"iexec_developer_logger": True}, "iexec_developer_logger"),
        ({"iexec_args": 1}, "iexec_args"),
        ({"iexec_input_files": "https://a.org/x"}, "iexec_input_files"),
        ({"iexec_input_files": ["https://a.org/x", "file:///etc/passwd"]}, r"iexec_input_files\[1\]"),
        ({"iexec_secrets": {"0": "a"}}, r"iexec_secrets\.0"),
        ({"iexec_secrets": {"1.5": "a"}}, r"iexec_secrets\.1\.5"),
        ({"iexec_secrets": {"1": "../../x"}}, r"iexec_secrets\.1"),
        ({"iexec_secrets": {"1": "a" * 65}}, r"iexec_secrets\.1"),
        ({"iexec_result_encryption": "true"}, "iexec_result_encryption"),
        ({"iexec_result_storage_provider": "s3"}, "iexec_result_storage_provider"),
        ({"iexec_result_storage_proxy": "localhost"}, "iexec_result_storage_proxy"),
        ([], "params"),
    ],
)
def test_offending_key_is_named(document: Any, named: str) -> None:
    with pytest.raises(Failed, match=named):
        params.validate(document)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--size 3", Params(args="--size 3")),
        ("", Params(args="")),
        ('{"iexec_args":"a","unknown":1}', Params(args='{"iexec_args":"a","unknown":1}')),
        ('{"iexec_secrets":{"0":"a","x":"b","2":"c"}}', Params(secrets={2: "c"})),
        ('{"iexec_args":"a","iexec_input_files":null}', Params(args="a")),
        ('"text"', Params(args='"text"')),
        ('{"iexec_args":1.50}', Params(args="1.50")),
        ('{"iexec_args":NaN}', Params(args='{"iexec_args":NaN}')),
        (' {"iexec_args":"a"} and more', Params(args="a")),
        ('{"iexec_result_encryption":" TRUE"}', Params(result_encryption=True)),
        ('{"iexec_result_encryption":1.0}', Params(args='{"iexec_result_encryption":1.0}')),
        ('{"iexec_secrets":{"2147483647":"a","2147483648":"b"}}', Params(secrets={2147483647: "a"})),
        ('{"iexec_secrets":{"01":"a","+2":"b","٣":"c"}}', Params()),
    ],
)
def test_as_the_servers_read(text: str, expected: Params) -> None:
    assert params.parse(text) == expected


def test_an_old_app_is_asked_with_the_keys_of_its_time() -> None:
    text = (
        '{"iexec_args":"Alice","iexec_developer_logger":false,'
        '"iexec_tee_post_compute_image":"i","iexec_tee_post_compute_fingerprint":"a|b|c"}'
    )
    assert params.parse(text, b"key|tag|mrenclave|run") == Params(args="Alice")
    assert params.parse(text, b'{"framework":"SCONE"}') == params.parse(text) == Params(args=text)
    unknown = '{"iexec_args":"Alice","unknown":1}'
    assert params.parse(unknown, b"key|tag|mrenclave") == Params(args=unknown)


def test_not_for_standard_tasks() -> None:
    for document in ({"iexec_secrets": {"1": "a"}}, {"iexec_result_storage_provider": "dropbox"}):
        with pytest.raises(Failed):
            params.validate(document, tee=False)


def test_build_leaves_defaults_out() -> None:
    built = params.build(args="a b", secrets={3: "birthday"}, result_encryption=True)
    assert json.loads(built.to_text()) == {
        "iexec_args": "a b",
        "iexec_secrets": {"3": "birthday"},
        "iexec_result_encryption": True,
        "iexec_result_storage_provider": "ipfs",
    }
    assert params.build(callback=True).to_text() == "{}"


def test_control_characters_do_not_reach_the_message() -> None:
    with pytest.raises(Failed) as caught:
        params.validate({"\x1b[31mred": 1})
    assert "\x1b" not in caught.value.message
