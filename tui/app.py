"""The full-screen app: it owns the run, drains the feed ten times a second, and hands answers back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from textual import work
from textual.app import App
from textual.binding import Binding, BindingType

from tui.answers import ScreenAnswers
from tui.feed import Feed
from tui.model import RunModel
from tui.screens.start import Start
from tui.screens.wizard import Wizard
from workflows import cli
from workflows.core.engine import Back, Engine
from workflows.core.events import Event, RunEnded
from workflows.core.failure import Failed
from workflows.core.fields import Choice
from workflows.core.record import Recorder, replay
from workflows.core.step import Context, Step

TICK = 0.1
SIMULATED = " · SIMULATED SGX"


class Creamtea(App[int]):
    """One run, or the screen that starts one."""

    CSS_PATH = "app.tcss"
    TITLE = "creamtea"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "interrupt", "cancel", show=False, priority=True)
    ]

    def __init__(self, options: Any = None, *, recording: Path | None = None, speed: float = 1.0) -> None:
        super().__init__()
        self._options = options
        self._recording = recording
        self._speed = speed
        self._feed = Feed()
        self._answers: ScreenAnswers | None = None
        self._ctx: Context | None = None
        self._wizard: Wizard | None = None
        self._running = False
        self.farewell = ""

    def on_mount(self) -> None:
        self.set_interval(TICK, self._tick)
        if self._recording is not None:
            self._start_replay(self._recording)
        elif self._options is not None:
            self.start_run(self._options)
        else:
            self.push_screen(Start(Path.cwd()))

    # Running

    def start_run(self, options: Any) -> None:
        """Show the wizard and run the workflow on a thread of its own."""
        try:
            steps, ctx = cli.prepare(options)
        except Failed as failure:
            self.notify(f"{failure.message}. {failure.hint}", severity="error", markup=False)
            return
        ctx.interactive = True
        self._ctx = ctx
        self._answers = ScreenAnswers(self._want, automatic=options.workflow == "demo")
        network = options.given.get("network") or ctx.manifest.get("network") or "localnet"
        self._show_wizard(steps, f"{ctx.project.name} ▸ {options.workflow}", str(network), ctx.run_dir)
        self._running = True
        self._run(steps, ctx, self._answers, options)

    def _start_replay(self, path: Path) -> None:
        self._show_wizard(cli.catalog().steps, f"replay ▸ {path.parent.name}", "recorded", None)
        self._running = True
        self._replay(path)

    def _show_wizard(self, steps: Sequence[Step], title: str, network: str, log_dir: Path | None) -> None:
        place = f"{network}{SIMULATED if network == 'localnet' else ''}"
        self._wizard = Wizard(RunModel(steps), title, place, log_dir)
        self.switch_screen(self._wizard) if len(self.screen_stack) > 1 else self.push_screen(self._wizard)

    @work(thread=True, exclusive=True, group="engine", exit_on_error=False)
    def _run(self, steps: Sequence[Step], ctx: Context, answers: ScreenAnswers, options: Any) -> None:
        recorder = Recorder(ctx.run_dir)

        def emit(event: Event) -> None:
            recorder(event)
            self._feed.put(event)

        try:
            with ctx.journal.lock():
                engine = Engine(steps, ctx, emit, answers, given=options.given, environ=os.environ)
                engine.run(start=options.start, only=options.only, force=options.force)
                self._leave_word(engine.exit_code, ctx)
        except Failed as failure:
            self.call_from_thread(
                self.notify, f"{failure.message}. {failure.hint}", severity="error", markup=False
            )
        finally:
            recorder.close()
            self._running = False

    @work(thread=True, exclusive=True, group="engine", exit_on_error=False)
    def _replay(self, path: Path) -> None:
        try:
            replay(path, self._feed.put, self._speed)
        except Failed as failure:
            self.call_from_thread(
                self.notify, f"{failure.message}. {failure.hint}", severity="error", markup=False
            )
        finally:
            self._running = False

    def _leave_word(self, code: int, ctx: Context) -> None:
        outcome = {0: "done", 130: "stopped"}.get(code, "failed")
        self.farewell = f"creamtea {ctx.workflow}: {outcome}\nlog: {ctx.run_dir}"
        if code:
            self.farewell += f"\ngo on with: creamtea resume --project {ctx.project}"
        self._return_code = code

    def _tick(self) -> None:
        if self._wizard is None:
            return
        events = self._feed.drain()
        self._wizard.apply(events)
        self._wizard.sync()
        if any(isinstance(event, RunEnded) for event in events):
            self._wizard.refresh_bindings()

    # Questions

    def _want(self, kind: str, what: Any) -> None:
        """Called on the engine's thread: show what is wanted once everything before it is drawn."""
        choices: dict[str, Sequence[Choice]] = {}
        if kind == "form" and self._ctx is not None:
            choices = {filled.field.name: filled.field.choices(self._ctx) for filled in what[1]}
        self.call_from_thread(self._show_want, kind, what, choices)

    def _show_want(self, kind: str, what: Any, choices: dict[str, Sequence[Choice]]) -> None:
        self._tick()
        if self._wizard is not None:
            self._wizard.want(kind, what, choices)

    def reply(self, value: Any) -> None:
        """Hand the person's answer to the engine."""
        if self._answers is not None:
            self._answers.reply(value)

    def back_to(self, step: str) -> None:
        """Have the engine go back to an earlier step."""
        self.reply(Back(step))

    # Ending

    def cancel_step(self) -> None:
        """Stop the running step."""
        if self._ctx is not None:
            self._ctx.cancel.set()

    def action_interrupt(self) -> None:
        """Ctrl-C stops the step; without one it leaves."""
        if self._running and self._ctx is not None and not self._ctx.cancel.is_set():
            self.cancel_step()
        else:
            self.leave()

    def leave(self) -> None:
        """Cancel what runs and end the program."""
        self.cancel_step()
        if self._answers is not None:
            self._answers.close()
        self._feed.close()
        self.exit(0)


def main(words: list[str]) -> int:
    """The full-screen face for these words of the command line."""
    try:
        app = _app(words)
    except Failed as failure:
        return cli.explain(failure)
    app.run()
    if app.farewell:
        print(app.farewell)
    return app.return_code or 0


def _app(words: list[str]) -> Creamtea:
    if not words:
        return Creamtea()
    if words[0] == "replay":
        options = cli.parse_replay(words[1:])
        return Creamtea(recording=options.file, speed=options.speed)
    if words[0] == "resume":
        return Creamtea(cli.parse_resume(words[1:]))
    return Creamtea(cli.parse_run(words[1:]))
