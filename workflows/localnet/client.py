"""Finding, starting and stopping the localnet's process from another one.

The localnet lives as long as somebody holds a lease on it (an open connection that the kernel closes when
its holder dies), or until it is told to stop when it was started to stay.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from workflows.core.events import Event, from_json
from workflows.core.failure import Unavailable
from workflows.core.files import private_dir
from workflows.core.step import Cancel
from workflows.localnet.process import runs

STATUS = "status.json"
EVENTS = "start.jsonl"
LOG = "localnet.log"
_PATIENCE = 240.0  # seconds: the first start fetches anvil and deploys PoCo


def default_state() -> Path:
    """Where the localnet of this user keeps its state, unless `CREAMTEA_LOCALNET` names another folder."""
    from platformdirs import user_data_path

    chosen = os.environ.get("CREAMTEA_LOCALNET")
    return Path(chosen).expanduser() if chosen else user_data_path("creamtea") / "localnet"


def status(state: Path) -> dict[str, Any] | None:
    """The status document of a localnet that answers; None when none does."""
    try:
        document: dict[str, Any] = json.loads((state / STATUS).read_text())
        with urllib.request.urlopen(document["control"] + "/status", timeout=3) as reply:  # noqa: S310 - loopback
            answer: dict[str, Any] = json.load(reply)
    except (OSError, ValueError, KeyError, urllib.error.URLError):
        return None
    return answer if answer.get("pid") == document.get("pid") else None


class Lease:
    """Keeps the localnet alive; `document` is its status. Close it, or use it in a `with`."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        import http.client

        self.document = document
        parts = urlsplit(str(document["control"]))
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
        try:
            self._connection.request("GET", "/lease")
            self._response = self._connection.getresponse()
        except OSError as error:
            raise Unavailable(
                f"the localnet went away: {error}", "start it again: creamtea localnet up"
            ) from None

    def close(self) -> None:
        """Let go; the localnet stops when nobody else holds it."""
        self._response.close()
        self._connection.close()

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def join(state: Path, emit: Callable[[Event], None], cancel: Cancel | None = None) -> Lease:
    """A lease on the running localnet, started first if there is none.

    `emit` gets the start's events. Unavailable, with the log's end, when it does not come up.
    """
    cancel = cancel or Cancel()
    found = status(state)
    if found is not None:
        return Lease(found)
    private_dir(state)
    process = _spawn(state)
    with cancel.on(process.terminate):
        found = _await(state, process, emit, cancel)
    return Lease(found)


def _spawn(state: Path) -> subprocess.Popen[bytes]:
    for name in (STATUS, EVENTS):
        (state / name).unlink(missing_ok=True)
    log = os.open(state / LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        # A session of its own: Ctrl-C in the terminal is for the run, the localnet ends with its lease.
        return subprocess.Popen(
            [sys.executable, "-m", "workflows.localnet", "--state", str(state)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    finally:
        os.close(log)


def _await(
    state: Path, process: subprocess.Popen[bytes], emit: Callable[[Event], None], cancel: Cancel
) -> dict[str, Any]:
    deadline = time.monotonic() + _PATIENCE
    position = 0
    while True:
        position = _relay(state / EVENTS, position, emit)
        if (state / STATUS).exists() and (found := status(state)) is not None:
            _relay(state / EVENTS, position, emit)
            return found
        if process.poll() is not None:
            _relay(state / EVENTS, position, emit)
            raise Unavailable(
                f"the localnet did not start: {_end(state / LOG)}",
                f"its whole log is {state / LOG}",
                name="localnet",
            )
        if time.monotonic() > deadline:
            process.terminate()
            raise Unavailable(
                f"the localnet is not ready after {_PATIENCE:.0f} s", f"see {state / LOG}", name="localnet"
            )
        cancel.wait(0.02)


def _relay(path: Path, position: int, emit: Callable[[Event], None]) -> int:
    """Emit the whole lines after a position; the new position."""
    try:
        with path.open("rb") as file:
            file.seek(position)
            data = file.read()
    except OSError:
        return position
    whole = data[: data.rfind(b"\n") + 1]
    for line in whole.decode().splitlines():
        emit(from_json(line))
    return position + len(whole)


def _end(log: Path) -> str:
    from workflows.core.text import clean

    try:
        lines = [clean(line) for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return lines[-1] if lines else "it said nothing"


def stop(state: Path, patience: float = 15.0) -> bool:
    """Stop the localnet and wait until it is gone; False when none answered."""
    found = status(state)
    if found is None:
        return False
    pid = int(found["pid"])
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if (state / STATUS).exists() is False and not _alive(pid):
            return True
        time.sleep(0.02)
    raise Unavailable(
        f"the localnet (process {pid}) does not stop", f"see {state / LOG}; then: kill -9 {pid}"
    )


def _alive(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):  # our own child stays a zombie until it is waited for
        os.waitpid(pid, os.WNOHANG)
    return runs(pid)
