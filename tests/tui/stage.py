"""A stage for screens: a source that a test fills by hand, with recorded events and real wishes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from recordings import events, is_, until
from textual.pilot import Pilot

from tui.answers import AnswerWanted, FormWanted, Want, WordWanted
from tui.app import Creamtea
from tui.feed import Feed, Item
from tui.screens.wizard import Wizard
from workflows import cli
from workflows.core.events import Asked, Event, StepEnded
from workflows.core.failure import Cancelled, Failed
from workflows.core.fields import Choice, Filled
from workflows.core.step import Step


class Staged:
    """Puts its items into the feed at once; `live` sources can be cancelled, asked again and answered."""

    title = "hello-sgx ▸ onboard"

    def __init__(
        self, items: Sequence[Item], *, workflow: str = "onboard", live: bool = True, patient: bool = False
    ) -> None:
        self.steps: Sequence[Step] = cli.catalog().workflow(workflow)
        self.items = list(items)
        self.live = live
        self.log_dir: Path | None = Path("/home/ada/hello-sgx/.creamtea/runs/2026-11-23T18-16-23Z")
        self.feed: Feed | None = None
        self.cancelled = 0
        self.closed = False
        self._patient = patient

    def start(self, feed: Feed) -> None:
        self.feed = feed
        for item in self.items:
            feed.put(item)

    def patient(self, step: str) -> bool:
        return self._patient

    def cancel(self) -> None:
        self.cancelled += 1

    def close(self) -> None:
        self.closed = True

    def wait(self, seconds: float | None = None) -> bool:
        return True

    @property
    def now(self) -> str:
        """The clock stands at the last event."""
        return next((item.at for item in reversed(self.items) if isinstance(item, Event) and item.at), "")


def step(name: str) -> Step:
    """The real step of this id."""
    return next(one for one in cli.catalog().steps if one.id == name)


def form(name: str, **values: Any) -> FormWanted:
    """The form of a real step; choices that need no context, values as given or none."""
    wanted = step(name)
    filled = [
        Filled(field, values.get(field.name), "default" if field.name in values else "none")
        for field in wanted.fields
    ]
    choices: dict[str, Sequence[Choice]] = {field.name: field.choices(None) for field in wanted.fields}  # type: ignore[arg-type]
    return FormWanted(wanted, filled, choices)


def asking(name: str) -> list[Item]:
    """A run up to the question of a step, which is asked."""
    found = until("onboard", is_("asked", name))
    asked = found[-1]
    assert isinstance(asked, Asked)
    return [*found, AnswerWanted(asked)]


def failing() -> list[Item]:
    """A build that failed and waits for a word."""
    found = until("broken", is_("step_ended", "build"))
    ended = found[-1]
    assert isinstance(ended, StepEnded) and ended.error is not None
    return [*found, WordWanted(step("build"), Failed(ended.error["message"], ended.error["hint"]))]


def app(source: Staged) -> Creamtea:
    """The app over a staged source, with the clock stopped where the recording is."""
    made = Creamtea(source)
    made.clock = lambda: source.now
    return made


def play(
    made: Creamtea, body: Callable[[Pilot[int], Wizard], Awaitable[None]], size: tuple[int, int] = (80, 24)
) -> None:
    """Run the app under a pilot once everything staged is drawn."""

    async def main() -> None:
        async with made.run_test(size=size) as pilot:
            await settled(pilot)
            screen = made.screen
            assert isinstance(screen, Wizard)
            await body(pilot, screen)

    asyncio.run(main())


async def settled(pilot: Pilot[Any]) -> None:
    """Until everything that is in the feed is drawn and laid out."""
    tick = getattr(pilot.app, "_tick", None)
    for _ in range(3):
        await pilot.pause()
        if tick is not None:
            tick()
    await pilot.pause()


__all__ = [
    "Cancelled",
    "Staged",
    "Want",
    "app",
    "asking",
    "events",
    "failing",
    "form",
    "play",
    "settled",
    "step",
]
