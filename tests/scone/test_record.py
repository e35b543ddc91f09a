"""Records on disk: what is written is read again, and anything else is refused by the part that is wrong."""

from __future__ import annotations

import dataclasses
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.core.failure import Failed, Missing
from workflows.scone import record
from workflows.scone.fingerprint import Fingerprint
from workflows.scone.record import Area, Base, Builder, Interpreter, Picture, Record, Region, Runtime, Sources
from workflows.scone.tree import Entry

HASH = "ab" * 32
texts = st.text(max_size=20)
hashes = st.binary(min_size=32, max_size=32).map(bytes.hex)
some = texts | st.none()
entries = st.one_of(
    st.builds(Entry, st.just("file"), st.integers(0, 0o7777), hashes),
    st.builds(Entry, st.just("link"), st.just(0), texts),
    st.builds(Entry, st.sampled_from(["dir", "other"]), st.integers(0, 0o7777)),
)
records = st.builds(
    Record,
    name=texts,
    at=texts,
    fingerprint=st.builds(
        Fingerprint, hashes, hashes.map(lambda h: h[:32]), hashes, heap=st.none() | st.integers(1)
    ),
    simulated=st.booleans() | st.none(),
    run=some,
    image=st.builds(Picture, some, some, some),
    base=st.none() | st.builds(Base, texts, texts, some, some, some),
    runtime=st.none() | st.builds(Runtime, some, some, some),
    settings=st.none() | st.dictionaries(texts, texts, max_size=3),
    stack=st.none() | st.integers(),
    threads=st.none() | st.integers(),
    dlopen=some,
    debug=st.none() | st.booleans(),
    layout=st.none()
    | st.dictionaries(
        texts,
        st.builds(Area, st.integers(), st.integers(), texts, st.booleans(), st.tuples(texts)),
        max_size=2,
    ),
    interpreter=st.none() | st.builds(Interpreter, texts, st.dictionaries(texts, hashes, max_size=2)),
    regions=st.none() | st.dictionaries(texts, st.builds(Region, st.just("encrypted"), texts), max_size=2),
    files=st.none() | st.dictionaries(texts, entries, max_size=4),
    texts=st.dictionaries(texts, st.tuples(texts, texts), max_size=2),
    sources=st.none()
    | st.builds(
        Sources, hashes, st.tuples(texts), st.dictionaries(texts, hashes), hashes, st.just({"a": HASH})
    ),
    builder=st.none() | st.builds(Builder, texts, texts, texts, some),
)
ONE = Record(
    "build", "now", Fingerprint(HASH, HASH[:32], HASH), image=Picture("a:1", "sha256:" + HASH),
    regions={"/app": Region("authenticated", "/app")}, files={"/app/a.py": Entry("file", 0o644, HASH)}, threads=8,
)  # fmt: skip


@given(records)
def test_what_is_written_is_read_again(one: Record) -> None:
    text = record.write(one)
    assert record.read(text) == one
    assert record.write(record.read(text)) == text


def broken(change: Any) -> str:
    document = json.loads(record.write(ONE))
    change(document)
    return json.dumps(document)


def at(*path: str, value: Any) -> Any:
    def change(document: dict[str, Any]) -> None:
        for name in path[:-1]:
            document = document[name]
        document[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (at("v", value=2), "v: version 2, this program reads 1"),
        (at("type", value="receipt"), "it is no measurement record"),
        (at("more", value=1), "more: is unknown"),
        (lambda document: document.pop("image"), "image: is missing"),
        (at("image", "digits", value=1), "image.digits: is unknown"),
        (at("threads", value="8"), "threads: is no int"),
        (at("threads", value=True), "threads: is no int"),
        (at("name", value=None), "name: is no str"),
        (at("files", "/app/a.py", value="file 0644 abc"), "files./app/a.py: is no `kind mode content`"),
        (at("files", "/app/a.py", value="pipe 0644 "), "is no `kind mode content`"),
        (at("files", "/app/a.py", value=["file"]), "is no `kind mode content`"),
        (at("files", value=[]), "files: is no object"),
        (at("regions", "/app", "kind", value="sealed"), "regions./app.kind: is none of authenticated"),
        (at("fingerprint", "mrenclave", value="x"), "fingerprint: MRENCLAVE has 1 digits"),
        (at("fingerprint", value=[]), "fingerprint: is no object"),
        (at("texts", value={"a": "b"}), "texts.a: is no list"),
    ],
)
def test_another_document_is_refused(change: Any, said: str) -> None:
    with pytest.raises(Missing) as caught:
        record.read(broken(change))
    assert said in caught.value.message
    assert caught.value.hint


