"""A long list of choices, searched as you type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from tui.widgets.prose import Prose, Said
from tui.widgets.still import StillInput
from workflows.core.fields import Choice
from workflows.core.text import clean

_LABEL = 34  # cells of the first column


class Picker(Vertical):
    """Every typed word must occur; up and down mark; below the list the marked one in full.

    With `strict` only a choice is a value; otherwise what was typed is, where nothing fits.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move('cursor_up')", show=False),
        Binding("down", "move('cursor_down')", show=False),
        Binding("pageup", "move('page_up')", show=False),
        Binding("pagedown", "move('page_down')", show=False),
    ]

    def __init__(self, choices: Sequence[Choice], value: str, *, strict: bool) -> None:
        super().__init__(classes="picker")
        self._all = list(choices)
        self._shown: list[Choice] = []
        self._initial = value
        self._strict = strict
        self._group = ""
        self._marked_row: int | None = None

    def compose(self) -> ComposeResult:
        known = any(choice.value == self._initial for choice in self._all)
        typed = "" if known or self._strict else clean(self._initial)
        yield StillInput(typed, placeholder="type to search", classes="search")
        yield OptionList(markup=False, compact=True)
        yield Prose()

    def on_mount(self) -> None:
        self.query_one(OptionList).can_focus = False
        self._filter()

    def narrow(self, group: str) -> None:
        """Show only the choices of one group; all of them when it has none."""
        self._group = group if any(choice.group == group for choice in self._all) else ""
        if self.is_mounted:
            self._filter()

    @property
    def value(self) -> str:
        """The marked choice, or what was typed."""
        marked = self._marked
        if marked is not None:
            return marked.value
        return "" if self._strict else self.query_one(Input).value

    @property
    def _marked(self) -> Choice | None:
        index = self.query_one(OptionList).highlighted
        return self._shown[index] if index is not None and index < len(self._shown) else None

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._filter()

    def _filter(self) -> None:
        words = self.query_one(Input).value.casefold().split()
        self._shown = [
            choice
            for choice in self._all
            if self._group in ("", choice.group)
            and all(word in f"{choice.value} {choice.label} {choice.note}".casefold() for word in words)
        ]
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options([Option(_row(choice, False)) for choice in self._shown])
        self._marked_row = None
        values = [choice.value for choice in self._shown]
        options.highlighted = (
            values.index(self._initial) if self._initial in values else (0 if values else None)
        )
        options.display = bool(values)
        self._fit()
        self._tell()

    def on_resize(self) -> None:
        self._fit()

    def _fit(self) -> None:
        """A third of the screen at most: the rest of the form should be in view too."""
        self.query_one(OptionList).styles.height = min(len(self._shown), max(3, self.screen.size.height // 3))

    @on(OptionList.OptionHighlighted)
    def _moved(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        self._tell()

    def _mark(self) -> None:
        """Move the ▸ to the highlighted row: the mark says it where colours do not."""
        options = self.query_one(OptionList)
        for row, mark in ((self._marked_row, False), (options.highlighted, True)):
            if row is not None and row < len(self._shown):
                options.replace_option_prompt_at_index(row, _row(self._shown[row], mark))
        self._marked_row = options.highlighted

    def _tell(self) -> None:
        self._mark()
        marked = self._marked
        if marked is not None:
            some = len(self._shown) < len(self._all)
            count = f"{len(self._shown)} of {len(self._all)} are listed" if some else ""
            whole = marked.label if marked.value in marked.label else marked.value
            text = Said(clean(whole), " ", "", "bold")
            more = " · ".join(filter(None, (marked.note, count)))
            self.query_one(Prose).show([text, Said(clean(more), " ")] if more else [text])
        elif self._strict:
            self.query_one(Prose).show([Said("nothing fits", "✗", "$error bold")])
        else:
            self.query_one(Prose).show(
                [Said("nothing fits: what you typed will be used", "▸", "$accent bold")]
            )

    def action_move(self, how: str) -> None:
        """Mark another choice."""
        getattr(self.query_one(OptionList), f"action_{how}")()


def _row(choice: Choice, marked: bool) -> Content:
    label = Content(clean(choice.label or choice.value)).truncate(
        _LABEL, ellipsis=True, pad=bool(choice.note)
    )
    mark = ("▸ " if marked else "  ", "$accent bold")
    note = ("  " + clean(choice.note) if choice.note else "", "$foreground-muted")
    return Content.assemble(mark, label.stylize("bold") if marked else label, note)
