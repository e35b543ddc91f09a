"""Watching a task at its worker: a stream of events where the worker has one, else asking again and again.

The stream is the localnet worker's: `GET /tasks/<id>/events`, one JSON event a line, history first, closed by
a line of type `end`. A live workerpool has only `GET /tasks/<id>` (iexec-core `TaskModel`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from workflows.core.events import Event
from workflows.core.failure import Failed, Missing, Unavailable
from workflows.core.step import Cancel
from workflows.core.text import clean
from workflows.iexec import web
from workflows.iexec.ids import hash32
from workflows.iexec.task_events import ENDS, Ended, cause_of, ended, parsed, read, status_of, statuses

__all__ = ["Ended", "WorkerApi"]

LINE = 1 << 20
IDLE = 60.0
POLL = 2.0
PATIENCE = 180.0


class WorkerApi:
    """A client of the API of a worker or workerpool at `url`.

    `poll` seconds lie between two questions, `patience` seconds pass without an answer before it gives up.
    """

    def __init__(
        self, url: str, *, idle: float = IDLE, poll: float = POLL, patience: float = PATIENCE
    ) -> None:
        self.url = web.origin(url, "worker")
        self._idle, self._poll, self._patience = idle, poll, patience

    def task(self, taskid: str, cancel: Cancel | None = None) -> Mapping[str, Any] | None:
        """What the worker says of a task now; None when it does not know it."""
        reply = web.request("GET", self._path(taskid), timeout=self._idle, limit=16 * LINE, cancel=cancel)
        if reply.status == 404:
            return None
        document = parsed(reply.body) if reply.status == 200 else None
        if not isinstance(document, dict):
            raise _strange(reply.url, reply.status)
        return document

    def watch(self, taskid: str, cancel: Cancel | None = None) -> Iterator[Event | Ended]:
        """Events of a task from its beginning until, last, an `Ended`; connections that break are renewed.

        Unavailable when the worker is silent for too long or never hears of the task, Cancelled at once.
        """
        path = self._path(taskid)
        seen: list[int] = []
        clock = _Patience(self._patience, self.url)
        while True:
            try:
                for index, line in enumerate(self._stream(path, cancel)):
                    mark = hash(line)
                    if seen[index : index + 1] == [mark]:  # the history again, after a new connection
                        continue
                    seen[index:] = [mark]  # or another history: the worker began the task anew
                    clock.restart()
                    event = read(parsed(line))
                    if event is not None:
                        yield event
                    if isinstance(event, Ended):
                        return
                clock.check()
            except _NoStream:
                if (document := self.task(taskid, cancel)) is not None:
                    yield from self._polled(taskid, document, cancel)
                    return
                clock.check(unknown=True)
            except Unavailable as error:
                if error.name == "timeout":  # a long computation is silent
                    clock.restart()
                else:
                    clock.check(error)
            _wait(min(self._poll, 1.0), cancel)

    def _path(self, taskid: str) -> str:
        try:
            return f"{self.url}/tasks/{hash32(taskid)}"
        except ValueError as error:
            raise Missing(clean(str(error)), "Give the 0x-hex id of a task.", name="bad_task") from None

    def _stream(self, path: str, cancel: Cancel | None) -> Iterator[bytes]:
        """The lines of the stream; empty ones only say that the worker is still there."""
        pending = b""
        with web.exchange("GET", f"{path}/events", timeout=self._idle, cancel=cancel) as response:
            kind = response.headers.get_content_type()
            if response.status in (404, 405, 501) or (response.status == 200 and kind == "text/html"):
                raise _NoStream
            if response.status != 200:
                raise _strange(path, response.status)
            while chunk := response.read1(1 << 16):
                *lines, pending = (pending + chunk).split(b"\n")
                if len(pending) > LINE:
                    raise Failed(
                        "the worker sends a line without end",
                        "This is not the worker's API: check its URL.",
                        name="answer_too_large",
                    )
                yield from (line for line in lines if line.strip())

    def _polled(
        self, taskid: str, document: Mapping[str, Any] | None, cancel: Cancel | None
    ) -> Iterator[Event | Ended]:
        """The same from the statuses of task and replicates alone."""
        known: set[Event] = set()
        clock = _Patience(self._patience, self.url)
        while True:
            if document is not None:
                clock.restart()
                for event in statuses(document):
                    if event not in known:
                        known.add(event)
                        yield event
                status = status_of(document)
                if status in ENDS:
                    yield ended(status, cause_of(document), "", "")
                    return
            _wait(self._poll, cancel)
            try:
                document = self.task(taskid, cancel)
                if document is None:
                    clock.check(unknown=True)
            except Unavailable as error:
                document = None
                clock.check(error)


class _NoStream(Exception):  # noqa: N818 - not an error
    """The other side has no stream of events for this task, or not yet."""


class _Patience:
    """Gives up when failures go on for some time; `restart` after every sign of life."""

    def __init__(self, seconds: float, url: str) -> None:
        self._seconds, self._url = seconds, url
        self._since: float | None = None

    def restart(self) -> None:
        self._since = None

    def check(self, error: Unavailable | None = None, *, unknown: bool = False) -> None:
        """One more failure: raise when they have gone on for too long."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if now - self._since < self._seconds:
            return
        if error is not None:
            raise error
        where = web.shown(self._url)
        if unknown:
            raise Unavailable(
                f"the worker at {where} has not heard of this task",
                "Is it the worker of this deal's workerpool? The task's state on chain tells more.",
                name="unknown_task",
            )
        raise Unavailable(
            f"the worker at {where} ends its answers without telling how the task ended",
            "Look at the task's state on chain.",
            name="no_end",
        )


def _strange(url: str, status: int) -> Unavailable:
    return Unavailable(
        f"{web.shown(url)} does not answer as a worker does (status {status})",
        "Check the URL of the workerpool's API.",
        name="no_worker",
    )


def _wait(seconds: float, cancel: Cancel | None) -> None:
    if cancel is not None:
        cancel.wait(seconds)
    else:
        time.sleep(seconds)
