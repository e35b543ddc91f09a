"""What watchers get: history first, then live, kept over a restart, bounded."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import pytest

from workflows.core.events import Lines, TaskChanged
from workflows.localnet.worker.record import MAX_LINES, Records

TASK = "0x" + "0a" * 32


def test_a_watcher_gets_what_was_before_and_what_comes_from_another_thread(tmp_path: Path) -> None:
    async def body() -> list[str]:
        record = Records(tmp_path).of(TASK)
        record.add(TaskChanged(task="app", title="app", state="running"))
        got: list[str] = []

        def work() -> None:
            record.add(Lines(task="app", text=("one", "two")))
            record.end("FAILED", "APP_COMPUTE_FAILED", "why", "what to do")

        async for line in record.follow():
            got.append(line)
            if len(got) == 1:
                threading.Thread(target=work).start()
        return got

    changed, printed, end = (json.loads(line) for line in asyncio.run(body()))
    assert (changed["type"], changed["state"]) == ("task_changed", "running")
    assert "run" not in changed and "step" not in changed
    assert printed["text"] == ["one", "two"]
    assert end == {
        "type": "end", "status": "FAILED", "cause": "APP_COMPUTE_FAILED", "message": "why", "hint": "what to do",
    }  # fmt: skip


def test_an_ended_task_is_the_same_for_the_next_process_and_private(tmp_path: Path) -> None:
    async def first() -> None:
        record = Records(tmp_path / "tasks").of(TASK)
        record.add(Lines(task="app", stream="err", text=("said",)))
        record.end("COMPLETED")

    async def second() -> tuple[list[str], dict[str, str], object]:
        records = Records(tmp_path / "tasks")
        found = records.find(TASK)
        assert found is not None and records.find("0x" + "0b" * 32) is None
        return [line async for line in found.follow()], found.printed("app"), found.document()["status"]

    asyncio.run(first())
    history, printed, status = asyncio.run(second())
    assert [json.loads(line)["type"] for line in history] == ["lines", "end"]
    assert printed == {"out": "", "err": "said"} and status == "COMPLETED"
    assert (tmp_path / "tasks").stat().st_mode & 0o777 == 0o700


def test_running_again_begins_with_nothing(tmp_path: Path) -> None:
    async def body() -> list[str]:
        record = Records(tmp_path).of(TASK)
        record.add(Lines(task="app", text=("half",)))
        again = Records(tmp_path).of(TASK)
        assert again.ended is None
        again.restart()
        again.end("COMPLETED")
        return [line async for line in again.follow()]

    assert [json.loads(line)["type"] for line in asyncio.run(body())] == ["end"]


def test_lines_are_bounded(tmp_path: Path) -> None:
    async def body() -> dict[str, str]:
        record = Records(tmp_path).of(TASK)
        for _ in range(3):
            record.add(Lines(task="app", text=("x",) * (MAX_LINES // 2 + 1)))
        return record.printed("app")

    printed = asyncio.run(body())["out"].splitlines()
    assert len(printed) == MAX_LINES + 1 and "clipped" in printed[-1]


@pytest.mark.parametrize("name", ["", "0x12", "../../etc/passwd", "0x" + "G" * 64, TASK + "\n"])
def test_what_is_no_task_id_finds_nothing(tmp_path: Path, name: str) -> None:
    async def body() -> object:
        return Records(tmp_path).find(name)

    assert asyncio.run(body()) is None
