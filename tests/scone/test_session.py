"""The session language: what is written is read again, and what is wrong is refused with its line."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflows.localnet.cas.tls import client_pair
from workflows.scone.session import parse, render
from workflows.scone.session_model import (
    TOLERATIONS,
    Attestation,
    Export,
    Image,
    Import,
    Injected,
    Mount,
    Rule,
    Secret,
    Service,
    Session,
    SessionError,
    Signer,
    Volume,
    split,
)

AZURE = "https://sharedweu.weu.attest.azure.net"
HASH, KEY, TAG = "ab" * 32, "cd" * 32, "ef" * 16
MINIMAL = f"""name: my-session
version: "0.3"
services:
  - name: app
    mrenclaves: [{HASH}]
"""

RULE = 'name: s\nversion: "0.3"\nservices:\n  - name: app\n    attestation: '

LAUGHTER = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefghijklmnopqrs"))

names = st.from_regex(r"[A-Za-z0-9_\-.~]{1,20}", fullmatch=True).filter(lambda name: name not in (".", ".."))
hex64 = st.binary(min_size=32, max_size=32).map(bytes.hex)
hex32 = st.binary(min_size=16, max_size=16).map(bytes.hex)
# what an environment variable can hold: text without NUL and without half characters
texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=40)
variables = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0="), min_size=1, max_size=20
)
words = texts.filter(bool)
paths = names.map(lambda name: f"/{name}").filter(lambda path: path != "/..")


numbers = st.integers(0, 0xFFFF)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    least, most = sorted((draw(numbers), draw(numbers)))
    signer = draw(st.none() | st.builds(Signer, hex64, numbers, st.just(least), st.just(most)))
    return Rule(tuple(draw(st.lists(hex64, min_size=0 if signer else 1, max_size=2))), signer)


def spoken(command: str) -> bool:
    try:
        return not any(word.startswith("@@") or "$$" in word for word in split(command))
    except ValueError:
        return False


@st.composite
def services(draw: st.DrawFn, name: str, images: list[str]) -> Service:
    protected = draw(st.booleans())
    variants = tuple(draw(st.lists(rules(), max_size=2)))
    return Service(
        name=name,
        image_name=draw(st.sampled_from(["", *images])),
        mrenclaves=() if variants else tuple(draw(st.lists(hex64, min_size=1, max_size=3))),
        attestation=variants,
        command=draw(
            st.lists(
                words.filter(lambda word: not word.startswith("@@") and "$$" not in word), max_size=4
            ).map(tuple)
            | words.filter(spoken)
        ),
        environment=draw(st.dictionaries(variables, texts.filter(lambda text: "$$" not in text), max_size=4)),
        pwd=draw(paths),
        fspf_path=draw(paths) if protected else None,
        fspf_key=draw(hex64) if protected else None,
        fspf_tag=draw(hex32) if protected else None,
    )


@st.composite
def secrets(draw: st.DrawFn) -> tuple[Secret, ...]:
    """A key, a CA, a certificate of it and a public key; then what stands alone."""
    export = st.booleans()
    key = Secret(
        "key", "private-key", key_type=draw(st.sampled_from(["P-256", "Ed25519"])), migrate=draw(export)
    )
    own = Secret("ca", "x509-ca", private_key="key", common_name=draw(st.none() | st.just("Our CA")))
    leaf = Secret(
        "leaf", "x509", private_key="key", issuer=draw(st.none() | st.just("ca")),
        endpoint=draw(st.sampled_from([None, "server", "client"])),
        san=draw(st.sampled_from([(), ("dns:*.example.com", "ip:2001:db8::8")])), export_public=draw(export),
    )  # fmt: skip
    given = st.sampled_from(
        [
            Secret("a", "ascii"),
            Secret("a", "ascii", size=7, export_public=True),
            Secret("a", "ascii", value="yes: #1"),
            Secret("a", "binary", size=32),
            Secret("a", "binary", value="DEADbeef"),
            Secret("a", "ascii", export=(Export("b"), Export("c", HASH), Export("d/e", namespace=True))),
            Secret("a", "", source=Import("b", "c", HASH)),
            Secret("a", "x509", source=Import("b/c", "d")),
        ]
    )
    public = Secret("public", "public-key", private_key="key")
    return draw(st.sampled_from([(), (key, own, leaf, public)])) + tuple(draw(st.lists(given, max_size=1)))


@st.composite
def image(draw: st.DrawFn, name: str, volumes: list[str]) -> Image:
    mounts = (
        st.lists(st.builds(Mount, st.sampled_from(volumes), paths), max_size=2, unique_by=lambda m: m.path)
        if volumes
        else st.just([])
    )
    content = st.none() | texts.filter(lambda text: "$$" not in text)
    files = draw(
        st.lists(
            st.builds(Injected, paths, content, st.integers(0, 0o777)), max_size=2, unique_by=lambda f: f.path
        )
    )
    return Image(name, tuple(draw(mounts)), tuple(files))


def volume(name: str) -> st.SearchStrategy[Volume]:
    """Its own, with a key or without, exported or not; or another session's."""
    exports = st.just(()) | st.just((Export("b"), Export("c", KEY, alias="other")))
    own = st.builds(Volume, st.just(name), st.none() | hex64, exports)
    return own | st.just(Volume(name, source=Import("b", "v", KEY)))


