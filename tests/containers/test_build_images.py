"""Builds on the real engine, with both builders: what comes out, what a failure says, what a cancel leaves."""

from __future__ import annotations

import contextlib
import io
import json
import re
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from workflows.containers.build import Built, build
from workflows.containers.buildlog import BuildFailed
from workflows.containers.context import Context
from workflows.containers.engine import Engine
from workflows.containers.limits import check
from workflows.core.events import Event, Lines, Noted, TaskChanged
from workflows.core.failure import Cancelled, Failed, Unavailable
from workflows.core.step import Cancel

pytestmark = pytest.mark.engine
both = pytest.mark.parametrize("builder", ["buildkit", "classic"])


@pytest.fixture
def tag(engine: Engine, mark: str) -> Iterator[str]:
    """A name for an image of this test."""
    name = f"creamtea-test/{uuid.uuid4().hex[:12]}:{mark}"
    yield name
    engine.remove(name, force=True)


def finish(work: Iterator[Event], events: list[Event] | None = None) -> Built:
    """Run a build to its end."""
    while True:
        try:
            event = next(work)
        except StopIteration as end:
            result: Built = end.value
            return result
        if events is not None:
            events.append(event)


def text_of(events: list[Event]) -> list[str]:
    return [line for event in events if isinstance(event, Lines) for line in event.text]


@both
def test_an_image_of_a_folder(engine: Engine, base: str, tag: str, tmp_path: Path, builder: str) -> None:
    (tmp_path / "app.py").write_text("print('tea')\n")
    (tmp_path / "wallet.key").write_text("secret")
    text = f'FROM {base} AS app\nARG CUP=empty\nCOPY . /app\nRUN ls /app; echo $CUP\nCMD ["cat", "/app/app.py"]\n'
    events: list[Event] = []
    log = io.StringIO()
    built = finish(
        build(
            engine,
            Context(tmp_path, text),
            tag=tag,
            args={"CUP": uuid.uuid4().hex},
            labels={"a": "b"},
            builder=builder,
            log=log,
        ),
        events,
    )
    image = engine.require(tag)
    assert (built.image_id, built.builder) == (image.id, builder)
    assert image.command == ("cat", "/app/app.py")
    assert image.labels["a"] == "b"
    assert image.platform == "linux/amd64"
    assert engine.run(tag, None).out == "print('tea')"
    said = text_of(events)
    assert "app.py" in said and "wallet.key" not in said
    assert any(isinstance(event, Noted) and "wallet.key" in event.text for event in events)
    assert all(line in log.getvalue() for line in said)
    assert re.search(r"^\[.*\d/\d\] app\.py$", log.getvalue(), re.MULTILINE)
    assert {event.state for event in events if isinstance(event, TaskChanged)} & {"done", "cached"}


def test_auto_takes_buildkit_where_it_is(engine: Engine, base: str, tag: str, tmp_path: Path) -> None:
    built = finish(build(engine, Context(tmp_path, f"FROM {base}\nENV A=b\n"), tag=tag))
    assert built.builder == ("buildkit" if engine.buildkit else "classic")
    assert built.seconds > 0


@both
def test_a_second_build_is_cached(engine: Engine, base: str, tag: str, tmp_path: Path, builder: str) -> None:
    context = Context(tmp_path, f"FROM {base}\nRUN echo {uuid.uuid4().hex} > /x\n")
    first = finish(build(engine, context, tag=tag, builder=builder))
    events: list[Event] = []
    second = finish(build(engine, context, tag=tag, builder=builder), events)
    assert first.image_id == second.image_id
    states = {e.title: e.state for e in events if isinstance(e, TaskChanged)}
    assert [state for title, state in states.items() if "RUN echo" in title] == ["cached"]


@both
def test_a_fresh_build_takes_nothing_from_the_cache(
    engine: Engine, base: str, tag: str, tmp_path: Path, builder: str
) -> None:
    context = Context(tmp_path, f"FROM {base}\nRUN cat /proc/sys/kernel/random/uuid > /drawn\n")
    finish(build(engine, context, tag=tag, builder=builder))
    drawn = engine.read_file(tag, "/drawn")
    finish(build(engine, context, tag=tag, builder=builder, fresh=True))
    assert engine.read_file(tag, "/drawn") != drawn


