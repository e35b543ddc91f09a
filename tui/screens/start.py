"""The first screen: what to do with this folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from tui.actions import START
from tui.screens.why import Why
from tui.widgets.keys import Keys
from tui.widgets.line import Line
from tui.widgets.options import Options
from tui.widgets.prose import Prose, Said
from workflows.commands.sides import builds
from workflows.core import folders
from workflows.core.failure import Failed
from workflows.core.fields import Choice
from workflows.core.journal import FOLDER
from workflows.core.record import told
from workflows.core.text import clean

if TYPE_CHECKING:
    from tui.app import Creamtea

_CHOICES = (
    ("onboard", "Onboard the app in this folder", "step by step, to the decrypted result"),
    ("demo", "See it on the bundled sample", "the same walk without a question"),
    ("deploy", "Deploy", "build, measure, deploy if an input changed"),
    ("secrets", "See who can read which secret", "what is in which SMS, and what to do"),
)
_ABOUT = """\
creamtea takes an application into an Intel SGX enclave with SCONE and onto the iExec network: choose a
base image, build, read the fingerprint, register the app, encrypt the data, hand the keys to the Secret Management
Service, request a run, watch it, decrypt the result.

Every step says the command that does the same by hand. What is finished stays finished: stop at any moment, and
creamtea resume goes on there."""


class Start(Screen[None]):
    """Choose a workflow; Enter starts it."""

    ACTIONS = START
    BINDINGS: ClassVar[list[BindingType]] = [action.binding for action in START]

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._warned = False
        self._comparable = len(builds(folder)) > 1
        self._last, self._done = _last(folder)

    def compose(self) -> ComposeResult:
        yield Line(id="banner")
        with Vertical(id="start"):
            yield Static(Content.styled("Into an SGX enclave with SCONE, onto iExec", "bold"))
            yield Static(
                Content.styled(
                    "On the localnet all is real but SGX and SCONE's runtime, which say SIMULATED.",
                    "$foreground-muted",
                )
            )
            yield Options(self._choices(), self._last if self._done else "")
            yield Line(id="start-hint")
            yield Prose(id="trouble")
        yield Keys()

    def on_mount(self) -> None:
        done = f" · the last run is done: it was {self._last}" if self._done else ""
        self.query_one("#start-hint", Line).show(
            Content.styled(f"enter starts · ↑ ↓ choose{done}", "$foreground-muted")
        )
        self.query_one("#banner", Line).show(
            Content("creamtea"), Content.styled(clean(str(self._folder)), "$foreground-muted")
        )
        self._warn("q, and start creamtea in your app's folder; the bundled sample has a folder of its own")

    def _warn(self, hint: str) -> bool:
        """Say that this folder is hardly a project, if so."""
        told = folders.warning(self._folder)
        if told is not None:
            self.query_one("#trouble", Prose).show([Said(clean(told), "!", "$warning bold", "", hint)])
        return told is not None

    def _choices(self) -> list[Choice]:
        resume = [Choice("resume", "Go on where the last run stopped", f"it was {self._last}")]
        compare = (
            [Choice("compare", "Compare two builds", "what changed, and why")] if self._comparable else []
        )
        return [
            *(resume if self._last and not self._done else []),
            *(Choice(*choice) for choice in _CHOICES),
            *compare,
        ]

    def trouble(self, failure: Failed) -> None:
        """Say why nothing could be started."""
        self.query_one("#trouble", Prose).show(
            [Said(failure.message, "✗", "$error bold", "$error", failure.hint)]
        )

    @on(Options.Chosen)
    def _chosen(self, event: Options.Chosen) -> None:
        from workflows.cli.options import parse_resume, parse_run

        if event.choice.value in ("onboard", "deploy") and not self._warned:
            self._warned = True
            if self._warn("enter again: go on all the same"):
                return
        words = ["--project", str(self._folder)]
        app = cast("Creamtea", self.app)
        try:
            if event.choice.value == "compare":
                self.action_compare()
            elif event.choice.value == "resume":
                app.start(parse_resume(words))
            elif event.choice.value == "secrets":
                app.action_secrets()
            elif event.choice.value == "demo":
                app.start(parse_run(["demo"]))
            else:
                app.start(parse_run([event.choice.value, *words]))
        except Failed as failure:
            self.trouble(failure)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self._comparable if action == "compare" else True

    def action_compare(self) -> None:
        """The two newest builds side by side."""
        cast("Creamtea", self.app).compare(self._folder)

    def action_why(self) -> None:
        """What creamtea is, and all keys."""
        self.app.push_screen(Why("creamtea", _ABOUT, "", START))


def _last(folder: Path) -> tuple[str, bool]:
    """The workflow of the last run here, and whether it is done; empty when there was none."""
    if not (folder / FOLDER / "journal.jsonl").exists():
        return "", False
    from workflows.cli.options import last_run

    try:
        last = last_run(folder)
    except Failed:
        return "", False
    ended = told(folder / FOLDER / "runs" / clean(str(last["run"])) / "events.jsonl")["outcome"]
    return clean(str(last["workflow"])), ended == "done"
