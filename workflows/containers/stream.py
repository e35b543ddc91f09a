"""Long answers of the engine, read in a thread so that they can be ended at any moment."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from workflows.core.failure import Cancelled, Unavailable
from workflows.core.step import Cancel
from workflows.core.text import clean

if TYPE_CHECKING:
    from docker import APIClient

_FULL = 4 << 20  # bytes that may wait for the consumer before the reader pauses


class Refused(Exception):  # noqa: N818 - reads as a sentence
    """The engine answered with an HTTP error before any output; `message` is clean."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def post(
    api: APIClient,
    path: str,
    *,
    params: Mapping[str, str | list[str]],
    headers: Mapping[str, str] | None = None,
    body: Iterable[bytes] | None = None,
    cancel: Cancel | None = None,
) -> Generator[bytes, None, None]:
    """The body of the engine's answer to POST `path`, in blocks of whatever has arrived.

    Ends the connection when `cancel` is set or the generator is closed. Raises Refused for an HTTP error,
    Cancelled, Unavailable when the connection breaks, and whatever `body` raises.
    """
    feed = _Feed()
    url = f"{api.base_url}/v{api.api_version}{path}"
    threading.Thread(
        target=feed.fill, args=(api, url, params, headers, body), name="engine-stream", daemon=True
    ).start()
    try:
        with cancel.on(feed.stop) if cancel else contextlib.nullcontext():
            while block := feed.take():
                yield block
            if cancel and cancel.is_set():
                raise Cancelled
        if feed.error:
            raise feed.error
    finally:
        feed.stop()
        feed.finished.wait(1)


def json_lines(blocks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The JSON objects of a stream of lines, however it was cut; what is not an object is left out."""
    tail = b""
    for block in blocks:
        *whole, tail = (tail + block).split(b"\n")
        for line in whole:
            with contextlib.suppress(ValueError, RecursionError):
                if isinstance(record := json.loads(line), dict):
                    yield record
    with contextlib.suppress(ValueError, RecursionError):
        if isinstance(record := json.loads(tail), dict):
            yield record


def count(value: object) -> int:
    """A number of bytes in a record, 0 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62 else 0


class _Feed:
    """A bounded pipe between the reading thread and the consumer."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.finished = threading.Event()
        self._ready = threading.Condition()
        self._waiting = bytearray()
        self._stopped = False
        self._reply: Any = None

    def fill(
        self,
        api: APIClient,
        url: str,
        params: Mapping[str, str | list[str]],
        headers: Mapping[str, str] | None,
        body: Iterable[bytes] | None,
    ) -> None:
        """Send the request and read its answer to the end (in the thread)."""
        try:
            data = None if body is None else self._sent(body)
            reply = api.post(url, params=params, headers=headers, data=data, stream=True, timeout=None)
            self._reply = reply
            with contextlib.closing(reply):
                if reply.status_code >= 400:
                    self.error = Refused(reply.status_code, _message(reply.content))
                    return
                for block in reply.iter_content(chunk_size=None):
                    if not self._put(block):
                        return
        except Exception as error:  # a closed stream ends in many shapes; a stopped one is none of them
            self.error = _explained(error)
        finally:
            with self._ready:
                self._reply = None
                self.finished.set()
                self._ready.notify_all()

    def take(self) -> bytes:
        """All that has arrived, waiting for the first byte; empty at the end or once stopped."""
        with self._ready:
            self._ready.wait_for(lambda: self._waiting or self._stopped or self.finished.is_set())
            if self._stopped:
                return b""
            block = bytes(self._waiting)
            self._waiting.clear()
            self._ready.notify_all()
            return block

    def stop(self) -> None:
        """End the connection from any thread; harmless when repeated or over."""
        with self._ready:
            self._stopped = True
            self._ready.notify_all()
            reply = self._reply
        if reply is not None:
            # The reading thread then closes the connection itself: close() here could wait for its lock.
            with contextlib.suppress(Exception):
                reply.raw.shutdown()

    def _put(self, block: bytes) -> bool:
        with self._ready:
            self._ready.wait_for(lambda: len(self._waiting) < _FULL or self._stopped)
            self._waiting += block
            self._ready.notify_all()
            return not self._stopped

    def _sent(self, body: Iterable[bytes]) -> Iterator[bytes]:
        for block in body:
            if self._stopped:
                raise Cancelled
            yield block


def _message(content: bytes) -> str:
    """The engine's own words of an HTTP error."""
    try:
        record = json.loads(content)
        text = str(record["message"])
    except (ValueError, KeyError, TypeError):
        text = content.decode("utf-8", "replace")
    return clean(" ".join(text.split()))[:1000]


def _explained(error: Exception) -> Exception:
    import requests

    if isinstance(error, (requests.RequestException, OSError, AttributeError)):
        return Unavailable(
            f"the connection to the container engine broke: {clean(str(error))[:300]}",
            "see whether the engine still runs (docker info), then start again",
            name="engine_connection",
        )
    return error
