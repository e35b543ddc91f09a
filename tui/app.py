"""The full-screen app: it owns the source of events and drains it ten times a second."""

from __future__ import annotations

import _thread
import argparse
import asyncio
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TextIO

from textual.app import App
from textual.binding import Binding, BindingType
from textual.command import Provider
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Event, Key, Paste
from textual.filter import LineFilter
from textual.message import Message
from textual.screen import Screen

from tui import settings
from tui.actions import APP, Action
from tui.edge import Edge
from tui.keyboard import Keyboard
from tui.palette import Actions
from tui.screens.start import Start
from tui.terminal import Terminal
from workflows.core import ending
from workflows.core.failure import Cancelled, Failed

if TYPE_CHECKING:
    from tui.feed import Feed
    from tui.run import Source
    from tui.screens.wizard import Wizard

TICK = 0.1
_PATIENCE = 30.0  # seconds that a cancelled step has to clean up after the screen is gone


class Creamtea(App[int], inherit_bindings=False):
    """One run, a replay, or the screen that starts one."""

    CSS_PATH = "app.tcss"
    TITLE = "creamtea"
    ACTIONS: ClassVar[tuple[Action, ...]] = APP
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {Actions}
    BINDINGS: ClassVar[list[BindingType]] = [
        *(action.priority_binding for action in APP),
        Binding("ctrl+q", "app.leave", "quit", priority=True),
    ]

    @dataclass
    class Rung(Message):
        """The feed holds something that should not wait for the next tick."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, Creamtea.Rung)

    def __init__(
        self, source: Source | None = None, *, folder: Path | None = None, opening: Screen[None] | None = None
    ) -> None:
        super().__init__()
        self._opening = opening
        self.source = source
        self._folder = folder or Path.cwd()
        self._feed: Feed | None = None
        self._wizard: Wizard | None = None
        self._filter = Edge()
        self._keyboard = Keyboard(self, super().on_event, self._expecting)
        self.clock: Callable[[], str] | None = None
        self.keymap: dict[str, str] = {}
        self._complaint: Failed | None = None
        self._kept_theme = self.theme
        self.over = threading.Event()
        self._told_to_end = False
        self._loop_at_work: asyncio.AbstractEventLoop | None = None
        self._configure()

    def _configure(self) -> None:
        try:
            chosen = settings.load()
        except Failed as failure:
            self._complaint = failure
            return
        self.keymap = dict(chosen.keys)
        self.set_keymap(self.keymap)
        if chosen.theme:
            self.theme = chosen.theme
        self._kept_theme = self.theme

    def watch_theme(self, name: str) -> None:
        """What was chosen from the list of themes is kept for the next time."""
        if not self.is_running or name == self._kept_theme:
            return
        self._kept_theme = name
        try:
            settings.keep_theme(name)
        except (Failed, OSError) as error:
            why = error.message if isinstance(error, Failed) else f"{settings.path()}: {error.strerror}"
            self.notify(f"{name} is not kept: {why}", severity="warning", markup=False)

    def get_line_filters(self) -> list[LineFilter]:
        return [*super().get_line_filters(), self._filter]

    async def on_event(self, event: Event) -> None:
        if isinstance(event, Key | Paste) and not event.is_forwarded:
            await self._keyboard.take(event)
        else:
            await super().on_event(event)

    def _expecting(self) -> bool:
        """Whether the screen is about to have a field to type into."""
        return bool(self.screen_stack) and bool(getattr(self.screen, "expecting", False))

    def on_mount(self) -> None:
        self.animation_level = "none"
        self.set_interval(TICK, self._tick)
        self._loop_at_work = asyncio.get_running_loop()
        if self._told_to_end:
            self._abandon()
        if self.source is not None:
            self.play(self.source)
        else:
            self.push_screen(self._opening or Start(self._folder))
        if self._complaint is not None:
            self.notify(
                f"{self._complaint.message}: the settings are not used. {self._complaint.hint}",
                severity="warning", timeout=20, markup=False,
            )  # fmt: skip

    # Running

    def start(self, options: argparse.Namespace) -> None:
        """Run a workflow on the screen; Failed when it cannot be prepared."""
        from tui.run import LiveRun

        self.play(LiveRun(options))

    def compare(self, project: Path, a: str = "", b: str = "", network: str = "") -> None:
        """Show two builds side by side, above the present screen."""
        from tui.screens.compare import Compare

        self.push_screen(Compare(project, a, b, network))

    def play(self, source: Source) -> None:
        """Show what this source tells."""
        from tui.feed import Feed
        from tui.screens.wizard import Wizard

        self._close_feed()
        self._feed = Feed(ring=self._ring)
        self.source = source
        self._wizard = Wizard(source, self.clock)
        if len(self.screen_stack) > 1:
            self.switch_screen(self._wizard)
        else:
            self.push_screen(self._wizard)
        source.start(self._feed)

    def again(self, step: str) -> None:
        """Run the same workflow once more, from this step on."""
        options: Any = getattr(self.source, "options", None)
        if options is None or self.source is None or not self.source.wait(0):
            return
        options.start, options.only, options.resumed = step, "", False
        try:
            self.start(options)
        except Failed as failure:
            self.notify(f"{failure.message}. {failure.hint}", severity="error", markup=False)

    def action_secrets(self) -> None:
        """Show the secrets of the project at hand; what runs goes on behind them."""
        from tui.run import LiveRun
        from tui.screens.secrets import SecretsScreen

        if any(isinstance(screen, SecretsScreen) for screen in self.screen_stack):
            return
        words = ["--project", str(self._folder)]
        if isinstance(self.source, LiveRun):
            ctx = self.source.ctx
            words = ["--project", str(ctx.project), "--network", str(ctx["network"] or "localnet")]
            for name in ("wallet", "password_file", "passphrase_file"):
                words += [f"--{name.replace('_', '-')}", str(ctx[name])] if ctx[name] else []
        self.push_screen(SecretsScreen(words))

    def _ring(self) -> None:
        with suppress(RuntimeError):  # the loop may be gone already
            self.post_message(self.Rung())

    def on_creamtea_rung(self) -> None:
        self._tick()

    def _tick(self) -> None:
        if isinstance(self._driver, Terminal) and self._driver.gone:
            self.end()
        if self._wizard is not None and self._wizard.is_mounted and self._feed is not None:
            self._wizard.take(self._feed.drain())
            self._wizard.sync()

    # Ending

    def action_interrupt(self) -> None:
        """Ctrl-C stops what is in view, else the step; the second one, or one with nothing to stop, leaves."""
        stop = getattr(self.screen, "interrupt", None)  # a screen above the run may be at work itself
        if stop is not None and stop():
            return
        wizard = self._wizard
        if wizard is None or not wizard.offers.stoppable or wizard.cancelling:
            self.action_leave()
        else:
            wizard.action_cancel()

    def action_leave(self, code: int = 0) -> None:
        """Cancel what runs and end the program with this exit code, unless a run has its own."""
        if self.source is not None:
            self.source.close()
        self._close_feed()
        self.exit(code, return_code=code)

    def end(self, *_: object) -> None:
        """Cancel what runs and end the program, also where the screen's own thread is stuck. A signal may call this."""
        if not self._told_to_end:
            self._told_to_end = True
            # Not here: what is called may want a lock that this very thread holds.
            _thread.start_new_thread(self._end, ())

    def _end(self) -> None:
        ending.at_the_latest(self.over, lambda: None)
        if self._loop_at_work is not None:
            with suppress(RuntimeError):  # it is gone already
                self._loop_at_work.call_soon_threadsafe(self._abandon)
        if self.source is not None:
            self.source.close()  # its clean-up has begun even if the loop hears nothing

    def _abandon(self) -> None:
        self.action_leave(Cancelled.exit_code)

    @property
    def told_to_end(self) -> bool:
        """Whether a signal, or the end of the terminal, ended the program."""
        return self._told_to_end

    def get_driver_class(self) -> type[Driver]:
        found = super().get_driver_class()
        return Terminal if found is LinuxDriver else found

    def _close_feed(self) -> None:
        if self._feed is not None:
            self._feed.close()

    def action_screenshot(self, filename: str | None = None, path: str | None = None) -> None:
        """Save the screen as SVG among the user's downloads, else in the home folder, and say where."""
        from platformdirs import user_downloads_path

        downloads = user_downloads_path()
        folder = path or str(downloads if downloads.is_dir() else Path.home())
        try:
            saved = self.save_screenshot(filename, folder)
        except OSError as error:
            self.notify(f"no screenshot: {folder}: {error.strerror}", severity="error", markup=False)
        else:
            self.notify(f"the screen is in {saved}", markup=False)

    async def action_quit(self) -> None:
        self.action_leave()


