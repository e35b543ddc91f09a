"""The screen's side of questions: the engine's thread waits here until the person answered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from workflows.core.events import Asked
from workflows.core.failure import Cancelled, Failed
from workflows.core.fields import Choice, Filled
from workflows.core.step import Context, Step


@dataclass(eq=False)
class Want:
    """Something that only the person can say. The first reply counts: a key pressed twice answers once."""

    _slot: Future[Any] = field(default_factory=Future, init=False, repr=False)

    def reply(self, value: Any) -> None:
        """Hand the answer to the waiting engine; an exception is raised there."""
        with suppress(InvalidStateError):
            if isinstance(value, BaseException):
                self._slot.set_exception(value)
            else:
                self._slot.set_result(value)

    def wait(self) -> Any:
        """The answer; blocks until there is one."""
        return self._slot.result()


@dataclass(eq=False)
class FormWanted(Want):
    """The values of a step's fields; `choices` by the fields' names."""

    step: Step
    form: Sequence[Filled]
    choices: Mapping[str, Sequence[Choice]]


@dataclass(eq=False)
class AnswerWanted(Want):
    """The answer to a question of the running step."""

    asked: Asked


@dataclass(eq=False)
class WordWanted(Want):
    """After a failure: again, back, or no more."""

    step: Step
    failure: Failed


class ScreenAnswers:
    """Calls `show` with what is wanted and blocks until the reply.

    `pace` says which forms are asked: all of them; those with a value that is not settled yet; or none, with
    questions confirmed too. `settled` names steps whose forms are not asked at any pace (a resumed run). A form
    with a problem is always asked, and so is every form after somebody went back.
    """

    def __init__(
        self,
        show: Callable[[Want], None],
        ctx: Context,
        *,
        pace: Literal["all", "unsettled", "none"] = "all",
        settled: Collection[str] = (),
    ) -> None:
        self._show = show
        self._ctx = ctx
        self._pace = pace
        self._settled = set(settled)
        self._lock = threading.Lock()
        self._open: Want | None = None
        self._closed = False

    def close(self) -> None:
        """No more answers: whoever waits is cancelled."""
        with self._lock:
            self._closed = True
            if self._open is not None:
                self._open.reply(Cancelled())

    def ask_all(self) -> None:
        """From now on nothing is taken for granted: the person went back to change something."""
        self._pace, self._settled = "all", set()

    def fill(self, step: Step, form: Sequence[Filled]) -> Mapping[str, Any]:
        if not self._asks(step, form):
            return {filled.field.name: filled.value for filled in form}
        choices = {filled.field.name: filled.field.choices(self._ctx) for filled in form}
        values: Mapping[str, Any] = self._wait(FormWanted(step, form, choices))
        return values

    def answer(self, asked: Asked) -> Any:
        if self._pace == "none" and asked.kind == "confirm":
            return True
        if self._pace == "none" and asked.default is not None:
            return asked.default
        return self._wait(AnswerWanted(asked))

    def failed(self, step: Step, failure: Failed) -> Literal["retry", "stop"]:
        try:
            word = self._wait(WordWanted(step, failure))  # Back goes through
        except Cancelled:  # leaving after a failure does not turn it into a cancellation
            return "stop"
        return "retry" if word == "retry" else "stop"

    def _asks(self, step: Step, form: Sequence[Filled]) -> bool:
        if any(filled.problem for filled in form):
            return True
        if step.id in self._settled or self._pace == "none":
            return False
        kept = ("flag", "environment", "manifest", "asked")
        return self._pace == "all" or any(
            filled.field.required and filled.source not in kept for filled in form
        )

    def _wait(self, want: Want) -> Any:
        with self._lock:
            if self._closed:
                raise Cancelled
            self._open = want
        self._show(want)
        try:
            return want.wait()
        finally:
            self._open = None
