"""A step's fields as widgets: declared once in the step, rendered here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.events import DescendantFocus, Key
from textual.geometry import Size
from textual.message import Message
from textual.suggester import Suggester
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static, TextArea

from tui.widgets.line import Line
from tui.widgets.options import Options
from tui.widgets.picker import Picker
from tui.widgets.prose import Prose, Said
from tui.widgets.still import StillArea, StillInput
from workflows.core.fields import Choice, Field, Filled
from workflows.core.text import clean

_SHORT_LIST = 7
_ROW = 54  # characters of a choice and its note that fit into a row at 80 columns
_YES_NO = (Choice("yes"), Choice("no"))


class Form(Vertical):
    """All fields of one step; posts `Submitted` with the values as typed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "app.focus_previous", show=False),
        Binding("down", "app.focus_next", show=False),
    ]

    class Submitted(Message):
        """The person wants to go on."""

        def __init__(self, values: Mapping[str, Any]) -> None:
            super().__init__()
            self.values = values

    def __init__(
        self, form: Sequence[Filled], choices: Mapping[str, Sequence[Choice]], folder: Path | None = None
    ) -> None:
        super().__init__()
        self.ready = False  # whether the cursor has been in a field
        self._entries = [Entry(filled, choices.get(filled.field.name, ()), folder) for filled in form]
        self._picker = next((one.input for one in self._entries if isinstance(one.input, Picker)), None)
        for entry in self._entries:
            if isinstance(entry.input, Options):
                entry.input.searches = self._picker is not None

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=False, classes="fields"):
            yield from self._entries
        yield Line(classes="form-hint")

    def on_mount(self) -> None:
        for entry in self._entries:
            if isinstance(entry.input, Options) and entry.input.choice is not None:
                self._narrow(entry.filled.field, entry.input.choice)
        self.call_after_refresh(self.take_focus)

    def take_focus(self) -> None:
        """Put the cursor into the field with a problem, else into the first one."""
        wrong = next((entry for entry in self._entries if entry.problem), None)
        first = wrong or next(iter(self._entries), None)
        if first is not None and self.is_attached and self.display:
            first.focus_input()

    def submit(self) -> None:
        """Post the values."""
        self.post_message(self.Submitted({entry.filled.field.name: entry.value for entry in self._entries}))

    @on(Options.Moved)
    def _options_moved(self, event: Options.Moved) -> None:
        event.stop()
        if isinstance(event.options.parent, Entry):
            event.options.parent.tell(event.choice)
            self._narrow(event.options.parent.filled.field, event.choice)

    def _narrow(self, field: Field, choice: Choice) -> None:
        """A field may narrow the choices of another to its own value."""
        for entry in self._entries:
            if entry.filled.field.name == field.filters and isinstance(entry.input, Picker):
                entry.input.narrow(choice.value)

    def on_key(self, event: Key) -> None:
        """A letter typed on a choice begins the search of the long list."""
        focused = self.screen.focused
        if self._picker is None or not isinstance(focused, Options) or event.character is None:
            return
        if focused.check_consume_key(event.key, event.character):
            event.stop()
            search = self._picker.query_one(Input)
            search.focus()  # through the app's queue: the letter goes the same way, behind it
            self.app.call_later(search.call_later, search.insert_text_at_cursor, event.character)

    @on(Input.Submitted)
    @on(Options.Chosen)
    @on(OptionList.OptionSelected)
    def _enter(self, event: Message) -> None:
        event.stop()
        self.submit()

    @on(DescendantFocus)
    def _focused(self, event: DescendantFocus) -> None:
        self.ready = True
        if isinstance(event.widget, TextArea):
            hint = "one a line · tab next field · ctrl+r goes on"
        elif isinstance(event.widget.parent, Picker):
            hint = "enter goes on · ↑ ↓ choose · type to search" + (
                " · tab next field" * (len(self._entries) > 1)
            )
        elif isinstance(event.widget, Options):
            arrows = "← →" if event.widget.inline else "↑ ↓"
            search = " · type to search" * event.widget.searches
            hint = f"enter goes on · {arrows} choose{search}" + (
                " · tab next field" * (len(self._entries) > 1)
            )
        else:
            hint = "enter goes on" + (" · tab next field" * (len(self._entries) > 1))
        self.query_one(".form-hint", Line).show(Content(hint))


class Caption(Widget):
    """A field's label, what it means, and where its value comes from: in one row if they fit, else in more."""

    DEFAULT_CSS = "Caption { height: auto; text-wrap: nowrap; }"

    def __init__(self, filled: Filled) -> None:
        super().__init__()
        source = _source(filled)
        self._label = Content.styled(clean(filled.field.label), "bold")
        self._help = Content.styled(clean(filled.field.help), "$foreground-muted")
        self._source = Content.styled(f"from {source}" if source else "", "$foreground-muted italic")

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._lines(width))

    def render(self) -> Content:
        return Content("\n").join(self._lines(self.size.width))

    def _lines(self, width: int) -> list[Content]:
        room = width - self._source.cell_length - 2
        first = Content.assemble(self._label, "  ", self._help) if self._help else self._label
        fits = first.cell_length <= room
        lines = [(first if fits else self._label).truncate(max(1, room), ellipsis=True, pad=True)]
        lines[0] = Content.assemble(lines[0], "  ", self._source)
        return lines if fits or not self._help else [*lines, *self._help.wrap(max(4, width))]


