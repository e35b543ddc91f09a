"""One container of the engine: start, follow, wait, files in and out, remove."""

from __future__ import annotations

import contextlib
import io
import posixpath
import tarfile
import threading
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from workflows.core.failure import Failed, Unavailable
from workflows.core.text import LineCutter, clean

Stream = Literal["out", "err"]
_STREAMS: tuple[Stream, ...] = ("out", "err")
_MAX_LINKS = 16
_PATIENCE = 10  # seconds that another one's removal may take


@dataclass(frozen=True)
class Ran:
    """What a short command left: exit code and clean lines; `timed_out` when it was stopped for time."""

    code: int
    out: str
    err: str
    timed_out: bool = False


class Container:
    """A container that exists; a context manager that removes it at the end, whatever happened."""

    def __init__(self, api: Any, container_id: str, name: str = "") -> None:
        self.api = api
        self.id = container_id
        self.name = name

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def start(self) -> None:
        """Start it; Failed when the engine cannot (no such program, no such network …)."""
        with speaking("the container did not start"):
            self.api.start(self.id)

    def inspect(self) -> dict[str, Any]:
        """The engine's record of it."""
        with speaking("the container cannot be inspected"):
            record: dict[str, Any] = self.api.inspect_container(self.id)
            return record

    def ip(self, network: str) -> str:
        """Its address in a network, empty while it has none."""
        networks = self.inspect()["NetworkSettings"]["Networks"]
        return str((networks.get(network) or {}).get("IPAddress") or "")

    def attach(self) -> Iterator[tuple[Stream, bytes]]:
        """Raw output as ("out"|"err", bytes); attached at once, so call it before `start`. Ends with it."""
        with speaking("the container's output cannot be read"):
            frames: Any = self.api.attach(self.id, stream=True, demux=True, logs=True)
        return _frames(frames)

    def lines(self) -> Iterator[tuple[Stream, str]]:
        """Clean output lines as ("out"|"err", line); attached at once, so call it before `start`."""
        return _cut(self.attach())

    def logged(self, stream: Stream) -> Iterator[bytes]:
        """What the engine has kept of one stream so far; Failed where its log driver keeps nothing."""
        with speaking("the container's log cannot be read"):
            blocks: Any = self.api.logs(self.id, stdout=stream == "out", stderr=stream == "err", stream=True)
        return iter(blocks)

    def attach_socket(self) -> Any:
        """The attached stdin, stdout and stderr as one socket (multiplexed unless it has a terminal)."""
        params = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        return self.api.attach_socket(self.id, params=params)

    def wait(self, timeout: float | None = None) -> int | None:
        """Its exit code; None when it still runs after `timeout` seconds."""
        import requests

        try:
            with speaking("the container cannot be waited for"):
                return int(self.api.wait(self.id, timeout=timeout)["StatusCode"])
        except (requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError) as error:
            if "timed out" in str(error).lower():
                return None
            raise

    def kill(self) -> None:
        """Stop it at once; harmless when it is over."""
        from docker.errors import APIError

        with contextlib.suppress(APIError):
            self.api.kill(self.id)

    def remove(self) -> None:
        """Remove it with its anonymous volumes, running or not; harmless when it is gone."""
        import requests
        from docker.errors import APIError, NotFound

        try:
            self.api.remove_container(self.id, v=True, force=True)
        except NotFound:
            return
        except APIError as error:  # a RequestException too, so it comes first
            if "already in progress" not in str(error):
                raise Failed(f"a container could not be removed: {explanation(error)}") from None
            with contextlib.suppress(NotFound, requests.RequestException):
                self.api.wait(self.id, timeout=_PATIENCE, condition="removed")
        except requests.RequestException as error:
            text = f"a container could not be removed: the engine did not answer ({type(error).__name__})"
            raise Unavailable(
                text, f"remove it by hand: docker rm -f {self.id[:12]}", name="engine_silent"
            ) from None

    def put(self, folder: str, archive: bytes | Iterable[bytes]) -> None:
        """Unpack a tar archive into an existing folder; works before it was started too."""
        with speaking(f"nothing can be written to {folder}"):
            self.api.put_archive(self.id, folder, archive)

    def get(self, path: str) -> Generator[bytes, None, None]:
        """A tar archive of a file or folder, in blocks; FileNotFoundError when there is none.

        Close the iterator where it is not read to its end: the engine keeps the container locked until then.
        """
        url = f"{self.api.base_url}/v{self.api.api_version}/containers/{self.id}/archive"
        with speaking(f"{path} cannot be read from the container"):
            reply = self.api.get(url, params={"path": path}, stream=True, timeout=self.api.timeout)
            if reply.status_code == 404 and f"No such container: {self.id}" not in reply.text:
                raise FileNotFoundError(path)
            if reply.status_code != 200:
                raise Failed(
                    f"{path} cannot be read from the container: {clean(reply.text)[:300]}",
                    name="engine_error",
                )
        return _blocks(reply)

    def read(self, path: str, limit: int = 64 << 20) -> bytes:
        """One file's bytes, links followed inside the container's root.

        FileNotFoundError when there is no such file, Failed when it is larger than `limit` bytes.
        """
        for _ in range(_MAX_LINKS):
            member, content = self._member(path, limit)
            if member.issym():
                path = posixpath.normpath(posixpath.join(posixpath.dirname(path), member.linkname))
                continue
            if not member.isfile():
                raise FileNotFoundError(path)
            return content
        raise Failed(f"{path} is a link that leads nowhere: more than {_MAX_LINKS} links")

    def _member(self, path: str, limit: int) -> tuple[tarfile.TarInfo, bytes]:
        with contextlib.closing(_Reader(self.get(path))) as raw, tarfile.open(fileobj=raw, mode="r|") as tar:
            member = tar.next()
            if member is None:
                raise FileNotFoundError(path)
            if member.size > limit:
                raise Failed(f"{path} has {member.size} bytes, more than the {limit} that are read at most")
            file = tar.extractfile(member) if member.isfile() else None
            return member, file.read() if file else b""


