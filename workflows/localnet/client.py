"""Finding, starting and stopping the localnet's process from another one.

The localnet lives as long as somebody holds a lease on it: an open connection that the kernel closes when
its holder dies. A lock on the state folder, handed to the process, keeps a second one out for as long.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import select
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from workflows.core.events import Event, from_json
from workflows.core.failure import Missing, Unavailable
from workflows.core.files import private_dir
from workflows.core.step import Cancel
from workflows.localnet.process import runs

STATUS = "status.json"
EVENTS = "start.jsonl"
LOG = "localnet.log"
LOCK = "lock"
ENDED = "ended.json"
STOPPING = "stopping"
_PATIENCE = 240.0  # seconds: the first start fetches anvil and deploys PoCo


def default_state() -> Path:
    """Where the localnet of this user keeps its state, unless `CREAMTEA_LOCALNET` names another folder."""
    from platformdirs import user_data_path

    chosen = os.environ.get("CREAMTEA_LOCALNET")
    return Path(chosen).expanduser().resolve() if chosen else user_data_path("creamtea") / "localnet"


def line(action: str, state: Path) -> str:
    """What a person types to do this with the localnet of a state folder: `creamtea localnet up`."""
    other = "" if state == default_state() else f" --state {shlex.quote(str(state))}"
    return f"creamtea localnet {action}{other}"


def status(state: Path) -> dict[str, Any] | None:
    """The status document of a localnet that is ready; None when none is."""
    answer = look(state)
    return answer if answer is not None and answer["ready"] is True else None


def look(state: Path) -> dict[str, Any] | None:
    """The status document of a localnet that answers, ready or not; None when none does."""
    # An opener of its own: what a proxy of the environment says of loopback is of no use.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        document: dict[str, Any] = json.loads((state / STATUS).read_text())
        with opener.open(document["control"] + "/status", timeout=3) as reply:
            answer: dict[str, Any] = json.load(reply)
        same = answer["pid"] == document["pid"] and isinstance(answer["ready"], bool)
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        return None  # nobody there, or another program on the port of a localnet that was killed
    return answer if same else None


class Lease:
    """Keeps the localnet alive; `document` is its status. Close it, or use it in a `with`."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        parts = urlsplit(str(document["control"]))
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
        try:
            self._connection.request("GET", "/lease")
            self._response = self._connection.getresponse()
            if self._response.status != 200:
                raise ConnectionError("it is stopping")
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Unavailable(
                f"the localnet went away: {error}", "start it again: creamtea localnet up", name="localnet"
            ) from None

    def alive(self) -> bool:
        """Whether the localnet still holds its end."""
        sock = self._connection.sock
        if sock is None:
            return False
        try:
            while select.select([sock], [], [], 0)[0]:
                if not sock.recv(4096):
                    return False
        except OSError:
            return False
        return True

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


def join(
    state: Path,
    emit: Callable[[Event], None],
    cancel: Cancel | None = None,
    words: Sequence[str] = (),
) -> Lease:
    """A lease on the running localnet, started first if there is none, with these options of its process.

    `emit` gets the start's events. Unavailable, with the log's end, when it does not come up.
    """
    cancel = cancel or Cancel()
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if "127.0.0.1" not in known:  # no proxy of the environment can reach loopback; web3 would ask it
        os.environ["no_proxy"] = f"{known},127.0.0.1".lstrip(",")
    deadline = time.monotonic() + _PATIENCE
    while True:
        found = status(state)
        if found is not None:
            with contextlib.suppress(Unavailable):  # it may be going away just now
                return Lease(found)
        with _alone(state) as lock:
            if lock is not None:
                _start(state, lock, words, emit, cancel, deadline)
                continue
        if time.monotonic() > deadline:
            raise Unavailable(
                f"another localnet in {state} neither starts nor stops",
                f"{line('down', state)} ends it; its log is {state / LOG}",
                name="localnet",
            )
        cancel.wait(0.05)


