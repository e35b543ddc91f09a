"""A stage for screens: a source that a test fills by hand, with recorded events and real wishes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from textual.pilot import Pilot

from tests.tui.recordings import events, is_, until
from tui.answers import AnswerWanted, FormWanted, Want, WordWanted
from tui.app import Creamtea
from tui.feed import Feed, Item
from tui.screens.wizard import Wizard
from workflows.cli import program
from workflows.core.events import Asked, Event, StepEnded
from workflows.core.failure import Cancelled, Failed
from workflows.core.fields import Filled
from workflows.core.journal import Journal
from workflows.core.manifest import Manifest
from workflows.core.step import Context, Step, visible


class Staged:
    """Puts its items into the feed at once; `live` sources can be cancelled, asked again and answered."""

    title = "hello-sgx ▸ onboard"

    def __init__(
        self,
        items: Sequence[Item],
        *,
        workflow: str = "onboard",
        live: bool = True,
        patient: Collection[str] = (),
    ) -> None:
        self.steps: Sequence[Step] = program.catalog().workflow(workflow)
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
        return step in self._patient

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
    return next(one for one in program.catalog().steps if one.id == name)


def form(name: str, **values: Any) -> FormWanted:
    """The form of a real step as the localnet has it, with these values."""
    wanted = step(name)
    with TemporaryDirectory() as folder:
        ctx = Context(
            Path(folder), Journal(Path(folder)), Manifest(Path(folder)), values={"network": "localnet"}
        )
        fields = visible(wanted.fields, ctx)
        choices = {field.name: field.choices(ctx) for field in fields}
    filled = [
        Filled(field, values.get(field.name), "default" if field.name in values else "none")
        for field in fields
    ]
    return FormWanted(wanted, filled, choices)


def asking(name: str) -> list[Item]:
    """A run up to the question of a step, which is asked."""
    found = until("onboard", is_("asked", name))
    asked = found[-1]
    assert isinstance(asked, Asked)
    return [*found, AnswerWanted(asked)]


def wrong(name: str, field: str, value: str, problem: str) -> FormWanted:
    """A form that came back because of one value."""
    wanted = form(name)
    filled = [
        Filled(one.field, value, "asked", problem) if one.field.name == field else one for one in wanted.form
    ]
    return FormWanted(wanted.step, filled, wanted.choices)


def cancelled() -> list[Item]:
    """A build that the person stopped."""
    running = until("stages", lambda event: "epoch 7" in str(getattr(event, "text", "")))
    error = {"name": "cancelled", "message": "cancelled", "hint": ""}
    ended = StepEnded(
        at=running[-1].at, step="build", outcome="cancelled", outputs={}, seconds=2.0, error=error
    )
    return [*running, ended, WordWanted(step("build"), Cancelled())]


def failing() -> list[Item]:
    """A build that failed and waits for a word."""
    found = until("broken", is_("step_ended", "build"))
    ended = found[-1]
    assert isinstance(ended, StepEnded) and ended.error is not None
    return [*found, WordWanted(step("build"), Failed(ended.error["message"], ended.error["hint"]))]


def states() -> dict[str, Callable[[], Staged]]:
    """Every state of the wizard that is worth a look, by name."""
    doctor, network = (
        until("onboard", is_("step_ended", "doctor")),
        until("onboard", is_("step_ended", "network")),
    )
    base, dockerfile = (until("onboard", is_("step_ended", name)) for name in ("base_image", "dockerfile"))
    deployed, stored, pushed = (
        until("onboard", is_("step_ended", name))
        for name in ("deploy_app", "encrypt_dataset", "push_secrets")
    )
    reference = "sconecuratedimages/public-apps:python-3.7.3-alpine3.10-scone3.0"
    long_path = "/home/ada/a/path/that/does/not/fit/into/the/field/of/a/narrow/screen/at/all/people.csv"
    return {
        "doctor_read": lambda: Staged([*doctor, form("network", network="localnet")], patient=("doctor",)),
        "network_form": lambda: Staged([*doctor, form("network", network="localnet")]),
        "base_form": lambda: Staged([*network, form("base_image", language="python", base_image=reference)]),
        "dockerfile_form": lambda: Staged(
            [*base, form("dockerfile", heap="1G", entrypoint="python3 /app/src/app.py")]
        ),
        "document": lambda: Staged(asking("dockerfile")),
        "build_form": lambda: Staged([*dockerfile, form("build", image="hello-sgx:0.1", builder="auto")]),
        "build_running": lambda: Staged(
            until("stages", lambda event: "epoch 7" in str(getattr(event, "text", "")))
        ),
        "build_failed": lambda: Staged(failing()),
        "cancelled": lambda: Staged(cancelled()),
        "measure_read": lambda: Staged(
            until("onboard", is_("step_started", "deploy_app")), patient=("measure",)
        ),
        "deploy_question": lambda: Staged(asking("deploy_app")),
        "dataset_form": lambda: Staged([*deployed, form("encrypt_dataset", dataset=long_path)]),
        "dataset_wrong": lambda: Staged(
            [*deployed, wrong("encrypt_dataset", "dataset", "/nowhere", "there is no file /nowhere")]
        ),
        "secrets_form": lambda: Staged(
            [*stored, form("push_secrets", encrypt_result=True, requester_secret=["1=one", "2=two"])]
        ),
        "request_form": lambda: Staged([*pushed, form("request", category="0")]),
        "request_question": lambda: Staged(asking("request")),
        "password": lambda: Staged(
            [
                *deployed,
                AnswerWanted(Asked(field="password", question="password of 0x90F7…b906", kind="secret")),
            ]
        ),
        "watch_running": lambda: Staged(until("onboard", is_("lines", "watch", task="app"))),
        "ended": lambda: Staged(events("onboard")),
        "locked": lambda: Staged(
            [Failed("another creamtea (process 4711) is running in this project", "wait for it, or stop it")]
        ),
    }


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
