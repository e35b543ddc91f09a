"""A step at work: its heading, tasks, notes and lines, each with the room that it deserves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message

from tui.model import StepView, TaskView
from tui.widgets.line import Line
from tui.widgets.log_pane import LogPane
from tui.widgets.panes import Panes, fitting, least, whole
from tui.widgets.prose import Prose, Said
from tui.widgets.tasks import Tasks
from workflows.core.events import Asked

_MARKS = {
    "info": ("·", "$foreground-muted"),
    "warning": ("!", "$warning bold"),
    "error": ("✗", "$error bold"),
}
_WORDS = {"skipped": "nothing to do", "failed": "failed", "cancelled": "stopped", "waiting": "to come"}
_ENOUGH = 7  # rows: the least that lines get while a step is at work
NOTES = ""  # the pane that is no task


class Work(Vertical):
    """Draws one step. `tab` goes through its panes: the notes where they do not fit, and every task with lines."""

    class Resized(Message):
        """There is more or less room now."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._step: StepView | None = None
        self._now = ""
        self._pending = False
        self._read: tuple[str, bool, int] = ("", False, 0)
        self._notes_rows = (0, 0)  # that they take, that they have
        self._lines_rows = 0  # that the panes have, with their titles
        self._chosen: str | None = None  # None: whoever deserves it
        self._tiled: bool | None = None  # None: several panes while several tasks speak at once

    def compose(self) -> ComposeResult:
        yield Line(id="heading")
        yield Tasks(id="tasks")
        with VerticalScroll(id="notes-scroll", can_focus=False):
            yield Prose(id="notes")
        yield Panes(id="panes")

    def on_resize(self) -> None:
        self.post_message(self.Resized())

    @property
    def showing_lines(self) -> bool:
        """Whether there are lines to look at, and room for them."""
        speaks = self._step is not None and bool(self._step.speaking)
        return speaks and bool(self.query_one(Panes).display) and self._lines_rows > 1

    @property
    def panes(self) -> list[str]:
        """What `tab` goes through: the notes and the tasks that have lines."""
        step = self._step
        names = [task.id for task in step.speaking] if step is not None else []
        return [NOTES, *names] if step is not None and step.notes and names else names

    @property
    def pane(self) -> LogPane:
        """The lines that keys act on."""
        return self.query_one(Panes).pane

    def show(self, step: StepView, now: str, *, pending: bool = False) -> None:
        """Draw this step; `now` ends the clocks that run; with `pending` its last question is asked below."""
        if self._step is None or step.id != self._step.id:
            self._chosen = None
        self._step, self._now, self._pending = step, now, pending
        self.draw()

    def settle(self) -> None:
        """Once the layout is done the room is known: share it out again, and have the right notes in view."""
        self.draw()
        step = self._step
        if step is None:
            return
        state = (step.id, step.state == "running", len(step.notes))
        if state != self._read:
            scroll = self.query_one("#notes-scroll", VerticalScroll)
            if state[1]:  # the newest one while the step is at work, the first one afterwards
                scroll.scroll_end(animate=False, immediate=True)
            elif self._read[:2] != state[:2]:
                scroll.scroll_home(animate=False, immediate=True)
            self._read = state

    def draw(self) -> None:
        """Share the room out, then draw what changed."""
        step = self._step
        if step is None:
            return
        self.query_one("#heading", Line).show(*heading(step, self._now))
        notes = self.query_one(Prose)
        notes.show(said(step)[: -1 if self._pending else None])
        zoomed = self.screen.has_class("-zoomed") and bool(step.speaking)
        self.query_one("#heading").display = not zoomed
        width, room = self.size.width, self.size.height - (not zoomed)
        wanted = notes.height_at(width)
        shown: list[TaskView] = []
        if zoomed:
            rows, notes_rows = 0, 0
            shown = self._panes(step, width, room)
        elif not step.speaking or self._pending or self._chosen == NOTES:
            rows = min(len(step.rows), max(3, room - wanted))
            notes_rows = room - rows
        else:
            rows, notes_rows, shown = self._share(step, width, room, wanted)
        tasks = self.query_one(Tasks)
        uncut = tasks.height_at(step, width, self._now)
        if not zoomed and uncut + wanted + whole(shown, width) <= room:
            rows, notes_rows = uncut, wanted if shown else room - uncut
        tasks.show(step, shown[0].id if len(shown) == 1 else None, rows, self._now)
        scroll = self.query_one("#notes-scroll")
        scroll.display = wanted > 0 and notes_rows > 0
        scroll.styles.height = notes_rows
        self._notes_rows = (wanted, notes_rows)
        panes = self.query_one(Panes)
        panes.display = bool(shown)
        self._lines_rows = room - rows - notes_rows if shown else 0
        panes.show(shown, width, self._lines_rows)

    def _share(self, step: StepView, width: int, room: int, wanted: int) -> tuple[int, int, list[TaskView]]:
        """The rows of the tasks and of the notes, which want so many, and whose lines have the rest."""
        enough = _ENOUGH if step.state in ("running", "failed", "cancelled") else _ENOUGH - 3
        few, notes_few = 3, 0 if step.state == "failed" or room < _ENOUGH else 3
        if self._tiled and (two := least(step.speaking[-2:], width)) <= room:  # who asked for tiles gets two
            enough, few = two, min(few, room - two)
        rows = min(len(step.rows), max(few, min(room // 2, room - enough - min(wanted, 3))))
        if self._tiled:
            notes_few = max(0, min(notes_few, room - enough - rows))
        most = room // 4 if step.state == "running" else room
        notes_rows = min(wanted, max(notes_few, min(most, room - enough - rows)))
        shown = self._panes(step, width, room - rows - notes_rows)
        spare = max(0, room - rows - notes_rows - whole(shown, width))  # no use to lines
        more = min(spare, len(step.rows) - rows)
        return rows + more, min(wanted, notes_rows + spare - more), shown

    def _panes(self, step: StepView, width: int, height: int) -> list[TaskView]:
        """Whose lines are shown: the chosen task's, or those of several side by side."""
        running = [task for task in step.speaking if task.state == "running"]
        several = {None: running if self._chosen is None else [], True: step.speaking, False: []}[self._tiled]
        most = fitting(several, width, height)
        if most > 1:
            return several[-most:]
        chosen = step.tasks.get(self._chosen or "") or step.loudest()
        return [chosen] if chosen is not None else []

    @property
    def has_more(self) -> bool:
        """Whether notes are out of sight below."""
        wanted, given = self._notes_rows
        above = self.query_one("#notes-scroll").scroll_offset.y
        return above + given < wanted and not self.query_one(Panes).display

    # Actions

    def next_pane(self, by: int) -> None:
        """Show the lines of the next task, or the notes."""
        step, names = self._step, self.panes
        if step is None or not names:
            return
        loudest = step.loudest()
        current = self._chosen if self._chosen is not None else (loudest.id if loudest else NOTES)
        at = names.index(current) if current in names else -1
        self._chosen, self._tiled = names[(at + by) % len(names)], None
        self.draw()

    def choose(self, task: TaskView | None) -> None:
        """Show this task's lines."""
        self._chosen, self._tiled = (task.id if task is not None else None), None
        self.draw()

    @property
    def can_tile(self) -> bool:
        """Whether two tasks speak and have room, at least on the whole screen."""
        return self._step is not None and fitting(self._step.speaking, self.size.width, self.size.height) > 1

    def toggle_tiles(self) -> None:
        """Several panes or one."""
        self._tiled = not self.query_one("#tile-1").display
        self._chosen = None
        self.draw()
        if self._tiled and not self.query_one("#tile-1").display:
            self.notify(
                "there is no room for several panes here: z gives them the whole screen", markup=False
            )

    def can_scroll(self, where: str) -> bool:
        """Whether there is more in that direction."""
        if self.query_one(Panes).display:
            return self.pane.can_move(where)
        notes = self.query_one("#notes-scroll", VerticalScroll)
        if where in ("left", "right") or not notes.display:
            return False
        return notes.scroll_offset.y > 0 if where in ("page_up", "home") else self.has_more

    def scroll(self, where: Literal["page_up", "page_down", "home", "end", "left", "right"]) -> None:
        """Scroll the lines, or the notes where there are none."""
        if self.query_one(Panes).display:
            self.pane.move(where)
            return
        notes = self.query_one("#notes-scroll", VerticalScroll)
        moves: dict[str, Callable[..., None]] = {
            "page_up": notes.scroll_page_up, "page_down": notes.scroll_page_down,
            "home": partial(notes.scroll_home, immediate=True), "end": partial(notes.scroll_end, immediate=True),
        }  # fmt: skip
        if where in moves:
            moves[where](animate=False)


def heading(step: StepView, now: str) -> tuple[Content, Content]:
    """What the step does, and on the right how long and how far."""
    over, count = step.counts
    seconds = step.worked(now) if step.state in ("running", "asking") else step.seconds
    word = "your answer" if step.state == "asking" and step.began else _WORDS.get(step.state, "")
    if step.state == "done" and step.began is None:
        word = "done earlier"
    parts = [word, _clock(seconds, step.seconds is None), f"{over} of {count}" if count else ""]
    right = " · ".join(part for part in parts if part)
    return Content.styled(step.heading, "bold"), Content.styled(right, "$foreground-muted")


def said(step: StepView) -> list[Said]:
    """The step's notes and questions as sentences."""
    found = []
    for place, note in enumerate(step.notes):
        if isinstance(note, Asked):
            found.append(Said(note.question, "?", "$accent bold", hint=step.replies.get(place, "")))
        else:
            mark, style = _MARKS.get(note.level, _MARKS["info"])
            strong = "bold" if note.level == "error" else ""
            found.append(Said(note.text, mark, style, strong, note.hint or ""))
    return found


def _clock(seconds: float | None, running: bool) -> str:
    if seconds is None:
        return ""
    if running or seconds >= 60:
        return f"{int(seconds) // 60:02}:{int(seconds) % 60:02}"
    return f"{seconds:.1f} s"