class Entry(Vertical):
    """One field: label, where its value comes from, widget, and what is wrong with the value."""

    def __init__(self, filled: Filled, choices: Sequence[Choice], folder: Path | None) -> None:
        super().__init__(classes="entry")
        self.filled = filled
        self.problem = filled.problem if filled.source != "none" else None
        self.input = _widget(filled, choices, folder)
        self._offer = _offer(choices) if isinstance(self.input, FileInput) and not self.input.value else ""
        self._long = isinstance(self.input, Options) and any(
            len(choice.label or choice.value) + len(choice.note) > _ROW for choice in self.input.choices
        )

    def compose(self) -> ComposeResult:
        yield Caption(self.filled)
        yield self.input
        if self.problem:
            problem = Prose()
            problem.add_class("problem")
            problem.show([Said(clean(self.problem), "✗", "$error bold", "$error")])
            yield problem
        if self._long or self._offer:
            yield Static(Content(self._offer), classes="note", markup=False)

    def on_mount(self) -> None:
        self._wrong = self.value
        if isinstance(self.input, TextArea):
            self.input.move_cursor(self._place(self.input.text.splitlines()))
        if isinstance(self.input, Options) and self.input.choice is not None:
            self.tell(self.input.choice)

    @on(Input.Changed)
    @on(TextArea.Changed)
    @on(Options.Moved)
    def _changed(self) -> None:
        """What is wrong is told of the value that is wrong."""
        for problem in self.query(".problem"):
            problem.display = self.value == self._wrong
        if self._offer:
            self.query_one(".note").visible = not self.value

    def tell(self, choice: Choice) -> None:
        """Show the whole note of the marked choice."""
        if self._long:
            self.query_one(".note", Static).update(Content(clean(choice.note)))

    def _place(self, lines: Sequence[str]) -> tuple[int, int]:
        """Where there is something to do in several lines: the end of the one that is wrong, else of the last."""
        rows = [row for row, line in enumerate(lines) if line and (self.problem or "").startswith(line)]
        # The longest: another line may begin like it.
        row = max(rows, key=lambda row: len(lines[row])) if rows else max(0, len(lines) - 1)
        return row, len(lines[row]) if lines else 0

    def focus_input(self) -> None:
        """Put the cursor into this field."""
        (self.input.query_one(Input) if isinstance(self.input, Picker) else self.input).focus()

    @property
    def value(self) -> Any:
        """What the person typed or chose."""
        if isinstance(self.input, TextArea):
            return self.input.text.splitlines()
        if isinstance(self.input, Options):
            chosen = self.input.choice.value if self.input.choice is not None else ""
            return chosen == "yes" if self.filled.field.kind == "confirm" else chosen
        return cast(_HasValue, self.input).value


class FileInput(StillInput):
    """A row of text that takes what is offered for it with →, as long as nothing is typed."""

    def __init__(self, *args: Any, offer: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._offered = offer

    def action_cursor_right(self, select: bool = False) -> None:
        if self._offered and not self.value:
            self.value = self._offered
            self.action_end()
        else:
            super().action_cursor_right(select)


def _offer(choices: Sequence[Choice]) -> str:
    """What → fills in, and what else is at hand."""
    first, *more = (clean(choice.value) for choice in choices) if choices else ("",)
    also = f"; {', '.join(more)} {'is' if len(more) == 1 else 'are'} here too" if more else ""
    return f"right arrow fills in {first}{also}" if first else ""


class _HasValue(Protocol):
    value: str


class _Paths(Suggester):
    """Completes the name of a file; → takes it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._folder = folder

    async def get_suggestion(self, value: str) -> str | None:
        typed, slash, start = value.rpartition("/")
        folder = Path(typed + slash).expanduser() if slash else Path()
        try:
            inside = folder if folder.is_absolute() else self._folder / folder
            names = sorted(path.name + "/" * path.is_dir() for path in inside.iterdir())
        except (OSError, RuntimeError):
            return None
        found = (name for name in names if name.startswith(start) and name.isprintable())
        name = next((name for name in found if start or not name.startswith(".")), None)
        return None if name is None or not value else typed + slash + name


def _source(filled: Filled) -> str:
    if filled.source == "flag":
        return filled.field.flag
    if filled.source == "environment":
        return filled.field.variable
    return "creamtea.toml" if filled.source == "manifest" else ""


def _widget(filled: Filled, choices: Sequence[Choice], folder: Path | None) -> Widget:
    field, value = filled.field, filled.value
    text = "" if value is None else str(value)
    if field.kind == "confirm":
        return Options(_YES_NO, "yes" if value else "no", inline=True)
    if field.many:
        lines = [value] if isinstance(value, str) else list(value or ())
        area = StillArea("\n".join(clean(str(line)) for line in lines), tab_behavior="focus")
        area.placeholder = field.metavar or "none"
        return area
    if choices and field.kind != "path":
        if len(choices) > _SHORT_LIST or not field.strict:
            return Picker(choices, text, strict=field.strict)
        return Options(choices, text)
    if field.kind == "path":
        return FileInput(
            clean(text),
            offer=choices[0].value if choices else "",
            placeholder=_placeholder(field),
            suggester=_Paths(folder) if folder is not None else None,
        )
    return StillInput(
        clean(text), placeholder=_placeholder(field), type="integer" if field.kind == "number" else "text"
    )


def _placeholder(field: Field) -> str:
    if field.empty:
        return field.empty
    what = field.metavar or {"path": "a file", "number": "a number"}.get(field.kind, "")
    return what if field.required else f"{what} – or nothing" if what else "nothing"
