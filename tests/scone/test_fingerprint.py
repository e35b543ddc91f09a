"""The three on-chain forms: what is written reads back, what is wrong is named."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.scone.fingerprint import FORMS, Fingerprint, InvalidFingerprint, form_of, parse

# Published values: iExec's buildsgxapp page (2019), the iExec GitBook of 2020, the template of iexec 8.24.0.
G1 = (
    "3b62fef269341bc93238580b516d2d934e1264e7442e484d4d459a9abc519a76|b873e72c7687e95d734b7905e07c51d8|"
    "b84bc68bae8cdc8703ca4525b2cc16deffe9def4247498ebcc467830a67caf6d"
)
G2 = (
    "8a2e59370e47425ebaad0ba72ab06beb49ddf53aa1575c0de9a32dc82687d20c|695e1fd6bb78cc6745786d9941dda921|"
    "a8e434c81b82012c19d028ab3e7ef3adecb7786c10e5739422a7f7444e2d323c|node /app/app.js"
)
G3 = (
    '{"framework":"SCONE","version":"v5.9","entrypoint":"python /app/app.py","heapSize":1073741824,'
    '"fingerprint":"2d4b9efd066d0bb058b8da79bf8551be7d244779bc41d03a12201a4004779609"}'
)
KEY, TAG, MR = G1.split("|")

hex64 = st.text("0123456789abcdef", min_size=64, max_size=64)
hex32 = st.text("0123456789abcdef", min_size=32, max_size=32)
commands = st.from_regex(r"[a-z0-9]+( [!-{}~é]+){0,3}", fullmatch=True)


@pytest.mark.parametrize(("value", "form"), [(G1, "3"), (G2, "4"), (G3, "json")])
def test_published_values(value, form):
    assert form_of(value) == form_of(value.encode()) == form
    assert parse(value).write(form) == value
    assert parse(value.encode()) == parse(value)


def test_parts_of_published_values():
    assert parse(G1) == Fingerprint(KEY, TAG, MR)
    assert parse(G2).entrypoint == "node /app/app.js"
    json_form = parse(G3)
    assert (json_form.fspf_key, json_form.heap, json_form.version) == (None, 2**30, "v5.9")


@given(
    hex64,
    hex32,
    hex64,
    commands,
    st.integers(1, 2**36),
    st.sampled_from(["v5", "v5.9"]),
    st.sampled_from(FORMS),
)
def test_written_reads_back(key, tag, mrenclave, entrypoint, heap, version, form):
    whole = Fingerprint(key, tag, mrenclave, entrypoint, heap, version)
    text = whole.write(form)
    again = parse(text)
    assert form_of(text) == form
    assert again.write(form) == text
    assert again.mrenclave == mrenclave
    assert again.entrypoint == (None if form == "3" else entrypoint)


@given(st.text(max_size=300) | st.binary(max_size=300) | st.text('0123456789abcdefABCX|{}"', max_size=200))
def test_outside_values_parse_or_are_refused(value):
    try:
        fingerprint = parse(value)
    except InvalidFingerprint as error:
        assert str(error)
        assert "\x1b" not in error.message + error.hint
    else:
        assert parse(fingerprint.write(form_of(value))) == fingerprint


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "empty"),
        (b"\xff\xfe", "UTF-8"),
        (MR, "none of the three forms"),
        (f"{KEY}|{TAG}", "none of the three forms"),
        (f"0x{KEY[2:]}|{TAG}|{MR}", "starts with 0x"),
        (f"{KEY.upper()}|{TAG}|{MR}", "upper-case"),
        (f"{KEY}|{TAG}|{MR[1:]}", "63 digits"),
        (f"{TAG}|{KEY}|{MR}", "FSPF key has 32 digits"),
        (f"{KEY}|{TAG}|{MR[:-1]}g", "not a hex digit"),
        (f"{KEY}|{TAG}|{MR}\n", "65 digits"),
        (f"{KEY}|{TAG}|{MR}|", "entrypoint is empty"),
        (f"{KEY}|{TAG}|{MR}|sh -c a|b", "more than four parts"),
        (f"{KEY}|{TAG}|{MR}|node\x1b[2J /app", "control characters"),
        ("x" * 5000, "too many"),
    ],
)
def test_refusals(value, said):
    with pytest.raises(InvalidFingerprint, match=said):
        parse(value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"framework": "GRAMINE"}, "not SCONE"),
        ({"framework": None}, "not SCONE"),
        ({"version": "v6"}, "version 'v6' is unknown"),
        ({"version": 5}, "version is not a text"),
        ({"entrypoint": ""}, "entrypoint is empty"),
        ({"heapSize": 0}, "positive"),
        ({"heapSize": True}, "positive"),
        ({"heapSize": 1.0}, "whole number"),
        ({"heapSize": "1G"}, "whole number"),
        ({"fingerprint": "0x" + MR[2:]}, "starts with 0x"),
        ({"fingerprint": None}, "not a text"),
        ({"extra": 1}, "unknown key 'extra'"),
        ({"provider": "SCONE"}, "both given"),
    ],
)
def test_json_refusals(change, said):
    with pytest.raises(InvalidFingerprint, match=said):
        parse(json.dumps({**json.loads(G3), **change}))


@pytest.mark.parametrize("key", ["framework", "version", "entrypoint", "heapSize", "fingerprint"])
def test_json_needs_every_key(key):
    record = json.loads(G3)
    del record[key]
    with pytest.raises(InvalidFingerprint, match=key):
        parse(json.dumps(record))


def test_json_takes_the_old_name_and_any_case_of_the_framework():
    assert parse(G3.replace('"framework":"SCONE"', '"provider":"scone"')) == parse(G3)


def test_json_refuses_a_key_given_twice():
    with pytest.raises(InvalidFingerprint, match="twice"):
        parse(G3[:-1] + ',"version":"v5"}')


@pytest.mark.parametrize(
    ("fingerprint", "form"),
    [(parse(G3), "3"), (parse(G3), "4"), (parse(G1), "4"), (parse(G1), "json"), (parse(G2), "json")],
)
def test_a_form_that_lacks_a_part_is_not_written(fingerprint, form):
    with pytest.raises(InvalidFingerprint, match="needs"):
        fingerprint.write(form)


def test_parts_are_explained():
    whole = Fingerprint(KEY, TAG, MR, "python3 /app/app.py", 2**30)
    assert [part.name for part in whole.explain_parts()] == [
        "FSPF key",
        "FSPF tag",
        "MRENCLAVE",
        "Entrypoint",
        "Heap",
    ]
    assert [part.name for part in parse(G1).explain_parts()] == ["FSPF key", "FSPF tag", "MRENCLAVE"]
    assert "binary-fs" in parse(G3).explain_parts()[0].sentence