@st.composite
def sessions(draw: st.DrawFn) -> Session:
    volumes = draw(st.lists(names, max_size=3, unique=True))
    images = draw(st.lists(names, max_size=3, unique=True))
    who = st.sampled_from([("ANY",), ("NONE",), (), ("CREATOR",), ("CREATOR", HASH)])
    return Session(
        name=draw(names),
        version=draw(st.sampled_from(["0.3", "0.3.0", "0.3.10", "0.3.11", "0.3.12"])),
        services=tuple(
            draw(services(name, images))
            for name in draw(st.lists(names, min_size=1, max_size=3, unique=True))
        ),
        images=tuple(draw(image(name, volumes)) for name in images),
        volumes=tuple(draw(volume(name)) for name in volumes),
        secrets=draw(secrets()),
        read=draw(who),
        update=draw(who),
        create_sessions=draw(st.none() | who),
        list_sessions=draw(st.none() | who),
        attestation=draw(
            st.builds(
                lambda mode, *more: Attestation(mode, *more, AZURE if mode == "maa" else None),
                st.sampled_from(["hardware", "none", "maa"]),
                st.lists(st.sampled_from(TOLERATIONS), unique=True, max_size=3).map(tuple),
                st.just(("INTEL-SA-00161",)) | st.just(()),
            )
        ),
        predecessor=draw(st.none() | hex64),
        salt=draw(st.none() | hex32),
    )


@given(sessions())
@settings(max_examples=50, deadline=None)
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


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("python3  /app/app.py 'a  b'", ("python3", "/app/app.py", "a  b")),
        ('mysql -e "show databases;"', ("mysql", "-e", "show databases;")),
        ("""a '"b"' "it's" --c='d e' ''""", ("a", '"b"', "it's", "--c=d e", "")),
        (r"a\ b c\"d e\"", ("a\\", "b", "c\\d e\\")),  # a backslash is one like any other
        ("a #b $c", ("a", "#b", "$c")),
        ("", ()),
    ],
)
def test_a_command_is_split_at_whitespace_outside_of_quotes(written: str, words: tuple[str, ...]) -> None:
    service = parse(f"{MINIMAL}    command: {json.dumps(written)}\n").services[0]
    assert (service.command, service.words) == (written or "", words)
    again = parse(render(Session("s", (service,)))).services[0]
    assert again.words == words


def test_a_command_may_be_a_list() -> None:
    service = parse(MINIMAL + "    command: [python3, 'a b', \"it's\"]\n").services[0]
    assert service.words == service.command == ("python3", "a b", "it's")


ONE, TWO, SIGNED = "11" * 32, "22" * 32, f"{{mrsigner: {KEY}, isvprodid: 8}}"