@contextlib.contextmanager
def _alone(state: Path) -> Iterator[int | None]:
    """The lock of a state folder, None while a localnet has it: while it starts, runs and stops."""
    handle = os.open(_folder(state) / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield handle
    finally:
        os.close(handle)


def _folder(state: Path) -> Path:
    try:
        return private_dir(state)
    except (FileExistsError, NotADirectoryError):
        raise Missing(
            f"the localnet keeps its state in a folder, and {state} is not a folder",
            "Give --state another one, or move the file away.",
        ) from None


def _start(
    state: Path,
    lock: int,
    words: Sequence[str],
    emit: Callable[[Event], None],
    cancel: Cancel,
    deadline: float,
) -> None:
    """Start the process, which gets the lock with its number in it, and wait until it is ready."""
    os.ftruncate(lock, 0)
    for name in (STATUS, EVENTS, ENDED, STOPPING):
        (state / name).unlink(missing_ok=True)
    log = os.open(state / LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        # A session of its own: Ctrl-C in the terminal is for the run, the localnet ends with its lease.
        # A folder of its own: Python looks for modules there first, and must find none of the project's.
        process = subprocess.Popen(
            [sys.executable, "-m", "workflows.localnet", "--state", str(state), *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=state,
            pass_fds=(lock,),
            start_new_session=True,
        )
    finally:
        os.close(log)
    os.pwrite(lock, str(process.pid).encode(), 0)
    with cancel.on(process.terminate):
        _await(state, process, emit, cancel, deadline)


def _await(
    state: Path,
    process: subprocess.Popen[bytes],
    emit: Callable[[Event], None],
    cancel: Cancel,
    deadline: float,
) -> None:
    position = 0
    while True:
        ready = (state / STATUS).exists() and status(state) is not None
        ended = process.poll() is not None
        position = relay(state, position, emit)
        if ready:
            return
        if ended:
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


def relay(state: Path, position: int, emit: Callable[[Event], None]) -> int:
    """Emit what a localnet has told after a position in its file of events; the new position."""
    try:
        with (state / EVENTS).open("rb") as file:
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


def absent(state: Path) -> dict[str, Any]:
    """The status document where none is ready: all is null but the folder, and what is known of the reason."""
    names = (
        "rpc", "chain_id", "hub", "registries", "rlc", "sms", "cas", "las", "ipfs", "market", "result_proxy",
        "workerpool", "accounts", "public", "task_network",
    )  # fmt: skip
    pid, trouble = holder(state), None
    if pid is not None:
        doing = "is stopping" if _stopping(state, pid) else "is starting, or hangs"
        trouble = f"process {pid} has this folder and {doing}; {line('down', state)} ends it"
    elif (failure := ended(state)) is not None:
        trouble = f"{failure.message}. {failure.hint}"
    return {
        "ready": False, "state_dir": str(state), "pid": pid, "trouble": trouble, **dict.fromkeys(names)
    }  # fmt: skip


def _stopping(state: Path, pid: int) -> bool:
    """Whether this process has begun to stop, by its own word."""
    try:
        return int((state / STOPPING).read_text()) == pid
    except (OSError, ValueError):
        return False


def ended(state: Path) -> Unavailable | None:
    """Why the last localnet of a state folder ended by itself; None when it did not."""
    try:
        kept = json.loads((state / ENDED).read_text())
        return Unavailable(str(kept["message"]), str(kept["hint"]), name=str(kept["name"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def killed(state: Path, pid: int) -> Unavailable | None:
    """What to say when this process had the folder and is gone without having stopped; None when it did stop."""
    try:
        if json.loads((state / STATUS).read_text())["pid"] != pid:
            return None
    except (OSError, ValueError, KeyError, TypeError):  # whoever stops removes the file
        return None
    return Unavailable(
        f"the localnet (process {pid}) was killed",
        "Its state is kept; start it again. If nobody killed it, look at this machine's memory.",
        name="localnet",
    )


def holder(state: Path) -> int | None:
    """The process that has a state folder, be it ready or not; None when none has."""
    if not (state / LOCK).exists():
        return None
    with _alone(state) as lock:
        if lock is not None:
            return None
    try:
        return int((state / LOCK).read_text())
    except (OSError, ValueError):  # it is being started this moment
        return None if (found := look(state)) is None else int(found["pid"])


def leave(lease: Lease, state: Path) -> None:
    """Let go, and wait until the localnet is gone if nobody else holds it."""
    lease.close()
    pid = int(lease.document["pid"])
    noticed = time.monotonic() + 1.5  # it looks after its holders twice a second
    while (found := look(state)) is not None and found["pid"] == pid:
        if found["leases"] and time.monotonic() > noticed:
            return
        time.sleep(0.05)
    while _alive(pid):
        time.sleep(0.02)


def stop(state: Path, patience: float = 15.0) -> bool:
    """Stop the localnet, whatever state it is in, and wait until it is gone; False when there was none.

    One that does not stop in `patience` seconds is killed; its chain is saved all the same.
    """
    pid = holder(state)
    if pid is None:
        return False
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if not _alive(pid):
                return True
            time.sleep(0.02)
    raise Unavailable(f"the localnet (process {pid}) cannot be ended", f"see {state / LOG}", name="localnet")


def _alive(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):  # our own child stays a zombie until it is waited for
        os.waitpid(pid, os.WNOHANG)
    return runs(pid)
