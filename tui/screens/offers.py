"""What would do something right now: keys, footer and palette offer nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.answers import AnswerWanted, FormWanted, WordWanted
from tui.widgets.work import Work

if TYPE_CHECKING:
    from tui.screens.wizard import Wizard

_LINES = ("find", "error", "copy", "copy_all")


class Offers:
    """Looks at a wizard and changes nothing. A method `_can_X` says when action X does something; without one it
    always does."""

    def __init__(self, wizard: Wizard) -> None:
        self._wizard = wizard

    def possible(self, action: str, parameters: tuple[object, ...] = ()) -> bool:
        """Whether this action would do something."""
        check = getattr(self, f"_can_{action}", None)
        if check is not None:
            return bool(check(*parameters))
        return self._lines_in_view if action in _LINES else True

    @property
    def stoppable(self) -> bool:
        """Whether there is anything to stop, be it a form that waits."""
        wizard = self._wizard
        if (
            not wizard.source.live
            or wizard.model.ended is not None
            or wizard.broken is not None
            or self._failed
        ):
            return False
        return not (wizard.view.unread and isinstance(wizard.want, FormWanted))

    @property
    def form_in_view(self) -> bool:
        """Whether a form waits in the step in view."""
        return self._wizard.view.at_current and isinstance(self._wizard.want, FormWanted)

    @property
    def question_in_view(self) -> bool:
        """Whether a question waits in the step in view."""
        return self._wizard.view.at_current and isinstance(self._wizard.want, AnswerWanted)

    @property
    def _asks(self) -> bool:
        return self.form_in_view or self.question_in_view

    @property
    def _failed(self) -> bool:
        return isinstance(self._wizard.want, WordWanted)

    @property
    def _work(self) -> Work:
        return self._wizard.query_one(Work)

    @property
    def _lines_in_view(self) -> bool:
        return self._work.showing_lines and not self.form_in_view

    def _can_next(self) -> bool:
        wizard = self._wizard
        waits = wizard.model.current is not None and not wizard.view.at_current
        return waits or (wizard.ask.waits and wizard.focused is None)

    def _can_go(self) -> bool:
        return self.form_in_view or (self._wizard.view.at_current and self._wizard.ask.document)

    def _can_look(self) -> bool:
        return self._wizard.focused is not None

    def _can_cancel(self) -> bool:
        return self.stoppable and not isinstance(self._wizard.want, FormWanted)

    def _can_retry(self) -> bool:
        wizard, view = self._wizard, self._wizard.view
        if not wizard.source.live or wizard.focused is not None or wizard.broken is not None:
            return False
        if wizard.model.ended is not None:
            return view.looked_at is not None and view.looked_at.began is not None
        if wizard.want is None:
            return False
        names = list(wizard.model.steps)
        here, current = names.index(view.step), names.index(str(wizard.model.current))
        return self._failed if here == current else here < current

    def _can_pane(self, _by: int) -> bool:
        if self._wizard.focused is not None:
            return len(self._wizard.focus_chain) > 1
        return len(self._work.panes) > 1 and not self._asks

    def _can_tile(self) -> bool:
        return self._work.can_tile and not self._asks

    def _can_zoom(self) -> bool:
        step = self._wizard.view.looked_at
        return step is not None and bool(step.speaking) and not self._asks

    def _can_follow(self) -> bool:
        pane = self._work.pane
        return self._lines_in_view and not pane.follow and pane.can_move("end")

    def _can_match(self, _direction: int) -> bool:
        return self._lines_in_view and bool(self._work.pane.query_text)

    def _can_scroll(self, where: str) -> bool:
        return not self.form_in_view and self._work.can_scroll(where)

    def _can_step(self, direction: int) -> bool:
        return self._wizard.view.beside(direction) is not None

    def _can_copy_command(self) -> bool:
        step = self._wizard.view.looked_at
        return step is not None and bool(step.command)

    def _can_compare(self) -> bool:
        return len(self._wizard.builds) > 1
