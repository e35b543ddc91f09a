"""Turn work that calls back with events into a generator of events, so that a step can `yield from` it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from workflows.core.events import Event
from workflows.core.step import Cancel

T = TypeVar("T")


def listen(work: Callable[[Callable[[Event], None]], T], cancel: Cancel) -> Generator[Event, Any, T]:
    """Run `work(emit)` on a thread and yield what it emits; its result or its exception is ours.

    Closing the generator sets `cancel` and waits for the thread: the work has to respect it.
    """
    events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
    outcome: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            outcome.append(work(events.put))
        except BaseException as error:
            errors.append(error)
        finally:
            events.put(None)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    try:
        while (event := events.get()) is not None:
            yield event
    except BaseException:
        cancel.set()
        raise
    finally:
        thread.join()
    if errors:
        raise errors[0]
    return outcome[0]
