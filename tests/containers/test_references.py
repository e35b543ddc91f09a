"""Image references: what they mean, and what is not one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.containers.reference import Reference, same_image
from workflows.core.failure import Missing

DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    ("text", "host", "repository", "tag", "digest"),
    [
        ("python", "docker.io", "library/python", None, None),
        ("python:3.9", "docker.io", "library/python", "3.9", None),
        ("team/app", "docker.io", "team/app", None, None),
        ("docker.io/python", "docker.io", "library/python", None, None),
        ("index.docker.io/team/app:1", "docker.io", "team/app", "1", None),
        ("localhost/app", "localhost", "app", None, None),
        ("localhost:5000/app:1", "localhost:5000", "app", "1", None),
        ("registry.scontain.com:5050/sconecuratedimages/python:3.7.3-alpine3.10", "registry.scontain.com:5050",
         "sconecuratedimages/python", "3.7.3-alpine3.10", None),
        ("[2001:db8::1]:5000/app", "[2001:db8::1]:5000", "app", None, None),
        (f"a.b/c/d__e/f-g.h@{DIGEST}", "a.b", "c/d__e/f-g.h", None, DIGEST),
        (f"app:1@{DIGEST}", "docker.io", "library/app", "1", DIGEST),
        ("Registry/app", "Registry", "app", None, None),
        ("a/b/c:x_Y.z-1", "docker.io", "a/b/c", "x_Y.z-1", None),
    ],
)  # fmt: skip
def test_the_parts_of_a_reference(
    text: str, host: str, repository: str, tag: str | None, digest: str | None
) -> None:
    assert Reference.parse(text) == Reference(host, repository, tag, digest)


@pytest.mark.parametrize(
    "text",
    ["", " ", "App", "a//b", "/a", "a/", "a:", "a:b:c", "-a", "a_", "a___b", "a..b", "https://a/b", "a b", "a\n",
     "a:1\n", "a@sha256:12", "a@sha256:" + "0A" * 32, "a:" + "x" * 129, "a.b:99999/c", "a.b:0/c", "a/B", "0a" * 32,
     "a/" * 150 + "a", "a:é", "a:$TAG"],
)  # fmt: skip
def test_what_is_no_reference_is_refused_by_name(text: str) -> None:
    with pytest.raises(Missing) as caught:
        Reference.parse(text)
    assert caught.value.name == "bad_reference"
    assert caught.value.hint


def test_names_that_mean_the_same_image() -> None:
    assert same_image("python", "docker.io/library/python:latest")
    assert same_image("index.docker.io/team/app:1", "team/app:1")
    assert not same_image("python:3", "python:3.9")
    assert not same_image("localhost/app", "app")
    assert same_image("$BASE", "$BASE")
    assert not same_image("$BASE", "python")


part = st.from_regex(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+){0,2}", fullmatch=True)
host = st.none() | st.sampled_from(
    ["localhost", "localhost:5000", "r.example.com", "r.example.com:443", "10.0.0.1:5000"]
)


@given(
    host,
    st.lists(part, min_size=1, max_size=3),
    st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True),
    st.booleans(),
)
def test_writing_a_reference_and_reading_it_again(
    host: str | None, parts: list[str], tag: str | None, pinned: bool
) -> None:
    path = "/".join(parts)
    if host is None and len(parts) > 1 and ("." in parts[0] or parts[0] == "localhost"):
        parts[0] = "x"
        path = "/".join(parts)
    text = (f"{host}/" if host else "") + path + (f":{tag}" if tag else "") + (f"@{DIGEST}" if pinned else "")
    try:
        read = Reference.parse(text)
    except Missing:  # 64 hex digits alone are an id
        assert len(path) == 64
        return
    assert Reference.parse(str(read)) == read
    assert Reference.parse(read.canonical).canonical == read.canonical
    assert read.repository.endswith(path)


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read = Reference.parse(text)
    except Missing:
        return
    assert Reference.parse(str(read)) == read
