"""The session language: what is written is read again, and what is wrong is refused with its line."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflows.scone.session import (
    TOLERATIONS,
    Attestation,
    Image,
    Mount,
    Service,
    Session,
    SessionError,
    Signer,
    Volume,
    parse,
    render,
)

HASH, KEY, TAG = "ab" * 32, "cd" * 32, "ef" * 16
MINIMAL = f"""name: my-session
version: "0.3"
services:
  - name: app
    mrenclaves: [{HASH}]
"""

names = st.from_regex(r"[A-Za-z0-9_\-.~]{1,20}", fullmatch=True)
hex64 = st.binary(min_size=32, max_size=32).map(bytes.hex)
hex32 = st.binary(min_size=16, max_size=16).map(bytes.hex)
# what an environment variable can hold: text without NUL and without half characters
texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=40)
variables = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0="), min_size=1, max_size=20
)
words = texts.filter(bool)
paths = names.map(lambda name: f"/{name}").filter(lambda path: path != "/..")


@st.composite
def services(draw: st.DrawFn, name: str, images: list[str]) -> Service:
    protected = draw(st.booleans())
    signers = draw(
        st.lists(st.builds(Signer, hex64, st.integers(0, 65535), st.integers(0, 65535)), max_size=2)
    )
    return Service(
        name=name,
        image_name=draw(st.sampled_from(["", *images])),
        mrenclaves=tuple(draw(st.lists(hex64, min_size=0 if signers else 1, max_size=3))),
        signers=tuple(signers),
        command=tuple(draw(st.lists(words, max_size=4))),
        environment=draw(st.dictionaries(variables, texts, max_size=4)),
        pwd=draw(paths),
        fspf_path=draw(paths) if protected else None,
        fspf_key=draw(hex64) if protected else None,
        fspf_tag=draw(hex32) if protected else None,
    )


@st.composite
def sessions(draw: st.DrawFn) -> Session:
    volumes = draw(st.lists(names, max_size=3, unique=True))
    images = draw(st.lists(names, max_size=3, unique=True))
    who = st.sampled_from(["CREATOR", "ANY", "NONE", HASH])
    mounts = (
        st.lists(st.builds(Mount, st.sampled_from(volumes), paths), max_size=2) if volumes else st.just([])
    )
    return Session(
        name=draw(names),
        version=draw(st.sampled_from(["0.3", "0.3.0", "0.3.10", "0.3.11"])),
        services=tuple(
            draw(services(name, images))
            for name in draw(st.lists(names, min_size=1, max_size=3, unique=True))
        ),
        images=tuple(Image(name, tuple(draw(mounts))) for name in images),
        volumes=tuple(Volume(name, draw(st.none() | hex64), draw(st.none() | hex32)) for name in volumes),
        read=tuple(draw(st.lists(who, max_size=2))),
        update=tuple(draw(st.lists(who, max_size=2))),
        attestation=draw(
            st.builds(
                Attestation,
                st.sampled_from(["hardware", "none", "maa"]),
                st.lists(st.sampled_from(TOLERATIONS), unique=True, max_size=3).map(tuple),
                st.just(("INTEL-SA-00161",)) | st.just(()),
                st.none() | st.just("https://attest.example"),
            )
        ),
        predecessor=draw(st.none() | hex64),
    )


@given(sessions())
@settings(max_examples=150, deadline=None)
def test_what_is_written_is_read_again(session: Session) -> None:
    assert parse(render(session)) == session
    assert parse(render(session).encode()) == session


@given(st.text(max_size=300))
@settings(deadline=None)
def test_any_text_is_a_session_or_is_refused_with_a_line(text: str) -> None:
    try:
        parse(text)
    except SessionError as error:
        assert error.line >= 1
        assert error.reason


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_line_more_anywhere_is_understood_or_refused(data: st.DataObject) -> None:
    lines = MINIMAL.splitlines()
    at = data.draw(st.integers(0, len(lines)))
    extra = data.draw(
        st.sampled_from(["extra: 1", "  extra: 1", "    - x", "    extra: {a: b}", "&a [*a]", "\t", "%"])
    )
    lines.insert(at, extra)
    try:
        parse("\n".join(lines))
    except SessionError as error:
        assert 1 <= error.line <= len(lines) + 1


def test_what_is_left_out_has_scones_defaults() -> None:
    session = parse(MINIMAL)
    assert session == Session("my-session", (Service("app", mrenclaves=(HASH,)),))
    assert (session.read, session.update) == (("CREATOR",), ("CREATOR",))


def test_values_stay_as_they_are_written() -> None:
    text = (
        MINIMAL
        + "    environment: {A: yes, B: 1e5, C: null, D: '', E: 0o17, F: ~, G: 2020-01-01, H: 'null'}\n"
    )
    assert parse(text).services[0].environment == {
        "A": "yes", "B": "1e5", "C": "", "D": "", "E": "0o17", "F": "", "G": "2020-01-01", "H": "null",
    }  # fmt: skip


def test_a_command_is_split_on_whitespace_and_knows_no_quotes() -> None:
    text = MINIMAL + """    command: python3  /app/app.py 'a b'\n"""
    assert parse(text).services[0].command == ("python3", "/app/app.py", "'a", "b'")
    assert parse(MINIMAL + "    command: [python3, 'a b']\n").services[0].command == ("python3", "a b")


def test_an_enclave_may_be_named_by_hash_or_by_signer() -> None:
    text = f"""name: s
