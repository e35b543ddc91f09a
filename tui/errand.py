"""A command on a thread of its own, for a screen that hears of it by messages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from textual.message import Message

from tui.answers import AnswerWanted
from tui.hygiene import harmless
from workflows.core.command import Dialogue, Result
from workflows.core.events import Asked, Event
from workflows.core.failure import Cancelled, Failed
from workflows.core.stumbled import stumbled


class Errand:
    """Runs a command once; `post` takes `Told`, `Wanted` and at last `Ended`, from the thread.

    `about`: the action that the command was asked for.
    """

    class Told(Message):
        """Something happened; the event's texts are clean."""

        def __init__(self, event: Event) -> None:
            super().__init__()
            self.event = event

    class Wanted(Message):
        """The command waits for an answer."""

        def __init__(self, want: AnswerWanted) -> None:
            super().__init__()
            self.want = want

    class Ended(Message):
        """The command is over: its result, or why there is none."""

        def __init__(self, errand: Errand, outcome: Result | Failed) -> None:
            super().__init__()
            self.errand = errand
            self.outcome = outcome

    def __init__(
        self, command: Dialogue, options: Mapping[str, Any], post: Callable[[Message], object]
    ) -> None:
        self.about = str(options.get("action"))
        self._command = command
        self._options = options
        self._post = post
        self._lock = threading.Lock()
        self._open: AnswerWanted | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="errand", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Nobody answers or listens any more: who waits is cancelled."""
        with self._lock:
            self._closed = True
            if self._open is not None:
                self._open.reply(Cancelled())

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end; False when it did not come in time."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            outcome: Result | Failed = self._command.run(self._options, self._emit, self._ask)
        except Failed as failure:
            outcome = failure
        except Exception as error:
            outcome = stumbled(error)
        self._tell(self.Ended(self, outcome))

    def _emit(self, event: Event) -> None:
        self._tell(self.Told(harmless(event)))

    def _ask(self, asked: Asked) -> Any:
        want = AnswerWanted(harmless(asked))
        with self._lock:
            if self._closed:
                raise Cancelled
            self._open = want
        self._tell(self.Wanted(want))
        return want.wait()

    def _tell(self, message: Message) -> None:
        if not self._closed:
            self._post(message)
