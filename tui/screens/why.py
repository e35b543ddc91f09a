"""Help: why the step exists, the command by hand, and every key."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.actions import APP, Action, shown_keys
from tui.widgets.keys import Keys
from tui.widgets.prose import Prose, Said


class Why(ModalScreen[None]):
    """Any of escape, enter, q or ? closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,f1,enter", "dismiss", "close"),
        Binding("up", "move('up')", "scroll"),
        Binding("down", "move('down')", show=False),
    ]

    def __init__(self, heading: str, why: str, command: str, actions: Iterable[Action]) -> None:
        super().__init__()
        self._heading = heading
        self._why = inspect.cleandoc(why)
        self._command = command
        self._actions = (*actions, *APP)

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="why"):
            yield Static(Content.styled(self._heading, "bold $accent"))
            yield Static(Content(_flowing(self._why)), classes="text")
            if self._command:
                command = "\n".join(f"$ {line}" for line in self._command.splitlines())
                yield Static(Content.assemble(("By hand\n", "bold"), command), classes="text")
            yield Static(Content.styled("Keys", "bold"), classes="text")
            yield self._keys(getattr(self.app, "keymap", {}))
        yield Keys()

    def action_move(self, where: str) -> None:
        """Scroll by a line."""
        scroll = self.query_one(VerticalScroll)
        (scroll.scroll_up if where == "up" else scroll.scroll_down)(animate=False)

    def _keys(self, keymap: Mapping[str, str]) -> Prose:
        keys = Prose()
        rows = [(shown_keys(action, keymap), action.help) for action in self._actions]
        widest = max(len(shown) for shown, _ in rows)
        keys.show([Said(f"{shown:<{widest}}  {help_}", " ") for shown, help_ in rows])
        return keys


def _flowing(text: str) -> str:
    """Lines of a docstring as paragraphs: the screen wraps them itself."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))
