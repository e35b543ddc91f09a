"""One question of a running step: yes or no, a text, a secret that is not shown, or a document to edit."""

from __future__ import annotations

from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Key
from textual.message import Message
from textual.widgets import Button, Input, Static, TextArea


class Question(Vertical):
    """Posts `Answered`; y and n answer a confirmation, Enter sends a text, ctrl+r a document."""

    class Answered(Message):
        """The person answered."""

        def __init__(self, value: Any) -> None:
            super().__init__()
            self.value = value

    def __init__(self, question: str, kind: str, default: str | None = None) -> None:
        super().__init__(classes=f"question -{kind}")
        self._question = question
        self.kind = kind
        self._default = default or ""

    def compose(self) -> ComposeResult:
        yield Static(Content.assemble(("? ", "$accent bold"), (self._question, "bold")))
        if self.kind == "confirm":
            with Horizontal():
                yield Button("yes  y", id="yes", variant="primary", compact=True)
                yield Button("no  n", id="no", compact=True)
        elif self.kind == "document":
            yield TextArea(self._default, show_line_numbers=True, tab_behavior="indent")
            yield Static(Content.styled("edit it as you like · ctrl+r goes on", "$text-muted"))
        else:
            yield Input(self._default, password=self.kind == "secret")

    def submit(self) -> None:
        """Send what is typed; a confirmation wants y or n."""
        if self.kind == "document":
            self.post_message(self.Answered(self.query_one(TextArea).text))
        elif self.kind != "confirm":
            self.post_message(self.Answered(self.query_one(Input).value))

    def on_mount(self) -> None:
        # "no" has the focus: Enter alone must not sign anything.
        target = {"confirm": "#no", "document": "TextArea"}.get(self.kind, "Input")
        self.query_one(target).focus()

    def on_key(self, event: Key) -> None:
        if self.kind == "confirm" and event.key in ("y", "n"):
            event.stop()
            self.post_message(self.Answered(event.key == "y"))
        elif self.kind == "confirm" and event.key in ("left", "right"):
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
