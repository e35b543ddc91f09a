"""The bridge from the engine's thread to the screen: bounded, so a flood waits and eats no memory."""

from __future__ import annotations

import threading
from collections import deque

from workflows.core.events import Event, Lines

LIMIT = 20_000


class Feed:
    """Events in, batches out. The producer waits while more than `limit` lines are not yet drawn."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._events: deque[Event] = deque()
        self._lines = 0
        self._room = threading.Condition()
        self._open = True

    def put(self, event: Event) -> None:
        """Append one event; called on the engine's thread."""
        weight = len(event.text) if isinstance(event, Lines) else 0
        with self._room:
            while self._open and weight and self._lines > self._limit:
                self._room.wait(1)
            self._events.append(event)
            self._lines += weight

    def drain(self) -> list[Event]:
        """All events so far, oldest first; called by the screen ten times a second."""
        with self._room:
            batch = list(self._events)
            self._events.clear()
            self._lines = 0
            self._room.notify_all()
        return batch

    def close(self) -> None:
        """Nobody draws any more: let the producer run on."""
        with self._room:
            self._open = False
            self._room.notify_all()