@given(
    st.text(max_size=200)
    | st.recursive(st.none() | st.text() | st.integers(), st.lists, max_leaves=5).map(json.dumps)
)
def test_any_text_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(Missing):
        record.read(text)


@given(
    st.sampled_from(sorted(json.loads(record.write(ONE)))),
    st.none() | st.integers() | texts | st.just({"a": []}),
)
def test_any_value_of_any_key_is_read_or_refused(key: str, value: Any) -> None:
    try:
        found = record.read(broken(at(key, value=value)))
    except Missing as failure:
        assert failure.message
    else:
        assert record.read(record.write(found)) == found


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text("{}")
    for name in ("r.json", "none.json"):
        with pytest.raises(Missing, match=name):
            record.load(tmp_path / name)


def build(image: str, name: str = "") -> Record:
    return Record(name or image, "now", ONE.fingerprint, image=Picture("a:1", "sha256:" + image * 8))


def test_records_are_numbered_and_private(tmp_path: Path) -> None:
    state = tmp_path / ".creamtea"
    assert record.kept(state) == []
    first, second = record.keep(state, build("1" * 8)), record.keep(state, build("2" * 8))
    assert (first.number, second.number) == (1, 2)
    assert first.path.name == "0001-111111111111.json"
    assert record.kept(state) == [first, second]
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(first.path.parent.stat().st_mode) == 0o700
    assert record.load(second.path) == build("2" * 8)


def test_the_same_image_measured_again_is_the_same_build(tmp_path: Path) -> None:
    record.keep(tmp_path, build("1" * 8))
    record.keep(tmp_path, build("2" * 8))
    again = record.keep(tmp_path, build("1" * 8, "again"))
    assert again.number == 1
    assert len(record.kept(tmp_path)) == 2
    assert record.load(again.path).name == "again"


def test_what_the_build_knew_stays_when_the_image_is_measured_later(tmp_path: Path) -> None:
    """The project has gone on: nobody knows any more what this image was built from, but its first record."""
    known = dataclasses.replace(
        ONE,
        image=Picture("a:1", "sha256:" + "3" * 64),
        base=Base("curated/python:3", "curated/python:3"),
        sources=Sources("d" * 64, (), {}, "c" * 64, {}),
    )
    record.keep(tmp_path, known)
    kept = record.keep(tmp_path, build("3" * 8, "later"))
    found = record.load(kept.path)
    assert (found.name, found.sources, found.base) == ("later", known.sources, known.base)
    kept.path.write_text("damaged")
    assert record.load(record.keep(tmp_path, build("3" * 8, "again")).path).sources is None


def test_other_files_are_no_records(tmp_path: Path) -> None:
    record.keep(tmp_path, build("1" * 8))
    for name in ("notes.json", "0002-xyz.json", ".0003-111111111111.json.tmp", "01-111111111111.json"):
        (tmp_path / record.FOLDER / name).write_text("{}")
    assert [one.number for one in record.kept(tmp_path)] == [1]


def test_a_record_needs_an_image(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="no image id"):
        record.keep(tmp_path, Record("x", "now", ONE.fingerprint))