version: 0.3.7
services:
  - name: app
    attestation:
      - mrenclave: [{HASH.upper()}]
      - signer: {{mrsigner: {KEY}, isvprodid: 8, isvsvn: 1}}
"""
    service = parse(text).services[0]
    assert (service.mrenclaves, service.signers) == ((HASH,), (Signer(KEY, 8, 1),))


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", 1, "empty"),
        ("- a\n", 1, "not a mapping"),
        ("a: [\n", 2, "not YAML"),
        (b"name: x\n\xff", 2, "UTF-8"),
        ("name: s\nservices: []\n", 1, "needs version"),
        (MINIMAL.replace("0.3", "0.2"), 2, "not between"),
        (MINIMAL.replace("0.3", "0.3.12"), 2, "not between"),
        (MINIMAL.replace("my-session", "my session"), 1, "not a name"),
        (MINIMAL + "digest: create\n", 6, "'digest' is not a field"),
        (MINIMAL + "    tags: [demo]\n", 6, "'tags' is not a field"),
        (MINIMAL + "    name: twice\n", 6, "twice"),
        (MINIMAL.replace(HASH, HASH[1:]), 5, "64 hex digits, this has 63"),
        (MINIMAL.replace(f"[{HASH}]", "[]"), 4, "any enclave would be served"),
        (MINIMAL + f"  - name: app\n    mrenclaves: [{HASH}]\n", 6, "twice in services"),
        (MINIMAL + "    image_name: none\n", 4, "not there"),
        (MINIMAL + f"    fspf_path: /f\n    fspf_key: {KEY}\n", 4, "belong together"),
        (MINIMAL + f"    fspf_path: f\n    fspf_key: {KEY}\n    fspf_tag: {TAG}\n", 6, "absolute"),
        (MINIMAL + "    environment: {A: [1]}\n", 6, "not a single value"),
        (MINIMAL + '    environment: {A: "\\0"}\n', 6, "environment variable"),
        (MINIMAL + "    pwd: /a/../b\n", 6, "absolute"),
        (MINIMAL + "images: [{name: i, volumes: [{name: v, path: /v}]}]\n", 6, "not there"),
        (MINIMAL + "access_policy: {read: [ME]}\n", 6, "'ME' is none of"),
        (MINIMAL + "security: {attestation: {mode: soft}}\n", 6, "'soft' is none of"),
        (MINIMAL + "security: {attestation: {tolerate: [all]}}\n", 6, "'all' cannot be tolerated"),
        (MINIMAL + 'security: {attestation: {ignore_advisories: "*"}}\n', 6, "debug-mode only"),
        (MINIMAL + "security: {attestation: {ignore_advisories: [x]}}\n", 6, "not an Intel advisory"),
        ("x: &a [*a]\n", 1, "needs version"),
        (MINIMAL + "x" * (1 << 20), 1, "larger"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(text: str | bytes, line: int, reason: str) -> None:
    with pytest.raises(SessionError) as caught:
        parse(text)
    assert caught.value.line == line
    assert reason in caught.value.reason


def test_no_refusal_repeats_a_key() -> None:
    with pytest.raises(SessionError) as caught:
        parse(MINIMAL + f"    fspf_path: /f\n    fspf_key: {KEY}0\n    fspf_tag: {TAG}\n")
    assert KEY not in str(caught.value)
    assert KEY not in repr(Service("app", mrenclaves=(HASH,), fspf_key=KEY, environment={"A": KEY}))