@both
def test_a_target_and_files_in_memory(
    engine: Engine, base: str, tag: str, tmp_path: Path, builder: str
) -> None:
    text = f"FROM {base} AS one\nCOPY deep/a.sh /a.sh\nRUN /a.sh > /out\nFROM one AS two\nRUN false\n"
    context = Context(tmp_path, text, {"deep/a.sh": b"#!/bin/sh\necho ran\n"})
    finish(build(engine, context, tag=tag, target="one", builder=builder))
    assert engine.read_file(tag, "/out") == b"ran\n"


@both
def test_a_stand_in_base_is_used_without_touching_the_real_name(
    engine: Engine, base: str, tag: str, tmp_path: Path, builder: str
) -> None:
    real = f"registry.invalid:5050/curated/python:{uuid.uuid4().hex[:8]}"
    (tmp_path / "Dockerfile").write_text(f"FROM {real}\n")
    context, changes = Context(tmp_path, f"FROM {real}\nENV A=b\n").rewritten({real: base})
    assert [change.line for change in changes] == [1]
    finish(build(engine, context, tag=tag, builder=builder))
    assert engine.require(tag).environment["A"] == "b"
    assert not engine.exists(real)
    assert (tmp_path / "Dockerfile").read_text() == f"FROM {real}\n"


@both
def test_a_failure_names_the_step_and_leaves_the_old_tag(
    engine: Engine, base: str, tag: str, tmp_path: Path, builder: str
) -> None:
    engine.tag(base, tag)
    before = engine.require(tag).id
    text = f"FROM {base}\nRUN echo {uuid.uuid4().hex}; echo clue >&2; exit 9\nRUN echo never\n"
    log = io.StringIO()
    with pytest.raises(BuildFailed) as caught:
        finish(build(engine, Context(tmp_path, text), tag=tag, builder=builder, log=log))
    failure = caught.value
    assert "RUN echo" in failure.instruction and failure.reason == "exit code 9"
    assert "clue" in failure.lines and "clue" in failure.message
    assert "clue" in log.getvalue()
    assert failure.exit_code == 1
    assert engine.require(tag).id == before


@both
@pytest.mark.parametrize(
    ("lines", "reason"),
    [("RUNN x", "unknown instruction: RUNN"), ("COPY none /x", "none"), ("FROM x AS", "FROM requires"), ("", "")],
)  # fmt: skip
def test_a_wrong_dockerfile_is_told(
    engine: Engine, base: str, tmp_path: Path, builder: str, lines: str, reason: str
) -> None:
    text = f"FROM {base}\n{lines}\n" if lines else ""
    with pytest.raises(BuildFailed) as caught:
        finish(build(engine, Context(tmp_path, text), tag=None, builder=builder))
    assert reason in caught.value.message
    assert caught.value.hint


@both
def test_a_base_that_cannot_be_had_is_told_with_its_cause(
    engine: Engine, tmp_path: Path, builder: str
) -> None:
    events: list[Event] = []
    with pytest.raises(Unavailable) as caught:
        finish(
            build(engine, Context(tmp_path, "FROM 127.0.0.1:1/tea:1\nRUN x\n"), tag=None, builder=builder),
            events,
        )
    assert caught.value.name == "registry_unreachable"
    assert "127.0.0.1:1" in caught.value.message
    assert any(
        isinstance(e, TaskChanged) and e.task.startswith("pull:") and e.state == "failed" for e in events
    )


def test_a_private_base_is_pulled_with_the_users_login(
    engine: Engine,
    base: str,
    tag: str,
    tmp_path: Path,
    private_registry,
    monkeypatch: pytest.MonkeyPatch,
    mark: str,
) -> None:
    config = tmp_path / "config"
    config.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(config))
    (config / "config.json").write_text(
        '{"auths": {"%s": {"auth": "YmFrZXI6dGVhLWFuZC1zY29uZXM="}}}' % private_registry.host  # noqa: UP031
    )
    private = f"{private_registry.host}/tea/base:{mark}"
    engine.tag(base, private)
    for _ in engine.push(private):
        pass
    engine.remove(private)
    events: list[Event] = []
    try:
        finish(build(engine, Context(tmp_path, f"FROM {private}\nENV A=b\n"), tag=tag), events)
    finally:
        engine.remove(private)
    assert [e.state for e in events if isinstance(e, TaskChanged) and e.task == f"pull:{private}"] == [
        "running",
        "done",
    ]


def test_what_an_unused_stage_names_need_not_be_there(
    engine: Engine, base: str, tag: str, tmp_path: Path
) -> None:
    if not engine.buildkit:
        pytest.fail("this engine has no BuildKit")
    text = f"FROM 127.0.0.1:1/none:1 AS unused\nFROM {base}\nENV A=b\n"
    finish(build(engine, Context(tmp_path, text), tag=tag, builder="buildkit"))
    assert engine.exists(tag)


