"""Recorded build streams become events: the same however they were cut, and never an exception."""

from __future__ import annotations

import base64
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workflows.containers import trace
from workflows.containers.buildlog import BuildFailed, BuildLog, batched
from workflows.core.events import Event, Lines, Noted, Progress, TaskChanged

DATA = Path(__file__).parent.parent / "data" / "streams"
STREAMS = sorted(DATA.glob("*_*.ndjson"))
UNTRUSTED = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def clock() -> str:
    return "2026-01-01T00:00:00.000Z"


def reduce(data: bytes, cuts: list[int] | None = None) -> tuple[list[Event], BuildLog]:
    """All events of a stream that arrives in parts."""
    log = BuildLog(clock)
    events: list[Event] = []
    edges = [0, *sorted(cuts or []), len(data)]
    for start, end in itertools.pairwise(edges):
        events += log.feed(data[start:end])
    return events + log.close(), log


def read(name: str) -> bytes:
    return (DATA / f"{name}.ndjson").read_bytes()


def final(events: list[Event]) -> dict[str, str]:
    """The last state of each task by its title."""
    return {event.title: event.state for event in events if isinstance(event, TaskChanged)}


def lines(events: list[Event], word: str, stream: str = "out") -> list[str]:
    """The lines of the task whose title has a word in it."""
    tasks = {e.task for e in events if isinstance(e, TaskChanged) and word in e.title}
    found = (e for e in events if isinstance(e, Lines) and e.task in tasks and e.stream == stream)
    return [line for event in found for line in event.text]


@pytest.mark.parametrize("stream", STREAMS, ids=lambda path: path.stem)
@given(data=st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_cut_of_a_stream_gives_the_same_events(stream: Path, data: st.DataObject) -> None:
    content = stream.read_bytes()
    cuts = data.draw(st.lists(st.integers(0, len(content)), max_size=40))
    events, log = reduce(content, cuts)
    whole, reference = reduce(content)
    assert events == whole
    assert (log.image_id, log.error) == (reference.image_id, reference.error)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda path: path.stem)
def test_every_task_ends_and_every_parent_was_named(stream: Path) -> None:
    events, _ = reduce(stream.read_bytes())
    named = {event.task for event in events if isinstance(event, TaskChanged)}
    assert named
    states = {event.task: event.state for event in events if isinstance(event, TaskChanged)}
    assert set(states.values()) <= {"done", "cached", "failed", "cancelled"}
    for event in events:
        if isinstance(event, TaskChanged):
            assert event.parent is None or event.parent in named
        if isinstance(event, (Lines, Progress)):
            assert event.task in named


@given(
    st.lists(st.one_of(st.binary(max_size=200), st.sampled_from(read("parallel_buildkit").splitlines(True))))
)
def test_garbage_between_records_never_crashes(parts: list[bytes]) -> None:
    events, _ = reduce(b"".join(parts))
    assert all(isinstance(event, Event) for event in events)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("2026-11-23T17:26:18Z"),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            ["vertexes", "statuses", "logs", "warnings", "digest", "name", "vertex", "id", "aux", "stream", "status",
             "error", "errorDetail", "message", "ID", "data", "started", "completed", "current", "total",
             "progressDetail", "short", "cached"]
        ),
        inner,
        max_size=6,
    ),
    max_leaves=30,
)  # fmt: skip


@given(st.lists(JSON, max_size=8))
def test_records_of_any_shape_never_crash_and_are_clean(records: list[Any]) -> None:
    events, log = reduce("\n".join(json.dumps(record) for record in records).encode())
    log.failure()
    for event in events:
        if isinstance(event, Lines):
            assert not any(UNTRUSTED.search(line) for line in event.text)
        if isinstance(event, TaskChanged):
            assert not UNTRUSTED.search(event.title + event.task + (event.detail or ""))


@given(st.binary(max_size=400))
def test_the_wire_decoder_takes_any_bytes(message: bytes) -> None:
    assert set(trace.decode(message)) == {"vertexes", "statuses", "logs", "warnings"}


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


@given(
    st.text(min_size=1), st.text(), st.booleans(), st.integers(0, 4_000_000_000), st.integers(0, 999_999_999),
    st.binary(), st.integers(0, (1 << 63) - 1), st.binary(max_size=8),
)  # fmt: skip
def test_the_wire_decoder_reads_what_protobuf_writes(
    digest: str, name: str, cached: bool, seconds: int, nanos: int, data: bytes, total: int, unknown: bytes
) -> None:
    time = field(1, seconds) + field(2, nanos)
    vertex = field(1, digest.encode()) + field(3, name.encode()) + field(4, int(cached)) + field(5, time)
    log = field(1, digest.encode()) + field(3, 2) + field(4, data)
    status = (
        field(1, b"layer") + field(2, digest.encode()) + field(5, total) + varint(9 << 3 | 1) + b"8 bytes!"
    )
    read = trace.decode(field(1, vertex) + field(77, unknown) + field(3, log) + field(2, status))
    (one,) = read["vertexes"]
    assert (one["digest"], one["name"], one["cached"]) == (digest, name, cached)
    assert one["started"].endswith(f".{nanos:09d}Z")
    assert read["logs"] == [{"vertex": digest, "stream": 2, "data": data}]
    assert read["statuses"] == [{"id": "layer", "vertex": digest, "total": total}]


