"""The wizard: the rail of steps beside the step's form or its work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import on
from textual.actions import parse
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.css.query import NoMatches
from textual.events import DescendantBlur, DescendantFocus
from textual.widgets import Input

from tui.actions import WIZARD
from tui.answers import AnswerWanted, FormWanted, Want, WordWanted
from tui.feed import Item
from tui.hygiene import harmless, prose
from tui.model import RunModel, StepView
from tui.run import LiveRun, Source
from tui.screens.lines import LinesScreen
from tui.screens.why import Why
from tui.widgets.form import Form
from tui.widgets.keys import Keys
from tui.widgets.line import Line
from tui.widgets.outcome import outcome
from tui.widgets.prose import Prose
from tui.widgets.question import Question
from tui.widgets.rail import Rail
from tui.widgets.still import StillInput
from tui.widgets.work import Work
from workflows.commands.sides import builds
from workflows.core.engine import Back
from workflows.core.events import Asked, Event, StepEnded, StepStarted, now
from workflows.core.failure import Cancelled, Failed

if TYPE_CHECKING:
    from tui.app import Creamtea

_LINES = ("find", "error", "copy", "copy_all")


class Wizard(LinesScreen):
    """One run. The app feeds it with `take` and has it drawn with `sync`, ten times a second.

    The view goes with the current step, unless the person looks at another one, or a step ended that left
    something to read (`unread`).
    """

    ACTIONS = WIZARD
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [action.binding for action in WIZARD]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (70, "-normal"), (110, "-wide")]  # noqa: RUF012 - an instance variable
    VERTICAL_BREAKPOINTS = [(0, "-low"), (16, "-high")]  # noqa: RUF012 - an instance variable

    def __init__(self, source: Source, clock: Callable[[], str] | None = None) -> None:
        super().__init__()
        self.source = source
        self._clock = clock or now
        self.model = RunModel(source.steps)
        self.want: Want | None = None
        self.broken: Failed | None = None
        self.unread: list[str] = []
        self._answered_in = ""  # the step whose question was the last one to be answered
        self._elsewhere = False
        self._looked_at = next(iter(self.model.steps), "")
        self._asking: Form | Question | None = None
        self.cancelling = False
        self._dirty = True
        self._second = ""
        self._possible: tuple[object, ...] = ()
        self._builds: list[str] = []

    def compose(self) -> ComposeResult:
        yield Line(id="banner")
        with Horizontal(id="body"):
            yield Rail(self.model.steps.values(), id="rail")
            with Vertical(id="detail"):
                yield Work(id="work")
                yield Vertical(id="ask")
                yield Prose(id="outcome")
                yield StillInput(placeholder="find in these lines", id="find")
        yield Line(id="command")
        yield Keys()

    def on_mount(self) -> None:
        self.query_one("#find", Input).display = False
        self._count_builds()
        self.sync()

    @on(DescendantFocus)
    @on(DescendantBlur)
    def _focus_changed(self) -> None:
        self._dirty = True
        self.call_after_refresh(self.sync)

    @on(Work.Resized)
    def _more_or_less_room(self) -> None:
        self.redraw()

    # The run

    def take(self, items: Sequence[Item]) -> None:
        """Fold a batch in; drawn by the next `sync`."""
        for item in items:
            if isinstance(item, Event):
                self._fold(harmless(item))
            elif isinstance(item, Want):
                self._wanted(item)
            else:
                self.broken = Failed(prose(item.message), prose(item.hint))
            self._dirty = True

    def _fold(self, event: Event) -> None:
        self.model.apply(event)
        if isinstance(event, StepStarted):
            if self.unread == [self._answered_in]:
                self.unread = []  # no form covers what was just answered; what works now is worth seeing
            self._answered_in = ""
        if not isinstance(event, StepEnded) or event.step not in self.model.steps:
            return
        step = self.model.steps[event.step]
        self._count_builds()
        if event.outcome == "done" and step.notes and self.source.patient(step.id):
            if not self.unread and not self._elsewhere:
                self._look_at(step.id)
            self.unread.append(step.id)

    def _count_builds(self) -> None:
        """The builds that can be compared, newest first."""
        if isinstance(self.source, LiveRun):
            self._builds = [choice.value for choice in builds(self.source.ctx.project)]

    def _wanted(self, want: Want) -> None:
        self.want = want
        self.cancelling = False
        if isinstance(want, FormWanted):
            self.model.ask(want.step.id)
        elif isinstance(want, WordWanted):  # what went wrong comes before everything else
            self.unread, self._elsewhere = [], False
            self._look_at(want.step.id)
            failed = self.model.steps[want.step.id]
            self.query_one(Work).choose(failed.loudest())

    def sync(self) -> None:
        """Draw what changed."""
        if not self.is_mounted:
            return
        if self.model.ended is not None and self.unread == [self.model.current]:
            self.unread = []
        if not self.unread and not self._elsewhere and self.model.current not in (None, self._looked_at):
            self._look_at(str(self.model.current))
        second = self.now()[:19] if self.model.running else ""
        if self._dirty or second != self._second:
            self._dirty, self._second = False, second
            with suppress(NoMatches):  # the screen is being taken down
                self._draw()

    def now(self) -> str:
        """The present, or that of the recording."""
        return self._clock() if self.source.live else self.model.at

    # Asking

    @property
    def at_current(self) -> bool:
        """Whether the step in view is the one where something happens."""
        return not self.unread and self._looked_at == self.model.current

    def _present(self) -> None:
        """Mount the form or question once it is in view; hide it while it is not."""
        place = self.query_one("#ask", Vertical)
        asks = self.at_current and isinstance(self.want, (FormWanted, AnswerWanted))
        if asks and self._asking is None:
            self._asking = self._widget()
            place.mount(self._asking)
        document = isinstance(self._asking, Question) and self._asking.kind == "document"
        self.set_class(asks and isinstance(self.want, FormWanted), "-form")
        self.set_class(asks and document, "-document")
        if place.display and not asks:
            self.set_focus(None)
        place.display = asks

    def _widget(self) -> Form | Question:
        if isinstance(self.want, FormWanted):
            folder = self.source.ctx.project if isinstance(self.source, LiveRun) else None
            return Form(self.want.form, self.want.choices, folder)
        return Question(cast(AnswerWanted, self.want).asked)

    def answer(self, value: Any) -> None:
        """Hand the person's answer to the engine."""
        want, self.want = self.want, None
        step = self.model.steps.get(self.model.current or "")
        if isinstance(want, AnswerWanted) and step is not None:
            step.answered(self.now(), "" if isinstance(value, Exception) else _reply(want.asked, value))
            self._answered_in = step.id
        if self._asking is not None:
            self._asking.remove()
            self._asking = None
        self.set_focus(None)
        if isinstance(value, Back) and isinstance(self.source, LiveRun):
            self.source.went_back()
        if want is not None:
            want.reply(value)
        self._dirty = True
        self.sync()

    @on(Form.Submitted)
    def _form_submitted(self, event: Form.Submitted) -> None:
        self.answer(event.values)

    @on(Question.Answered)
    def _answered(self, event: Question.Answered) -> None:
        self.answer(event.value)

    # Drawing

    @property
    def looked_at(self) -> StepView | None:
        """The step on the screen."""
        return self.model.steps.get(self._looked_at)

    def _look_at(self, name: str) -> None:
        self._looked_at = name
        self._dirty = True

    @on(Rail.Picked)
    def _picked(self, event: Rail.Picked) -> None:
        self._look_from_here(event.step)

    def _look_from_here(self, name: str) -> None:
        self.unread = []
        self._elsewhere = name != self.model.current
        self._look_at(name)
        self.sync()

    def _draw(self) -> None:
        model, step = self.model, self.looked_at
        title = self.source.title
        if not self.source.live and model.workflow:
            title = f"{Path(model.project).name} ▸ {model.workflow} · {title}"
        self.query_one("#banner", Line).show(Content(title), Content(model.place))
        rail = self.query_one(Rail)
        rail.looked_at = self._looked_at
        rail.refresh()
        if step is None:
            return
        self._present()
        said = outcome(self)
        self.query_one("#outcome", Prose).show(said)
        self.query_one("#outcome").display = bool(said)
        self.set_class(self.zoomed and self._can_zoom(), "-zoomed")
        self.query_one(Work).show(step, self.now(), pending=self._question_in_view)
        command = step.command.splitlines()[0] if step.command else ""
        self.query_one("#command", Line).show(Content(f"$ {command}" if command else ""))
        possible = tuple(self.check_action(*parse(action.action)[1:]) for action in WIZARD)
        if possible != self._possible:
            self._possible = possible
            self.refresh_bindings()
        self.call_after_refresh(self._settle)

    def _settle(self) -> None:
        """Once the layout is done the room is known: share it out again."""
        with suppress(NoMatches):
            work = self.query_one(Work)
            work.settle()
            if isinstance(self._asking, Question) and self._asking.is_mounted:
                self._asking.tell(more=work.has_more)

    # Actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether it would do something now: nothing else is offered, by key, footer or palette."""
        check = getattr(self, f"_can_{action}", None)
        if check is not None:
            return bool(check(*parameters))
        return self._lines_in_view if action in _LINES else True

    @property
    def _form_in_view(self) -> bool:
        return self.at_current and isinstance(self.want, FormWanted)

    @property
    def _question_in_view(self) -> bool:
        return self.at_current and isinstance(self.want, AnswerWanted)

    @property
    def _lines_in_view(self) -> bool:
        return self.query_one(Work).showing_lines and not self._form_in_view

    def _can_next(self) -> bool:
        waits = self.model.current is not None and not self.at_current
        return waits or (self._asking is not None and self.focused is None)

    def _can_go(self) -> bool:
        document = isinstance(self._asking, Question) and self._asking.kind == "document"
        return self.at_current and (self._form_in_view or document)

    def _can_look(self) -> bool:
        return self.focused is not None

    def _can_cancel(self) -> bool:
        return self.stoppable and not isinstance(self.want, FormWanted)

    @property
    def stoppable(self) -> bool:
        """Whether there is anything to stop, be it a form that waits."""
        if not self.source.live or self.model.ended is not None or self.broken is not None or self._failed:
            return False
        return not (self.unread and isinstance(self.want, FormWanted))

    @property
    def _failed(self) -> bool:
        return isinstance(self.want, WordWanted)

    def _can_retry(self) -> bool:
        if not self.source.live or self.focused is not None or self.broken is not None:
            return False
        if self.model.ended is not None:
            return self.looked_at is not None and self.looked_at.began is not None
        if self.want is None:
            return False
        names = list(self.model.steps)
        here, current = names.index(self._looked_at), names.index(str(self.model.current))
        return self._failed if here == current else here < current

    def _can_pane(self, _by: int) -> bool:
        if self.focused is not None:
            return len(self.focus_chain) > 1
        return len(self.query_one(Work).panes) > 1 and not self._form_in_view and not self._question_in_view

    def _can_tile(self) -> bool:
        return self.query_one(Work).can_tile and not self._form_in_view and not self._question_in_view

    def _can_zoom(self) -> bool:
        step = self.looked_at
        speaks = step is not None and bool(step.speaking)
        return speaks and not self._form_in_view and not self._question_in_view

    def _can_follow(self) -> bool:
        pane = self.query_one(Work).pane
        return self._lines_in_view and not pane.follow and pane.can_move("end")

    def _can_match(self, _direction: int) -> bool:
        return self._lines_in_view and bool(self.query_one(Work).pane.query_text)

    def _can_scroll(self, where: str) -> bool:
        return not self._form_in_view and self.query_one(Work).can_scroll(where)

    def _can_step(self, direction: int) -> bool:
        names = list(self.model.steps)
        return self._looked_at in names and 0 <= names.index(self._looked_at) + direction < len(names)

    def _can_copy_command(self) -> bool:
        return self.looked_at is not None and bool(self.looked_at.command)

    def _can_compare(self) -> bool:
        return len(self._builds) > 1

    def action_next(self) -> None:
        """On to the next step with something to read, to the one that waits, or into its form."""
        if self.unread:
            self.unread.pop(0)
        self._elsewhere = False
        if self.unread:
            self._look_at(self.unread[0])
        elif self.model.current is not None:
            self._look_at(self.model.current)
        self.sync()
        if self._asking is not None and self.at_current:
            self._asking.take_focus()

    def action_go(self) -> None:
        """Submit the form, or the document."""
        if self._asking is not None:
            self._asking.submit()

    def action_look(self) -> None:
        """Leave the form or the document, or close the search."""
        if self.focused is self.query_one("#find"):
            self.close_find()
        else:
            self.set_focus(None)
            self._dirty = True
            self.sync()

    def action_cancel(self) -> None:
        """Stop the step, whether it works or waits for an answer."""
        if isinstance(self.want, (FormWanted, AnswerWanted)):
            self.answer(Cancelled())
        else:
            self.cancelling = True
            self.source.cancel()

    def action_retry(self) -> None:
        """Again, or back to the step in view."""
        name = self._looked_at
        self._elsewhere, self.unread = False, []
        if self.model.ended is not None:
            cast("Creamtea", self.app).again(name)
        elif isinstance(self.want, WordWanted) and name == self.model.current:
            mends = self.want.failure.mends
            self.answer(Back(mends) if mends in self.model.steps else "retry")
        else:
            self.answer(Back(name))

    def action_step(self, direction: int) -> None:
        """Look at the step before or after."""
        names = list(self.model.steps)
        at = names.index(self._looked_at) + direction
        self.set_focus(None)
        self._look_from_here(names[max(0, min(len(names) - 1, at))])

    def redraw(self) -> None:
        self._dirty = True
        self.sync()

    @property
    def log_file(self) -> str:
        log = self.source.log_dir
        return str(log / "steps" / f"{self._looked_at}.log") if log else ""

    def action_copy_command(self) -> None:
        """Copy the command of the step."""
        step = self.looked_at
        if step is not None and step.command:
            self.send_to_clipboard(step.command, "the command")

    def action_compare(self) -> None:
        """The build that the step in view measured beside the one before it; elsewhere the two newest."""
        if not isinstance(self.source, LiveRun):
            return
        step, kept = self.looked_at, self._builds
        measured = str(step.outputs.get("record")) if step is not None and step.id == "measure" else ""
        at = kept.index(measured) if measured in kept[:-1] else 0
        network = str(self.source.ctx["network"] or "")
        cast("Creamtea", self.app).compare(self.source.ctx.project, kept[at + 1], kept[at], network)

    def action_why(self) -> None:
        """Why this step exists, and all keys."""
        step = self.looked_at
        self.app.push_screen(
            Why(step.heading if step else "", step.why if step else "", step.command if step else "", WIZARD)
        )


def _reply(asked: Asked, value: Any) -> str:
    """An answer as the notes show it."""
    if asked.kind == "confirm":
        return "yes" if value else "no"
    return {"secret": "given", "document": "kept"}.get(asked.kind) or prose(str(value))