def processes(word: str) -> list[str]:
    """Processes of this machine with a word in their command line; containers' are among them."""
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in found.splitlines() if word in line and "ps -eo" not in line]


def settled(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@both
def test_a_cancel_leaves_no_process_no_container_and_no_tag(
    engine: Engine, base: str, tag: str, tmp_path: Path, builder: str, mark: str
) -> None:
    word = uuid.uuid4().hex
    text = f"FROM {base}\nRUN echo begun; sleep 600; : {word}\n"
    cancel = Cancel()
    events: list[Event] = []
    with pytest.raises(Cancelled):
        for event in build(engine, Context(tmp_path, text), tag=tag, builder=builder, cancel=cancel):
            events.append(event)
            if isinstance(event, Lines) and "begun" in event.text:
                assert processes(word)
                threading.Thread(target=cancel.set).start()
    assert settled(lambda: not processes(word))
    wanted = {"label": f"creamtea-test={mark}"}
    assert settled(lambda: engine.api.containers(all=True, filters=wanted) == [])
    assert not engine.exists(tag)
    states = {e.title: e.state for e in events if isinstance(e, TaskChanged)}
    assert [state for title, state in states.items() if "RUN echo begun" in title] == ["cancelled"]


def test_closing_the_generator_ends_the_build_too(engine: Engine, base: str, tmp_path: Path) -> None:
    word = uuid.uuid4().hex
    work = build(engine, Context(tmp_path, f"FROM {base}\nRUN echo begun; sleep 600; : {word}\n"), tag=None)
    for event in work:
        if isinstance(event, Lines) and "begun" in event.text:
            break
    work.close()
    assert settled(lambda: not processes(word))


def test_a_cancel_before_the_build_starts_nothing(
    engine: Engine, base: str, tag: str, tmp_path: Path
) -> None:
    cancel = Cancel()
    cancel.set()
    with pytest.raises(Cancelled):
        finish(build(engine, Context(tmp_path, f"FROM {base}\nENV A={tag}\n"), tag=tag, cancel=cancel))
    assert not engine.exists(tag)


def test_a_cancel_while_the_context_is_sent(engine: Engine, base: str, tag: str, tmp_path: Path) -> None:
    cancel = Cancel()

    class Endless(Context):
        def archive(self) -> Iterator[bytes]:
            yield from [b"\0" * 512]
            while True:
                cancel.set()
                yield b"\0" * 65536

    with pytest.raises(Cancelled):
        finish(build(engine, Endless(tmp_path, f"FROM {base}\n"), tag=tag, cancel=cancel))
    assert not engine.exists(tag)


def test_an_unreadable_context_is_told_as_such(engine: Engine, base: str, tmp_path: Path) -> None:
    class Broken(Context):
        def archive(self) -> Iterator[bytes]:
            yield b"\0" * 512
            raise Failed("app.py cannot be read", name="context_unreadable")

    with pytest.raises(Failed) as caught:
        finish(build(engine, Broken(tmp_path, f"FROM {base}\n"), tag=None))
    assert caught.value.name == "context_unreadable"


@pytest.mark.parametrize(
    ("line", "kind", "name"),
    [
        ("RUN --mount=type=secret,id=a cat /run/secrets/a", "buildkit", "build_needs_session"),
        ("RUN --network=none --mount=target=/x,type=ssh true", "classic", "build_needs_session"),
        ("RUN --mount=type=cache,target=/x true", "classic", "build_needs_buildkit"),
        ("RUN cat <<EOF\nx\nEOF", "classic", "build_heredoc"),
    ],
)
def test_what_the_interface_cannot_do_is_named_before_the_build(
    engine: Engine, base: str, tmp_path: Path, line: str, kind: str, name: str
) -> None:
    events: list[Event] = []
    with pytest.raises(Failed) as caught:
        finish(build(engine, Context(tmp_path, f"FROM {base}\n{line}\n"), tag=None, builder=kind), events)
    assert caught.value.name == name
    assert "line 2" in caught.value.message and caught.value.hint
    assert events == []


def test_heredocs_need_a_newer_engine_or_a_reader_of_their_own(engine: Engine) -> None:
    text = "FROM a\nRUN cat <<EOF\nx\nEOF\n"
    older = int(engine.version.split(".")[0]) < 23
    if older and engine.kind == "docker":
        with pytest.raises(Failed) as caught:
            check(text, "buildkit", engine)
        assert engine.version in caught.value.message
    check("# syntax=docker/dockerfile:1\n" + text, "buildkit", engine)
    check("FROM a\nRUN --mount=type=cache,target=/x true\n", "buildkit", engine)


def test_a_syntax_image_that_cannot_be_had_is_named(engine: Engine, base: str, tmp_path: Path) -> None:
    text = f"# syntax=127.0.0.1:1/docker/dockerfile:1\nFROM {base}\n"
    with pytest.raises(Failed) as caught:
        finish(build(engine, Context(tmp_path, text), tag=None, builder="buildkit"))
    assert caught.value.name == "build_syntax_image"
    assert "127.0.0.1:1/docker/dockerfile:1" in caught.value.message


@both
def test_a_flood_arrives_in_few_events(engine: Engine, base: str, tmp_path: Path, builder: str) -> None:
    text = f"FROM {base}\nRUN echo {uuid.uuid4().hex}; seq 1 100000\n"
    events: list[Event] = []
    finish(build(engine, Context(tmp_path, text), tag=None, builder=builder), events)
    lines = text_of(events)
    assert len([event for event in events if isinstance(event, Lines)]) < len(lines) / 20
    if builder == "classic":
        assert [line for line in lines if line.isdigit()] == [str(n) for n in range(1, 100001)]
    else:  # BuildKit clips, and says so
        assert "100000" in lines or any("output clipped" in line for line in lines)


@pytest.fixture(params=["HTTP/1.1 501 Not Implemented", "HTTP/1.1 200 OK"])
def without_buildkit(request: pytest.FixtureRequest, engine: Engine, tmp_path: Path) -> Iterator[Engine]:
    """The real engine behind a socket that turns BuildKit down, as an error or as the first word."""
    assert engine.endpoint.path is not None, "needs an engine at a unix socket"
    record = (
        {"message": "not here"}
        if "501" in request.param
        else {"error": "buildkit is not supported by daemon"}
    )
    answer = json.dumps(record).encode()
    head = (
        f"{request.param}\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n".encode()
    )
    path = tmp_path / "proxy.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        target = str(engine.endpoint.path)
        threading.Thread(target=forward, args=(server, target, head + answer), daemon=True).start()
        with Engine.connect({"DOCKER_HOST": f"unix://{path}"}) as connected:
            yield connected


def forward(server: socket.socket, target: str, refusal: bytes) -> None:
    """Passes one request per connection on to `target`, except a build with BuildKit."""

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def serve(client: socket.socket) -> None:
        request = b""
        with client, contextlib.suppress(OSError):
            while b"\r\n\r\n" not in request and (data := client.recv(65536)):
                request += data
            if b"/build?" in request and b"version=2" in request.split(b"\r\n", 1)[0]:
                client.sendall(refusal)
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass
                return
            with socket.socket(socket.AF_UNIX) as engine:
                engine.connect(target)
                engine.sendall(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
                threading.Thread(target=pump, args=(client, engine), daemon=True).start()
                pump(engine, client)

    with contextlib.suppress(OSError):
        while True:
            client, _ = server.accept()
            threading.Thread(target=serve, args=(client,), daemon=True).start()


def test_the_classic_builder_takes_over_where_buildkit_cannot(
    without_buildkit: Engine, base: str, tag: str, tmp_path: Path
) -> None:
    events: list[Event] = []
    (tmp_path / "big").write_bytes(b"x" * 3_000_000)
    context = Context(tmp_path, f"FROM {base}\nCOPY big /big\n")
    built = finish(build(without_buildkit, context, tag=tag), events)
    assert built.builder == "classic"
    assert [e.level for e in events if isinstance(e, Noted) and "classic builder takes over" in e.text] == [
        "warning"
    ]
    with pytest.raises(Failed) as caught:
        finish(build(without_buildkit, context, tag=tag, builder="buildkit"))
    assert "not" in caught.value.message


def test_an_engine_that_goes_away_is_told(engine: Engine, base: str, tmp_path: Path) -> None:
    path = tmp_path / "gone.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        thread = threading.Thread(target=forward, args=(server, str(engine.endpoint.path), b""), daemon=True)
        thread.start()
        with (
            Engine.connect({"DOCKER_HOST": f"unix://{path}"}) as connected,
            pytest.raises(Unavailable) as caught,
        ):
            finish(build(connected, Context(tmp_path, f"FROM {base}\n"), tag=None, builder="buildkit"))
    assert caught.value.name == "engine_connection"
