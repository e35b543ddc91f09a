"""Keys in the order in which they were typed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from textual.app import App
from textual.dom import DOMNode
from textual.events import Event
from textual.timer import Timer

_ROUNDS = 2  # what a key makes a field say (sent, changed) is heard on the second way up
_PATIENCE = 0.5  # seconds; a widget that is taken away answers no more
_LOOK = 0.02  # seconds between two looks for the field that is to come


class Keyboard:
    """Hands one key on at a time: the next one goes when the one before has had its effect.

    Textual acts on a binding once its key has bubbled up to the app, behind all keys that are there by then: typed
    fast, what follows a tab would go to the field that the tab leaves. `deliver` hands an event to the focus;
    while `expecting` a field that has not got it yet, keys wait: a letter of a name must not act as a command.
    """

    def __init__(
        self, app: App[Any], deliver: Callable[[Event], Awaitable[None]], expecting: Callable[[], bool]
    ) -> None:
        self._app = app
        self._deliver = deliver
        self._expecting = expecting
        self._since: float | None = None  # when the wait for a field began
        self._typed: deque[Event] = deque()
        self._number = 0
        self._timer: Timer | None = None  # while a key is on its way

    async def take(self, event: Event) -> None:
        """A key or a paste, in its turn."""
        self._typed.append(event)
        if self._timer is None:
            await self._next()

    async def _next(self) -> None:
        if not self._typed:
            return
        if self._waits():
            self._timer = self._app.set_timer(_LOOK, self._look)
            return
        self._number += 1
        self._timer = self._app.set_timer(_PATIENCE, partial(self._arrived, self._number))
        goal: DOMNode = self._app.focused or self._app.screen
        await self._deliver(self._typed.popleft())
        self._follow(goal, goal, self._number, _ROUNDS)

    def _waits(self) -> bool:
        if not self._expecting():
            self._since = None
            return False
        self._since = self._since or time.monotonic()
        return time.monotonic() - self._since < _PATIENCE

    async def _look(self) -> None:
        self._timer = None
        await self._next()

    def _follow(self, goal: DOMNode, node: DOMNode, number: int, rounds: int) -> None:
        """Go the way of the key: behind it in the queue of each node from the goal up to the app."""
        if not node.call_later(self._passed, goal, node, number, rounds):  # it is gone by now
            self._app.call_later(self._arrived, number)

    async def _passed(self, goal: DOMNode, node: DOMNode, number: int, rounds: int) -> None:
        if node is not self._app:
            self._follow(goal, node.parent or self._app, number, rounds)
        elif rounds > 1 and goal.is_attached:
            self._follow(goal, goal, number, rounds - 1)
        else:
            await self._arrived(number)

    async def _arrived(self, number: int) -> None:
        if number != self._number or self._timer is None:  # the timer was faster
            return
        self._timer.stop()
        self._timer = None
        await self._next()
