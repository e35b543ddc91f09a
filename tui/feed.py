"""The bridge from the engine's thread to the screen: bounded, so a flood waits and eats no memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from tui.answers import Want
from workflows.core.events import Event, Lines
from workflows.core.failure import Failed

LIMIT = 20_000
Item = Event | Want | Failed  # Failed: the run never started, or broke outside of any step


class Feed:
    """Items in, batches out. The producer waits while more than `limit` lines or events are not yet drawn.

    `ring` is called, on the producer's thread, for what should not wait for the next tick.
    """

    def __init__(self, limit: int = LIMIT, ring: Callable[[], None] = lambda: None) -> None:
        self._limit = limit
        self._ring = ring
        self._items: deque[Item] = deque()
        self._weight = 0
        self._room = threading.Condition()
        self._open = True

    def put(self, item: Item) -> None:
        """Append one item; called on the engine's thread."""
        with self._room:
            while self._open and self._weight > self._limit:
                self._room.wait(1)
            if not self._open:
                return
            self._items.append(item)
            self._weight += len(item.text) if isinstance(item, Lines) else 1
        if not isinstance(item, Event):
            self._ring()

    def drain(self) -> list[Item]:
        """All items so far, oldest first; called by the screen ten times a second."""
        with self._room:
            batch = list(self._items)
            self._items.clear()
            self._weight = 0
            self._room.notify_all()
        return batch

    def close(self) -> None:
        """Nobody draws any more: let the producer run on."""
        with self._room:
            self._open = False
            self._items.clear()
            self._room.notify_all()
