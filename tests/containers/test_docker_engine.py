"""The engine's images, containers, volumes and networks, on the real engine."""

from __future__ import annotations

import io
import tarfile
import threading
import time
from collections.abc import Iterator

import pytest

from workflows.containers.container import Container
from workflows.containers.engine import Engine
from workflows.core.failure import Failed, Missing

pytestmark = pytest.mark.engine


def archive(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return target.getvalue()


@pytest.fixture
def labels(engine: Engine, mark: str, request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Labels of this test alone; all that carries them is gone afterwards."""
    own = {"creamtea-case": f"{mark}-{request.node.name[:40]}"}
    yield own
    engine.sweep(own)


def test_what_the_engine_is(engine: Engine) -> None:
    assert engine.kind in ("docker", "podman")
    assert engine.version and engine.api_version
    assert engine.endpoint.url and engine.endpoint.source
    assert engine.platform.startswith("linux/")
    assert engine.disk_free is None or engine.disk_free > 0


def test_an_image_is_inspected(engine: Engine, base: str, mark: str) -> None:
    image = engine.require(base)
    assert image.id.startswith("sha256:")
    assert base in image.tags
    assert image.labels["creamtea-test"] == mark
    assert image.environment["TEA"] == "earl-grey"
    assert image.platform == engine.platform
    assert image.size > 0
    assert image.digest is None
    assert engine.image(image.id) == image


def test_an_absent_image(engine: Engine) -> None:
    assert engine.image("creamtea-test/none:1") is None
    assert not engine.exists("creamtea-test/none:1")
    assert engine.remove("creamtea-test/none:1") is False
    with pytest.raises(Missing):
        engine.require("creamtea-test/none:1")
    with pytest.raises(Failed):
        engine.run("creamtea-test/none:1", ["true"])


def test_tags_come_and_go(engine: Engine, base: str, mark: str) -> None:
    other = f"creamtea-test/other:{mark}"
    engine.tag(base, other)
    assert engine.require(other).id == engine.require(base).id
    assert engine.remove(other) is True
    assert not engine.exists(other) and engine.exists(base)


def test_a_broken_root_file_system_is_refused(engine: Engine, mark: str) -> None:
    with pytest.raises(Failed) as caught:
        engine.import_rootfs(io.BytesIO(b"no tar" * 1000), f"creamtea-test/broken:{mark}")
    assert "root file system" in caught.value.message
    assert not engine.exists(f"creamtea-test/broken:{mark}")


def test_files_are_read_without_running_the_image(engine: Engine, base: str) -> None:
    before = {record["Id"] for record in engine.api.containers(all=True)}
    wanted = ["/etc/tea", "/mug", "/up", "/etc", "/none", "/loop2", "/etc/none/x"]
    assert engine.read_files(base, wanted) == {
        "/etc/tea": b"earl grey\n", "/mug": b"earl grey\n", "/up": b"earl grey\n", "/etc": None, "/none": None,
        "/loop2": None, "/etc/none/x": None,
    }  # fmt: skip
    assert engine.read_file(base, "/etc/tea") == b"earl grey\n"
    with pytest.raises(Failed):
        engine.read_file(base, "/loop")
    with pytest.raises(Failed) as caught:
        engine.read_file(base, "/bin/busybox", limit=1000)
    assert "1000" in caught.value.message
    left = engine.api.containers(all=True, filters={"label": "creamtea=1", "ancestor": base})
    assert [record for record in left if record["Id"] not in before] == []


def test_a_short_command_gives_clean_lines_and_its_code(
    engine: Engine, base: str, labels: dict[str, str]
) -> None:
    script = r"echo hi; printf '\033[2J10%%\r100%%\n'; echo $TEA $CUP; echo worse >&2; exit 3"
    ran = engine.run(base, ["sh", "-c", script], environment={"CUP": "full"}, labels=labels)
    assert (ran.code, ran.out, ran.err, ran.timed_out) == (3, "hi\n100%\nearl-grey full", "worse", False)


def test_a_command_has_no_network_and_leaves_no_container(
    engine: Engine, base: str, labels: dict[str, str]
) -> None:
    ran = engine.run(base, ["ls", "/sys/class/net"], labels=labels)
    assert ran.out.split() == ["lo"]
    wanted = {"label": [f"{name}={value}" for name, value in labels.items()]}
    assert engine.api.containers(all=True, filters=wanted) == []


def test_a_command_that_hangs_is_stopped(engine: Engine, base: str, labels: dict[str, str]) -> None:
    ran = engine.run(base, ["sh", "-c", "echo begun; sleep 600"], timeout=0.5, labels=labels)
    assert ran.timed_out and ran.out == "begun"


def test_a_flood_is_bounded(engine: Engine, base: str, labels: dict[str, str]) -> None:
    ran = engine.run(base, ["seq", "1", "100000"], limit=1000, labels=labels)
    assert ran.code == 0
    assert len(ran.out) <= 1000


def test_output_that_came_before_the_engine_attached_is_not_lost(
    engine: Engine, base: str, labels: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(container: Container) -> Iterator[tuple[str, bytes]]:
        yield from ()
        container.wait()

    monkeypatch.setattr(Container, "attach", late)
    ran = engine.run(base, ["sh", "-c", "echo tea; echo spilt >&2"], labels=labels)
    assert (ran.code, ran.out, ran.err) == (0, "tea", "spilt")


def test_output_whose_beginning_the_engine_did_not_pass_on_is_whole(
    engine: Engine, base: str, labels: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    attach = Container.attach

    def cut(container: Container) -> Iterator[tuple[str, bytes]]:
        """Attached too late for standard output, in time for the last of standard error."""
        frames = attach(container)
        return (("err", data[-6:]) for stream, data in frames if stream == "err")

    monkeypatch.setattr(Container, "attach", cut)
    ran = engine.run(base, ["sh", "-c", "echo tea; echo much is spilt >&2"], labels=labels)
    assert (ran.code, ran.out, ran.err) == (0, "tea", "much is spilt")


def test_a_program_that_is_not_there_is_told(engine: Engine, base: str, labels: dict[str, str]) -> None:
    with pytest.raises(Failed) as caught:
        engine.run(base, ["/no/such/program"], labels=labels)
    assert "/no/such/program" in caught.value.message


def test_a_container_from_start_to_end(engine: Engine, base: str, labels: dict[str, str]) -> None:
    container = engine.create(
        base, ["sh", "-c", "cat /in/a; echo bad >&2; echo out > /tmp/b; exit 4"], labels=labels
    )
    with container:
        container.put("/", archive({"in/a": b"given\n"}))
        lines = container.lines()
        container.start()
        assert sorted(lines) == [("err", "bad"), ("out", "given")]
        assert container.wait(30) == 4
        assert container.read("/tmp/b") == b"out\n"
        with tarfile.open(fileobj=io.BytesIO(b"".join(container.get("/tmp")))) as tar:
            assert "tmp/b" in tar.getnames()
        with pytest.raises(FileNotFoundError):
            container.read("/tmp/none")
    container.remove()  # gone already: harmless
    container.kill()


def test_waiting_has_an_end(engine: Engine, base: str, labels: dict[str, str]) -> None:
    with engine.create(base, ["sleep", "600"], labels=labels) as container:
        container.start()
        assert container.wait(0.3) is None
        threading.Timer(0.2, container.kill).start()
        assert container.wait(30) == 137


def test_volumes_are_filled_and_read_through_a_container_that_never_runs(
    engine: Engine, base: str, labels: dict[str, str], mark: str
) -> None:
    volume = f"creamtea-test-{mark}"
    engine.make_volume(volume, labels)
    with engine.create(base, ["-"], entrypoint=[], volumes={volume: "/volume"}, labels=labels) as holder:
        holder.put("/volume", archive({"iexec_in/data.txt": b"plain\n"}))
    command = ["sh", "-c", "cat /v/iexec_in/data.txt; echo back > /v/result"]
    ran = engine.run(base, command, volumes={volume: "/v"}, labels=labels)
    assert (ran.code, ran.out) == (0, "plain")
    with engine.create(base, ["-"], entrypoint=[], volumes={volume: "/volume"}, labels=labels) as holder:
        assert holder.read("/volume/result") == b"back\n"
        with pytest.raises(FileNotFoundError):
            holder.read("/volume/none")
    engine.remove_volume(volume)
    engine.remove_volume(volume)


def test_an_internal_network_joins_containers_by_name(
    engine: Engine, base: str, labels: dict[str, str], mark: str
) -> None:
    network = f"creamtea-test-{mark}"
    engine.make_network(network, labels)
    server = engine.create(
        base, ["sh", "-c", "mkdir /w; echo scone > /w/a; exec busybox httpd -f -p 80 -h /w"], network=network,
        aliases=["cas"], labels=labels,
    )  # fmt: skip
    with server:
        server.start()
        deadline = time.monotonic() + 20
        ran = None
        while time.monotonic() < deadline and (ran is None or ran.code):
            ran = engine.run(
                base, ["busybox", "wget", "-q", "-O", "-", "http://cas/a"], network=network, labels=labels
            )
        assert ran is not None and ran.out == "scone"
        assert server.ip(network)
    engine.remove_network(network)
    engine.remove_network(network)


def test_a_sweep_takes_what_is_labelled_and_nothing_else(
    engine: Engine, base: str, labels: dict[str, str], mark: str
) -> None:
    name = f"creamtea-test-sweep-{mark}"
    engine.make_volume(name, labels)
    engine.make_network(name, labels)
    other = engine.create(base, ["true"], labels={"creamtea-case": "other"})
    running = engine.create(base, ["sleep", "600"], volumes={name: "/v"}, network=name, labels=labels)
    running.start()
    engine.sweep(labels)
    try:
        wanted = {"label": [f"{key}={value}" for key, value in labels.items()]}
        assert engine.api.containers(all=True, filters=wanted) == []
        assert engine.api.networks(filters=wanted) == []
        assert not engine.api.volumes(filters=wanted).get("Volumes")
        assert other.inspect()["Id"] == other.id
    finally:
        other.remove()
    with pytest.raises(ValueError):
        engine.sweep({})
