"""The first who watches a task sees the localnet made ready for it, and is told when that fails."""

from __future__ import annotations

import asyncio
import errno
import json
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from workflows.core.events import Event, Lines, Progress, TaskChanged
from workflows.core.failure import Failed, Unavailable
from workflows.iexec.worker_api import Ended, WorkerApi
from workflows.localnet import client
from workflows.localnet.preparation import Emit, Preparation
from workflows.localnet.toolchain import Toolchain
from workflows.localnet.worker.api import Api
from workflows.localnet.worker.record import Records

TASK = "0x" + "c4" * 32
Work = Callable[[Emit], Awaitable[None]]


async def no_order(*_: object) -> dict[str, str]:
    raise AssertionError("no order is asked for here")


def quiet(_: Event) -> None:
    pass


def watched(folder: Path, work: Work, during: Callable[[Records], None], times: int = 1) -> list[object]:
    """What clients see who watch the task through the real API, one after the other."""

    async def body() -> list[object]:
        records = Records(folder / "tasks")

        async def whole(emit: Emit) -> None:
            await work(emit)
            during(records)

        preparation = Preparation(folder / "preparation.jsonl", whole, quiet)
        api = Api("0x" + "12" * 20, no_order, records.find, preparation)
        await api.start()
        try:
            seen: list[object] = []
            for _ in range(times):
                seen += await asyncio.to_thread(lambda: list(WorkerApi(api.url, poll=0.01).watch(TASK)))
            return seen
        finally:
            await preparation.stop()
            await api.stop()

    return asyncio.run(body())


def completed(records: Records) -> None:
    records.of(TASK).add(TaskChanged(task="pre-compute", title="pre-compute", state="waiting"))
    records.of(TASK).end("COMPLETED")


async def images(emit: Emit) -> None:
    emit(TaskChanged(task="pre-compute", title="image of pre-compute", state="running"))
    emit(Progress(task="pre-compute", done=1, total=2))
    emit(Lines(task="pre-compute", text=("protected",)))


def test_the_preparation_comes_before_the_task_and_under_names_of_its_own(tmp_path: Path) -> None:
    assert watched(tmp_path, images, completed) == [
        TaskChanged(task="prepare-pre-compute", title="prepare: image of pre-compute", state="running"),
        Progress(task="prepare-pre-compute", done=1, total=2),
        Lines(task="prepare-pre-compute", text=("protected",)),
        TaskChanged(task="pre-compute", title="pre-compute", state="waiting"),
        Ended("COMPLETED", None, "", ""),
    ]


def test_who_watches_while_it_is_made_hears_of_it_at_once(tmp_path: Path) -> None:
    """The work goes on only when its first word has come to the watcher."""

    async def body() -> list[object]:
        heard = asyncio.Event()
        records = Records(tmp_path / "tasks")

        async def work(emit: Emit) -> None:
            emit(TaskChanged(task="relay", title="relay and LAS", state="running"))
            await heard.wait()
            completed(records)

        preparation = Preparation(tmp_path / "preparation.jsonl", work, quiet)
        api = Api("0x" + "12" * 20, no_order, records.find, preparation)
        await api.start()
        loop = asyncio.get_running_loop()

        def watch() -> list[object]:
            seen = []
            for event in WorkerApi(api.url).watch(TASK):
                seen.append(event)
                loop.call_soon_threadsafe(heard.set)
            return list(seen)

        try:
            return await asyncio.to_thread(watch)
        finally:
            await preparation.stop()
            await api.stop()

    first, *_, last = asyncio.run(body())
    assert isinstance(first, TaskChanged) and first.title == "prepare: relay and LAS"
    assert isinstance(last, Ended) and last.status == "COMPLETED"


def test_later_watchers_see_the_task_alone(tmp_path: Path) -> None:
    seen = watched(tmp_path, images, completed, times=2)
    assert len(seen) == 5 + 2 and isinstance(seen[5], TaskChanged) and seen[5].task == "pre-compute"


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (Unavailable("no engine", "start it", name="engine_refused"),
         Ended("FAILED", "engine_refused", "no engine", "start it")),
        (Failed("the disk is full", "make room"), Ended("FAILED", "failed", "the disk is full", "make room")),
    ],
)  # fmt: skip
def test_a_failure_is_the_end_and_the_next_one_tries_again(tmp_path: Path, error: Failed, end: Ended) -> None:
    tries: list[int] = []

    async def work(emit: Emit) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise error

    first, second, *third = watched(tmp_path, work, completed, times=3)
    assert first == second == end
    assert third[-1] == Ended("COMPLETED", None, "", "") and len(tries) == 3


def test_a_fault_of_our_own_ends_it_too(tmp_path: Path) -> None:
    async def work(emit: Emit) -> None:
        raise RuntimeError("torn")

    [end] = watched(tmp_path, work, completed)
    assert isinstance(end, Ended) and end.status == "FAILED" and "torn" in end.message and end.hint


def test_a_full_disk_is_no_fault_of_ours(tmp_path: Path) -> None:
    async def work(emit: Emit) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/state/file")

    [end] = watched(tmp_path, work, completed)
    assert isinstance(end, Ended) and end.cause == "system"
    assert "/state/file: No space left on device" in end.message and "report" not in end.hint


def test_a_task_that_ended_long_ago_needs_no_preparation(tmp_path: Path) -> None:
    async def before() -> None:
        completed(Records(tmp_path / "tasks"))

    async def work(emit: Emit) -> None:
        raise AssertionError("nothing is to be prepared")

    asyncio.run(before())
    assert watched(tmp_path, work, completed)[-1] == Ended("COMPLETED", None, "", "")


@pytest.mark.chain
def test_a_localnet_without_an_engine_says_so_to_who_watches(
    tmp_path: Path, tools: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    lease = client.join(tmp_path / "localnet", quiet)
    try:
        [end] = WorkerApi(lease.document["workerpool_api"]).watch(TASK)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{lease.document['workerpool_api']}/workerpoolorder?category=0")
        assert caught.value.code == 503 and "none.sock" in json.load(caught.value)["error"]
    finally:
        lease.close()
        client.stop(tmp_path / "localnet")
    assert isinstance(end, Ended) and (end.status, end.cause) == ("FAILED", "engine_no_socket")
    assert "none.sock" in end.message and end.hint.startswith("unset or correct DOCKER_HOST")