@pytest.mark.parametrize(
    ("attestation", "rules"),
    [
        (f"{{mrenclave: {ONE}}}", (Rule((ONE,)),)),
        (f"{{mrenclave: [{ONE}, {TWO.upper()}]}}", (Rule((ONE, TWO)),)),
        (f"{{signer: {SIGNED}}}", (Rule((), Signer(KEY, 8, 0, 65535)),)),
        (f"{{mrenclave: {ONE}, signer: {SIGNED}}}", (Rule((ONE,), Signer(KEY, 8)),)),
        (f"[{{mrenclave: [{ONE}]}}, {{signer: {SIGNED}}}]", (Rule((ONE,)), Rule((), Signer(KEY, 8)))),
        (f"{{signer: {{mrsigner: {KEY}, isvprodid: 8, isvsvn: 4}}}}", (Rule((), Signer(KEY, 8, 4, 4)),)),
        (f"{{signer: {{mrsigner: {KEY}, isvprodid: 8, isvsvn_min: 4}}}}", (Rule((), Signer(KEY, 8, 4)),)),
        (f"{{signer: {{mrsigner: {KEY}, isvprodid: 8, isvsvn_max: 4}}}}", (Rule((), Signer(KEY, 8, 0, 4)),)),
    ],
)
def test_an_enclave_is_named_by_alternatives_of_hash_and_signer(
    attestation: str, rules: tuple[Rule, ...]
) -> None:
    text = f"name: s\nversion: 0.3.7\nservices:\n  - name: app\n    attestation: {attestation}\n"
    service = parse(text).services[0]
    assert service.attestation == service.rules == rules
    assert parse(MINIMAL).services[0].rules == (Rule((HASH,)),)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", 1, "empty"),
        ("- a\n", 1, "not a mapping"),
        ("a: [\n", 2, "not YAML"),
        (b"name: x\n\xff", 2, "UTF-8"),
        ("name: s\nservices: []\n", 1, "needs version"),
        (MINIMAL.replace("0.3", "0.2"), 2, "not between"),
        (MINIMAL.replace("0.3", "0.3.13"), 2, "not between"),
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
        (MINIMAL + "access_policy: {update: [ANY, CREATOR]}\n", 6, "ANY stands alone"),
        (MINIMAL + "access_policy: {read: [CREATOR, NONE]}\n", 6, "NONE stands alone"),
        (MINIMAL + "access_policy: {delete: [CREATOR]}\n", 6, "'delete' is not a field"),
        (MINIMAL + "access_policy: {read: [3s1pm8W6Be6cxvAQRbRP5YXd9Y]}\n", 6, "not SCONE's base58"),
        (MINIMAL + "access_policy: {update: [{signer: x}]}\n", 6, "signers and governance rules"),
        (MINIMAL + "access_policy: {update: {require-all: [x]}}\n", 6, "signers and governance rules"),
        (MINIMAL + 'access_policy: {read: ["-----BEGIN CERTIFICATE-----"]}\n', 6, "not a PEM certificate"),
        (MINIMAL.replace("mrenclaves", "attestation: []\n    mrenclaves"), 4, "give one of them"),
        (RULE + "{}\n", 5, "any enclave would be served"),
        (RULE + "{mrenclave: []}\n", 5, "mrenclave is empty"),
        (RULE + f"[{{mrenclave: {HASH}}}, {{}}]\n", 5, "any enclave would be served"),
        (RULE + f"{{signer: {{mrsinger: {KEY}, isvprodid: 8}}}}\n", 5, "a signer needs mrsigner"),
        (RULE + f"{{signer: {{mrsigner: {KEY}}}}}\n", 5, "a signer needs isvprodid"),
        (RULE + f"{{signer: {{mrsigner: {KEY}, isvprodid: 65536}}}}\n", 5, "from 0 to 65535"),
        (
            RULE + f"{{signer: {{mrsigner: {KEY}, isvprodid: 8, isvsvn: 1, isvsvn_min: 1}}}}\n",
            5,
            "one version",
        ),
        (RULE + f"{{signer: {{mrsigner: {KEY}, isvprodid: 8, isvsvn_min: 2, isvsvn_max: 1}}}}\n", 5, "above"),
        (MINIMAL + "    command: a 'b\n", 6, "a quote in the command is not closed"),
        (MINIMAL + "security: {attestation: {mode: soft}}\n", 6, "'soft' is none of"),
        (
            MINIMAL + "security: {attestation: {tolerate: [all]}}\n",
            6,
            "a toleration 'all' is none of debug-mode",
        ),
        (MINIMAL + 'security: {attestation: {ignore_advisories: "*"}}\n', 6, "debug-mode only"),
        (MINIMAL + "security: {attestation: {ignore_advisories: [x]}}\n", 6, "not an Intel advisory"),
        ("x: &a [*a]\n", 1, "more than 32768 values"),
        (f"{LAUGHTER}x: [*s]\n", 1, "more than 32768 values"),
        (MINIMAL + "x" * (1 << 20), 1, "larger"),
        (MINIMAL + "volumes:\n" + "- x\n" * (1 << 15), 32760, "more than 32768 values"),
        (MINIMAL + "services: " + "[" * 2000, 6, "nested too deeply"),
        (MINIMAL + "a: \0\n", 6, "character U+0000 that YAML does not allow"),
        (MINIMAL + 'a: "\\UFFFFFFFF"\n', 6, "an escape in a text that names no character"),
        (MINIMAL + 'a: "\\U00110000"\n', 6, "an escape in a text that names no character"),
        (MINIMAL + '    command: "\\ud800"\n', 6, "half a character"),
        (MINIMAL + "    pwd: !here /\n", 6, "a tag, which means nothing here"),
        (MINIMAL + "salt: !!binary aGVsbG8=\n", 6, "a tag, which means nothing here"),
        (MINIMAL + "images: !!omap []\n", 6, "a tag, which means nothing here"),
        (MINIMAL + "    pwd: &pw /\n", 6, "an anchor that no alias uses"),
        (MINIMAL.replace("my-session", "."), 1, "not a name"),
        (MINIMAL.replace("my-session", "a/../b"), 1, "not a name"),
        (MINIMAL.replace("my-session", "/".join(["a"] * 40)), 1, "not a name"),
        (MINIMAL.replace("my-session", "/".join(["a" * 120] * 3)), 1, "not a name"),
        (MINIMAL.replace("my-session", "sessiön"), 1, "'sessiön' is not a name"),
        (MINIMAL + "<<: {salt: x}\n", 6, "'<<' is not a field of the session"),
        (MINIMAL + "images: [{name: i, injection_files: [/a/]}]\n", 6, "names a folder"),
        (MINIMAL + "images: [{name: i, injection_files: [{path: /}]}]\n", 6, "names a folder"),
        (
            MINIMAL + "volumes: [{name: v}, {name: w}]\n"
            "images: [{name: i, volumes: [{name: v, path: /v}, {name: w, path: /v}]}]\n",
            7,
            "'/v' is there twice in the paths of volumes",
        ),
        (MINIMAL + "security: {attestation: {mode: maa}}\n", 6, "mode maa needs url"),
        (MINIMAL + "security: {attestation: {mode: maa, url: file:///x}}\n", 6, "an https address"),
        (MINIMAL + "security: {attestation: {url: 'https://x'}}\n", 6, "url belongs to mode maa"),
        (MINIMAL + "    mrenclaves: [$MRENCLAVE]\n", 6, "twice"),
        (MINIMAL.replace(HASH, "$MRENCLAVE"), 5, "has 10 characters: a variable that nothing filled in?"),
        (MINIMAL.replace(HASH, "$$SCONE::a$$"), 5, "a secret is not put in here"),
        (MINIMAL + "access_policy: {read: [$$SCONE::a$$]}\n", 6, "a secret is not put in here"),
        (MINIMAL + "access_policy: $$SCONE::a$$\n", 6, "a secret is not put in here"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(text: str | bytes, line: int, reason: str) -> None:
    with pytest.raises(SessionError) as caught:
        parse(text)
    assert caught.value.line == line
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("creator: x", "creator is not served"),
        ("secret_config: {store_in: x}", "secret_config is not served"),
        ("    platforms: []", "platforms is not served"),
        ("    one_time_password_shared_secret: X", "one_time_password_shared_secret is not served"),
        ("    command: a @@1", "@@1 is not served"),
        ("    environment: {'\\@\\@A': b}", "is not served: the host"),
        ("    fspf_update_policy: no_rollback_protection", "'no_rollback_protection' is not served"),
        (f"volumes: [{{name: v, fspf_key: {KEY}, fspf_tag: {TAG}}}]", "fspf_tag is not served"),
        ("volumes: [{name: v, files: authenticated-only}]", "every volume is encrypted here"),
        (
            "images: [{name: i, volumes: [{name: v, path: /v, update_policy: ephemeral}]}]",
            "'ephemeral' is not",
        ),
        ("security: {singleton_enclaves: true}", "singleton_enclaves is not served"),
        ("security: {service_access_token: x}", "service_access_token is not served"),
        ("security: {attestation: {trusted_scone_qe_pubkeys: []}}", "trusted_scone_qe_pubkeys is not served"),
        ("security: {attestation: {must_be_sgx_local: true}}", "must_be_sgx_local is not served"),
        ("security: {attestation: {certificates: []}}", "certificates is not served"),
        ("secrets: [{name: a, kind: jwt}]", "kind jwt is not served"),
        ("secrets: [{name: a, kind: ascii, import_akv: {}}]", "import_akv is not served"),
        ("secrets: [{name: a, kind: x509, private_key: k, valid_for: 90 days}]", "valid_for is not served"),
    ],
)
def test_what_is_not_served_is_refused_with_its_name(line: str, reason: str) -> None:
    with pytest.raises(SessionError) as caught:
        parse(MINIMAL + line + "\n")
    assert (caught.value.line, reason in caught.value.reason) == (6, True), caught.value
    with pytest.raises(SessionError, match="root namespace is not served"):
        parse(MINIMAL.replace("my-session", "/"))


