"""The wizard: the rail of steps beside the step's form or its work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer, Input, Static

from tui.actions import WIZARD
from tui.model import RunModel, StepView, TaskView
from tui.screens.why import Why
from tui.widgets.form import Form
from tui.widgets.log_pane import LogPane
from tui.widgets.question import Question
from tui.widgets.rail import Rail
from tui.widgets.tasks import Tasks, elapsed
from workflows.core.events import Event, now
from workflows.core.failure import Failed
from workflows.core.fields import Choice, Filled
from workflows.core.step import Step

_TILES = 4
_LEVELS = {"info": ("·", "$text-muted"), "warning": ("!", "$warning bold"), "error": ("✗", "$error bold")}


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds) // 60:02}:{int(seconds) % 60:02}"


class Wizard(Screen[None]):
    """One run. The app feeds events in with `apply`; the engine's wishes arrive with `want`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(action.binding for action in WIZARD),
        Binding("up", "step(-1)", "step before", show=False),
        Binding("down", "step(1)", "step after", show=False),
    ]
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - an instance variable of the base class
        (0, "-narrow"),
        (70, "-normal"),
        (110, "-wide"),
    ]

    def __init__(
        self, model: RunModel, title: str, place: str, log_dir: Path | None, now: Callable[[], str] = now
    ) -> None:
        super().__init__()
        self.model = model
        self._title = title
        self._place = place
        self._now = now
        self._log_dir = log_dir
        self._looked_at: str | None = next(iter(model.steps), None)
        self._pinned = False
        self._pane_task: str | None = None
        self._tiled: bool | None = None  # None: as many panes as tasks are speaking at once
        self._wanting: str | None = None
        self._dirty = True
        self._second = ""

    def compose(self) -> ComposeResult:
        with Horizontal(id="banner"):
            yield Static(Content(self._title), id="title")
            yield Static(Content(self._place), id="place")
        with Horizontal(id="body"):
            yield Rail(self.model.steps.values(), id="rail")
            with Vertical(id="detail"):
                yield Static("", id="heading", markup=False)
                with Vertical(id="work"):
                    yield Tasks(id="tasks")
                    with VerticalScroll(id="notes-scroll", can_focus=False):
                        yield Static("", id="notes", markup=False)
                    with Horizontal(id="panes"):
                        for number in range(_TILES):
                            with Vertical(classes="tile", id=f"tile-{number}"):
                                yield Static("", classes="tile-title", markup=False)
                                yield LogPane()
                yield Vertical(id="ask")
                yield Input(placeholder="find in the log", id="find")
        yield Static("", id="command", markup=False)
        yield Footer(show_command_palette=True, compact=True)

    def on_mount(self) -> None:
        self.query_one("#find", Input).display = False
        self.sync()

    # The run

    def apply(self, events: Sequence[Event]) -> None:
        """Fold a batch of events in; drawn at the next tick."""
        for event in events:
            self.model.apply(event)
        if events:
            self._dirty = True

    def sync(self) -> None:
        """Draw what changed; called ten times a second."""
        if not self.is_mounted:
            return
        if not self._pinned and self.model.current and self.model.current != self._looked_at:
            self._look_at(self.model.current)
        running = any(step.state == "running" for step in self.model.steps.values())
        second = self._now()[:19] if running else ""
        if self._dirty or second != self._second:
            self._dirty, self._second = False, second
            self._draw()

    def want(self, kind: str, what: Any, choices: dict[str, Sequence[Choice]]) -> None:
        """The engine waits for: a filled form, an answer, or a word on a failure."""
        self._wanting = kind
        if kind == "form":
            step, form = what
            self._ask_form(step, form, choices)
        elif kind == "question":
            self._ask(Question(what.question, what.kind, what.default))
        else:
            step, failure = what
            self._show_failure(step, failure)
        self._dirty = True

    def _ask_form(self, step: Step, form: Sequence[Filled], choices: dict[str, Sequence[Choice]]) -> None:
        view = self.model.steps[step.id]
        view.state = "asking"
        self.model.current = step.id
        self._look_at(step.id)
        self._ask(Form(form, choices))

    def _ask(self, widget: Form | Question) -> None:
        place = self.query_one("#ask", Vertical)
        place.remove_children()
        place.mount(widget)
        place.display = True
        document = isinstance(widget, Question) and widget.kind == "document"
        self.set_class(document, "-asking-document")
        place.set_class(document, "-document")
        self._pinned = False

    def _show_failure(self, step: Step, failure: Failed) -> None:
        view = self.model.steps[step.id]
        self._look_at(step.id)
        task = view.loudest()
        if task is not None:
            self._pane_task = task.id
        self.refresh_bindings()

    def _settle(self) -> None:
        self._wanting = None
        place = self.query_one("#ask", Vertical)
        place.remove_children()
        place.display = False
        self.remove_class("-asking-document")
        self.set_focus(None)
        self._dirty = True

    @on(Form.Submitted)
    def _form_submitted(self, event: Form.Submitted) -> None:
        self._settle()
        self.app.reply(event.values)  # type: ignore[attr-defined]

    @on(Question.Answered)
    def _answered(self, event: Question.Answered) -> None:
        self._settle()
        self.app.reply(event.value)  # type: ignore[attr-defined]

    # Drawing

    @property
    def looked_at(self) -> StepView | None:
        """The step on the screen."""
        return self.model.steps.get(self._looked_at or "")

    def _look_at(self, name: str) -> None:
        if name != self._looked_at:
            self._pane_task = None
        self._looked_at = name
        self._dirty = True

    def _draw(self) -> None:
        rail = self.query_one(Rail)
        rail.looked_at = self._looked_at
        rail.sync()
        step = self.looked_at
        if step is None:
            return
        over, count = step.counts
        self.query_one("#heading", Static).update(self._heading(step, over, count))
        asking = self._wanting == "form" and self.model.current == step.id
        self.query_one("#work").display = not asking
        self.query_one("#ask").display = (
            self._wanting in ("form", "question") and self.model.current == step.id
        )
        if not asking:
            self._draw_work(step)
        command = step.command.splitlines()[0] if step.command else ""
        self.query_one("#command", Static).update(Content(f"$ {command}" if command else ""))

    def _heading(self, step: StepView, over: int, count: int) -> Content:
        """What the step does, and on the right how long and how far."""
        words = {"skipped": "nothing to do", "failed": "failed", "cancelled": "stopped", "waiting": "to come"}
        seconds = step.seconds
        if seconds is None and step.state == "running" and step.began:
            seconds = elapsed(step.began, self._now())
        parts = [words.get(step.state, ""), _clock(seconds), f"{over} of {count}" if count else ""]
        right = " · ".join(part for part in parts if part)
        room = max(1, self.query_one("#heading").size.width - len(step.heading) - len(right))
        return Content.assemble((step.heading, "bold"), " " * room, (right, "$text-muted"))

    def _draw_work(self, step: StepView) -> None:
        selected = self._pane_choice(step)
        speaking = [task for task in step.tasks.values() if len(task.lines)]
        tasks = self.query_one(Tasks)
        tasks.limit = max(3, self.size.height // 3) if speaking else max(3, self.size.height - 8)
        panes = self._panes(selected, speaking)
        tasks.show(step, panes[0].id if len(panes) == 1 else None)
        notes = self._notes(step)
        scroll = self.query_one("#notes-scroll")
        scroll.display = bool(notes)
        scroll.set_class(not speaking, "-alone")
        self.query_one("#notes", Static).update(notes or Content(""))
        self._draw_panes(panes)

    def _panes(self, selected: TaskView | None, speaking: list[TaskView]) -> list[TaskView]:
        """Whose lines are shown: the selected task's, or those of several tasks side by side."""
        running = [task for task in speaking if task.state == "running"]
        wanted = {None: running if self._pane_task is None else [], True: speaking, False: []}[self._tiled]
        if len(wanted) > 1:
            return wanted[-self._tiles_that_fit() :]
        return [selected] if selected else []

    def _draw_panes(self, shown: list[TaskView]) -> None:
        self.query_one("#panes").display = bool(shown)
        for number in range(_TILES):
            tile = self.query_one(f"#tile-{number}", Vertical)
            tile.display = number < len(shown)
            if number < len(shown):
                task = shown[number]
                tile.query_one(".tile-title", Static).update(Content(f"── {task.title}"))
                tile.query_one(LogPane).show(task.lines)

    def _tiles_that_fit(self) -> int:
        return max(1, min(_TILES, (self.size.width - 16) // 30))

    def _pane_choice(self, step: StepView) -> TaskView | None:
        if self._pane_task is not None and self._pane_task in step.tasks:
            return step.tasks[self._pane_task]
        return step.loudest()

    def _notes(self, step: StepView) -> Content | None:
        rows: list[Content] = []
        for note in step.notes:
            mark, style = _LEVELS[note.level]
            rows.append(Content.assemble((mark, style), " ", note.text))
            if note.hint:
                rows.append(Content.assemble(("  → ", "$accent"), note.hint))
        if step.error is not None:
            rows.append(Content.assemble(("✗ ", "$error bold"), (step.error.get("message", ""), "$error")))
            if step.error.get("hint"):
                rows.append(Content.assemble(("  → ", "$accent"), step.error["hint"]))
            if self._wanting == "failure":
                rows.append(
                    Content.assemble(
                        ("  r", "bold"), " again   ", ("q", "bold"), " quit; resume goes on here"
                    )
                )
        if self.model.ended is not None and self.model.current == step.id:
            ended = self.model.ended
            rows.append(
                Content.assemble((f"\nThe run is {ended.outcome}", "bold"), f" after {ended.seconds:.1f} s.")
            )
            if self._log_dir is not None:
                rows.append(Content(f"  everything is in {self._log_dir}"))
        return Content("\n").join(rows) if rows else None

    # Actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        step = self.looked_at
        running = any(view.state == "running" for view in self.model.steps.values())
        speaking = step is not None and any(len(task.lines) for task in step.tasks.values())
        if action == "go":
            return self._wanting == "form" or self.has_class("-asking-document")
        if action == "cancel":
            return running
        if action == "retry":
            return self._wanting == "failure" or (
                self._wanting == "form" and self._looked_at != self.model.current
            )
        if action in ("find", "match", "error", "tile", "zoom", "follow", "copy", "next_task"):
            return speaking and self._wanting != "form"
        return True

    def action_go(self) -> None:
        """Submit the form, or the document."""
        for form in self.query(Form):
            form.submit()
        for question in self.query(Question):
            question.submit()

    def action_cancel(self) -> None:
        """Stop the running step."""
        self.app.cancel_step()  # type: ignore[attr-defined]

    def action_retry(self) -> None:
        """Again, or back to the step that is looked at."""
        if self._wanting == "failure":
            self._settle()
            self.app.reply("retry")  # type: ignore[attr-defined]
        elif self._wanting == "form" and self._looked_at is not None:
            self._settle()
            self.app.back_to(self._looked_at)  # type: ignore[attr-defined]

    def action_step(self, direction: int) -> None:
        """Look at the step before or after."""
        names = list(self.model.steps)
        index = names.index(self._looked_at) if self._looked_at in names else 0
        chosen = names[max(0, min(len(names) - 1, index + direction))]
        self._pinned = chosen != self.model.current
        self._look_at(chosen)
        self.sync()

    def action_next_task(self) -> None:
        """Show the next task that has lines."""
        step = self.looked_at
        speaking = [task.id for task in step.tasks.values() if len(task.lines)] if step else []
        if step is None or not speaking:
            return
        current = self._pane_choice(step)
        index = speaking.index(current.id) if current and current.id in speaking else -1
        self._pane_task = speaking[(index + 1) % len(speaking)]
        self._dirty = True
        self.sync()

    def action_tile(self) -> None:
        """Several panes or one."""
        self._tiled = not self.query_one("#tile-1").display
        self._dirty = True
        self.sync()

    def action_zoom(self) -> None:
        """The lines alone, or everything again."""
        self.toggle_class("-zoomed")

    def action_follow(self) -> None:
        """Back to the newest line."""
        self._pane().follow = True

    def action_find(self) -> None:
        """Ask what to look for."""
        box = self.query_one("#find", Input)
        box.display = True
        box.focus()

    @on(Input.Submitted, "#find")
    def _find(self, event: Input.Submitted) -> None:
        event.stop()
        event.input.display = False
        self.set_focus(None)
        if event.value and not self._pane().find(event.value):
            self.notify(f"“{event.value}” is not in these lines", markup=False)

    def action_match(self, direction: int) -> None:
        """Next or previous match."""
        pane = self._pane()
        if pane.query_text:
            pane.find(pane.query_text, direction)

    def action_error(self) -> None:
        """Next line that looks like an error."""
        if not self._pane().find_error():
            self.notify("no line looks like an error")

    def action_copy(self) -> None:
        """Copy the lines in view by the terminal's own clipboard and say where the whole log is."""
        self.app.copy_to_clipboard(self._pane().visible_text())
        where = f"; whole log: {self._log_file()}" if self._log_dir else ""
        self.notify(f"sent to the terminal's clipboard{where}", markup=False)

    def action_copy_command(self) -> None:
        """Copy the command of the step."""
        step = self.looked_at
        if step is not None and step.command:
            self.app.copy_to_clipboard(step.command)
            self.notify("the command was sent to the terminal's clipboard")

    def action_why(self) -> None:
        """Why this step exists, and all keys."""
        step = self.looked_at
        self.app.push_screen(
            Why(step.heading if step else "", step.why if step else "", step.command if step else "")
        )

    def action_leave(self) -> None:
        """Leave the program."""
        self.app.leave()  # type: ignore[attr-defined]

    def _pane(self) -> LogPane:
        focused = self.focused
        return focused if isinstance(focused, LogPane) else self.query_one("#tile-0 LogPane", LogPane)

    def _log_file(self) -> Path | None:
        return self._log_dir / "steps" / f"{self._looked_at}.log" if self._log_dir else None
