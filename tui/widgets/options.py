"""A few values to choose from: ◉ is the chosen one; arrows move, Enter sends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Click
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from workflows.core.fields import Choice
from workflows.core.text import clean

_INLINE = 60  # cells: choices without notes that fit stand in one row
_GAP = 3


class Options(Widget, can_focus=True):
    """Draws all choices at once: beside each other where short, else one a row with its note."""

    DEFAULT_CSS = "Options { height: auto; text-wrap: nowrap; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,left", "move(-1)", show=False),
        Binding("down,right", "move(1)", show=False),
        Binding("enter", "choose", show=False),
    ]
    index: reactive[int] = reactive(0)
    searches = False  # letters are for a list beside it

    class Moved(Message):
        """Another choice is marked."""

        def __init__(self, options: Options, choice: Choice) -> None:
            super().__init__()
            self.options = options
            self.choice = choice

    class Chosen(Moved):
        """Enter was pressed on a choice."""

    def __init__(
        self, choices: Sequence[Choice], value: str = "", *, id: str | None = None, inline: bool | None = None
    ) -> None:
        super().__init__(id=id)
        self.choices = list(choices)
        values = [choice.value for choice in self.choices]
        self.set_reactive(Options.index, values.index(value) if value in values else 0)
        self._labels = [Content(clean(choice.label or choice.value)) for choice in self.choices]
        wide = sum(label.cell_length + 2 + _GAP for label in self._labels)
        self.inline = (
            wide <= _INLINE and not any(choice.note for choice in choices) if inline is None else inline
        )

    @property
    def choice(self) -> Choice | None:
        """The marked one."""
        return self.choices[self.index] if self.choices else None

    def validate_index(self, index: int) -> int:
        return max(0, min(len(self.choices) - 1, index))

    def watch_index(self) -> None:
        if self.choice is not None:
            self.post_message(self.Moved(self, self.choice))

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Keys that are no commands here."""
        return self.searches and character is not None and character.isalnum()

    def action_move(self, by: int) -> None:
        """Mark the choice before or after; beyond the last one the next field is next."""
        if not self.inline and not 0 <= self.index + by < len(self.choices):
            self.screen.focus_next() if by > 0 else self.screen.focus_previous()
        self.index += by

    def action_choose(self) -> None:
        """Send the marked choice."""
        if self.choice is not None:
            self.post_message(self.Chosen(self, self.choice))

    def on_click(self, event: Click) -> None:
        if not self.inline:
            self.index = event.y
            return
        at = 0
        for number, label in enumerate(self._labels):
            at += label.cell_length + 2 + self._gap
            if event.x < at:
                self.index = number
                return

    def watch_has_focus(self, _focused: bool) -> None:
        super().watch_has_focus(_focused)
        self.refresh()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return 1 if self.inline else len(self.choices)

    def render(self) -> Content:
        rows = []
        for number, (choice, label) in enumerate(zip(self.choices, self._labels, strict=True)):
            marked = number == self.index
            style = ("$accent bold reverse" if self.has_focus else "bold") if marked else ""
            row = Content.assemble(
                ("◉ " if marked else "○ ", "$accent" if marked else ""), label.stylize(style)
            )
            if choice.note and not self.inline:
                row = Content.assemble(row, ("  " + clean(choice.note), "$foreground-muted"))
            rows.append(row if self.inline else row.truncate(self.size.width, ellipsis=True))
        return Content(" " * self._gap if self.inline else "\n").join(rows)

    @property
    def _gap(self) -> int:
        wide = sum(label.cell_length + 2 + _GAP for label in self._labels)
        return _GAP if wide <= self.size.width + _GAP else 1