SECRETS = """secrets:
  - {name: word, kind: ascii}
  - {name: raw, kind: binary, size: 32}
  - {name: key, kind: private-key, key_type: P-384}
  - {name: ca, kind: x509-ca, private_key: key}
  - {name: crt.pem, kind: x509, private_key: key, issuer: ca}
"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("secrets: [{name: a}]", "a secret needs kind"),
        ("secrets: [{name: a, kind: text}]", "kind 'text' is none of ascii"),
        ("secrets: [{name: a, kind: ascii, key_type: P-256}]", "'key_type' is not a field of a secret"),
        ("secrets: [{name: a, kind: ascii, size: 0}]", "from 1 to"),
        ("secrets: [{name: a, kind: ascii, value: b, size: 1}]", "has its own size"),
        ("secrets: [{name: a, kind: ascii, value: é}]", "not ASCII"),
        ("secrets: [{name: a, kind: binary, value: abc}]", "not in hex digits"),
        ("secrets: [{name: a, kind: private-key, value: abc}]", "not a PEM private key"),
        ("secrets: [{name: a, kind: private-key, key_type: RSA-512}]", "'RSA-512' is none of P-256"),
        ("secrets: [{name: a, kind: x509}]", "needs a value, or the private_key"),
        ("secrets: [{name: a, kind: x509, private_key: b}]", "'b' of secret 'a' is no private-key"),
        ("secrets: [{name: a, kind: ascii}, {name: a, kind: binary}]", "'a' is there twice in secrets"),
        (
            "secrets: [{name: k, kind: private-key}, {name: a, kind: x509-ca, private_key: k, issuer: a}]",
            "own issuer",
        ),
        (
            "secrets: [{name: k, kind: private-key}, {name: a, kind: x509, private_key: k, san: b}]",
            "neither dns:NAME",
        ),
        (
            "secrets: [{name: k, kind: private-key}, {name: a, kind: x509, private_key: k, san: 'ip:b'}]",
            "an IP address",
        ),
        ("secrets: [{name: a, kind: ascii, export_public: maybe}]", "'maybe' is none of true, false"),
        (f"secrets: [{', '.join(f'{{name: a{n}, kind: ascii}}' for n in range(65))}]", "at most 64 secrets"),
        ("images: [{name: i, injection_files: [etc/x]}]", "not an absolute path"),
        ("images: [{name: i, injection_files: [{content: x}]}]", "needs a path"),
        ("images: [{name: i, injection_files: [/a, {path: /a}]}]", "'/a' is there twice"),
        ("images: [{name: i, injection_files: [{path: /a, permission: 9}]}]", "not an octal number"),
        ("images: [{name: i, injection_files: [{path: /a, content: $$SCONE::b$$}]}]", "'b' names no secret"),
        ("images: [{name: i, provide_secrets: [b]}]", "'b' is no secret"),
    ],
)
def test_secrets_and_injection_files_are_checked(text: str, reason: str) -> None:
    with pytest.raises(SessionError) as caught:
        parse(MINIMAL + text + "\n")
    assert (caught.value.line, reason in caught.value.reason) == (6, True), caught.value


@pytest.mark.parametrize(
    ("placeholder", "reason"),
    [
        ("word", None),
        ("word|escape(json)", None),
        ("word:hex", "has no format 'hex'"),
        ("raw:hex", None),
        ("raw.hex", None),
        ("raw:base32nopad", None),
        ("raw", "holds bytes: give a format, as in $$SCONE::raw:hex$$"),
        ("raw:bin", "holds bytes"),
        ("key", None),
        ("key:pkcs8:der", "holds bytes"),
        ("key:crt", "has no format 'crt'"),
        ("crt.pem:privatekey", None),
        ("crt.pem.key", None),
        ("ca.chain", None),
        ("ca.key:pem", "names no secret"),
        ("other", "'other' names no secret"),
        ("Word", "names no secret"),
    ],
)
def test_a_placeholder_names_a_secret_and_a_format_of_it(placeholder: str, reason: str | None) -> None:
    for where in (
        f"    command: [a, 'b $$SCONE::{placeholder}$$']\n",
        f"    environment: {{A: '$$SCONE::{placeholder}$$'}}\n",
    ):
        text = MINIMAL + where + SECRETS
        if reason is None:
            parse(text)
            continue
        with pytest.raises(SessionError) as caught:
            parse(text)
        assert (caught.value.line, reason in caught.value.reason) == (6, True), caught.value


def test_text_that_is_no_placeholder_stays() -> None:
    text = MINIMAL + "    environment: {A: '$$SCONE::', B: '$SCONE::x$', C: '$$', D: '$$SCONE:x$$'}\n"
    assert list(parse(text).services[0].environment.values()) == [
        "$$SCONE::",
        "$SCONE::x$",
        "$$",
        "$$SCONE:x$$",
    ]


def test_a_client_is_named_by_certificate_public_key_or_hash(tmp_path: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem = client_pair(tmp_path, "x").certificate.read_text()
    key = x509.load_pem_x509_certificate(pem.encode()).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    public = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    digest = hashlib.sha256(spki).hexdigest()
    for written in (pem, public, digest, digest.upper()):
        session = parse(MINIMAL + f"access_policy: {{read: {json.dumps([written, 'CREATOR'])}}}\n")
        assert session.read == (digest, "CREATOR")


def test_a_session_may_have_no_service_and_a_policy_one_value() -> None:
    session = parse("name: a/b\nversion: 0.3.5\naccess_policy: {read: ANY, create_sessions: NONE}\n")
    assert (session.services, session.read, session.create_sessions) == ((), ("ANY",), ("NONE",))
    assert session.list_sessions is None


def test_without_attestation_a_service_may_name_no_enclave() -> None:
    text = "name: s\nversion: 0.3.1\nservices: [{name: app}]\nsecurity: {attestation: {mode: none}}\n"
    assert parse(text).services[0].rules == ()


def test_no_refusal_repeats_a_key() -> None:
    with pytest.raises(SessionError) as caught:
        parse(MINIMAL + f"    fspf_path: /f\n    fspf_key: {KEY}0\n    fspf_tag: {TAG}\n")
    assert KEY not in str(caught.value)
    assert KEY not in repr(Service("app", mrenclaves=(HASH,), fspf_key=KEY, environment={"A": KEY}))


@pytest.mark.parametrize(
    "text",
    [
        "access_policy: {read: ['-----BEGIN PRIVATE KEY----- HUSH']}",
        "access_policy: {read: [HUSH HUSH]}",
        "secrets: [{name: a, kind: ascii, value: *HUSH}]",
        "secrets: [{name: a, kind: ascii, value: !HUSH}]",
        "secrets: [{name: a, kind: ascii, value: &HUSH x}]",
        "secrets: [{name: a, kind: ascii, value:HUSH}]",
        "secrets: [{name: a, kind: ascii, value=HUSH}]",
        "secrets: [{name: a, kind: ascii, value:HUSH, value:HUSH}]",
        "secrets: [{name: a, kind: ascii, value: }]",
        "secrets: [{name: a=HUSH, kind: ascii}]",
        "    environment: {TOKEN=HUSH: }",
        "    environment: {TOKEN=HUSH: [x]}",
        "    environment: [TOKEN=HUSH]",
    ],
)
def test_a_secret_in_the_wrong_place_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(SessionError) as caught:
        parse(MINIMAL + text + "\n")
    assert caught.value.line == 6
    assert "HUSH" not in str(caught.value)


GIVES = "secrets: [{name: a, kind: ascii, export: "
TAKES = "secrets: [{name: a, import: "


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GIVES + "{session: x, cas_url: y}}]", "cas_url is not served: sessions of another CAS"),
        (GIVES + "cas.example/session=x}]", "the short form of a session is not served"),
        (GIVES + "{session: x, namespace: y}}]", "session or namespace"),
        (GIVES + "{}}]", "session or namespace"),
        (GIVES + "{namespace: x, session_hash: " + HASH + "}}]", "session_hash does not go with namespace"),
        (GIVES + "{session: x, session_hash: 1}}]", "must be 64 hex digits"),
        (GIVES + "{session: 'x y'}}]", "this is not a name"),
        (GIVES + "{session: ../../x}}]", "leads out of"),
        (GIVES + "{namespace: ..}}]", "leads out of"),
        (GIVES + "{to: {session: x}}}]", "'to' is not a field"),
        (TAKES + "{session: x, secret: b}, kind: jwt}]", "kind jwt is not served"),
        (TAKES + "{session: x}}]", "needs secret"),
        (TAKES + "{secret: x}}]", "needs session"),
        (TAKES + "{session: x, secret: b}, value: c}]", "'value' is not a field of an imported secret"),
        (TAKES + "{session: x, secret: b}, export: {session: y}}]", "export is not served: what is imported"),
        (
            TAKES + "{session: x, secret: b}, export_public: true}]",
            "export_public is not served: what is imported",
        ),
        (TAKES + "{session: x, secret: b}, import_akv: {}}]", "import_akv is not served"),
        (TAKES + "{session: x, secret: b}}, {name: c, kind: x509, private_key: a}]", "'a' is imported"),
        ("volumes: [{name: v, import: {session: x}}]", "needs volume"),
        (
            f"volumes: [{{name: v, fspf_key: {KEY}, import: {{session: x, volume: y}}}}]",
            "'fspf_key' is not a field",
        ),
        (
            "volumes: [{name: v, import: {session: x, volume: y}, export: {session: z}}]",
            "export is not served",
        ),
        ("volumes: [{name: v, export: {namespace: x}}]", "volumes are not exported to namespaces"),
        (
            "volumes: [{name: v, export: {to: {session: x}, update_policy: ephemeral}}]",
            "'ephemeral' is not served",
        ),
    ],
)
def test_what_is_shared_is_checked(text: str, reason: str) -> None:
    with pytest.raises(SessionError) as caught:
        parse(MINIMAL + text + "\n")
    assert (caught.value.line, reason in caught.value.reason) == (6, True), caught.value


def test_what_is_shared_is_written_as_it_is_read() -> None:
    text = (
        MINIMAL.replace("my-session", "a/b")
        + f"""secrets:
  - {{name: one, kind: ascii, export: [{{session: ../c}}, {{session: ./c}}, {{namespace: ..}}]}}
  - {{name: two, import: {{session: ../../d, secret: e, session_hash: {HASH}}}}}
