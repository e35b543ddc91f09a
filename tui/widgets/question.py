"""One question of a running step: yes or no, a text, a secret that is not shown, or a document to edit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.events import DescendantFocus, Key
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input, Static, TextArea

from tui.hygiene import document, prose
from tui.widgets.line import Line
from tui.widgets.options import Options
from tui.widgets.prose import Prose, Said
from tui.widgets.still import StillArea, StillInput
from workflows.core.events import Asked
from workflows.core.failure import Cancelled, Failed
from workflows.core.fields import Choice
from workflows.core.text import clean

_HINTS = {
    "confirm": "y yes · n no · enter takes the marked one",
    "document": "ctrl+r keeps it and goes on · escape leaves the editor",
    "secret": "enter goes on · escape stops the {work} · nothing is shown",
}


class Editor(StillArea):
    """A document; escape leaves it, so that the screen's keys work. Lines that go on outside are marked there."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "screen.look", "look back", priority=True, tooltip="Leave the editor for a moment")
    ]

    def render_line(self, y: int) -> Strip:
        strip = super().render_line(y)
        scrolled, row = self.scroll_offset.x, self.scroll_offset.y + y
        if self.soft_wrap or row >= self.document.line_count:
            return strip
        line = self.document.get_line(row).expandtabs(self.indent_width)
        left, right = self.gutter_width, self.scrollable_content_region.width
        style = Style(color=self.app.theme_variables["accent"], bold=True)
        if scrolled and line:
            strip = Strip.join([strip.crop(0, left), Strip([Segment("‹", style)], 1), strip.crop(left + 1)])
        last = scrolled + right - left - 1  # the cell of the line that is drawn last
        under_cursor = (
            row == self.cursor_location[0] and self.cursor_screen_offset.x - self.region.x == right - 1
        )
        if cell_len(line) > last + 1 and not under_cursor:
            strip = Strip.join([strip.crop(0, right - 1), Strip([Segment("›", style)], 1)])
        return strip


class Question(Vertical):
    """Posts `Answered`; y and n answer a confirmation, Enter sends a text, ctrl+r a document.

    `check` raises Failed or ValueError for a text that will not do: the question stays, with what was typed.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "refuse", "no"),
        Binding("escape", "stop", "stop"),
    ]

    class Answered(Message):
        """The person answered; an exception means that there will be no answer."""

        def __init__(self, value: Any) -> None:
            super().__init__()
            self.value = value

    def __init__(
        self, asked: Asked, *, work: str = "step", check: Callable[[str], object] | None = None
    ) -> None:
        super().__init__(classes=f"question -{asked.kind}")
        self._check = check
        self._work = work
        self.ready = False  # whether the cursor has been in the answer
        self.kind = asked.kind
        self._question = asked.question
        self._default = asked.default or ""

    def compose(self) -> ComposeResult:
        question = Prose()
        question.show([Said(prose(self._question), "?", "$accent bold", "bold")])
        yield question
        if self.kind == "confirm":
            # "no" is marked: Enter alone must not sign anything.
            yield Options((Choice("yes", "yes, y"), Choice("no", "no, n")), "no", inline=True)
        elif self.kind == "document":
            text, changed = document(self._default)
            if changed:
                yield Static("! control characters were taken out of this text", markup=False)
            yield Editor(text, show_line_numbers=True, soft_wrap=False, tab_behavior="indent")
        else:
            default = "" if self.kind == "secret" else clean(self._default)
            yield StillInput(default, password=self.kind == "secret")
            yield Prose(id="problem")
        yield Line(classes="form-hint")

    def on_mount(self) -> None:
        self.tell(more=False)
        self.take_focus()

    def tell(self, *, more: bool) -> None:
        """Say which keys answer; with `more`, that not all is in view yet that is worth reading before."""
        hint = _HINTS.get(self.kind, "enter goes on · escape stops the {work}").format(work=self._work)
        reach = "escape, PgDn" if self.kind == "document" else "PgDn"  # an editor has pages of its own
        first = f"{reach}: more to read · " if more else ""
        self.query_one(".form-hint", Line).show(Content(first + hint))

    def take_focus(self) -> None:
        """Put the cursor into the answer."""
        for answer in self.query("Options, TextArea, Input").results(Widget):
            answer.focus()

    @on(DescendantFocus)
    def _focused(self) -> None:
        self.ready = True

    def submit(self) -> None:
        """Send what is typed; a confirmation wants y, n or Enter."""
        if self.kind == "document":
            self.post_message(self.Answered(self.query_one(TextArea).text))
        elif self.kind != "confirm":
            typed = self.query_one(Input).value
            if not (problem := self._wrong(typed)):
                self.post_message(self.Answered(typed))
            self._say(problem)

    def _wrong(self, typed: str) -> str:
        """What is wrong with it; empty when nothing is."""
        try:
            if self._check is not None:
                self._check(typed)
        except (Failed, ValueError) as error:
            return prose(str(error))
        return ""

    def _say(self, problem: str) -> None:
        said = [Said(problem, "✗", "$error bold", "$error")] if problem else []
        self.query_one("#problem", Prose).show(said)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return {"refuse": self.kind == "confirm", "stop": self.kind not in ("confirm", "document")}.get(
            action, True
        )

    def action_refuse(self) -> None:
        """No."""
        self.post_message(self.Answered(False))

    def action_stop(self) -> None:
        """No answer at all."""
        self.post_message(self.Answered(Cancelled()))

    def on_key(self, event: Key) -> None:
        if self.kind == "confirm" and event.key in ("y", "n"):
            event.stop()
            self.post_message(self.Answered(event.key == "y"))

    @on(Options.Chosen)
    def _chosen(self, event: Options.Chosen) -> None:
        event.stop()
        self.post_message(self.Answered(event.choice.value == "yes"))

    @on(Options.Moved)
    def _moved(self, event: Options.Moved) -> None:
        event.stop()

    @on(Input.Changed)
    def _changed(self) -> None:
        self._say("")  # it was told of what stood there before

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.submit()
