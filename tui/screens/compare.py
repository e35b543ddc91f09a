"""Two builds side by side: what changed and why, by the command `diff`, which runs on a thread of its own."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import Screen

from tui.actions import COMPARE
from tui.hygiene import harmless, harmless_document, prose
from tui.screens.choose import Choose
from tui.screens.why import Why
from tui.widgets.beside import Beside
from tui.widgets.keys import Keys
from tui.widgets.line import Line
from tui.widgets.prose import Prose, Said
from workflows.commands import onchain
from workflows.commands.diff import Diff
from workflows.commands.sides import builds
from workflows.core.events import Event, Lines, Progress, TaskChanged
from workflows.core.failure import Cancelled, Failed
from workflows.core.step import Cancel
from workflows.core.stumbled import stumbled
from workflows.core.text import clean, size

_ELSE = "a build, or type a local image, app:0x…, a record's file or a signed enclave"


class Compare(Screen[None]):
    """`a` and `b` are words as `creamtea diff` takes them; without, the two newest builds of the project."""

    ACTIONS = COMPARE
    BINDINGS: ClassVar[list[BindingType]] = [action.binding for action in COMPARE]

    @dataclass
    class Told(Message):
        """What the command says of its progress; `cancel` tells which comparison it is."""

        cancel: Cancel
        event: Event

    @dataclass
    class Ended(Message):
        """The document of the command, or why there is none."""

        cancel: Cancel
        found: Mapping[str, Any] | Failed

    def __init__(self, project: Path, a: str = "", b: str = "", network: str = "") -> None:
        super().__init__()
        self._project = project
        self._network = network
        self._usual = "localnet"  # what the command takes by itself
        self.sides = {"a": a, "b": b}
        self.document: Mapping[str, Any] | None = None
        self.failure: Failed | None = None
        self._cancel: Cancel | None = None  # while the command runs
        self._whole = False

    def compose(self) -> ComposeResult:
        yield Line(id="banner")
        with VerticalScroll(id="compare"):
            yield Prose(id="state")
            yield Beside()
        yield Line(id="command")
        yield Keys()

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()
        newest = [choice.value for choice in builds(self._project)]
        self.sides["b"] = self.sides["b"] or (newest[0] if newest else "")
        self.sides["a"] = self.sides["a"] or (newest[1] if len(newest) > 1 else self.sides["b"])
        self._begin()

    def on_unmount(self) -> None:
        self.stop()

    # The command

    def _begin(self) -> None:
        """Compare, whatever was compared before."""
        self.stop()
        self.document, self.failure = None, None
        if not all(self.sides.values()):
            self.failure = Failed("there are no two builds here yet", "a: choose what else to compare")
        else:
            self._cancel = Cancel()
            words = dict(self.sides)
            threading.Thread(target=self._work, args=(words, self._cancel), name="diff", daemon=True).start()
        self._draw()

    def _work(self, words: Mapping[str, str], cancel: Cancel) -> None:
        found: Mapping[str, Any] | Failed
        try:
            self._usual = onchain.chosen(self._project, None)
            self._network = self._network or self._usual
            options = {**words, "project": self._project, "network": self._network, "rpc": None}
            found = Diff().run(options, lambda event: self._send(self.Told(cancel, event)), cancel).document
        except Failed as failure:
            found = failure
        except Exception as error:
            found = stumbled(error)
        self._send(self.Ended(cancel, found))

    def _send(self, message: Message) -> None:
        with suppress(RuntimeError):  # the loop may be gone already
            self.post_message(message)

    @on(Told)
    def _told(self, message: Told) -> None:
        if message.cancel is self._cancel and (text := _progress(harmless(message.event))):
            self.query_one("#state", Prose).show([Said(text, "◐", "$accent")])

    @on(Ended)
    def _ended(self, message: Ended) -> None:
        if message.cancel is not self._cancel:
            return
        self._cancel = None
        if isinstance(message.found, Failed):
            self.failure = message.found
        else:
            self.document = harmless_document(message.found)
        self._draw()

    def stop(self) -> bool:
        """End the comparison that runs; whether there was one."""
        if self._cancel is None:
            return False
        self._cancel.set()
        self._cancel = None
        return True

    # Drawing

    def _draw(self) -> None:
        self.query_one("#banner", Line).show(
            Content(clean(f"{self._project.name} ▸ compare")), Content("what changed, and why")
        )
        state: list[Said] = []
        if self._cancel is not None:
            state = [Said("comparing", "◐", "$accent")]
        elif self.failure is not None:
            stopped = isinstance(self.failure, Cancelled)
            mark = ("■", "$warning bold", "") if stopped else ("✗", "$error bold", "$error")
            state = [
                Said(prose(self.failure.message), *mark, prose(self.failure.hint)),
                Said("r: again · a and b: choose others", "▸", "$accent bold"),
            ]
        self.query_one("#state", Prose).show(state)
        self.query_one("#state").display = bool(state)
        self.query_one(Beside).show(self.document, whole=self._whole)
        self.query_one("#command", Line).show(Content(f"$ {clean(self._command)}"))
        self.refresh_bindings()

    @property
    def _command(self) -> str:
        words = ["creamtea", "diff", self.sides["a"] or "A", self.sides["b"] or "B"]
        if self._project != Path.cwd():
            words += ["--project", str(self._project)]
        if self._network and {self._network, self._usual} != {"localnet"}:
            words += ["--network", self._network]
        return shlex.join(words)

    # Actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "cancel":
            return self._cancel is not None
        if action in ("whole", "copy"):
            return self.document is not None
        if action == "retry":
            return self._cancel is None and all(self.sides.values())
        if action == "swap":
            return all(self.sides.values())
        return True

    def action_side(self, side: str) -> None:
        """Choose what stands on this side."""

        def chosen(word: str | None) -> None:
            if word is not None:
                self.sides[side] = word
                self._begin()

        heading = {"a": "A, the one before", "b": "B, the one after"}[side]
        self.app.push_screen(Choose(heading, _ELSE, builds(self._project), self.sides[side]), chosen)

    def action_swap(self) -> None:
        """A becomes B."""
        self.sides = {"a": self.sides["b"], "b": self.sides["a"]}
        self._begin()

    def action_whole(self) -> None:
        """Long values whole, or short again."""
        self._whole = not self._whole
        self._draw()

    def action_cancel(self) -> None:
        """Stop comparing."""
        self.interrupt()

    def interrupt(self) -> bool:
        """Stop comparing; whether there was something to stop."""
        stopped = self.stop()
        if stopped:
            self.failure = Cancelled("stopped; a comparison changes nothing")
            self._draw()
        return stopped

    def action_retry(self) -> None:
        """Compare the same two again."""
        self._begin()

    def action_copy(self) -> None:
        """Copy all of it as text, long values whole."""
        self._copy(self.query_one(Beside).text, "the comparison")

    def action_copy_command(self) -> None:
        """Copy the command that prints the same."""
        self._copy(self._command, "the command")

    def _copy(self, text: str, what: str) -> None:
        self.app.copy_to_clipboard(text)
        self.notify(
            f"{what} went to the terminal's clipboard, if it has one; $ is the command that prints it",
            markup=False,
        )

    def action_back(self) -> None:
        """To where this was opened."""
        self.dismiss()

    def action_why(self) -> None:
        """What a comparison tells, and all keys."""
        self.app.push_screen(Why("Compare two builds", Diff.__doc__ or "", self._command, COMPARE))


def _progress(event: Event) -> str:
    if isinstance(event, TaskChanged) and event.state == "running":
        return event.title
    if isinstance(event, Lines) and event.text:
        return event.text[-1]
    if isinstance(event, Progress):
        done = size(event.done) if event.unit == "bytes" else f"{event.done:,} {event.unit}"
        return f"{event.task}: {done}"
    return ""
