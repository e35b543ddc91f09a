"""What can be done with the lines of a step: find, go to errors, scroll, copy, zoom, tile."""

from __future__ import annotations

from typing import Any

from textual import on
from textual.screen import Screen
from textual.widgets import Input

from tui.widgets.log_pane import LogPane
from tui.widgets.work import Work

_CLIPBOARD = 100_000  # characters; terminals refuse more


class LinesScreen(Screen[None]):
    """A screen with a `Work` and a search box `#find`; `redraw` draws it again, `log_file` names the whole log.

    `zoomed` is the person's wish; it is followed wherever lines are what there is to see.
    """

    zoomed = False

    def redraw(self) -> None:
        """Draw what changed."""
        raise NotImplementedError

    @property
    def log_file(self) -> str:
        """Where all lines are; empty when nowhere."""
        raise NotImplementedError

    @property
    def pane(self) -> LogPane:
        """The lines that keys act on."""
        return self.query_one(Work).pane

    def action_pane(self, by: int) -> None:
        """Show the next task that has lines; in a form go to the next field."""
        if self.focused is not None:
            self.focus_next() if by > 0 else self.focus_previous()
        else:
            self.query_one(Work).next_pane(by)

    def action_tile(self) -> None:
        """Several panes or one."""
        self.query_one(Work).toggle_tiles()

    def action_zoom(self) -> None:
        """The lines alone, or everything again."""
        self.zoomed = not self.zoomed
        self.redraw()

    def action_follow(self) -> None:
        """Back to the newest line."""
        self.pane.follow = True
        self.redraw()

    def action_scroll(self, where: Any) -> None:
        """Scroll the lines or the notes."""
        self.query_one(Work).scroll(where)
        self.redraw()

    def action_find(self) -> None:
        """Ask what to look for."""
        box = self.query_one("#find", Input)
        box.display = True
        box.focus()

    def close_find(self) -> None:
        """Put the search box away."""
        self.query_one("#find", Input).display = False
        self.set_focus(None)
        self.redraw()

    @on(Input.Submitted, "#find")
    def _find(self, event: Input.Submitted) -> None:
        event.stop()
        self.close_find()
        if not event.value:
            self.pane.clear_search()
        elif not self.pane.find(event.value):
            self.notify(f"“{event.value}” is not in these lines", markup=False)
        self.redraw()

    def action_match(self, direction: int) -> None:
        """Next or previous match."""
        if self.pane.query_text:
            self.pane.find(self.pane.query_text, direction)
        self.redraw()

    def action_error(self) -> None:
        """Next line that looks like an error."""
        if not self.pane.find_error():
            self.notify("no line looks like an error", markup=False)
        self.redraw()

    def action_copy(self) -> None:
        """Copy the lines in view by the terminal's own clipboard and say where the whole log is."""
        self.send_to_clipboard(self.pane.visible_text(), "the lines in view")

    def action_copy_all(self) -> None:
        """Copy all lines of the pane."""
        text = "\n".join(self.pane.ring)
        self.send_to_clipboard(
            text[-_CLIPBOARD:], "all lines" if len(text) <= _CLIPBOARD else "the last lines"
        )

    def send_to_clipboard(self, text: str, what: str) -> None:
        """Copy by OSC 52, which no terminal confirms: so the log's file is named too."""
        self.app.copy_to_clipboard(text)
        where = f"; the whole log is {self.log_file}" if self.log_file else ""
        self.notify(f"{what} went to the terminal's clipboard, if it has one{where}", markup=False)
