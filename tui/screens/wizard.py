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
from tui.model import RunModel
from tui.run import LiveRun, Source
from tui.screens.lines import LinesScreen
from tui.screens.offers import Offers
from tui.screens.outcome import outcome
from tui.screens.why import Why
from tui.view import View
from tui.widgets.ask import Ask
from tui.widgets.form import Form
from tui.widgets.keys import Keys
from tui.widgets.line import Line
from tui.widgets.prose import Prose
from tui.widgets.question import Question
from tui.widgets.rail import Rail
from tui.widgets.still import StillInput
from tui.widgets.work import Work
from workflows.commands.sides import builds
from workflows.core.engine import Back
from workflows.core.events import Event, StepEnded, StepStarted, now
from workflows.core.failure import Cancelled, Failed

if TYPE_CHECKING:
    from tui.app import Creamtea


class Wizard(LinesScreen):
    """One run. The app feeds it with `take` and has it drawn with `sync`, ten times a second.

    `view` knows which step is in view, `offers` what can be done, `ask` holds what waits for an answer.
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
        self.view = View(self.model)
        self.offers = Offers(self)
        self.ask = Ask(id="ask")
        self.builds: list[str] = []  # that can be compared, newest first
        self._owed = False  # an answer was given, and the engine has not said yet what comes of it
        self.cancelling = False
        self._dirty = True
        self._second = ""
        self._possible: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        yield Line(id="banner")
        with Horizontal(id="body"):
            yield Rail(self.model.steps.values(), id="rail")
            with Vertical(id="detail"):
                yield Work(id="work")
                yield self.ask
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
        self._owed = self._owed and isinstance(event, StepStarted | StepEnded)  # those do not say yet
        if isinstance(event, StepStarted):
            self.view.started()
        if not isinstance(event, StepEnded) or event.step not in self.model.steps:
            return
        step = self.model.steps[event.step]
        self._count_builds()
        if event.outcome == "done" and step.notes and self.source.patient(step.id):
            self.view.left(step.id)

    def _count_builds(self) -> None:
        if isinstance(self.source, LiveRun):
            self.builds = [choice.value for choice in builds(self.source.ctx.project)]

    def _wanted(self, want: Want) -> None:
        self.want, self._owed = want, False
        self.cancelling = False
        if isinstance(want, FormWanted):
            self.model.ask(want.step.id)
        elif isinstance(want, WordWanted):
            self.view.failed(want.step.id)
            failed = self.model.steps[want.step.id]
            self.query_one(Work).choose(failed.loudest())

    def sync(self) -> None:
        """Draw what changed."""
        if not self.is_mounted:
            return
        self._dirty = self.view.settle() or self._dirty
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
    def expecting(self) -> bool:
        """Whether a field is to come that what is typed now may be meant for."""
        return self._owed or (self.view.at_current and not self.ask.ready)

    def _present(self) -> None:
        """Mount the form or question once it is in view; hide it while it is not."""
        offers, ask = self.offers, self.ask
        asks = offers.form_in_view or offers.question_in_view
        if asks and self.want is not None:
            ask.present(self.want, self.source.ctx.project if isinstance(self.source, LiveRun) else None)
        self.set_class(offers.form_in_view, "-form")
        self.set_class(asks and ask.document, "-document")
        if ask.display and not asks:
            self.set_focus(None)
        ask.display = asks

    def answer(self, value: Any) -> None:
        """Hand the person's answer to the engine."""
        want, self.want = self.want, None
        step = self.model.steps.get(self.model.current or "")
        if isinstance(want, AnswerWanted) and step is not None:
            step.answered(self.now())
            self.view.answered(step.id)
        self.ask.put_away()
        self.set_focus(None)
        if isinstance(value, Back) and isinstance(self.source, LiveRun):
            self.source.went_back()
        if want is not None:
            self._owed = not isinstance(value, Exception)
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

    @on(Rail.Picked)
    def _picked(self, event: Rail.Picked) -> None:
        self.view.look(event.step)
        self.redraw()

    def _draw(self) -> None:
        model, step = self.model, self.view.looked_at
        title = self.source.title
        if not self.source.live and model.workflow:
            title = f"{Path(model.project).name} ▸ {model.workflow} · {title}"
        self.query_one("#banner", Line).show(Content(title), Content(model.place))
        rail = self.query_one(Rail)
        rail.looked_at = self.view.step
        rail.refresh()
        if step is None:
            return
        self._present()
        said = outcome(self)
        self.query_one("#outcome", Prose).show(said)
        self.query_one("#outcome").display = bool(said)
        self.set_class(self.zoomed and self.offers.possible("zoom"), "-zoomed")
        self.query_one(Work).show(step, self.now(), pending=self.offers.question_in_view)
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
            self.ask.tell(more=work.has_more)
            self.query_one("#outcome", Prose).show(outcome(self))  # it may say that there is more to read

    # Actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether it would do something now: nothing else is offered, by key, footer or palette."""
        return self.offers.possible(action, parameters)

    def action_next(self) -> None:
        """On to the next step with something to read, to the one that waits, or into its form."""
        self.view.onward()
        self.redraw()
        if self.view.at_current:
            self.ask.take_focus()

    def action_go(self) -> None:
        """Submit the form, or the document."""
        self.ask.submit()

    def action_look(self) -> None:
        """Leave the form or the document, or close the search."""
        if self.focused is self.query_one("#find"):
            self.close_find()
        else:
            self.set_focus(None)
            self.redraw()

    def action_cancel(self) -> None:
        """Stop the step, whether it works or waits for an answer."""
        if isinstance(self.want, (FormWanted, AnswerWanted)):
            self.answer(Cancelled())
        else:
            self.cancelling = True
            self.source.cancel()

    def action_retry(self) -> None:
        """Again, or back to the step in view."""
        name = self.view.step
        self.view.follow()
        if self.model.ended is not None:
            cast("Creamtea", self.app).again(name)
        elif isinstance(self.want, WordWanted) and name == self.model.current:
            mends = self.want.failure.mends
            self.answer(Back(mends) if mends in self.model.steps else "retry")
        else:
            self.answer(Back(name))

    def action_step(self, direction: int) -> None:
        """Look at the step before or after."""
        if step := self.view.beside(direction):
            self.set_focus(None)
            self.view.look(step)
            self.redraw()

    def redraw(self) -> None:
        """Draw all of it now."""
        self._dirty = True
        self.sync()

    @property
    def log_file(self) -> str:
        """The whole log of the step in view; empty when there is none."""
        log = self.source.log_dir
        return str(log / "steps" / f"{self.view.step}.log") if log else ""

    def action_copy_command(self) -> None:
        """Copy the command of the step."""
        step = self.view.looked_at
        if step is not None and step.command:
            self.send_to_clipboard(step.command, "the command")

    def action_compare(self) -> None:
        """The build that the step in view measured beside the one before it; elsewhere the two newest."""
        if not isinstance(self.source, LiveRun):
            return
        step, kept = self.view.looked_at, self.builds
        measured = str(step.outputs.get("record")) if step is not None and step.id == "measure" else ""
        at = kept.index(measured) if measured in kept[:-1] else 0
        network = str(self.source.ctx["network"] or "")
        cast("Creamtea", self.app).compare(self.source.ctx.project, kept[at + 1], kept[at], network)

    def action_why(self) -> None:
        """Why this step exists, and all keys."""
        step = self.view.looked_at
        self.app.push_screen(
            Why(step.heading if step else "", step.why if step else "", step.command if step else "", WIZARD)
        )
