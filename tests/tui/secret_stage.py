"""The screen of secrets over a recorded audit: what a real command said on a localnet, paths and ports replaced.

To make it again: creamtea secrets audit --json --project hello-sgx | python3 -m json.tool --no-ensure-ascii.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from tui.app import Creamtea
from tui.screens.secrets import SecretsScreen
from workflows.commands.secrets import Secrets
from workflows.core.command import Result
from workflows.core.events import Asked, Event, Noted
from workflows.core.failure import Cancelled, Failed, Unavailable

AUDIT = Path(__file__).parent.parent / "data" / "secrets" / "audit.json"
NOWHERE = Unavailable(
    "no localnet has ever run here", "creamtea localnet up, or --network NAME", name="no_localnet"
)


def recorded() -> dict[str, Any]:
    """The document."""
    document: dict[str, Any] = json.loads(AUDIT.read_text())
    return document


def empty() -> dict[str, Any]:
    """A project in which nothing is deployed yet."""
    return {
        **recorded(),
        "rows": [],
        "public": [],
        "warnings": [],
        "sources": [],
        "app": None,
        "dataset": None,
    }


class Replayed(Secrets):
    """Answers an audit with a document; asks before a push or a cancellation, and remembers what it was told."""

    def __init__(self, document: Mapping[str, Any] | Failed) -> None:
        super().__init__()
        self.document = document
        self.asked_for: list[dict[str, Any]] = []
        self.answers: list[Any] = []
        self.closed = False

    def close(self) -> None:
        self.closed = True

    def work(self, options: Mapping[str, Any]) -> Generator[Event, Any, Result]:
        self.asked_for.append(dict(options))
        if isinstance(self.document, Failed):
            raise self.document
        if options["action"] == "audit":
            return Result(self.document)
        if options["action"] == "cancel":
            self.answers.append(
                (yield Asked(field="cancel", question="Sign and cancel the order?", kind="confirm"))
            )
            return Result({"action": "cancel", "kind": "datasetorder", "order": options["kind"], "tx": "0x1"})
        if options["action"] == "accept":
            at = None if options["undo"] else "2026-11-27T09:00:00.000Z"
            known = next(one for one in self.document["warnings"] if one["id"] == options["kind"])
            known.update(accepted=at, level="act" if at is None else "know")
            return Result({"action": "accept", "id": known["id"], "text": known["text"], "accepted": at})
        if not options["from"]:
            self.answers.append(
                (yield Asked(field="value", question="value of the secret (text; not shown)", kind="secret"))
            )
        yield Noted(
            level="warning",
            text="requester secret of 0x90F7…b906: for ever, it can never be changed, read back or deleted",
        )  # fmt: skip
        self.answers.append(
            (yield Asked(field="push", question="Push the requester secret Pin?", kind="confirm"))
        )
        if not self.answers[-1]:
            raise Cancelled("nothing was pushed", "nothing was sent")
        row = next(row for row in self.document["rows"] if row["name"] == "Pin")
        return Result(
            {**{name: row[name] for name in ("kind", "title", "slot", "owner", "name", "sms", "commitment")},
             "action": "push", "pushed": True, "key": None}
        )  # fmt: skip


def app(command: Secrets, words: Sequence[str] = ("--project", "/home/ada/hello-sgx")) -> Creamtea:
    """The app with this screen alone."""
    return Creamtea(opening=SecretsScreen(words, command))


def screen_of(pilot: Pilot[Any]) -> SecretsScreen:
    """The screen of secrets, wherever it is in the stack."""
    return next(screen for screen in pilot.app.screen_stack if isinstance(screen, SecretsScreen))


async def quiet(pilot: Pilot[Any]) -> None:
    """Until nothing is under way but what waits for the person."""
    for _ in range(3):
        await pilot.pause()
        for screen in pilot.app.screen_stack:
            if isinstance(screen, SecretsScreen):
                while screen.busy:
                    await pilot.pause(0.01)
    await pilot.pause()


def play(
    made: Creamtea,
    body: Callable[[Pilot[int], SecretsScreen], Awaitable[None]],
    size: tuple[int, int] = (80, 24),
) -> None:
    """Run the app under a pilot once the first answer is drawn."""
    import asyncio

    async def main() -> None:
        async with made.run_test(size=size) as pilot:
            await quiet(pilot)
            await body(pilot, screen_of(pilot))

    asyncio.run(main())
