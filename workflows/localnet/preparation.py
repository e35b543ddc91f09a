"""What must be there before the first task, made when somebody first needs it: those who wait see how far it is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from workflows.core.events import Event, Lines, Progress, TaskChanged
from workflows.core.failure import Failed
from workflows.core.stumbled import stumbled
from workflows.localnet.worker.record import Record

log = logging.getLogger(__name__)

Emit = Callable[[Event], None]


class Preparation:
    """`work(emit)` is done once, after a failure once more when asked again; `path` keeps what was told of it."""

    def __init__(self, path: Path, work: Callable[[Emit], Awaitable[None]], emit: Emit) -> None:
        self._path = path
        self._work = work
        self._emit = emit
        self._running: asyncio.Task[None] | None = None
        self._record: Record | None = None

    def begin(self) -> None:
        """Start it unless it runs or is done; on the loop. Does not wait."""
        failed = self._record is not None and self._record.status == "FAILED"
        if self._running is None or (failed and self._running.done()):
            self._record = Record("", self._path, asyncio.get_running_loop())
            self._record.restart()
            self._running = asyncio.create_task(self._run(self._record))

    async def again(self) -> bool:
        """What was made is gone: make it anew, whoever asks meanwhile waits for it. Whether it is there now."""
        if self.done:
            self._running = self._record = None
        self.begin()
        if self._running is not None:
            await asyncio.shield(self._running)
        return self.done

    @property
    def done(self) -> bool:
        """Whether there is nothing to wait for."""
        return self._record is not None and self._record.status == "COMPLETED"

    @property
    def failure(self) -> dict[str, str] | None:
        """What the last try failed of: `error`, `hint`, `name`; None when it did not."""
        end = self._record.ended if self._record is not None else None
        if end is None or end["status"] != "FAILED":
            return None
        return {"error": end["message"], "hint": end["hint"], "name": end["cause"]}

    async def follow(self) -> AsyncIterator[str]:
        """NDJSON of what happens until all is there; a last line of type `end` only when it failed."""
        self.begin()
        record = self._record
        if record is None:
            return
        async for line in record.follow():
            if record.status == "COMPLETED" and record.ended and line == record.history[-1]:
                return
            yield line

    async def settled(self, patience: float) -> None:
        """Wait until it is done or has failed, so many seconds at most."""
        if self._running is not None:
            await asyncio.wait({self._running}, timeout=patience)

    async def stop(self) -> None:
        """End it where it is."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self, record: Record) -> None:
        def emit(event: Event) -> None:
            self._emit(event)
            record.add(_told(event))

        try:
            await self._work(emit)
        except Failed as failure:
            record.end("FAILED", failure.name, failure.message, failure.hint)
        except OSError as error:  # a full disk
            log.exception("the localnet could not be prepared for tasks")
            told = stumbled(error)
            message = f"the localnet could not be prepared for tasks: {told.message}"
            record.end("FAILED", told.name, message, told.hint)
        except Exception as error:
            log.exception("the localnet could not be prepared for tasks")
            message = f"the localnet could not be prepared for tasks: {type(error).__name__}: {error}"
            record.end("FAILED", "localnet", message, "This is a fault of creamtea: please report it.")
        else:
            record.end("COMPLETED")


def _told(event: Event) -> Event:
    """The event under a name that no phase of a task has."""
    if isinstance(event, TaskChanged):
        return replace(event, task=f"prepare-{event.task}", title=f"prepare: {event.title}")
    if isinstance(event, (Lines, Progress)):
        return replace(event, task=f"prepare-{event.task}")
    return event
