"""The catalogue of curated images: sound data, and a search that ranks as one types."""

import dataclasses
import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scone import image_tags as tags
from workflows.core.failure import Missing
from workflows.scone import catalogue

ROLES = {"runtime", "compiler", "cli", "sconifier", "service", "demo"}
REFERENCE = re.compile(
    r"(?:[a-z0-9.-]+(?::[0-9]+)?/)?[a-z0-9._-]+(?:/[a-z0-9._-]+)*(?::[A-Za-z0-9_.-]{1,128})?"
)


def faults(entries: Sequence[catalogue.Entry]) -> list[str]:
    """What is wrong with the data, a sentence each; none for a sound catalogue."""
    found = []
    seen: set[str] = set()
    for entry in entries:
        where = entry.reference
        if where in seen:
            found.append(f"{where}: twice")
        seen.add(where)
        if entry.access not in catalogue.ACCESS:
            found.append(f"{where}: access {entry.access!r}")
        on_hub = "." not in where.partition("/")[0]
        if on_hub != (entry.registry == "docker.io") or not (
            on_hub or where.startswith(f"{entry.registry}/")
        ):
            found.append(f"{where}: registry {entry.registry!r}")
        if not (entry.note and entry.source):
            found.append(f"{where}: no note or no source")
        try:
            tag = tags.parse(entry.tag)
        except ValueError:
            continue
        if entry.family != tag.family and not (tag.family == "debian" and entry.family == "debian"):
            found.append(f"{where}: os {entry.os!r}, the tag has {tag.os}")
        if tag.scone is not None and tag.scone != entry.scone:
            found.append(f"{where}: scone {entry.scone!r}, the tag has {tag.scone}")
        if entry.version and entry.version.split()[-1] not in tag.app:
            found.append(f"{where}: version {entry.version!r}, the tag has {tag.app}")
    return found


def test_the_data_is_sound():
    entries = catalogue.load()
    assert len(entries) >= 40
    assert faults(entries) == []
    for entry in entries:
        assert REFERENCE.fullmatch(entry.reference), entry
        assert entry.role in ROLES, entry
        assert all(isinstance(value, str | bool) for value in dataclasses.astuple(entry))
        assert entry.needs


def test_faults_are_found():
    entry = catalogue.default("python")
    wrong = [
        (dataclasses.replace(entry, os="Debian 11"), "os"),
        (dataclasses.replace(entry, scone="4"), "scone"),
        (dataclasses.replace(entry, version="3.8"), "version"),
        (dataclasses.replace(entry, registry="registry.scontain.com"), "registry"),
        (dataclasses.replace(entry, access="free"), "access"),
        (dataclasses.replace(entry, source=""), "source"),
    ]
    for changed, said in wrong:
        assert len(faults([changed])) == 1
        assert said in faults([changed])[0]
    assert "twice" in faults([entry, entry])[0]


@pytest.mark.parametrize(
    ("language", "reference"),
    [
        ("python", "sconecuratedimages/public-apps:python-3.7.3-alpine3.10-scone3.0"),
        ("node", "sconecuratedimages/public-apps:node-10-alpine-scone3.0"),
    ],
)
def test_default_is_the_base_iexec_used(language, reference):
    entry = catalogue.default(language)
    assert entry.reference == reference
    assert catalogue.find(reference) is entry
    assert catalogue.find(f"docker.io/{reference}") is entry
    assert catalogue.find(reference + "x") is None


def test_no_default_is_named():
    with pytest.raises(Missing, match="lua"):
        catalogue.default("lua")


def first(text, language=None):
    return catalogue.search(text, language)[0].reference


def test_search_ranks_as_one_types():
    assert catalogue.search("") == list(catalogue.load())
    for typed in ("p", "py", "pyth", "python", "python 3.7.3", "PYTHON alpine3.10", "iexec python"):
        assert first(typed) == catalogue.default("python").reference
    for typed in ("no", "node", "node 10", "node scone3.0"):
        assert first(typed) == catalogue.default("node").reference
    assert first("bullseye").endswith("python:3.8-bullseye")
    assert first("debian").endswith("python:3.8-bullseye")
    assert first("20.19").endswith("node:20.19-alpine3.22")
    assert first("registry.scontain.com/sconecuratedimages/mono").endswith("/mono")
    assert first("attestation").endswith("services:las")


def test_search_forgives_a_slip_and_stays_narrow():
    assert first("pyton 3.10.6").startswith("registry.scontain.com/sconecuratedimages/python:3.10.6")
    assert first("tensrflow").endswith("tensorflow-full")
    assert catalogue.search("zzz") == []
    assert catalogue.search("python quux") == []


def test_search_filters_by_language():
    for language in catalogue.languages():
        found = catalogue.search("", language)
        assert found
        assert {entry.language for entry in found} == {language}
    assert {entry.language for entry in catalogue.search("alpine", "java")} == {"java"}
    assert catalogue.search("", "cobol") == []


@given(st.text(max_size=30))
def test_search_takes_anything_and_is_stable(text):
    found = catalogue.search(text)
    assert found == catalogue.search(text)
    assert set(found) <= set(catalogue.load())


@given(st.sampled_from(catalogue.load()), st.data())
def test_every_entry_is_found_by_any_part_of_its_reference(entry, data):
    end = data.draw(st.integers(1, len(entry.reference)))
    start = data.draw(st.integers(0, end - 1))
    assert entry in catalogue.search(entry.reference[start:end])


versions = st.lists(st.integers(0, 99).map(str), min_size=1, max_size=3).map(".".join)
apps = st.from_regex(r"[a-z]{1,8}-[0-9]{1,2}(\.[0-9]{1,2}){0,2}|[0-9](\.[0-9]{1,2}){0,2}", fullmatch=True)
systems = st.sampled_from(sorted(tags.FAMILIES)).flatmap(
    lambda name: st.just(name) | versions.map(lambda version: name + version)
)


@given(apps, systems, st.none() | versions)
def test_tags_read_back(app, system, scone):
    tag = tags.Tag(app, system, scone)
    assert tags.parse(str(tag)) == tag
    assert tag.pin == ("newest", "major", "minor", "patch")[len(scone.split(".")) if scone else 0]
    assert tag.family in {"alpine", "debian", "ubuntu"}


@given(st.text(max_size=40))
def test_other_tags_are_refused(text):
    try:
        tag = tags.parse(text)
    except ValueError:
        return
    assert str(tag) == text


@pytest.mark.parametrize(
    "text", ["", "R", "latest", "-alpine", "alpine3.10", "python-3.7-alpine-scone", "a-alpine3.-scone3"]
)
def test_tags_outside_the_grammar(text):
    with pytest.raises(ValueError, match="does not follow"):
        tags.parse(text)


def test_every_base_has_a_row_of_its_own_within_eighty_columns():
    from workflows.steps.base_image import _bases

    rows = [f"{one.label[:33]:<34}  {one.note}"[:60] for one in _bases(None)]  # type: ignore[arg-type]
    assert len(rows) == len(set(rows)) > 40
