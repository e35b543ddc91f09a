"""Secrets: which are in which SMS, who can read them, and what should be done."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.events import Key
from textual.screen import Screen

from tui.actions import SECRETS
from tui.errand import Errand
from tui.hygiene import prose
from tui.screens import secrets_shown as shown
from tui.screens.why import Why
from tui.widgets.keys import Keys
from tui.widgets.line import Line
from tui.widgets.matrix import Matrix
from tui.widgets.options import Options
from tui.widgets.prose import Prose, Said
from tui.widgets.question import Question
from workflows.cli.printers import MARKS as TASKS
from workflows.commands.secrets import Secrets
from workflows.core.command import Result
from workflows.core.events import Asked, Noted, TaskChanged
from workflows.core.failure import Cancelled, Failed
from workflows.core.fields import Choice
from workflows.core.files import existing
from workflows.core.text import clean, shorten

if TYPE_CHECKING:
    from tui.answers import AnswerWanted
    from tui.app import Creamtea
    from workflows.iexec.secrets.kinds import Kind

_PLACE = ("kind", "owner", "name", "sms")  # what tells rows apart
_TOLD = ("push", "cancel")  # tasks of which it is worth reading that they are over
_NONE = Choice("", "none of them", "leave all as it is")
_ABOUT = """\
A secret lies in the Secret Management Service (SMS) of a network and leaves it only for an attested enclave of a task
whose deal allows it. What a deal allows follows from orders that somebody signed: so this screen reads the orders
that are known here, asks the chain what is left of them, and asks the SMS what it has. Nothing can be read back from
an SMS.

✓ set · ✗ NOT SET, and an order needs it · ○ not set · ? the SMS did not say · ◌ PUBLIC by nature · ! something
should be done, as told below. A commitment follows from the value under a key of this machine: it tells two values
apart, and tells nothing of them.

