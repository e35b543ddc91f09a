"""Why two measurements differ: every input alone is named first, nothing is named when nothing changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.scone.measurements import (
    APP,
    BUILD,
    file,
    fingerprint,
    new,
    parts,
    rebuilt,
    setting,
    sha,
    texts,
    with_file,
    with_sources,
)
from workflows.core.text import clean
from workflows.scone import difference, record
from workflows.scone.difference import RANDOM, compare
from workflows.scone.fingerprint import Fingerprint
from workflows.scone.record import Area, Builder, Interpreter, Record, Region, Runtime
from workflows.scone.tree import Entry, lines_of

EDITED = APP.replace("tea", "coffee")
# Each input alone: what it is, the record with it, what the first sentence says, and the path it is about.
MEASURED: dict[str, tuple[Record, str, str | None]] = {
    "heap": (setting("SCONE_HEAP", str(2 << 30), fingerprint=fingerprint(heap=2 << 30)), "heap 1 GiB → 2 GiB", None),
    "odd heap": (setting("SCONE_HEAP", "1000001"), "heap 1 GiB → 1000001 bytes", None),
    "stack": (setting("SCONE_STACK", "4194304", stack=4 << 20), "stack 2 MiB → 4 MiB", None),
    "threads": (setting("SCONE_TCS", "16", threads=16), "threads 8 → 16", None),
    "dlopen": (new(dlopen="yes (protected)"), "dlopen no → yes (protected)", None),
    "fork": (new(fork="yes"), "fork no → yes", None),
    "mprotect": (setting("SCONE_MPROTECT", "yes"), "mprotect not set → yes", None),
    "extensions": (setting("SCONE_EXTENSIONS_PATH", "/lib/x.so"), "runtime extensions not set → /lib/x.so", None),
    "base moved": (
        new(base=dataclasses.replace(BUILD.base, id="sha256:" + sha("b2"))),
        f"the stand-in for curated/python:3 moved from {sha('base')[:12]}… to {sha('b2')[:12]}…",
        None,
    ),
    "another base": (
        new(base=dataclasses.replace(BUILD.base, reference="curated/node:10")),
        "another base image: FROM curated/python:3 → curated/node:10",
        None,
    ),
    "SCONE": (new(runtime=Runtime("5.9.0", "1.2.4", None)), "SCONE 5.8.0 → 5.9.0", None),
    "libc": (new(runtime=Runtime("5.8.0", "1.2.5", None)), "libc 1.2.4 → 1.2.5", None),
    "real": (new(simulated=False), "the runtime is SCONE's own instead of SIMULATED", None),
    "program": (
        new(interpreter=dataclasses.replace(BUILD.interpreter, path="/usr/local/bin/node")),
        "the program in the enclave is /usr/local/bin/node instead of /usr/local/bin/python3",
        None,
    ),
    "interpreter": (
        new(interpreter=Interpreter("/usr/local/bin/python3", {"/usr/bin/python3.11": sha("other")})),
        "/usr/bin/python3.11",
        "/usr/bin/python3.11",
    ),
    "signer": (new(signer=sha("other")), "signed by another key", None),
    "product": (new(product="ISVPRODID 1 ISVSVN 3"), "product and version", None),
    "debug": (new(debug=True), "the enclave may be debugged now", None),
    "entrypoint": (
        new(fingerprint=fingerprint(entrypoint="python3 /app/b.py")),
        "entrypoint python3 /app/app.py → python3 /app/b.py",
        None,
    ),
    "region": (
        new(regions={**(BUILD.regions or {}), "/app": Region("not-protected", "/app")}),
        "region /app: authenticated → not-protected",
        "/app",
    ),
    "region moved": (
        new(regions={**(BUILD.regions or {}), "/bin": Region("authenticated", "/bin")}),
        "region /bin leads to /bin",
        "/bin",
    ),
    "app file": (with_file("/app/app.py", file(EDITED), texts(EDITED)), "/app/app.py", "/app/app.py"),
    "new file": (with_file("/app/new.py", file("x")), "/app/new.py", "/app/new.py"),
    "lost file": (with_file("/app/app.py", None), "/app/app.py", "/app/app.py"),
    "mode": (with_file("/app/app.py", file(APP, 0o600)), "/app/app.py", "/app/app.py"),
    "link": (with_file("/app/link", Entry("link", 0, "other.py")), "/app/link", "/app/link"),
    "library": (with_file("/usr/lib/libm.so", file("newer")), "/usr/lib/libm.so", "/usr/lib/libm.so"),
    "outside": (with_file("/etc/app.ini", file("[other]")), "/etc/app.ini", "/etc/app.ini"),
    "sealed file": (with_file("/app/model/v", file("more")), "/app/model/v", "/app/model/v"),
}  # fmt: skip
AMBIENT: dict[str, tuple[Record, str]] = {
    "Dockerfile": (
        with_sources(dockerfile=sha("D2"), lines=lines_of(b"FROM a\nRUN c\n")),
        "the Dockerfile changed, 1 line from line 2 on",
    ),
    "argument": (with_sources(arguments={"PIP": sha("2")}), "build argument PIP changed"),
    "context": (
        with_sources(files={**BUILD.sources.files, "README.md": sha("x")}),
        "README.md changed in the project; it is encrypted in the image, or not in it",
    ),
    "encrypted file": (
        with_sources(files={**BUILD.sources.files, "model/w": sha("x")}),
        "model/w changed in the project; it is encrypted in the image",
    ),
    "modes": (with_sources(), "the build context differs in modes, links or empty folders"),
    "tuning": (setting("SCONE_QUEUES", "8"), "SCONE_QUEUES 4 → 8: it is not measured"),
    "engine": (new(builder=Builder("docker", "25.0", "1.44", "buildkit")), "built by another engine"),
    "builder": (new(builder=Builder("docker", "20.10", "1.41", "classic")), "built by classic instead of buildkit"),
}  # fmt: skip


@pytest.mark.parametrize("change", [lambda one: one, rebuilt, lambda one: parts(rebuilt(one), "mrenclave")])
@pytest.mark.parametrize("name", MEASURED)
def test_a_measured_input_alone_is_the_first_cause(name: str, change: Callable[[Record], Record]) -> None:
    other, sentence, path = MEASURED[name]
    if change(other).fingerprint.mrenclave != BUILD.fingerprint.mrenclave and name not in DECIDES_MRENCLAVE:
        assume_explained(change(other), sentence)
        return
    found = compare(BUILD, change(other))
    assert not found.same
    # What no region protects decides nothing: it is told last, behind the key that chance made another.
    cause = found.causes[-1 if name == "outside" else 0]
    assert sentence in cause.sentence
    assert cause.path == path
    assert cause.evidence
    if name == "outside" and found.parts["fspf_key"] == "changed":
        assert "random for every build" in found.causes[0].sentence


DECIDES_MRENCLAVE = {
    "heap", "odd heap", "stack", "threads", "dlopen", "fork", "mprotect", "extensions", "base moved",
    "another base", "SCONE", "libc", "real", "program", "interpreter",
}  # fmt: skip


def assume_explained(other: Record, sentence: str) -> None:
    """MRENCLAVE cannot follow from such an input: that comes first, and the input is told after it."""
    found = compare(BUILD, other)
    assert "same inputs, different MRENCLAVE" in found.causes[0].sentence
    assert any(sentence in cause.sentence for cause in found.causes)


@pytest.mark.parametrize("name", AMBIENT)
def test_what_leads_to_a_build_is_a_cause_only_when_something_changed(name: str) -> None:
    other, sentence = AMBIENT[name]
    alone = compare(BUILD, other)
    assert alone.same and not alone.causes
    assert any(sentence in warning and "nothing that is measured" in warning for warning in alone.warnings)
    found = compare(BUILD, rebuilt(other))
    assert not found.same
    if (
        "it is encrypted in the image" in sentence
    ):  # likely what the tag changed by, though nobody can compare it
        assert sentence in found.causes[0].sentence and found.causes[0].part == "fspf_tag"
        return
    assert "nothing that is measured changed" in found.causes[0].sentence
    assert "random for every build" in found.causes[0].sentence
    assert any(sentence in cause.sentence for cause in found.causes[1:])


def test_a_signature_says_nothing_of_the_layout() -> None:
    """An enclave and its SIGSTRUCT are the same; an enclave and an image are different programs."""
    area = {"code": Area(0, 3, "R-X", measured=True)}
    enclave = Record("sdk e.so", "now", Fingerprint(None, None, sha("e")), layout=area, threads=2)
    signature = Record("sigstruct e.sig", "now", Fingerprint(None, None, sha("e")), signer=sha("s"))
    found = compare(enclave, signature)
    assert found.same
    assert found.warnings == ("of sigstruct e.sig no layout is known: it was not compared",)
    assert "different programs" in compare(BUILD, enclave).causes[0].sentence
    assert "different programs" in compare(enclave, BUILD).causes[0].sentence


def test_the_same_record() -> None:
    found = compare(BUILD, BUILD)
    assert (found.same, found.causes, found.warnings) == (True, (), ())
    assert found.parts == {"fspf_key": "same", "fspf_tag": "same", "mrenclave": "same"}
    assert {row.state for row in found.rows} == {"same"}


def test_the_same_inputs_and_a_new_key() -> None:
    found = compare(BUILD, rebuilt(BUILD))
    assert [cause.sentence for cause in found.causes] == [RANDOM]
    assert found.parts == {"fspf_key": "changed", "fspf_tag": "changed", "mrenclave": "same"}
    assert not found.same and not found.warnings


def test_cipher_text_is_another_in_every_build() -> None:
    found = compare(BUILD, rebuilt(with_file("/app/model/w", file("other cipher text"))))
    assert [cause.sentence for cause in found.causes] == [RANDOM]


def test_the_same_inputs_and_another_mrenclave() -> None:
    other = new(interpreter=Interpreter("/usr/local/bin/python3", {"/usr/bin/python3.11": sha("other")}))
    found = compare(BUILD, parts(rebuilt(other), "mrenclave"))
    assert found.causes[0].sentence == (
        "same inputs, different MRENCLAVE: the build is not reproducible, "
        "the first file that differs is /usr/bin/python3.11"
    )
    unknown = compare(BUILD, parts(BUILD, "mrenclave"))
    assert "no file that is known differs" in unknown.causes[0].sentence


def test_the_same_inputs_and_other_files() -> None:
    found = compare(BUILD, rebuilt(with_file("/usr/lib/libm.so", file("newer"))))
    assert found.causes[0].sentence == (
        "same inputs, different files: the build is not reproducible, the first file that differs is /usr/lib/libm.so"
    )


def test_an_edited_file_is_told_by_its_lines() -> None:
    other = rebuilt(with_file("/app/app.py", file(EDITED), texts(EDITED)))
    other = new(other, sources=with_sources(files={**BUILD.sources.files, "app.py": sha(EDITED)}).sources)
    found = compare(BUILD, other)
    assert found.causes[0].sentence == "/app/app.py changed, 1 line"
    assert "line 3 first" in found.causes[0].evidence
    assert [cause.part for cause in found.causes] == ["fspf_tag", "fspf_key"]
    assert not found.warnings


def test_many_files_are_told_together() -> None:
    files = {**(BUILD.files or {}), **{f"/app/m{n}.py": file(str(n)) for n in range(30)}}
    files |= {f"/usr/lib/l{n}.so": file(str(n)) for n in range(4000)}
    other = rebuilt(new(files=files, sources=with_sources().sources))
    found = compare(BUILD, other)
    assert len(found.causes) < 12
    assert any("25 files of the app differ: /app/m13.py" in cause.sentence for cause in found.causes)
    assert any("4,000 files of the base and its packages differ" in cause.sentence for cause in found.causes)


def test_code_that_changed_without_a_trace_is_a_warning() -> None:
    other = with_file("/app/app.py", file(EDITED), texts(EDITED))
    assert any(
        "/app/app.py changed and the FSPF tag did not" in one for one in compare(BUILD, other).warnings
    )
    alone = [new(one, fingerprint=Fingerprint(None, None, sha("m"))) for one in (BUILD, other)]
    assert any(
        "/app/app.py changed and MRENCLAVE, all there is, did not" in one for one in compare(*alone).warnings
    )
    outside = compare(BUILD, rebuilt(with_file("/etc/app.ini", file("x"))))
    assert any("/etc/app.ini changed in no protected region" in one for one in outside.warnings)
    heap = compare(BUILD, setting("SCONE_HEAP", str(2 << 30)))
    assert any("heap 1 GiB → 2 GiB; and MRENCLAVE did not change" in one for one in heap.warnings)


def test_what_a_side_does_not_know_is_not_compared() -> None:
    app = Record("app 0x1", "2026-11-23T10:00:00.000Z", BUILD.fingerprint)
    found = compare(app, BUILD)
    assert found.same
    assert any("no settings, no files, no build inputs" in one for one in found.warnings)
    json_form = new(
        app, fingerprint=Fingerprint(None, None, sha("mrenclave"), "python3 /app/app.py", 1 << 30)
    )
    assert compare(json_form, BUILD).parts == {"fspf_key": None, "fspf_tag": None, "mrenclave": "same"}
    other = compare(app, parts(BUILD, "mrenclave"))
    assert "nothing that both sides know explains it" in other.causes[0].sentence


def test_areas_of_signed_enclaves() -> None:
    def enclave(**areas: Area) -> Record:
        return Record("a", "", Fingerprint(None, None, sha(str(areas))), layout=areas)

    old = enclave(
        code=Area(0x1000, 3, "R-X", True, ("1", "2", "3")), tcs=Area(0x9000, 1, "TCS", True, ("1",))
    )
    edited = enclave(
        code=Area(0x1000, 3, "R-X", True, ("1", "x", "y")), tcs=Area(0x9000, 1, "TCS", True, ("1",))
    )
    assert compare(old, edited).causes[0].sentence == (
        "the content of code changed: 2 pages of 3, the first at 0x2000"
    )
    moved = enclave(
        code=Area(0x1000, 3, "R-X", True, ("1", "2", "3")), tcs=Area(0xA000, 1, "TCS", True, ("2",))
    )
    assert "nothing that both sides know" in compare(old, moved).causes[0].sentence
    assert compare(old, enclave(code=Area(0x1000, 4, "R-X", True))).causes[0].sentence == (
        "code changed: 3 pages R-X measured → 4 pages R-X measured"
    )
    assert not compare(old, old).warnings


def test_the_document() -> None:
    document = compare(BUILD, rebuilt(MEASURED["heap"][0])).document()
    assert document["parts"] == {"fspf_key": "changed", "fspf_tag": "changed", "mrenclave": "same"}
    assert [cause["rank"] for cause in document["causes"]] == [1, 2]
    assert set(document["causes"][0]) == {"rank", "sentence", "evidence", "path", "part"}
    assert {"name": "heap", "a": "1 GiB", "b": "2 GiB", "state": "changed"} in document["rows"]


words = st.text(max_size=12)
entries = st.builds(Entry, st.just("file"), st.integers(0, 0o7777), words.map(sha)) | st.builds(
    Entry, st.just("link"), st.just(0), words
)
names = st.sampled_from(["/app/", "/usr/lib/", "/etc/", "/app/model/"]).flatmap(
    lambda folder: words.filter(lambda name: name.strip("./") and "/" not in name).map(
        lambda name: folder + name
    )
)


@given(
    st.dictionaries(names, entries),
    st.dictionaries(st.sampled_from(["SCONE_HEAP", "SCONE_X", "SCONE_TCS"]), words),
)
def test_no_change_no_cause(files: dict[str, Entry], settings: dict[str, str]) -> None:
    one = new(files=files, settings=settings)
    assert compare(one, record.read(record.write(one))).same
    assert not compare(one, one).causes and not compare(one, one).warnings


@given(st.dictionaries(names, entries, min_size=1), st.data())
def test_any_one_file_is_named_first_or_last_if_unprotected(
    files: dict[str, Entry], data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from(sorted(files)))
    entry = data.draw(entries)
    old = files[path]
    sealed = path.startswith("/app/model/")
    assume(entry != old and not (sealed and (entry.kind, entry.mode) == (old.kind, old.mode)))
    found = compare(new(files=files), rebuilt(new(files={**files, path: entry})))
    free = found.causes[-1].path == path and found.causes[-1].part is None
    assert free or found.causes[0].path == path
    assert free == any(f"{clean(path)} changed in no protected region" in one for one in found.warnings)
    assert found.parts["fspf_tag"] == "changed"


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_words_of_outside_are_harmless(one: str, two: str) -> None:
    a = new(interpreter=Interpreter(one, {}), settings={"SCONE_EXTENSIONS_PATH": one}, product=one or None)
    b = new(interpreter=Interpreter(two, {}), settings={"SCONE_EXTENSIONS_PATH": two}, product=two or None)
    found = compare(a, b)
    told = [text for cause in found.causes for text in (cause.sentence, cause.evidence)]
    told += [*found.warnings, *(text for row in found.rows for text in (row.a, row.b) if text)]
    assert all(text == clean(text) for text in told)
    assert difference.compare(b, a).same == found.same


def test_a_kept_record_shows_the_same_interpreter_as_one_taken_just_now() -> None:
    """Its JSON sorts the measured files, the launcher last; an image that is read now has the launcher first."""
    parts = ("/usr/local/bin/scone", "/usr/bin/python3.11", "/usr/lib/libexpat.so.1")
    taken = new(interpreter=Interpreter("/usr/local/bin/python3", {path: sha(path) for path in parts}))
    found = compare(record.read(record.write(taken)), taken)
    row = next(row for row in found.document()["rows"] if row["name"] == "its SHA-256")
    assert row == {"name": "its SHA-256", "a": sha(parts[1]), "b": sha(parts[1]), "state": "same"}
