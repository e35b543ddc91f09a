"""The screen's side of questions: the engine's thread waits here until the person answered."""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from workflows.core.engine import Back
from workflows.core.events import Asked
from workflows.core.failure import Cancelled, Failed
from workflows.core.fields import Filled
from workflows.core.step import Step


class ScreenAnswers:
    """Calls `show` with what is wanted and blocks until `reply` brings it. `automatic` answers by itself."""

    def __init__(self, show: Callable[[str, Any], None], *, automatic: bool = False) -> None:
        self._show = show
        self._automatic = automatic
        self._replies: queue.Queue[Any] = queue.Queue()
        self._closed = False

    def reply(self, value: Any) -> None:
        """Hand an answer to the waiting engine; an exception is raised there."""
        self._replies.put(value)

    def close(self) -> None:
        """No more answers: whoever waits is cancelled."""
        self._closed = True
        self._replies.put(Cancelled())

    def fill(self, step: Step, form: Sequence[Filled]) -> Mapping[str, Any]:
        if self._automatic and not any(filled.problem for filled in form):
            return {filled.field.name: filled.value for filled in form}
        values: Mapping[str, Any] = self._wait("form", (step, form))
        return values

    def answer(self, asked: Asked) -> Any:
        if self._automatic and asked.kind == "confirm":
            return True
        return self._wait("question", asked)

    def failed(self, step: Step, failure: Failed) -> Literal["retry", "stop"]:
        return "stop" if self._wait("failure", (step, failure)) != "retry" else "retry"

    def _wait(self, kind: str, what: Any) -> Any:
        if self._closed:
            raise Cancelled
        self._show(kind, what)
        value = self._replies.get()
        if isinstance(value, (Back, Cancelled)):
            raise value
        return value
