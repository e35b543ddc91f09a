"""Layers out of both forms of an export, and what of two builds is called different."""

from __future__ import annotations

import gzip
import hashlib
import json
from typing import Any

import pytest

from tests.scone.test_tree import archive
from workflows.core.failure import Failed
from workflows.scone import layers
from workflows.scone.layers import Layer
from workflows.scone.record import Region
from workflows.scone.tree import Entry

HISTORY = [
    {"created_by": "/bin/sh -c #(nop) ADD file:1 in / "},
    {"created_by": "ENV A=1", "empty_layer": True},
    {"created_by": "RUN |1 A=b /bin/sh -c pip install a # buildkit"},
    {"created_by": "|2 A=b c URL=x|y /bin/sh -c echo  two"},
]


class Api:
    """The one call of docker-py that is needed."""

    def __init__(self, export: bytes) -> None:
        self.export = export

    def get_image(self, image: str) -> Any:
        return (self.export[at : at + 1000] for at in range(0, len(self.export), 1000))


class Engine:
    def __init__(self, export: bytes) -> None:
        self.api = Api(export)


def contents() -> list[bytes]:
    return [
        archive([("bin/", None), ("bin/sh", b"#!")]),
        archive([("usr/a.py", b"1")]),
        archive([("usr/.wh.a.py", b"")]),
    ]


def export(form: str, history: list[dict[str, object]] = HISTORY) -> bytes:
    tars = contents()
    digests = [f"sha256:{hashlib.sha256(one).hexdigest()}" for one in tars]
    settings = json.dumps({"history": history, "rootfs": {"diff_ids": digests}}).encode()
    if form == "folders":
        names = [f"{number}/layer.tar" for number in range(len(tars))]
        members: list[tuple[str, object]] = [("0/", None), *zip(names, tars, strict=True)]
        members.append(("0/json", b"{}"))
        config = "abc.json"
    else:
        tars = [gzip.compress(one) for one in tars] if form == "gzip" else tars
        names = [f"blobs/sha256/{hashlib.sha256(one).hexdigest()}" for one in tars]
        members = [("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), *zip(names, tars, strict=True)]
        config = "blobs/sha256/abc"
    manifest = json.dumps([{"Config": config, "Layers": names}]).encode()
    return archive([*members, (config, settings), ("manifest.json", manifest)])


@pytest.mark.parametrize("form", ["folders", "blobs", "gzip"])
def test_both_forms_of_an_export(form: str) -> None:
    found = layers.read(Engine(export(form)), "x")  # type: ignore[arg-type]
    assert [one.instruction for one in found] == ["ADD file:1 in /", "RUN pip install a", "RUN echo two"]
    assert found[0].entries["/bin/sh"].content == hashlib.sha256(b"#!").hexdigest()
    assert set(found[2].entries) == {"/usr/.wh.a.py"}


def test_a_base_without_a_history() -> None:
    found = layers.read(Engine(export("folders", HISTORY[2:])), "x")  # type: ignore[arg-type]
    assert [one.instruction for one in found] == ["", "RUN pip install a", "RUN echo two"]


@pytest.mark.parametrize(
    "data", [b"", b"x" * 5000, archive([("a", b"1")]), archive([("manifest.json", b"[]")])]
)
def test_what_is_no_export_is_refused(data: bytes) -> None:
    with pytest.raises(Failed, match="export of the image cannot be read"):
        layers.read(Engine(data), "x")  # type: ignore[arg-type]


REGIONS = {
    "/": Region("not-protected", "/"),
    "/app": Region("authenticated", "/app"),
    "/m": Region("encrypted", "/m"),
}


def one(**files: str) -> list[Layer]:
    entries = {
        "/" + name.replace("__", "/").replace("_", "."): Entry("file", 0o644, text)
        for name, text in files.items()
    }
    return [Layer("FROM", "same", {}), Layer("RUN x", str(sorted(files.items())), entries)]


def test_what_must_differ_is_apart() -> None:
    a = one(fspf_pb="1", build__keytag="1", m__data="1", app__a="1", etc__x="1")
    b = one(fspf_pb="2", build__keytag="2", m__data="2", app__a="1", etc__x="2")
    differs, expected = layers.compare(a, b, REGIONS)
    assert expected == ["/build/keytag", "/fspf.pb", "/m/data"]
    assert [(found.path, found.protected, found.layer) for found in differs] == [("/etc/x", False, 2)]


def test_a_name_more_or_less_differs() -> None:
    differs, expected = layers.compare(one(app__a="1", m__x="1"), one(app__b="1"), REGIONS)
    assert [found.path for found in differs] == ["/app/a", "/app/b", "/m/x"]
    assert differs[1].evidence == "nothing → sha256 1… mode 0644"
    assert not expected


def test_another_number_of_layers() -> None:
    with pytest.raises(Failed, match="another number of layers"):
        layers.compare(one(), one()[:1], REGIONS)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/usr/lib/python3/site-packages/a/__pycache__/b.pyc", "the time of the source"),
        ("/var/log/dpkg.log", "a log"),
        ("/usr/lib/python3/site-packages/a.py", "another version"),
        ("/app/x", "something new each time"),
    ],
)
def test_a_likely_reason_is_given(path: str, why: str) -> None:
    reason, remedy = layers.Differs(1, "RUN x", path, True, "").why
    assert why in reason and remedy