def test_parallel_stages_are_parents_of_their_steps() -> None:
    events, log = reduce(read("parallel_buildkit"))
    assert log.image_id is not None and re.fullmatch(r"sha256:[0-9a-f]{64}", log.image_id)
    parents = {e.title: e.parent for e in events if isinstance(e, TaskChanged)}
    assert parents["[right 2/3] COPY hello.txt /hello.txt"] == "stage:right"
    assert {"left", "right", "stage-2"} <= set(parents)
    assert lines(events, "[left 2/2]") == ["left 1", "left 2", "left 3"]
    assert lines(events, "[left 2/2]", "err") == ["oops"]
    assert lines(events, "[right 3/3]") == ["right 1", "right 2", "right 3", "100%"]
    running = [e for e in events if isinstance(e, TaskChanged) and e.state == "running" and e.parent]
    assert {"stage:left", "stage:right"} <= {event.parent for event in running}
    assert set(final(events).values()) <= {"done", "cached"}
    ended = [e for e in events if isinstance(e, TaskChanged) and e.state == "done"]
    assert all(event.ended and event.started and event.started <= event.ended for event in ended)


def test_the_classic_builder_gives_the_same_tasks() -> None:
    events, log = reduce(read("parallel_classic"))
    assert log.image_id is not None and re.fullmatch(r"sha256:[0-9a-f]{64}", log.image_id)
    states = final(events)
    assert states["[right 4/10] COPY hello.txt /hello.txt"] == "done"
    assert {"left", "right", "stage-2"} <= set(states)
    assert [line for line in lines(events, "[left 2/10]") if line.startswith("left")] == [
        "left 1",
        "left 2",
        "left 3",
    ]
    assert lines(events, "[left 2/10]", "err") == ["oops"]
    assert "100%" in lines(events, "[right 5/10]")


@pytest.mark.parametrize("name", ["cached_buildkit", "cached_classic"])
def test_cached_steps_say_so(name: str) -> None:
    events, log = reduce(read(name))
    cached = [title for title, state in final(events).items() if state == "cached"]
    assert any("RUN for i in 1 2 3; do echo left" in title for title in cached)
    assert log.image_id


@pytest.mark.parametrize("name", ["failing_buildkit", "failing_classic", "failing_podman"])
def test_a_failure_names_the_instruction_and_shows_its_own_last_lines(name: str) -> None:
    events, log = reduce(read(name))
    failure = log.failure()
    assert isinstance(failure, BuildFailed)
    assert failure.instruction.endswith("RUN echo before; echo worse >&2; cat /nowhere; exit 7")
    assert failure.reason == "exit code 7"
    assert set(failure.lines) == {"before", "worse", "cat: can't open '/nowhere': No such file or directory"}
    assert all(line in failure.message for line in failure.lines)
    assert "fine" not in failure.lines
    failed = [title for title, state in final(events).items() if state == "failed"]
    assert failure.instruction in failed
    assert set(failed) <= {
        failure.instruction,
        "app",
    }  # its stage; BuildKit names none when there is only one
    assert log.image_id is None


def test_steps_that_never_ran_are_cancelled() -> None:
    events, _ = reduce(read("failing_buildkit"))
    assert final(events)["[4/4] RUN echo never"] == "cancelled"


def test_an_error_outside_the_steps_is_told_without_the_noise() -> None:
    _, log = reduce(read("syntax_error_buildkit"))
    failure = log.failure()
    assert failure is not None
    assert failure.message == "dockerfile parse error line 2: unknown instruction: RUNN"
    assert failure.instruction == ""


def test_the_clipping_line_is_shown_as_it_is() -> None:
    events, _ = reduce(read("clipped_buildkit"))
    assert any(
        re.search(r"\[output clipped, log limit .* reached\]", line) for line in lines(events, "RUN seq")
    )


@pytest.mark.parametrize("name", ["hostile_buildkit", "hostile_classic"])
def test_output_cannot_act_on_the_terminal_or_play_the_builder(name: str) -> None:
    events, log = reduce(read(name))
    text = lines(events, "RUN printf")
    assert "red rtl" in text
    assert "Step 9/9 : FROM evil" in text  # shown as what it is: output
    assert not any("evil" in title for title in final(events) if not title.startswith("[2/2]"))
    assert log.image_id is not None and "deadbeef" not in log.image_id
    assert not any(
        UNTRUSTED.search(line) for event in events if isinstance(event, Lines) for line in event.text
    )


