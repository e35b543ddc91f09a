"""Stand-in bases through the real engine: what is in them, what they say, and how they are kept."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from workflows.cli import main
from workflows.containers.engine import Engine
from workflows.core.events import Event, Lines, Noted, TaskChanged
from workflows.core.failure import Cancelled, Failed, Missing, Unavailable
from workflows.core.step import Cancel
from workflows.localnet import images, rootfs
from workflows.localnet.images import (
    StandIn,
    forget,
    kinds,
    recipe,
    root_image,
    stand_in,
    trusted_certificates,
)
from workflows.localnet.trim import trim

ROOT_FILE = "/etc/scone-simulated/root.pem"
ROOT_PEM = b"-----BEGIN CERTIFICATE-----\nSIMULATED test root\n-----END CERTIFICATE-----\n"


def _nothing(event: Event) -> None: ...


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine.connect() as engine:
        yield engine
        forget(engine, ROOT_PEM)


def _base(engine: Engine, kind: str) -> StandIn:
    return stand_in(engine, kind, _nothing, root_pem=ROOT_PEM)


def _run(engine: Engine, image: str, script: str, network: str = "none") -> str:
    ran = engine.run(image, ["-ec", script], entrypoint=["/bin/bash"], network=network, timeout=120)
    assert ran.code == 0, ran.err + ran.out
    return ran.out


@pytest.mark.engine
@pytest.mark.parametrize("kind", kinds())
def test_a_base_has_the_runtime_the_marks_and_its_interpreters(engine: Engine, kind: str) -> None:
    base = _base(engine, kind)
    image = engine.require(base.image)
    assert image.labels["creamtea.simulated"] == "1"
    assert image.labels["creamtea.localnet"] == ""  # what is built on it belongs to nobody's process
    assert base.interpreter in base.told("x") and "SIMULATED" in base.told("x")
    document = json.loads(engine.read_file(base.image, "/etc/scone-simulated/base.json") or b"")
    assert document["version"] == 1 and document["os"] == base.os == "Debian 12"
    assert engine.read_file(base.image, ROOT_FILE) == ROOT_PEM
    assert b"SIMULATED" in (engine.read_file(base.image, "/.scone-simulated") or b"")
    for entry in document["interpreters"].values():
        for path in (entry["path"], *entry["libraries"]):
            assert (engine.read_file(base.image, path) or b"").startswith(b"\x7fELF"), path
    out = _run(engine, base.image, "python3 -c 'print(6 * 7)'; scone --version; which bash sed openssl")
    assert out.splitlines()[0] == "42" and "SIMULATED" in out


@pytest.mark.engine
def test_measuring_and_pip_work_in_the_python_base(engine: Engine) -> None:
    base = _base(engine, "python")
    first = _run(engine, base.image, "SCONE_HEAP=1G SCONE_HASH=1 python3")
    assert len(first.strip()) == 64
    assert first != _run(engine, base.image, "SCONE_HEAP=2G SCONE_HASH=1 python")
    out = _run(
        engine, base.image, "pip install six && python3 -c 'import six; print(six.__version__)'", "bridge"
    )
    assert "externally-managed" not in out


@pytest.mark.engine
@pytest.mark.parametrize(
    "place", ["/usr/local/lib/python3.11/site-packages", "/usr/local/local/lib/python3.11/dist-packages"]
)
def test_packages_that_another_stage_installed_with_a_prefix_are_found(engine: Engine, place: str) -> None:
    image = _base(engine, "python").image
    made = f"mkdir -p {place}; echo 'word = 42' > {place}/elsewhere.py; "
    assert _run(engine, image, made + "python3 -c 'import elsewhere; print(elsewhere.word)'") == "42"


@pytest.mark.engine
def test_npm_installs_in_the_node_base(engine: Engine) -> None:
    base = _base(engine, "node")
    script = (
        "cd /tmp && npm install --no-fund --no-audit is-number@7.0.0 && node -p 'require(\"is-number\")(5)'"
    )
    assert _run(engine, base.image, script, "bridge").splitlines()[-1] == "true"


@pytest.mark.engine
def test_a_base_is_made_once_and_a_new_root_costs_only_the_thin_layer(engine: Engine) -> None:
    base = _base(engine, "python")
    events: list[Event] = []
    assert stand_in(engine, "python", events.append, root_pem=ROOT_PEM) == base
    assert events == []
    other = stand_in(engine, "python", events.append, root_pem=ROOT_PEM.replace(b"test", b"other"))
    try:
        assert other.image != base.image and other.root == base.root
        assert {event.task for event in events if isinstance(event, TaskChanged)} == {"base"}
        assert any(isinstance(event, Noted) and "stands in for" in event.text for event in events)
        assert engine.exists(base.image)  # of another localnet: not superseded
    finally:
        forget(engine, ROOT_PEM.replace(b"test", b"other"))
    assert not engine.exists(other.image) and engine.exists(base.image)


@pytest.mark.engine
def test_a_new_runtime_takes_the_place_of_the_old_base_and_spares_what_was_built_on_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = ROOT_PEM.replace(b"test", b"mine")
    old = stand_in(engine, "python", _nothing, root_pem=mine)
    with engine.create(old.image, ["-"], entrypoint=[]) as container:
        engine.api.commit(container.id, repository="creamtea-test/built", tag="1")
    try:
        monkeypatch.setattr(images, "zipapp", lambda: b"#!/bin/sh\necho another runtime\n")
        new = stand_in(engine, "python", _nothing, root_pem=mine)
        assert new.image != old.image
        assert not engine.exists(old.image) and engine.exists("creamtea-test/built:1")
    finally:
        forget(engine, mine)
        assert engine.exists("creamtea-test/built:1")
        engine.remove("creamtea-test/built:1")


@pytest.mark.engine
def test_down_with_images_removes_those_of_this_folder_and_nobody_elses(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = ROOT_PEM.replace(b"test", b"gone")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "root.pem").write_bytes(mine)
    other, own = _base(engine, "python"), stand_in(engine, "python", _nothing, root_pem=mine)
    with engine.create(own.image, ["-"], entrypoint=[]) as container:
        engine.api.commit(container.id, repository="creamtea-test/mine", tag="1")
    words = ["localnet", "down", "--images", "--state", str(tmp_path)]
    try:
        with engine.create(own.image, ["-"], entrypoint=[]):
            assert main([*words, "--json"]) == 0
            left = json.loads(capsys.readouterr().out)["engine"]
            assert left["in_use"] == [own.image] and left["removed"]["images"] == []
        assert main([*words, "--json"]) == 0
        left = json.loads(capsys.readouterr().out)["engine"]
        assert left["removed"]["images"] == [own.image] and left["freed"] >= 0
        assert own.root in left["shared"] and left["shared"][own.root] > 1 << 20
        assert not engine.exists(own.image)
        assert (
            engine.exists(other.image) and engine.exists(own.root) and engine.exists("creamtea-test/mine:1")
        )
        assert main(words) == 0
        said = capsys.readouterr().out
        assert "no localnet was running" in said and f"kept {own.root}" in said and own.image not in said
    finally:
        engine.remove("creamtea-test/mine:1")
        forget(engine, mine)


def test_images_are_removed_by_down_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["localnet", "status", "--images", "--state", str(tmp_path), "--json"]) == 2
    assert "--images is for down" in capsys.readouterr().out


@pytest.mark.engine
def test_an_image_that_the_engine_has_is_the_base_of_the_root(engine: Engine, tmp_path: Path) -> None:
    """The way of the public image, with a stand-in's root in its place: the packages are there already."""
    plan = recipe("python")
    public = rootfs.Recipe(**{**plan.__dict__, "public": root_image(engine, "python", _nothing)})
    events: list[Event] = []
    root = rootfs.build(public, tmp_path, engine, events.append, Cancel())
    assert root.version == recipe_version(engine)
    assert any(isinstance(event, Lines) for event in events)
    with tarfile.open(root.tar) as archive:
        names = archive.getnames()
    assert "etc/scone-simulated/base.json" in names
    assert not [name for name in names if name.endswith("EXTERNALLY-MANAGED")]
    assert rootfs.build(public, tmp_path, None, events.append, Cancel()) == root  # from the cache, no engine


