"""Which step is in view."""

from __future__ import annotations

from tui.model import RunModel, StepView


class View:
    """Goes with the current step, unless the person looks at another one, or steps ended that left something to read.

    `step` is the id of the one in view (empty when there are no steps), `unread` the ids of those to read, first come
    first read.
    """

    def __init__(self, model: RunModel) -> None:
        self._model = model
        self.step = next(iter(model.steps), "")
        self.unread: list[str] = []
        self._answered_in = ""  # the step whose question was the last one to be answered
        self._elsewhere = False

    @property
    def looked_at(self) -> StepView | None:
        """The step in view, as it stands."""
        return self._model.steps.get(self.step)

    @property
    def at_current(self) -> bool:
        """Whether the step in view is the one where something happens."""
        return not self.unread and self.step == self._model.current

    # What happens

    def answered(self, step: str) -> None:
        """A question of this step was answered."""
        self._answered_in = step

    def started(self) -> None:
        """A step begins."""
        if self.unread == [self._answered_in]:
            self.unread = []  # no form covers what was just answered; what works now is worth seeing
        self._answered_in = ""

    def left(self, step: str) -> None:
        """This step ended and left something to read before anything covers it."""
        if not self.unread and not self._elsewhere:
            self.step = step
        self.unread.append(step)

    def failed(self, step: str) -> None:
        """What went wrong comes before everything else."""
        self.follow()
        self.step = step

    def settle(self) -> bool:
        """Go where the run is, if nothing is against it; whether that is another step."""
        current = self._model.current
        if self._model.ended is not None and self.unread == [current]:
            self.unread = []
        if self.unread or self._elsewhere or current is None or current == self.step:
            return False
        self.step = current
        return True

    # What the person does

    def look(self, step: str) -> None:
        """Look at this step, whatever there is to read."""
        self.unread = []
        self._elsewhere = step != self._model.current
        self.step = step

    def beside(self, direction: int) -> str | None:
        """The step so many before or after the one in view; None where the list ends."""
        names = list(self._model.steps)
        at = names.index(self.step) + direction if self.step in names else -1
        return names[at] if 0 <= at < len(names) else None

    def follow(self) -> None:
        """Go with the run from now on."""
        self.unread, self._elsewhere = [], False

    def onward(self) -> None:
        """On to the next step with something to read, or to the one that waits."""
        self._elsewhere = False
        self.unread = self.unread[1:]
        if self.unread:
            self.step = self.unread[0]
        elif self._model.current is not None:
            self.step = self._model.current
