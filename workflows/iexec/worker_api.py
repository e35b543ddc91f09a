"""Watching a task at its worker: a stream of events where the worker has one, else asking again and again.

The stream is the localnet worker's: `GET /tasks/<id>/events`, one JSON event a line, history first, closed by
a line of type `end`. A live workerpool has only `GET /tasks/<id>` (iexec-core `TaskModel`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from workflows.core.events import Event, Lines, Noted, Progress, TaskChanged, TaskState, from_dict
from workflows.core.failure import Failed, Missing, Unavailable
from workflows.core.step import Cancel
from workflows.core.text import clean, shorten
from workflows.iexec import web
from workflows.iexec.causes import explain
from workflows.iexec.ids import hash32

LINE = 1 << 20
IDLE = 60.0
POLL = 2.0
PATIENCE = 180.0
_ENDS = ("COMPLETED", "FAILED")
_KINDS = (TaskChanged, Lines, Progress, Noted)


@dataclass(frozen=True)
class Ended:
    """How a task ended: `status` COMPLETED or FAILED, the cause's name, what it means and what to do."""

    status: str
    cause: str | None
    message: str
    hint: str


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
        document = _json(reply.body) if reply.status == 200 else None
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
                    event = _read(_json(line))
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
                for event in _statuses(document):
                    if event not in known:
                        known.add(event)
                        yield event
                status = _status(document)
                if status in _ENDS:
                    yield _ended(status, _cause(document), "", "")
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


def _read(record: Any) -> Event | Ended | None:
    """An event of a worker, made harmless; None for what is none of those that a worker may send."""
    if not isinstance(record, dict):
        return None
    if record.get("type") == "end":
        status = str(record.get("status"))
        return _ended(
            status if status in _ENDS else "FAILED", _text(record.get("cause")) or None,
            _text(record.get("message")), _text(record.get("hint")),
        )  # fmt: skip
    try:
        event = from_dict({"v": 1, **record})
    except (ValueError, TypeError):
        return None
    if not isinstance(event, _KINDS):
        return None
    return _harmless(replace(event, at=_text(event.at), run="", step=None))


def _harmless(event: Event) -> Event | None:
    """The event with clean texts, None when a field is of another type or value than it must be."""
    if isinstance(event, Lines) and isinstance(event.task, str) and event.stream in ("out", "err"):
        return replace(event, task=_text(event.task), text=tuple(clean(str(line)) for line in event.text))
    if isinstance(event, TaskChanged) and event.state in get_args(TaskState):
        return replace(
            event,
            task=_text(event.task),
            title=_text(event.title),
            parent=_text(event.parent) or None,
            started=_text(event.started) or None,
            ended=_text(event.ended) or None,
            detail=_text(event.detail) or None,
        )
    if isinstance(event, Noted) and event.level in ("info", "warning", "error"):
        return replace(event, text=_text(event.text), hint=_text(event.hint) or None)
    if (
        isinstance(event, Progress)
        and _is_count(event.done)
        and (event.total is None or _is_count(event.total))
    ):
        return replace(event, task=_text(event.task), unit=_text(event.unit))
    return None


def _statuses(document: Mapping[str, Any]) -> Iterator[Event]:
    """What a pool's view of a task amounts to; the same event again when nothing changed."""
    status = _status(document)
    state: TaskState = "done" if status == "COMPLETED" else "failed" if status == "FAILED" else "running"
    yield TaskChanged(task="pool", title="Workerpool", state=state, detail=status or None)
    replicates = document.get("replicates")
    for replicate in replicates[:100] if isinstance(replicates, list) else ():
        if not isinstance(replicate, dict):
            continue
        wallet = _text(replicate.get("walletAddress"))
        now = _text(replicate.get("currentStatus")) or _last(replicate)[0]
        state = (
            "done"
            if now == "COMPLETED"
            else "failed"
            if now in _LOST or now.endswith("_FAILED")
            else "running"
        )
        yield TaskChanged(
            task=f"worker-{wallet}",
            title=f"Worker {shorten(wallet)}",
            state=state,
            parent="pool",
            detail=now or None,
        )
        if cause := _last(replicate)[1]:
            meaning = next((entry.meaning for entry in explain(cause)), "")
            yield Noted(level="warning", text=f"{cause}: {meaning}" if meaning else cause)


_LOST = ("FAILED", "ABORTED", "WORKER_LOST")


def _status(document: Mapping[str, Any]) -> str:
    return _text(document.get("status") or document.get("currentStatus"))


def _cause(document: Mapping[str, Any]) -> str | None:
    """The cause of the task's failure, or else the last one that a worker reported."""
    if document.get("cause"):
        return _text(document["cause"])
    replicates = document.get("replicates")
    found = (
        [_last(one)[1] for one in replicates if isinstance(one, dict)] if isinstance(replicates, list) else []
    )
    return next((cause for cause in reversed(found) if cause), None)


def _last(replicate: Mapping[str, Any]) -> tuple[str, str | None]:
    """A replicate's last status, and the last cause of a failure in its history."""
    history = replicate.get("statusUpdateList")
    updates = [one for one in history if isinstance(one, dict)] if isinstance(history, list) else []
    status = _text(updates[-1].get("status")) if updates else ""
    for update in reversed(updates):
        details = update.get("details")
        if isinstance(details, dict) and details.get("cause"):
            return status, _text(details["cause"])
    return status, None


def _ended(status: str, cause: str | None, message: str, hint: str) -> Ended:
    """The end, with the explainer's words where the worker has none."""
    entry = next(iter(explain(cause)), None) if cause else None
    if entry is not None:
        message, hint = message or entry.meaning, hint or entry.do
    if status == "FAILED" and not message:
        message = f"the task failed: {cause}" if cause else "the task failed and nobody says why"
    return Ended(status, cause, message, hint)


def _json(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _text(value: Any) -> str:
    return clean(value)[:2000] if isinstance(value, str) else ""


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


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