def recipe_version(engine: Engine) -> str:
    return engine.require(root_image(engine, "python", _nothing)).labels["creamtea.interpreter"].split()[-1]


def test_no_engine_and_no_tool_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rootfs, "_program", _absent)
    with pytest.raises(Unavailable) as caught:
        rootfs.build(recipe("python"), tmp_path, None, _nothing, Cancel())
    assert "mmdebstrap" in caught.value.hint and list(tmp_path.iterdir()) == []


def _absent(name: str) -> str:
    raise Failed("not installed")


def test_cancel_stops_the_maker_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "slow"
    tool.write_text("#!/bin/sh\necho started\nsleep 60\n")
    tool.chmod(0o755)
    monkeypatch.setattr(rootfs, "_program", lambda name: str(tool))
    cancel = Cancel()
    started = threading.Event()

    def emit(event: Event) -> None:
        if isinstance(event, Lines):
            started.set()

    cache = tmp_path / "cache"
    threading.Thread(target=lambda: started.wait(20) and cancel.set()).start()
    with pytest.raises(Cancelled):
        rootfs.build(recipe("python"), cache, None, emit, cancel)
    assert list(cache.iterdir()) == []


def test_another_language_is_refused_with_those_there_are() -> None:
    with pytest.raises(Missing) as caught:
        recipe("cobol")
    assert "python" in caught.value.hint and "node" in caught.value.hint


def _tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), 12.5
            archive.addfile(info, io.BytesIO(content))
    return path


def _trim(raw: Path, target: Path) -> str:
    plan = recipe("python")
    return trim(raw, target, plan.drop, plan.base_json(), plan.version_of)


STATUS = (
    b"Package: python3.11-minimal\nStatus: install ok installed\nVersion: 1:3.11.2-6+deb12u6\n\nPackage: x\n"
)


def test_trimming_drops_what_the_recipe_says_and_reads_the_version(tmp_path: Path) -> None:
    files = {
        "./usr/bin/python3.11": b"\x7fELF",
        "./var/lib/dpkg/status": STATUS,
        "./usr/lib/python3.11/EXTERNALLY-MANAGED": b"",
        "./usr/share/doc/x/copyright": b"",
        "./etc/passwd": b"root",
    }
    target = tmp_path / "out.tar"
    assert _trim(_tar(tmp_path / "in.tar", files), target) == "3.11.2"
    with tarfile.open(target) as archive:
        names = {name.removeprefix("./") for name in archive.getnames()}
        assert archive.pax_headers == {}
    assert names == {
        "usr/bin/python3.11",
        "var/lib/dpkg/status",
        "etc/passwd",
        "etc/scone-simulated/base.json",
    }


def test_a_root_without_its_interpreter_is_refused(tmp_path: Path) -> None:
    raw = _tar(tmp_path / "in.tar", {"./var/lib/dpkg/status": STATUS})
    with pytest.raises(Failed, match=r"python3\.11"):
        _trim(raw, tmp_path / "out.tar")


def test_the_bundle_is_the_one_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(ROOT_PEM)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert trusted_certificates() == ROOT_PEM
