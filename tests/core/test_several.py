"""Several questions at once: answers in order, what is waited for is told, what hangs holds nobody up."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Sequence

import pytest

from workflows.core.events import Event, Progress, TaskChanged
from workflows.core.several import several


def awaited(items: Sequence[object]) -> str:
    return f"waiting for {', '.join(map(str, items))}"


def answers(work: object) -> tuple[list[Event], object]:
    told: list[Event] = []
    while True:
        try:
            told.append(next(work))  # type: ignore[call-overload]
        except StopIteration as end:
            return told, end.value


def test_answers_come_in_the_order_of_the_questions() -> None:
    def ask(item: int) -> int:
        time.sleep((20 - item) / 1000)
        return item * item

    assert answers(several(ask, range(20), awaited)) == ([], [item * item for item in range(20)])
    assert answers(several(ask, [], awaited)) == ([], [])


def test_at_most_eight_are_asked_at_once() -> None:
    lock, now, most = threading.Lock(), 0, 0

    def ask(_: int) -> None:
        nonlocal now, most
        with lock:
            now, most = now + 1, max(most, now + 1)
        time.sleep(0.05)
        with lock:
            now -= 1

    answers(several(ask, range(24), awaited))
    assert most == 8


def test_the_first_failure_is_ours() -> None:
    def ask(item: int) -> int:
        if item % 2:
            time.sleep(0.1 if item == 1 else 0)
            raise ValueError(item)
        return item

    with pytest.raises(ValueError, match="1"):
        answers(several(ask, range(8), awaited))


def test_what_takes_long_is_told() -> None:
    told, _ = answers(several(lambda item: time.sleep(item), [0, 1.6, 0], awaited))
    [task, progress] = told
    assert isinstance(task, TaskChanged) and task.title == "waiting for 1.6"
    assert isinstance(progress, Progress) and (progress.done, progress.total) == (2, 3)


def test_one_that_hangs_does_not_keep_the_program() -> None:
    code = (
        "import time\n"
        "from workflows.core.several import several\n"
        "next(several(lambda _: time.sleep(600), [1], str))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