def as_rawjson(stream: bytes) -> bytes:
    """The statuses of a recorded trace as buildx prints them with --progress=rawjson."""
    out = []
    for line in stream.splitlines():
        record = json.loads(line) if line.strip() else {}
        if record.get("id") == "moby.buildkit.trace":
            status: dict[str, list[dict[str, Any]]] = trace.decode(base64.b64decode(record["aux"]))
            for log in status["logs"]:
                log["data"] = base64.b64encode(log["data"]).decode()
            out.append(json.dumps({name: entries for name, entries in status.items() if entries}))
    return "\n".join(out).encode()


@pytest.mark.parametrize(
    "name", ["parallel_buildkit", "cached_buildkit", "failing_buildkit", "clipped_buildkit"]
)
def test_rawjson_of_buildx_gives_the_same_tasks_and_lines(name: str) -> None:
    stream = read(name)
    ours, _ = reduce(stream)
    theirs, _ = reduce(as_rawjson(stream))
    assert [e for e in theirs if isinstance(e, Lines)] == [e for e in ours if isinstance(e, Lines)]
    assert {t: s for t, s in final(theirs).items() if s != "done"} == {
        t: s for t, s in final(ours).items() if s != "done"
    } or name == "failing_buildkit"
    assert set(final(theirs)) == set(final(ours))


def test_warnings_and_stray_lines_of_buildx_are_shown() -> None:
    warning = {"warnings": [{"vertex": "v", "level": 1, "short": base64.b64encode(b"Old \x1b[2Jstyle").decode(),
                             "url": "https://docs.docker.com/x"}]}  # fmt: skip
    stream = f"WARNING: no output specified\n{json.dumps(warning)}\n{json.dumps(warning)}\n"
    events, _ = reduce(stream.encode())
    assert [e for e in events if isinstance(e, Noted)] == [
        Noted(level="warning", text="Old style", hint="https://docs.docker.com/x")
    ]
    assert lines(events, "build") == ["WARNING: no output specified"]


def test_layers_of_a_pull_inside_a_build_become_progress() -> None:
    statuses = [{"id": "sha256:a", "vertex": "v", "current": 5, "total": 10},
                {"id": "sha256:b", "vertex": "v", "current": 1, "total": 30},
                {"id": "extracting", "vertex": "v"}]  # fmt: skip
    events, _ = reduce(
        json.dumps({"vertexes": [{"digest": "v", "name": "pull"}], "statuses": statuses}).encode()
    )
    assert [(e.done, e.total) for e in events if isinstance(e, Progress)] == [(6, 40)]
    transfer = {"statuses": [{"id": "transferring context:", "vertex": "v", "current": 7}]}
    events, _ = reduce(json.dumps(transfer).encode())
    assert [(e.done, e.total) for e in events if isinstance(e, Progress)] == [(7, None)]


def test_podmans_steps_are_understood() -> None:
    events, log = reduce(read("parallel_podman"))
    states = final(events)
    assert states["[right 2/3] COPY hello.txt /hello.txt"] == "done"
    assert {"left", "right", "stage-2"} <= set(states)
    assert lines(events, "[left 2/2]")[:3] == ["left 1", "left 2", "left 3"]
    assert log.image_id is not None and re.fullmatch(r"sha256:[0-9a-f]{64}", log.image_id)
    cached = [
        "[1/2] STEP 2/2: RUN true\n",
        "--> Using cache 0123456789ab\n",
        "Successfully built 0123456789ab\n",
    ]
    events, log = reduce("\n".join(json.dumps({"stream": text}) for text in cached).encode())
    assert final(events) == {"[2/2] RUN true": "cached"}
    assert log.image_id == "0123456789ab"  # where there is nothing better


@given(st.data())
@settings(deadline=None)
def test_batching_keeps_every_line_in_the_order_of_its_task(data: st.DataObject) -> None:
    events, _ = reduce(data.draw(st.sampled_from(STREAMS)).read_bytes())
    put = batched(events)

    def told(source: list[Event]) -> dict[tuple[str, str], list[str]]:
        found: dict[tuple[str, str], list[str]] = {}
        for event in source:
            if isinstance(event, Lines):
                found.setdefault((event.task, event.stream), []).extend(event.text)
        return found

    assert told(put) == told(events)
    assert [e for e in put if not isinstance(e, Lines)] == [e for e in events if not isinstance(e, Lines)]
    assert len(put) <= len(events)


def test_a_flood_is_a_handful_of_events() -> None:
    flood = b"".join(json.dumps({"stream": f"{n}\n"}).encode() + b"\n" for n in range(20_000))
    log = BuildLog(clock)
    log.feed(b'{"stream":"Step 1/1 : RUN seq"}\n')
    events = batched(log.feed(flood))
    assert len(events) == 1
    assert isinstance(events[0], Lines) and len(events[0].text) == 20_000


def test_a_message_has_the_beginning_of_a_long_instruction() -> None:
    failure = BuildFailed("exit code 1", "mend it", instruction="RUN " + "x" * 500, lines=("last words",))
    head, line = failure.message.split("\n")
    assert head.startswith("RUN xxx") and head.endswith("… failed: exit code 1") and len(head) < 200
    assert line == "  │ last words" and len(failure.instruction) == 504