def main(words: list[str]) -> int:
    """The full-screen face for these words of the command line; the exit code of contracts.md."""
    try:
        app = _app(words)
    except Failed as failure:
        from workflows.cli import explain

        return explain(failure)
    with ending.on_signals(app.end, *ending.SIGNALS):
        app.run()
        code = _finish(app)
        ending.hush()
    app.over.set()
    return code


def _app(words: list[str]) -> Creamtea:
    if not words:
        return Creamtea()
    from tui.run import LiveRun, Playback
    from workflows.cli.options import parse_replay, parse_resume, parse_run
    from workflows.cli.person import agreed

    if words[0] == "replay":
        options = parse_replay(words[1:])
        return Creamtea(Playback(options.file, options.speed))
    if words[0] == "resume":
        options = parse_resume(words[1:])
        options.resumed = True
        return Creamtea(LiveRun(options))
    if words[0] == "secrets":
        from tui.screens.secrets import SecretsScreen

        return Creamtea(opening=SecretsScreen(words[1:]))
    options = parse_run(words[1:])
    agreed(options)
    return Creamtea(LiveRun(options))


def _finish(app: Creamtea) -> int:
    """Wait for the step to clean up, say good-bye; Ctrl-C ends it at once."""
    from tui.run import LiveRun

    source = app.source
    if not isinstance(source, LiveRun):
        return app.return_code or 0
    try:
        if not source.wait(0.5):
            _say("stopping the step; ctrl+c ends at once", sys.stderr)
            source.close()
            source.wait(ending.PATIENCE if app.told_to_end else _PATIENCE)
    except KeyboardInterrupt:
        os._exit(Cancelled.exit_code)
    _say(source.farewell, sys.stdout)
    return source.exit_code or app.return_code or 0


def _say(text: str, stream: TextIO) -> None:
    with suppress(OSError):  # the terminal may be gone
        print(text, file=stream, flush=True)