Orders that others hold, or that were given to a market, may not be known here: creamtea secrets --orders FILE takes
more."""


class SecretsScreen(Screen[None]):
    """The matrix, the marked row in full below it, and the questions of a push."""

    ACTIONS = SECRETS
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [action.binding for action in SECRETS]
    DEFAULT_CSS = """
    SecretsScreen #matrix { max-height: 50%; padding: 0 1; }
    SecretsScreen #row { height: 1fr; padding: 0 1; border-top: solid $panel-lighten-2; scrollbar-size-vertical: 1; }
    SecretsScreen #row Prose { margin: 0 0 1 0; }
    SecretsScreen #errand { height: auto; max-height: 60%; padding: 0 1; display: none; }
    """

    def __init__(self, words: Sequence[str] = (), command: Secrets | None = None) -> None:
        super().__init__()
        from workflows.cli.command import parse

        self._words = list(words)
        self._command = command or Secrets(lasting=True)
        project = Path(str(parse(self._command, self._words)["project"]))
        self._project = clean(project.expanduser().resolve().name)
        self._document: Mapping[str, Any] = {}
        self._at = 0
        self._errand: Errand | None = None
        self._want: AnswerWanted | None = None
        self._then: Callable[[Any], None] | None = None
        self._kind = ""  # of what is pushed
        self._told: list[Said] = []
        self._doing: dict[str, str] = {}  # tasks that run, by their names: their titles
        self._wanted_row: tuple[Any, ...] = ()
        self._failure: Failed | None = None

    def compose(self) -> ComposeResult:
        yield Line(id="banner")
        yield Matrix(id="matrix")
        with VerticalScroll(id="row", can_focus=False):
            yield Prose(id="news")
            yield Prose(id="full")
            yield Prose(id="advice")
        yield Vertical(id="errand")
        yield Keys()

    def on_mount(self) -> None:
        self.call_later(self.action_again)  # what is under way is drawn once the screen is mounted

    def on_unmount(self) -> None:
        if self._errand is not None:
            self._errand.close()
        self._command.close()

    # Looking

    def action_again(self) -> None:
        """Ask everything again."""
        self._told, self._failure = [], None
        self._look()

    def _look(self) -> None:
        self._begin(["audit"])

    def _begin(self, words: Sequence[str]) -> None:
        from workflows.cli.command import parse

        options = parse(self._command, [*self._words, *words])  # the last one counts
        self._doing = {}
        self._errand = Errand(self._command, options, self.post_message)
        self._errand.start()
        self._draw()

    @on(Errand.Told)
    def _heard(self, message: Errand.Told) -> None:
        event = message.event
        if isinstance(event, Noted):
            mark = "!" if event.level == "warning" else "·"
            style = "$warning bold" if event.level == "warning" else "$foreground-muted"
            self._told.append(Said(event.text, mark, style, hint=event.hint or ""))
        elif isinstance(event, TaskChanged):
            self._doing.pop(event.task, None)
            if event.state == "running":
                self._doing[event.task] = event.title
            elif event.state in ("done", "failed") and event.task in _TOLD:
                self._told.append(Said(event.title, TASKS[event.state], "$success"))
        self._draw()

    @on(Errand.Ended)
    def _over(self, message: Errand.Ended) -> None:
        if message.errand is not self._errand:
            return
        self._errand, self._want = None, None
        self._clear()
        outcome = message.outcome
        if isinstance(outcome, Failed):
            self._told = []
            self._failure = None if isinstance(outcome, Cancelled) else outcome
            if isinstance(outcome, Cancelled):
                self._told = [Said(prose(outcome.message), "■", "$warning")]
        elif outcome.document["action"] == "audit":
            self._document = outcome.document
            places = [tuple(row.get(name) for name in _PLACE) for row in self.rows]
            if self._wanted_row in places:
                self._at = places.index(self._wanted_row)
            self._wanted_row = ()
        else:
            self._done(outcome)
        self._draw()

    def _done(self, outcome: Result) -> None:
        """Something was pushed, cancelled or accepted: say so, mark its row, and look again."""
        line = next(iter(self._command.lines(outcome.document)))
        self._told = [Said(prose(line).removeprefix("✓ "), "✓", "$success bold")]
        self._failure = None
        if "sms" in outcome.document:  # of a warning or an order there is no row of its own
            self._wanted_row = tuple(outcome.document.get(name) for name in _PLACE)
        self._look()

    # Drawing

    @property
    def busy(self) -> bool:
        """Whether something is under way that does not wait for the person."""
        return self._errand is not None and self._then is None

    @property
    def rows(self) -> list[Mapping[str, Any]]:
        """The secrets, then the keys that are public by nature."""
        return shown.rows(self._document)

    @property
    def row(self) -> Mapping[str, Any] | None:
        """The marked one."""
        return self.rows[self._at] if self._at < len(self.rows) else None

    @property
    def _talking(self) -> bool:
        """Whether something is being pushed or cancelled, or asked for that."""
        return self._then is not None or (self._errand is not None and self._errand.about != "audit")

    def _draw(self) -> None:
        if not self.is_mounted:
            return
        self._at = max(0, min(self._at, len(self.rows) - 1))
        document, at = self._document, self._at
        title, summary = Content(f"secrets · {self._project}"), Content(shown.summary(document))
        self.query_one("#banner", Line).show(title, summary)
        records = [shown.record(document, number) for number in range(len(self.rows))]
        self.query_one(Matrix).show(shown.columns(document), records, at)
        self.query_one("#news", Prose).show(self._news())
        self.query_one("#news").display = bool(self._news())
        for name, said in (("#full", shown.full(document, at)), ("#advice", shown.advice(document, None))):
            self.query_one(name, Prose).show(said)
            self.query_one(name).display = not self._talking  # what is asked about may be another row
        self.refresh_bindings()

    def _news(self) -> list[Said]:
        said = list(self._told)
        if self._failure is not None:
            failure = self._failure
            said.append(Said(prose(failure.message), "✗", "$error bold", "$error", prose(failure.hint)))
        if self.busy:
            said.append(Said(self._awaited, "◐", "$accent"))
        return said

    @property
    def _awaited(self) -> str:
        """What is waited for."""
        doing = [title for name, title in self._doing.items() if name != "localnet"]
        if "localnet" in self._doing:
            return f"the localnet is starting{f': {doing[-1]}' if doing else ''}…"
        return f"{doing[-1] if doing else 'asking the chain and the SMS'}…"

    # Moving

    def action_step(self, by: int) -> None:
        """Mark the row before or after."""
        self._at += by
        self.query_one("#row", VerticalScroll).scroll_home(animate=False)
        self._draw()

    @on(Matrix.Picked)
    def _picked(self, message: Matrix.Picked) -> None:
        self.action_step(message.row - self._at)

    def action_warning(self) -> None:
        """Mark the next row with a warning."""
        count = len(self.rows)
        ahead = [at % count for at in range(self._at + 1, self._at + 1 + count)] if count else []
        found = next((at for at in ahead if shown.advice(self._document, at)), None)
        if found is None:
            self.notify("no row has a warning", markup=False)
        else:
            self.action_step(found - self._at)

    def action_scroll(self, where: Any) -> None:
        """Scroll the row's text."""
        scroll = self.query_one("#row", VerticalScroll)
        {"page_up": scroll.scroll_page_up, "page_down": scroll.scroll_page_down}[where](animate=False)

    def action_copy(self) -> None:
        """Copy the row's text, addresses in full."""
        text = "\n".join(f"{said.text}\n{said.hint}".strip() for said in shown.full(self._document, self._at))
        self.app.copy_to_clipboard(text)
        self.notify("the row went to the terminal's clipboard, if it has one", markup=False)

    # Doing

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("warning", "copy") and self._then is not None:
            return False
        if action == "warning":
            return any(one["rows"] for one in self._document.get("warnings", ()))
        if action in ("push", "add", "again", "cancel_order", "accept"):
            if self._errand is not None or self._then is not None:
                return False
            if action == "push":
                return self.row is not None and "kind" in self.row and self._pushable
            if action == "cancel_order":
                return bool(self._orders)
            if action == "accept":
                return bool(shown.acceptable(self._document, self._at))
            return action == "again" or bool(self._document)
        return True

    def on_key(self, event: Key) -> None:
        """A key that does nothing now says why."""
        keymap = cast("Creamtea", self.app).keymap
        pressed = (one for one in SECRETS if event.key in keymap.get(one.id, one.keys).split(","))
        action = next(pressed, None)
        if action is None or self._then is not None or self.check_action(action.action, ()):
            return
        event.stop()
        self.notify(self._why_not(action.action), markup=False)

    def _why_not(self, action: str) -> str:
        row = self.row or {}
        if self._errand is not None:
            return f"not yet: {self._awaited}"
        if not self._document:
            return "nothing is known yet: r asks again"
        if action == "push" and "app" in row:
            return f"the {clean(row['title'])} is public by nature: an SMS has nothing of it"
        if action == "push" and row.get("state") == "unknown":
            return "the SMS did not say whether it has this one: r asks again"
        if action == "push" and row:
            return f"it is set, and the SMS takes no other value, {clean(row['change'])}"
        return {
            "cancel_order": "no order of this row can be cancelled",
            "accept": "this row has no warning that may be meant to be so",
            "warning": "no row has a warning",
        }.get(action, "there is no row: a pushes one")

    @property
    def _pushable(self) -> bool:
        row = self.row or {}
        return row.get("state") != "unknown" and not (row.get("state") == "set" and row.get("forever"))

    @property
    def _orders(self) -> list[Mapping[str, Any]]:
        """The orders of the marked row that can be cancelled."""
        return [use for use in (self.row or {}).get("uses", ()) if use["by"] != "deal"]

    def action_push(self) -> None:
        """Give the marked secret to the SMS."""
        row = self.row
        if row is None:
            return
        flag = "--owner" if row["owns"] == "wallet" else f"--{row['owns']}"
        words = ["push", row["kind"], flag, row["owner"]]
        if row["kind"] in shown.NAMED:
            words.append(f"--name={row['name']}")
        if row["framework"]:
            words += ["--framework", row["framework"]]
        if row["state"] == "set":
            words.append("--replace")
        self._source(words, row["kind"], row["title"], kept=bool(row["file"]))

    def action_add(self) -> None:
        """Choose what to push."""
        from workflows.iexec.secrets.kinds import KINDS

        choices = [Choice(kind.id, f"{kind.title:<21}", kind.reader) for kind in KINDS.values()]
        self._choose(choices, choices[0].value, lambda kind: self._named(KINDS[kind]))

    def _named(self, kind: Kind) -> None:
        """Ask for the name of what is pushed, where it has one of its own; then for its value."""
        from workflows.iexec.ids import ZERO_ADDRESS
        from workflows.iexec.secrets.kinds import secret

        words = ["push", kind.id]
        if kind.name is not None:
            self._source(words, kind.id, kind.title, kept=False)
            return

        def named(answer: Any) -> None:
            name = str(answer).strip()
            self._source([*words, f"--name={name}"], kind.id, f"{kind.title} {name}", kept=False)

        def check(typed: str) -> None:
            secret(kind, ZERO_ADDRESS, typed.strip())

        asked = Asked(
            field="name", question=f"Name of the {kind.title}: 1 to 64 of A–Z a–z 0–9 - _", kind="text"
        )
        self._ask(Question(asked, work="push", check=check), named)

    def action_cancel_order(self) -> None:
        """Choose which order to cancel."""
        choices = [Choice(use["hash"], shorten(use["hash"]), clean(use["sentence"])) for use in self._orders]
        self._choose(choices, "", lambda order: self._begin(["cancel", order]))

    def action_accept(self) -> None:
        """Choose which warning is meant to be so, or no longer."""
        found = shown.acceptable(self._document, self._at)
        undone = {one["id"]: ["--undo"] if one["accepted"] else [] for one in found}
        choices = [
            Choice(one["id"], "warn of it again" if one["accepted"] else "meant to be so", clean(one["text"]))
            for one in found
        ]
        self._choose(choices, "", lambda warning: self._begin(["accept", warning, *undone[warning]]))

    def _source(self, words: Sequence[str], kind: str, title: str, *, kept: bool) -> None:
        """Ask for the file with the value, unless it is known where that is; then push."""
        self._told, self._failure, self._kind = [], None, kind
        if kind == "result-key" or (kind == "dataset-key" and kept):
            self._begin(words)
            return

        def found(answer: Any) -> None:
            file = _file(answer)
            self._begin([*words, f"--from={file}"] if file else words)

        def check(typed: str) -> None:
            from workflows.commands import pushing
            from workflows.iexec.secrets.kinds import KINDS

            if file := _file(typed):
                existing(os.path.expanduser(file))  # noqa: PTH111 - leaves alone whom it does not know
                pushing.given(KINDS[kind], file)

        question = f"File that holds the {clean(title)}; leave it empty to type the value, which is not shown"
        self._ask(
            Question(Asked(field="from", question=question, kind="text"), work="push", check=check), found
        )

    def _choose(self, choices: Sequence[Choice], marked: str, then: Callable[[str], None]) -> None:
        self._failure = None
        self._ask(
            Options([*choices, _NONE], marked),
            lambda chosen: then(chosen) if chosen else None,
        )
        self._tell(next((choice for choice in choices if choice.value == marked), _NONE))

    def _ask(self, widget: Question | Options, then: Callable[[Any], None]) -> None:
        place = self.query_one("#errand", Vertical)
        place.remove_children()
        self._then = then
        place.display = True
        place.mount(widget)
        widget.call_after_refresh(widget.take_focus if isinstance(widget, Question) else widget.focus)
        self._draw()

    def _answer(self, value: Any) -> None:
        then = self._then
        self._told = [] if self._errand is None else self._told  # what a command told stays while it goes on
        self._clear()
        if then is not None and not isinstance(value, Cancelled):
            then(value)
        self._draw()

    def _clear(self) -> None:
        self._then = None
        place = self.query_one("#errand", Vertical)
        place.remove_children()
        place.display = False
        self.set_focus(None)

    @on(Errand.Wanted)
    def _wanted(self, message: Errand.Wanted) -> None:
        want = self._want = message.want

        def reply(value: Any) -> None:
            self._want = None
            want.reply(value)

        def check(typed: str) -> None:
            from workflows.iexec.secrets import kinds, values

            if want.asked.field == "value":
                values.checked(kinds.KINDS[self._kind], typed)

        self._ask(Question(want.asked, work="push", check=check), reply)

    @on(Question.Answered)
    def _answered(self, message: Question.Answered) -> None:
        if self._want is not None and isinstance(message.value, Cancelled):
            self._want.reply(message.value)
            self._clear()
        else:
            self._answer(message.value)

    @on(Options.Moved)
    def _moved(self, message: Options.Moved) -> None:
        message.stop()
        self._tell(message.choice)

    def _tell(self, choice: Choice) -> None:
        """Say in full what the list has room to begin."""
        self._told = [Said(f"{choice.label.strip()}: {choice.note}", "?", "$accent bold")]
        self._draw()

    @on(Options.Chosen)
    def _chosen(self, message: Options.Chosen) -> None:
        message.stop()
        self._answer(message.choice.value)

    def action_back(self) -> None:
        """Leave the question, or the screen."""
        if self._then is not None:
            self._answered(Question.Answered(Cancelled()))
        elif len(self.app.screen_stack) > 2:
            self.dismiss()
        else:
            cast("Creamtea", self.app).action_leave()

    def action_why(self) -> None:
        """What this shows, and all keys."""
        command = "creamtea secrets audit\ncreamtea secrets push KIND --from FILE"
        self.app.push_screen(Why("Who can read which secret", _ABOUT, command, SECRETS))


def _file(typed: str) -> str:
    """The file that was meant; the standard input is the screen's, so `-` is a file's name."""
    file = typed.strip()
    return "./-" if file == "-" else file
