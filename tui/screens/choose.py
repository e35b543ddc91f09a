"""Choose one of many, or type something else: a picker above the screen that wants to know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from tui.widgets.keys import Keys
from tui.widgets.picker import Picker
from workflows.core.fields import Choice


class Choose(ModalScreen[str | None]):
    """Enter takes the marked choice, or what was typed where none fits; escape takes nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "take", "choose", priority=True),
        Binding("escape", "dismiss", "back"),
    ]

    def __init__(self, heading: str, text: str, choices: Sequence[Choice], value: str) -> None:
        super().__init__()
        self._heading = heading
        self._text = text
        self._choices = choices
        self._value = value

    def compose(self) -> ComposeResult:
        with Vertical(id="choose"):
            yield Static(Content.styled(self._heading, "bold $accent"))
            yield Static(Content.styled(self._text, "$foreground-muted"))
            yield Picker(self._choices, self._value, strict=False)
        yield Keys()

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def action_take(self) -> None:
        """Close with the value; nothing typed and nothing marked is no value."""
        self.dismiss(self.query_one(Picker).value.strip() or None)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
