"""The same question to several at once: a few threads, answers in the order of the questions."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TypeVar

from workflows.core.events import Event, Progress, TaskChanged

T = TypeVar("T")
R = TypeVar("R")

_AT_ONCE = 8
_PATIENCE = 1.0  # seconds of silence before it is told what is waited for


def several(
    ask: Callable[[T], R], items: Iterable[T], awaited: Callable[[Sequence[T]], str]
) -> Generator[Event, None, list[R]]:
    """`ask` each item; its answers. What takes longer than a second is told: `awaited` says of the open ones what.

    The first exception, in the order of the items, is ours. The threads are daemons and not waited for when the
    generator is closed: one that hangs must not keep the program from ending.
    """
    waiting = list(items)
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[int] = queue.SimpleQueue()
    answers: dict[int, R] = {}
    errors: dict[int, BaseException] = {}
    left = threading.Event()

    def work() -> None:
        while not left.is_set():
            try:
                number = todo.get_nowait()
            except queue.Empty:
                return
            try:
                answers[number] = ask(waiting[number])
            except BaseException as error:
                errors[number] = error
            done.put(number)

    still = dict.fromkeys(range(len(waiting)))
    for number in still:
        todo.put(number)
    for _ in range(min(_AT_ONCE, len(waiting))):
        threading.Thread(target=work, name="several", daemon=True).start()
    try:
        while still:
            try:
                del still[done.get(timeout=_PATIENCE)]
            except queue.Empty:
                title = awaited([waiting[number] for number in still])
                yield TaskChanged(task="several", title=title, state="running")
                total = len(waiting)
                yield Progress(task="several", done=total - len(still), total=total, unit="answers")
    finally:
        left.set()
    for number in sorted(errors):
        raise errors[number]
    return [answers[number] for number in range(len(waiting))]