volumes:
  - {{name: v, export: {{to: {{session: f, session_hash: {KEY}}}, volume_alias: w}}}}
  - {{name: w, import: {{session: f, volume: v}}}}
"""
    )
    session = parse(text)
    assert [(each.session, each.namespace) for each in session.secrets[0].export] == [
        ("a/c", False), ("a/b/c", False), ("a", True),
    ]  # fmt: skip
    assert session.secrets[1].source == Import("d", "e", HASH)
    assert session.volumes == (
        Volume("v", export=(Export("f", KEY, alias="w"),)),
        Volume("w", source=Import("f", "v")),
    )
    assert parse(render(session)) == session


def test_an_alias_stands_for_what_its_anchor_names() -> None:
    text = f"name: s\nversion: '0.3'\nservices:\n  - {{name: a, mrenclaves: &m [{HASH}]}}\n"
    assert [each.mrenclaves for each in parse(text + "  - {name: b, mrenclaves: *m}\n").services] == [
        (HASH,)
    ] * 2


def test_no_predecessor_may_be_said_as_scone_prints_it() -> None:
    for nothing in ("null", "~", ""):
        assert parse(MINIMAL + f"predecessor: {nothing}\n") == parse(MINIMAL)


def test_images_may_be_named_as_images_are() -> None:
    name = "registry.scontain.com/sconecuratedimages/dapps:copy_demo"
    text = MINIMAL + f"    image_name: {name}\nimages: [{{name: {name}}}]\n"
    assert parse(text).images[0].name == name
    for bad in ("''", '"a\\nb"', '"\\u202e"', "x" * 257):
        with pytest.raises(SessionError, match="is not the name of an image"):
            parse(MINIMAL + f"images: [{{name: {bad}}}]\n")


def test_the_older_field_for_names_of_a_certificate_means_the_newer_one() -> None:
    secrets = "secrets: [{name: k, kind: private-key}, {name: c, kind: x509, private_key: k, "
    for dns, san in (("db", ("dns:db",)), ("[db, '*.db.example']", ("dns:db", "dns:*.db.example"))):
        assert parse(MINIMAL + secrets + f"dns: {dns}}}]\n").secrets[1].san == san
    for wrong, reason in (
        ("dns: 'a b'", "is not a DNS name"),
        ("dns: db, san: 'dns:db'", "give one of them"),
        ("dns: db, endpoint: client", "dns does not go with endpoint client"),
    ):
        with pytest.raises(SessionError, match=reason):
            parse(MINIMAL + secrets + wrong + "}]\n")


def test_a_key_that_comes_with_a_certificate_is_its_key(tmp_path: Path) -> None:
    ours, theirs = client_pair(tmp_path, "a"), client_pair(tmp_path, "b")

    def text(*keys: str) -> str:
        certificate = {
            "name": "c", "kind": "x509", "private_key": "k", "value": ours.certificate.read_text(),
        }  # fmt: skip
        key = {"name": "k", "kind": "private-key"} | ({"value": keys[0]} if keys else {})
        return MINIMAL + "secrets: " + json.dumps([key, certificate]) + "\n"

    assert parse(text(ours.key.read_text())).secrets[1].private_key == "k"
    for other in ((theirs.key.read_text(),), ()):
        with pytest.raises(SessionError, match="is not the key of the value of secret 'c'"):
            parse(text(*other))
    with pytest.raises(SessionError, match="value holds more than one PEM"):
        parse(text(ours.key.read_text() + theirs.key.read_text()))


def test_a_policy_names_one_certificate_at_a_time(tmp_path: Path) -> None:
    both = "".join(client_pair(tmp_path, name).certificate.read_text() for name in "ab")
    with pytest.raises(SessionError, match="more than one PEM"):
        parse(MINIMAL + f"access_policy: {{read: {json.dumps([both])}}}\n")
