"""Watching a task: the stream of the localnet's worker, the statuses of a live pool, and everything that breaks."""

import asyncio
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.iexec.loopback import Seen, nobody, raw, served
from workflows.core.events import Event, Lines, Noted, Progress, TaskChanged
from workflows.core.failure import Cancelled, Failed, Missing, Unavailable
from workflows.core.step import Cancel
from workflows.iexec import task_events
from workflows.iexec.worker_api import Ended, WorkerApi

TASK = "0x" + "a2" * 32
NDJSON = {"Content-Type": "application/x-ndjson"}
HISTORY: list[dict[str, Any]] = [
    {"v": 1, "type": "task_changed", "task": "initialize", "title": "Initialise", "state": "running"},
    {"v": 1, "type": "lines", "task": "worker", "text": ["contribute 0x5f… mined"]},
    {"v": 1, "type": "task_changed", "task": "initialize", "title": "Initialise", "state": "done"},
    {"v": 1, "type": "progress", "task": "pre-compute", "done": 5, "total": 9},
    {"v": 1, "type": "noted", "text": "SIMULATED"},
]
END = {"type": "end", "status": "COMPLETED", "cause": None, "message": "", "hint": ""}


def ndjson(*records: object) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def client(url: str, patience: float = 30.0) -> WorkerApi:
    return WorkerApi(url, idle=5, poll=0.01, patience=patience)


def streaming(*answers: bytes) -> Callable[[Seen, BaseHTTPRequestHandler], tuple[int, dict[str, str], bytes]]:
    """A worker whose stream is each of these in turn, the last one from then on."""
    left = list(answers)

    def answer(seen: Seen, _: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        assert seen.path == f"/tasks/{TASK}/events"
        return 200, NDJSON, left.pop(0) if len(left) > 1 else left[0]

    return answer


def test_events_come_as_they_were_and_the_end_last() -> None:
    with served(streaming(ndjson(*HISTORY, END))) as stub:
        events = list(client(stub.url).watch(TASK))
    assert events == [
        TaskChanged(task="initialize", title="Initialise", state="running"),
        Lines(task="worker", text=("contribute 0x5f… mined",)),
        TaskChanged(task="initialize", title="Initialise", state="done"),
        Progress(task="pre-compute", done=5, total=9),
        Noted(text="SIMULATED"),
        Ended("COMPLETED", None, "", ""),
    ]


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 5])
def test_after_a_break_it_goes_on_where_it_was(cut: int) -> None:
    begin = ndjson(*HISTORY[:cut])
    half = ndjson(*HISTORY)[: len(begin) + 7]
    with served(streaming(begin, half, ndjson(*HISTORY, END))) as stub:
        events = list(client(stub.url).watch(TASK))
    assert len(events) == len(HISTORY) + 1
    assert isinstance(events[-1], Ended)
    assert len(stub.seen) == 3


