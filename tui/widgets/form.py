"""A step's fields as widgets: declared once in the step, rendered here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Label, OptionList, Static, Switch, TextArea
from textual.widgets.option_list import Option

from workflows.core.fields import Choice, Field, Filled

_SHORT_LIST = 7


class Form(VerticalScroll):
    """All fields of one step; posts `Submitted` with the values as typed."""

    class Submitted(Message):
        """The person wants to go on."""

        def __init__(self, values: Mapping[str, Any]) -> None:
            super().__init__()
            self.values = values

    def __init__(
        self, form: Sequence[Filled], choices: Mapping[str, Sequence[Choice]], *, id: str | None = None
    ) -> None:
        super().__init__(id=id)
        self._entries = [Entry(filled, choices.get(filled.field.name, ())) for filled in form]

    def compose(self) -> ComposeResult:
        yield from self._entries
        yield Label("enter goes on · tab next field · shift+tab back", classes="form-hint")

    def on_mount(self) -> None:
        wrong = next((entry for entry in self._entries if entry.filled.problem), None)
        first = wrong or next(iter(self._entries), None)
        if first is not None:
            self.call_after_refresh(first.take_focus)

    def submit(self) -> None:
        """Post the values."""
        self.post_message(self.Submitted({entry.filled.field.name: entry.value for entry in self._entries}))

    @on(OptionList.OptionHighlighted)
    def _narrow(self, event: OptionList.OptionHighlighted) -> None:
        """A field may narrow the choices of another to its own value."""
        entry = next((one for one in self._entries if event.option_list in one.query(OptionList)), None)
        if entry is None or not entry.filled.field.filters:
            return
        for other in self._entries:
            if other.filled.field.name == entry.filled.field.filters:
                for picker in other.query(Picker):
                    picker.narrow(event.option_id or "")

    @on(Input.Submitted)
    @on(OptionList.OptionSelected)
    def _enter(self, event: Message) -> None:
        event.stop()
        self.submit()


class Entry(Vertical):
    """One field: label, widget, help, and what is wrong with the value."""

    def __init__(self, filled: Filled, choices: Sequence[Choice]) -> None:
        super().__init__(classes=f"entry -{filled.field.kind}")
        self.filled = filled
        self._choices = choices
        self._input = _widget(filled, choices)

    def compose(self) -> ComposeResult:
        source = "" if self.filled.source in ("default", "none", "asked") else f"  from {self.filled.source}"
        yield Static(
            Content.assemble((self.filled.field.label, "bold"), (source, "$text-muted")), classes="label"
        )
        yield self._input
        if self.filled.problem and self.filled.source != "none":
            yield Static(Content(f"✗ {self.filled.problem}"), classes="problem")
        if self.filled.field.help:
            yield Static(Content(self.filled.field.help), classes="help")

    def take_focus(self) -> None:
        """Put the cursor into this field."""
        target = self._input
        (target.query_one(Input) if isinstance(target, Picker) else target).focus()

    @property
    def value(self) -> Any:
        """What the person typed or chose."""
        widget = self._input
        if isinstance(widget, Switch):
            return widget.value
        if isinstance(widget, TextArea):
            return widget.text.splitlines() if self.filled.field.many else widget.text
        if isinstance(widget, (Picker, Input)):
            return widget.value
        if isinstance(widget, OptionList):
            return widget.get_option_at_index(widget.highlighted).id if widget.highlighted is not None else ""
        raise AssertionError(widget)


class Picker(Vertical):
    """A long list searched as you type: every word must occur; up and down choose."""

    def __init__(self, choices: Sequence[Choice], value: str, *, strict: bool) -> None:
        super().__init__(classes="picker")
        self._all = list(choices)
        self._initial = value
        self._strict = strict
        self._group = ""

    def narrow(self, group: str) -> None:
        """Show only the choices of one group; all of them when it has none."""
        self._group = group if any(choice.group == group for choice in self._all) else ""
        if self.is_mounted:
            self._filter(self.query_one(Input).value)

    def compose(self) -> ComposeResult:
        yield Input(placeholder="type to search", classes="search")
        yield OptionList(markup=False)
        yield Static("", classes="picked", markup=False)

    def on_mount(self) -> None:
        self._filter("")

    @property
    def value(self) -> str:
        """The marked choice; what was typed where the list is open and nothing fits."""
        options = self.query_one(OptionList)
        if options.highlighted is not None and options.option_count:
            return options.get_option_at_index(options.highlighted).id or ""
        typed = self.query_one(Input).value
        return typed if not self._strict else ""

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._filter(event.value)

    def _filter(self, text: str) -> None:
        words = text.casefold().split()
        shown = [
            choice
            for choice in self._all
            if self._group in ("", choice.group)
            and all(word in f"{choice.value} {choice.label} {choice.note}".casefold() for word in words)
        ]
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options(
            [Option(Content(choice.label or choice.value), id=choice.value) for choice in shown]
        )
        if shown:
            values = [choice.value for choice in shown]
            options.highlighted = values.index(self._initial) if self._initial in values and not words else 0
        self._tell(shown[options.highlighted or 0] if shown else None, len(shown))

    @on(OptionList.OptionHighlighted)
    def _marked(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        chosen = next((choice for choice in self._all if choice.value == event.option_id), None)
        self._tell(chosen, event.option_list.option_count)

    def _tell(self, choice: Choice | None, count: int) -> None:
        picked = self.query_one(".picked", Static)
        if choice is None:
            picked.update(
                Content("nothing fits" if self._strict else "nothing fits: what you typed will be used")
            )
        else:
            picked.update(Content(f"{choice.value}\n{choice.note or ''}  · {count} of {len(self._all)}"))

    def on_key(self, event: Any) -> None:
        if event.key in ("up", "down", "pageup", "pagedown") and isinstance(self.app.focused, Input):
            event.stop()
            event.prevent_default()
            options = self.query_one(OptionList)
            {"up": options.action_cursor_up, "down": options.action_cursor_down,
             "pageup": options.action_page_up, "pagedown": options.action_page_down}[event.key]()  # fmt: skip


def _widget(filled: Filled, choices: Sequence[Choice]) -> Widget:
    field, value = filled.field, filled.value
    text = "" if value is None else str(value)
    if field.kind == "confirm":
        return Switch(value=bool(value), animate=False)
    if field.kind == "document":
        return TextArea(
            text, language=None, show_line_numbers=True, classes="document", tab_behavior="indent"
        )
    if field.many:
        return TextArea("\n".join(map(str, value or ())), classes="many", tab_behavior="focus")
    if field.kind == "choice" or (choices and not field.many):
        if len(choices) > _SHORT_LIST or not field.strict:
            return Picker(choices, text, strict=field.strict)
        return _short_list(choices, text)
    kind = "integer" if field.kind == "number" else "text"
    return Input(value=text, placeholder=_placeholder(field), type=kind)  # type: ignore[arg-type]


def _short_list(choices: Sequence[Choice], value: str) -> OptionList:
    options = OptionList(
        *[
            Option(
                Content.assemble(choice.label or choice.value, (f"  {choice.note}", "$text-muted")),
                id=choice.value,
            )
            for choice in choices
        ],
        markup=False,
        classes="short",
    )
    values = [choice.value for choice in choices]
    options.highlighted = values.index(value) if value in values else 0
    return options


def _placeholder(field: Field) -> str:
    if field.metavar:
        return field.metavar
    return {"path": "a file", "number": "a number"}.get(field.kind, "" if field.required else "none")
