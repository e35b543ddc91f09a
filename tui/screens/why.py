"""Help: why the step exists, the command by hand, and every key."""

from __future__ import annotations

import inspect
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.actions import WIZARD


class Why(ModalScreen[None]):
    """Any of escape, q or ? closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,q,question_mark,f1,enter", "dismiss", "close")]

    def __init__(self, heading: str, why: str, command: str) -> None:
        super().__init__()
        self._heading = heading
        self._why = inspect.cleandoc(why)
        self._command = command

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="why"):
            yield Static(Content.assemble((self._heading, "bold $accent")))
            yield Static(Content(self._why), classes="text")
            if self._command:
                yield Static(Content.assemble(("By hand\n", "bold"), f"$ {self._command}"), classes="text")
            yield Static(self._keys(), classes="text")
            yield Static(Content.assemble(("escape closes", "$text-muted")))

    @staticmethod
    def _keys() -> Content:
        rows = [Content.assemble(("Keys", "bold"))]
        names = {
            "slash": "/",
            "question_mark,f1": "?",
            "left_square_bracket": "[",
            "right_square_bracket": "]",
        }
        for action in WIZARD:
            key = names.get(action.key, action.key.split(",")[0])
            rows.append(Content.assemble((f"{key:<10}", "$accent"), action.help))
        return Content("\n").join(rows)
