"""One question of a running step: yes or no, a text, or a secret that is not shown."""

from __future__ import annotations

from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Key
from textual.message import Message
from textual.widgets import Button, Input, Static


class Question(Vertical):
    """Posts `Answered`; y and n answer a confirmation, Enter sends a text."""

    class Answered(Message):
        """The person answered."""

        def __init__(self, value: Any) -> None:
            super().__init__()
            self.value = value

    def __init__(self, question: str, kind: str) -> None:
        super().__init__(classes="question")
        self._question = question
        self._kind = kind

    def compose(self) -> ComposeResult:
        yield Static(Content.assemble(("? ", "$accent bold"), (self._question, "bold")))
        if self._kind == "confirm":
            with Horizontal():
                yield Button("yes  y", id="yes", variant="primary", compact=True)
                yield Button("no  n", id="no", compact=True)
        else:
            yield Input(password=self._kind == "secret")

    def on_mount(self) -> None:
        # "no" has the focus: Enter alone must not sign anything.
        self.query_one("#no" if self._kind == "confirm" else Input).focus()

    def on_key(self, event: Key) -> None:
        if self._kind == "confirm" and event.key in ("y", "n"):
            event.stop()
            self.post_message(self.Answered(event.key == "y"))
        elif self._kind == "confirm" and event.key in ("left", "right"):
            event.stop()
            self.screen.focus_next("Button") if event.key == "right" else self.screen.focus_previous("Button")

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.post_message(self.Answered(event.button.id == "yes"))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Answered(event.value))
