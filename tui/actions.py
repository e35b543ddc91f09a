"""Every action once: bindings, footer, palette, help and the README's key table are made from this list."""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding


@dataclass(frozen=True)
class Action:
    """Something a person can do; `show` puts it into the footer."""

    id: str
    key: str
    action: str
    title: str
    help: str
    show: bool = True

    @property
    def binding(self) -> Binding:
        """The Textual binding, with a stable id for keymaps."""
        return Binding(self.key, self.action, self.title, show=self.show, id=self.id, tooltip=self.help)


WIZARD = (
    Action("go", "ctrl+r", "go", "go on", "Start the step with the values of the form"),
    Action("cancel", "c", "cancel", "cancel", "Stop the running step; what is finished stays"),
    Action("retry", "r", "retry", "again", "Try the step again; on an earlier step: go back to it"),
    Action("find", "slash", "find", "find", "Search the log; n and N go on"),
    Action("next_match", "n", "match(1)", "next", "Next match", show=False),
    Action("previous_match", "N", "match(-1)", "previous", "Previous match", show=False),
    Action("error", "e", "error", "error", "Jump to the next line that looks like an error"),
    Action("task", "tab", "next_task", "pane", "Show the next task's lines", show=False),
    Action("tile", "t", "tile", "tile", "Show the lines of several tasks side by side"),
    Action("zoom", "z", "zoom", "zoom", "Give the lines the whole screen"),
    Action("follow", "f", "follow", "follow", "Follow the newest line again", show=False),
    Action("copy", "y", "copy", "copy", "Copy the lines in view and name the log file"),
    Action("command", "Y", "copy_command", "copy command", "Copy the command of this step", show=False),
    Action(
        "previous_step", "left_square_bracket", "step(-1)", "step ‹", "Look at the step before", show=False
    ),
    Action("next_step", "right_square_bracket", "step(1)", "step ›", "Look at the step after", show=False),
    Action("why", "question_mark,f1", "why", "why", "What this step is for, and all keys"),
    Action("quit", "q,ctrl+q", "leave", "quit", "Leave; a running step is cancelled, the run can be resumed"),
)