def test_a_connection_that_is_cut_in_the_middle_is_renewed() -> None:
    whole = ndjson(*HISTORY, END)

    def answer(seen: Seen, handler: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        if len(stub.seen) == 1:
            return 200, {**NDJSON, "Content-Length": str(len(whole))}, whole[:150]
        return 200, NDJSON, whole

    with served(answer) as stub:
        assert len(list(client(stub.url).watch(TASK))) == len(HISTORY) + 1


def test_a_task_that_is_begun_anew_is_told_anew() -> None:
    other = [{**HISTORY[0]}, {"v": 1, "type": "noted", "text": "again"}]
    with served(streaming(ndjson(*HISTORY[:3]), ndjson(*other, END))) as stub:
        events = list(client(stub.url).watch(TASK))
    assert [one.text for one in events if isinstance(one, Noted)] == ["again"]
    assert len(events) == 3 + 1 + 1 and isinstance(events[-1], Ended)


def test_the_localnet_s_own_worker_api(tmp_path: Path) -> None:
    from workflows.localnet.worker.api import Api
    from workflows.localnet.worker.record import Records

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> tuple[Api, Records]:
        async def no_order(*_: object) -> dict[str, str]:
            raise AssertionError("no order is asked for here")

        records = Records(tmp_path / "tasks")
        api = Api("0x" + "12" * 20, no_order, records.find)
        await api.start()
        return api, records

    api, records = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    try:
        record = records.of(TASK)
        record.add(TaskChanged(task="session", title="Session", state="running"))
        watch = WorkerApi(api.url).watch(TASK)
        assert next(watch) == TaskChanged(task="session", title="Session", state="running")
        record.advance("RUNNING")
        record.add(Lines(task="app", stream="err", text=("a", "b")))
        assert next(watch) == Lines(task="app", stream="err", text=("a", "b"))
        assert (WorkerApi(api.url).task(TASK) or {})["status"] == "RUNNING"
        record.end("FAILED", "APP_COMPUTE_FAILED", "it crashed", "mend it")
        assert list(watch) == [Ended("FAILED", "APP_COMPUTE_FAILED", "it crashed", "mend it")]
        assert WorkerApi(api.url).task("0x" + "b3" * 32) is None
    finally:
        asyncio.run_coroutine_threadsafe(api.stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


def test_a_failure_is_explained_where_the_worker_says_nothing() -> None:
    cause = "POST_COMPUTE_COMPUTED_FILE_NOT_FOUND"
    with served(streaming(ndjson({"type": "end", "status": "FAILED", "cause": cause}))) as stub:
        [end] = client(stub.url).watch(TASK)
    assert isinstance(end, Ended) and (end.status, end.cause) == ("FAILED", cause)
    assert "computed.json" in end.message and "computed.json" not in cause and end.hint
    own = {"type": "end", "status": "FAILED", "cause": cause, "message": "mine", "hint": "this"}
    with served(streaming(ndjson(own))) as stub:
        assert list(client(stub.url).watch(TASK)) == [Ended("FAILED", cause, "mine", "this")]
    with served(streaming(ndjson({"type": "end", "status": "\x1b[2J"}))) as stub:
        [end] = client(stub.url).watch(TASK)
        assert isinstance(end, Ended) and end.status == "FAILED" and end.message


def test_what_a_worker_may_not_say_is_dropped_and_the_rest_made_harmless() -> None:
    evil = [
        "no object", 3, None, [], {}, {"type": "nothing"},
        {"v": 1, "type": "run_ended", "outcome": "done", "outputs": {}, "seconds": 1},
        {"v": 1, "type": "asked", "field": "password", "question": "Your password?", "kind": "secret"},
        {"v": 1, "type": "task_changed", "task": "a", "title": "b", "state": "hacked"},
        {"v": 1, "type": "task_changed", "task": "a"},
        {"v": 1, "type": "progress", "task": "a", "done": -1},
        {"v": 1, "type": "progress", "task": "a", "done": "many"},
        {"v": 1, "type": "lines", "task": "a", "text": 5},
        {"v": 1, "type": "lines", "task": "a", "text": ["a", 7]},
        {"v": 1, "type": "lines", "task": "a", "stream": "x", "text": ["a"]},
        {"v": 1, "type": "noted", "text": "x", "level": "fatal"},
        {"v": 2, "type": "noted", "text": "of tomorrow"},
    ]  # fmt: skip
    line = {
        "v": 1,
        "type": "lines",
        "task": "app",
        "text": ["\x1b]0;owned\x07red\u202e", "7"],
        "run": "r",
        "step": "s",
    }
    with served(streaming(b"not json\n\xff\xfe\n\n" + ndjson(*evil, line, END))) as stub:
        events = list(client(stub.url).watch(TASK))
    assert events == [Lines(task="app", text=("red", "7")), Ended("COMPLETED", None, "", "")]


def test_a_line_without_end_is_refused() -> None:
    def flood(peer: Any) -> None:
        peer.recv(65536)
        peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        for _ in range(1000):
            peer.sendall(b"x" * 65536)

    with raw(flood) as url, pytest.raises(Failed) as caught:
        list(client(url).watch(TASK))
    assert caught.value.name == "answer_too_large"


def test_a_flood_of_lines_arrives_whole() -> None:
    records = [
        {"v": 1, "type": "lines", "task": "app", "text": [f"{i}-{j}" for j in range(100)]} for i in range(500)
    ]
    with served(streaming(ndjson(*records, END))) as stub:
        events = list(client(stub.url).watch(TASK))
    assert sum(len(event.text) for event in events if isinstance(event, Lines)) == 50_000


def test_cancel_ends_a_silent_stream_at_once() -> None:
    stop, cancel = threading.Event(), Cancel()

    def hang(peer: Any) -> None:
        peer.recv(65536)
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + ndjson(HISTORY[0]))
        stop.wait(60)

    with raw(hang) as url:
        watch = WorkerApi(url, idle=600).watch(TASK, cancel)
        assert isinstance(next(watch), TaskChanged)
        threading.Timer(0.05, cancel.set).start()
        with pytest.raises(Cancelled):
            next(watch)
        stop.set()


def test_a_silent_stream_is_asked_anew() -> None:
    def answer(seen: Seen, handler: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes] | None:
        if len(stub.seen) > 2:
            return 200, NDJSON, ndjson(*HISTORY, END)
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(ndjson(HISTORY[0]))
        handler.wfile.flush()
        threading.Event().wait(0.6)
        return None

    with served(answer) as stub:
        events = list(WorkerApi(stub.url, idle=0.2, poll=0.01, patience=0.0).watch(TASK))
    assert len(events) == len(HISTORY) + 1


def test_patience_ends_for_whoever_is_not_there_or_never_tells() -> None:
    with pytest.raises(Unavailable) as caught:
        list(client(nobody(), patience=0.1).watch(TASK))
    assert caught.value.name == "refused"
    with served(streaming(ndjson(*HISTORY))) as stub, pytest.raises(Unavailable) as caught:
        list(client(stub.url, patience=0.1).watch(TASK))
    assert caught.value.name == "no_end"
    with served(lambda *_: (404, {}, b"")) as stub, pytest.raises(Unavailable) as caught:
        list(client(stub.url, patience=0.1).watch(TASK))
    assert caught.value.name == "unknown_task"
    with served(lambda *_: (500, {}, b"")) as stub, pytest.raises(Unavailable) as caught:
        list(client(stub.url, patience=0.1).watch(TASK))
    assert caught.value.name == "no_worker"


# A live workerpool: only statuses


def replicate(*updates: tuple[str, str | None]) -> dict[str, Any]:
    history = [
        {"status": status, "details": {"cause": cause} if cause else None} for status, cause in updates
    ]
    return {
        "walletAddress": "0x" + "12" * 20,
        "currentStatus": updates[-1][0] if updates else None,
        "statusUpdateList": history,
    }


def pool(*documents: Any) -> Callable[[Seen, BaseHTTPRequestHandler], tuple[int, dict[str, str], bytes]]:
    left = list(documents)

    def answer(seen: Seen, _: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        if seen.path.endswith("/events"):
            return 404, {}, b'{"status":404}'
        document = left.pop(0) if len(left) > 1 else left[0]
        if document is None:
            return 404, {}, b""
        if isinstance(document, int):
            return document, {}, b""
        return 200, {}, json.dumps(document).encode()

    return answer


def test_a_live_pool_is_asked_again_and_again() -> None:
    cause = "TEE_SESSION_GENERATION_PRE_COMPUTE_GET_DATASET_SECRET_FAILED"
    documents = [
        None,
        {"chainTaskId": TASK, "currentStatus": "INITIALIZED", "replicates": []},
        503,
        {"currentStatus": "RUNNING", "replicates": [replicate(("STARTED", None))]},
        None,
        {"currentStatus": "RUNNING", "replicates": [replicate(("COMPUTE_FAILED", cause), ("ABORTED", None))]},
        {"currentStatus": "FAILED", "replicates": [replicate(("COMPUTE_FAILED", cause), ("ABORTED", None))]},
    ]
    with served(pool(*documents)) as stub:
        events = list(client(stub.url).watch(TASK))
    states = [(one.task, one.state, one.detail) for one in events if isinstance(one, TaskChanged)]
    worker = "worker-0x" + "12" * 20
    assert states == [
        ("pool", "running", "INITIALIZED"), ("pool", "running", "RUNNING"), (worker, "running", "STARTED"),
        (worker, "failed", "ABORTED"), ("pool", "failed", "FAILED"),
    ]  # fmt: skip
    notes = [one.text for one in events if isinstance(one, Noted)]
    assert len(notes) == 1 and notes[0].startswith(f"{cause}: ")
    end = events[-1]
    assert isinstance(end, Ended) and (end.status, end.cause) == ("FAILED", cause)
    assert "no key" in end.message and end.hint


def test_the_short_form_of_the_localnet_s_worker_does_too() -> None:
    with served(pool({"chainTaskId": TASK, "status": "COMPLETED", "cause": None})) as stub:
        events = list(client(stub.url).watch(TASK))
    assert events == [
        TaskChanged(task="pool", title="Workerpool", state="done", detail="COMPLETED"),
        Ended("COMPLETED", None, "", ""),
    ]


def test_one_reading_of_a_task() -> None:
    with served(pool({"status": "RUNNING"})) as stub:
        assert client(stub.url).task(TASK) == {"status": "RUNNING"}
    with served(pool(None)) as stub:
        assert client(stub.url).task(TASK) is None
    for body in (b"<html>", b"[]", b"\xff"):
        with served(lambda *_, body=body: (200, {}, body)) as stub, pytest.raises(Unavailable) as caught:
            client(stub.url).task(TASK)
        assert caught.value.name == "no_worker"


@pytest.mark.parametrize("task", ["", "0x12", "../../x", "0x" + "zz" * 32])
def test_task_ids_are_checked_before_the_network(task: str) -> None:
    api = client(nobody())
    for call in (lambda: api.task(task), lambda: list(api.watch(task))):
        with pytest.raises(Missing):
            call()


def test_bad_urls_are_refused() -> None:
    with pytest.raises(Missing):
        WorkerApi("file:///etc/passwd")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = ("type", "task", "title", "state", "text", "stream", "done", "total", "unit", "level", "hint", "parent",
          "status", "cause", "currentStatus", "replicates", "walletAddress", "statusUpdateList", "details")  # fmt: skip
KINDS = st.sampled_from(["task_changed", "lines", "progress", "noted", "end", "asked", "run_ended"])


@given(st.dictionaries(st.sampled_from(FIELDS), JSON | KINDS, max_size=8))
def test_whatever_the_json_nothing_raises_and_nothing_harmful_passes(record: dict[str, Any]) -> None:
    event = task_events.read(record)
    assert event is None or isinstance(event, Ended | TaskChanged | Lines | Progress | Noted)
    for one in (event, *task_events.statuses(record)):
        assert all(ord(letter) >= 32 and letter != "\x7f" for letter in _texts(one))
    task_events.cause_of(record)


def _texts(event: Event | Ended | None) -> str:
    values = vars(event).values() if event is not None else ()
    return "".join(v if isinstance(v, str) else "".join(v) if isinstance(v, tuple) else "" for v in values)
