"""Every action once: bindings, footer, palette, help and the README's key table are made from this list."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from textual.binding import Binding


@dataclass(frozen=True)
class Action:
    """Something a person can do. `id` is its name in the keymap, `action` what Textual runs, `show` puts it
    into the footer."""

    id: str
    keys: str
    action: str
    title: str
    help: str
    show: bool = True

    @property
    def binding(self) -> Binding:
        """The Textual binding, with a stable id for keymaps."""
        return Binding(self.keys, self.action, self.title, show=self.show, id=self.id, tooltip=self.help)

    @property
    def priority_binding(self) -> Binding:
        """The same, heard before any widget."""
        return dataclasses.replace(self.binding, priority=True)


WIZARD = (
    Action("next", "enter", "next", "next", "Go on: to the next step, or back to the one that waits for you"),
    Action("go", "ctrl+r", "go", "go on", "Start the step with the values of the form, or keep the document"),
    Action("look", "escape", "look", "look back", "Leave the form for a moment, to look at other steps"),
    Action("cancel", "c", "cancel", "cancel", "Stop the running step; what is finished stays"),
    Action("retry", "r", "retry", "again", "Do the step in view again, be it the failed one or an earlier one"),
    Action("find", "slash", "find", "find", "Search the lines; n and N go on"),
    Action("next_match", "n", "match(1)", "next match", "Go to the next match", show=False),
    Action("previous_match", "N", "match(-1)", "previous match", "Go to the match before", show=False),
    Action("error", "e", "error", "error", "Go to the next line that looks like an error"),
    Action("pane", "tab", "pane(1)", "pane", "Show the next task's lines, or the notes", show=False),
    Action("previous_pane", "shift+tab", "pane(-1)", "pane", "Show the lines of the task before", show=False),
    Action("tile", "t", "tile", "tile", "Show the lines of several tasks at once"),
    Action("zoom", "z", "zoom", "zoom", "Give the lines the whole screen"),
    Action("follow", "f", "follow", "follow", "Follow the newest line again", show=False),
    Action("copy", "y", "copy", "copy", "Copy the lines in view, and name the log file"),
    Action("copy_all", "Y", "copy_all", "copy all", "Copy all lines of the task in view", show=False),
    Action("command", "dollar_sign", "copy_command", "copy command", "Copy the command of the step", show=False),
    Action("page_up", "pageup", "scroll('page_up')", "page up", "Scroll back by a page", show=False),
    Action("page_down", "pagedown", "scroll('page_down')", "page down", "Scroll on by a page", show=False),
    Action("top", "home", "scroll('home')", "top", "Scroll to the first line", show=False),
    Action("bottom", "end", "scroll('end')", "bottom", "Scroll to the newest line", show=False),
    Action("scroll_left", "left", "scroll('left')", "left", "Scroll to the left", show=False),
    Action("scroll_right", "right", "scroll('right')", "right", "Scroll to the right", show=False),
    Action(
        "previous_step", "left_square_bracket,up,ctrl+up", "step(-1)", "step before", "Look at the step before",
        show=False,
    ),
    Action(
        "next_step", "right_square_bracket,down,ctrl+down", "step(1)", "step after", "Look at the step after",
        show=False,
    ),
    Action("compare", "d", "compare", "compare", "Compare two builds: what changed, and why"),
    Action("why", "question_mark,f1", "why", "why", "What this step is for, and all keys"),
    Action("quit", "q,ctrl+q", "app.leave", "quit", "Leave; a running step is cancelled, the run can be resumed"),
)  # fmt: skip

START = (
    Action("compare", "d", "compare", "compare", "Compare two builds: what changed, and why"),
    Action("why", "question_mark,f1", "why", "help", "What creamtea is for, and all keys"),
    Action("quit", "q,ctrl+q", "app.leave", "quit", "Leave"),
)

COMPARE = (
    Action("side_a", "a", "side('a')", "A", "Choose what stands on the left: A, the one before"),
    Action("side_b", "b", "side('b')", "B", "Choose what stands on the right: B, the one after"),
    Action("swap", "s", "swap", "swap", "Let A and B change places"),
    Action("whole", "w", "whole", "whole", "Show long values whole, or short again"),
    Action("cancel", "c", "cancel", "cancel", "Stop comparing"),
    Action("retry", "r", "retry", "again", "Compare the same two again", show=False),
    Action("copy", "y", "copy", "copy", "Copy the comparison as text"),
    Action("command", "dollar_sign", "copy_command", "copy command", "Copy the command", show=False),
    Action("look", "escape", "back", "back", "Back to where you came from"),
    Action("why", "question_mark,f1", "why", "why", "What a comparison tells, and all keys"),
    Action("quit", "q,ctrl+q", "app.leave", "quit", "Leave; a running step is cancelled"),
)

SECRETS = (
    Action("push", "p", "push", "push", "Secrets: give the marked one to the SMS, or a new value for it"),
    Action("add", "a", "add", "add", "Secrets: push one of another kind or name"),
    Action("cancel_order", "o", "cancel_order", "cancel order", "Secrets: cancel an order that uses the marked one"),
    Action("error", "e", "warning", "warning", "Go to the next row with a warning"),
    Action("accept", "i", "accept", "know", "Secrets: accept a warning of the marked one, or be warned again"),
    Action("retry", "r", "again", "again", "Ask the chain and the SMS again"),
    Action(
        "previous_step", "left_square_bracket,up,ctrl+up", "step(-1)", "row before", "Mark the row before",
        show=False,
    ),
    Action(
        "next_step", "right_square_bracket,down,ctrl+down", "step(1)", "row after", "Mark the row after",
        show=False,
    ),
    Action("page_up", "pageup", "scroll('page_up')", "page up", "Scroll the row's text back", show=False),
    Action("page_down", "pagedown", "scroll('page_down')", "page down", "Scroll the row's text on", show=False),
    Action("look", "escape", "back", "back", "Leave the question, or the screen"),
    Action("copy", "y", "copy", "copy", "Copy the marked row with its addresses in full"),
    Action("why", "question_mark,f1", "why", "help", "What this screen shows, and all keys"),
    Action("quit", "q,ctrl+q", "app.leave", "quit", "Leave creamtea"),
)  # fmt: skip

APP = (
    Action(
        "interrupt",
        "ctrl+c",
        "app.interrupt",
        "cancel",
        "Stop the running step; once more: leave",
        show=False,
    ),
    Action("commands", "ctrl+p", "app.command_palette", "commands", "Find any of these by its name"),
    Action(
        "secrets",
        "f4",
        "app.secrets",
        "secrets",
        "See which secrets are where, and who can read them",
        show=False,
    ),
    Action("theme", "ctrl+t", "app.change_theme", "theme", "Choose other colours", show=False),
    Action("screenshot", "f8", "app.screenshot", "screenshot", "Save the screen as an SVG file", show=False),
)

SCREENS = (WIZARD, START, COMPARE, SECRETS)  # each with APP has its keys to itself

_SHOWN = {
    "slash": "/", "question_mark": "?", "left_square_bracket": "[", "right_square_bracket": "]",
    "dollar_sign": "$", "pageup": "PgUp", "pagedown": "PgDn", "escape": "Esc", "enter": "Enter", "tab": "Tab",
    "shift+tab": "Shift+Tab", "home": "Home", "end": "End", "up": "↑", "down": "↓", "left": "←", "right": "→",
}  # fmt: skip


def all_actions() -> tuple[Action, ...]:
    """Every action, each id once."""
    found: dict[str, Action] = {}
    for actions in (WIZARD, APP, *SCREENS):
        for action in actions:
            found.setdefault(action.id, action)
    return tuple(found.values())


def shown_keys(action: Action, keymap: Mapping[str, str] | None = None) -> str:
    """The keys of an action as a person reads them: `[ or ↑`."""
    keys = (keymap or {}).get(action.id, action.keys).split(",")
    return " or ".join(_SHOWN.get(key.strip(), key.strip()) for key in keys)


def key_table(actions: Iterable[Action] | None = None) -> str:
    """The keys as a Markdown table, for the README."""
    rows = ["| Key | `[keys]` name | What it does |", "|---|---|---|"]
    for action in actions or all_actions():
        rows.append(f"| {shown_keys(action)} | `{action.id}` | {action.help} |")
    return "\n".join(rows)


def write_key_table(file: Path) -> None:
    """Put the table between the marks `<!-- keys -->` and `<!-- /keys -->` of a Markdown file."""
    head, mark, rest = file.read_text().partition("<!-- keys -->\n")
    _, end, tail = rest.partition("<!-- /keys -->")
    if not (mark and end):
        raise SystemExit(f"{file} has no marks <!-- keys --> and <!-- /keys -->")
    file.write_text(f"{head}{mark}\n{key_table()}\n\n{end}{tail}")


if __name__ == "__main__":
    write_key_table(Path(sys.argv[1]))