def _blocks(reply: Any) -> Generator[bytes, None, None]:
    try:
        yield from reply.iter_content(1 << 18)
    finally:
        reply.close()


class _Reader(io.RawIOBase):
    """A file over a stream of blocks; closing it ends the stream."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._rest) < size:
            block = next(self._blocks, b"")
            if not block:
                break
            self._rest += block
        size = len(self._rest) if size < 0 else size
        part, self._rest = self._rest[:size], self._rest[size:]
        return part

    def close(self) -> None:
        end = getattr(self._blocks, "close", None)
        if end is not None:
            end()
        super().close()


def run_to_end(container: Container, timeout: float, limit: int) -> Ran:
    """Start a container, collect its output (at most `limit` bytes of each stream) and wait for its end."""
    output = container.attach()
    stopped = threading.Event()

    def stop() -> None:
        stopped.set()
        container.kill()

    timer = threading.Timer(timeout, stop)
    kept = {name: bytearray() for name in _STREAMS}
    container.start()
    timer.start()
    try:
        for stream, data in output:
            kept[stream] += data[: max(0, limit - len(kept[stream]))]
        code = container.wait(30)
    finally:
        timer.cancel()
    # The engine says "attached" before it is: under load the first bytes of a short command are in its log only.
    for name in _STREAMS:
        logged = bytearray()
        with contextlib.suppress(Failed):  # a log driver that keeps nothing
            for data in container.logged(name):
                logged += data[: max(0, limit - len(logged))]
                if len(logged) >= limit:
                    break
        if len(logged) > len(kept[name]):
            kept[name] = logged
    return Ran(-1 if code is None else code, _text(kept["out"]), _text(kept["err"]), stopped.is_set())


def _text(data: bytearray) -> str:
    cutter = LineCutter()
    return "\n".join([*cutter.feed(bytes(data)), *cutter.flush()])


def _frames(frames: Iterable[tuple[bytes | None, bytes | None]]) -> Iterator[tuple[Stream, bytes]]:
    for out, err in frames:
        if out:
            yield "out", out
        if err:
            yield "err", err


def _cut(frames: Iterator[tuple[Stream, bytes]]) -> Iterator[tuple[Stream, str]]:
    cutters = {name: LineCutter() for name in _STREAMS}
    for stream, data in frames:
        for line in cutters[stream].feed(data):
            yield stream, line
    for stream, cutter in cutters.items():
        for line in cutter.flush():
            yield stream, line


def explanation(error: Exception) -> str:
    """The engine's own words in an exception of docker-py, clean."""
    text = getattr(error, "explanation", None) or str(error)
    return clean(" ".join(str(text).split()))[:1000]


@contextlib.contextmanager
def speaking(what: str, hint: str = "") -> Iterator[None]:
    """Turns an error of docker-py into Failed: `what`, and the engine's own words."""
    from docker.errors import DockerException

    try:
        yield
    except DockerException as error:
        raise Failed(f"{what}: {explanation(error)}", hint, name="engine_error") from None
