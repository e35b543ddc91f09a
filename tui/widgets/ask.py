"""The place of the form or the question that waits for the person."""

from __future__ import annotations

from pathlib import Path

from textual.containers import Vertical

from tui.answers import AnswerWanted, FormWanted, Want
from tui.widgets.form import Form
from tui.widgets.question import Question


class Ask(Vertical):
    """Shows one at a time; what is typed stays while it is out of view."""

    _asking: Form | Question | None = None

    @property
    def waits(self) -> bool:
        """Whether there is a form or a question."""
        return self._asking is not None

    @property
    def document(self) -> bool:
        """Whether what is asked is a document to edit."""
        return isinstance(self._asking, Question) and self._asking.kind == "document"

    @property
    def ready(self) -> bool:
        """Whether the cursor has been there, or nothing is asked."""
        return self._asking is None or self._asking.ready

    def present(self, want: Want, folder: Path | None) -> None:
        """Make the form or the question of `want`, unless there is one; paths complete from `folder`."""
        if self._asking is not None:
            return
        if isinstance(want, FormWanted):
            self._asking = Form(want.form, want.choices, folder)
        elif isinstance(want, AnswerWanted):
            self._asking = Question(want.asked)
        if self._asking is not None:
            self.mount(self._asking)

    def put_away(self) -> None:
        """It was answered."""
        if self._asking is not None:
            self._asking.remove()
            self._asking = None

    def tell(self, *, more: bool) -> None:
        """Have a question say whether more is to be read before."""
        if isinstance(self._asking, Question) and self._asking.is_mounted:
            self._asking.tell(more=more)

    def take_focus(self) -> None:
        """Put the cursor there."""
        if self._asking is not None:
            self._asking.take_focus()

    def submit(self) -> None:
        """Send what is typed."""
        if self._asking is not None:
            self._asking.submit()
