"""One enclave's container: started, followed line by line, ended in time, removed whatever happens.

No host network, no bind mount, no capability: the task network, and the engine's own volumes with ciphertext.
"""

from __future__ import annotations

import io
import queue
import tarfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workflows.core.events import Event, Lines
from workflows.core.step import Cancel

if TYPE_CHECKING:
    from workflows.containers.container import Container
    from workflows.containers.engine import Engine

SHARED = 2 << 30  # /dev/shm, where the runtime unpacks volumes; counts as memory only when used
PROCESSES = 512
VOLUMES = "/.scone/volumes"
ATTESTED = "SIMULATED attestation"
RUNTIME = "[SCONE|"
FATAL = f"{RUNTIME}FATAL]"
_FLUSH = 0.05
_BATCH = 200


@dataclass(frozen=True)
class Stage:
    """What to run. `volumes`: engine volume by the name in the session; `seconds`: its time limit."""

    name: str
    image: str
    config_id: str
    volumes: Mapping[str, str]
    seconds: int
    memory: int
    heap: int | None = None
    internet: bool = False


@dataclass(frozen=True)
class Ended:
    """How it ended: exit code, the last lines of both streams, and whether time or memory ran out.

    `complaint`: the last line that is not the runtime's, of standard error if there is one: the streams come in
    no order.
    """

    code: int
    tail: tuple[str, ...]
    timed_out: bool
    out_of_memory: bool
    complaint: str = field(default="", compare=False)

    @property
    def refusal(self) -> str | None:
        """The runtime's own words when it refused to start the program, or to go on."""
        lines = [line for line in self.tail if line.startswith(FATAL)]
        return (
            lines[-1].removeprefix(FATAL).strip().removeprefix("SIMULATED runtime:").strip()
            if lines
            else None
        )


class Room:
    """Where stages run: one engine, one task network, labels by which leftovers are found."""

    def __init__(self, engine: Engine, network: str, labels: Mapping[str, str]) -> None:
        self.engine = engine
        self.network = network
        self.labels = dict(labels)

    @contextmanager
    def volumes(self, prefix: str, names: tuple[str, ...], image: str) -> Iterator[dict[str, str]]:
        """Fresh volumes that any user of a container may write to; they hold ciphertext only."""
        made = {name: f"{prefix}-{name}" for name in names}
        try:
            for volume in made.values():
                self.engine.remove_volume(volume)
                self.engine.make_volume(volume, self.labels)
            paths = {volume: f"/volumes/{name}" for name, volume in made.items()}
            with self.engine.create(image, ["-"], entrypoint=[], volumes=paths, labels=self.labels) as holder:
                holder.put("/volumes", _open_folders(names))
            yield made
        finally:
            for volume in made.values():
                self.engine.remove_volume(volume)

    def run(
        self, stage: Stage, emit: Callable[[Event], None], attested: Callable[[], None], cancel: Cancel
    ) -> Ended:
        """Run a stage to its end. Cancelled: it was stopped."""
        environment = {
            "SCONE_MODE": "auto",
            "SCONE_CONFIG_ID": stage.config_id,
            "SCONE_CAS_ADDR": "cas",
            "SCONE_LAS_ADDR": "las",
        }
        if stage.heap is not None:
            environment["SCONE_HEAP"] = str(stage.heap)
        container = self.engine.create(
            stage.image,
            network=self.network,
            labels=self.labels,
            environment=environment,
            volumes={volume: f"{VOLUMES}/{name}" for name, volume in stage.volumes.items()},
            memory=stage.memory,
            shm_size=SHARED,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            pids_limit=PROCESSES,
            log_config={"type": "json-file", "config": {"max-size": "1m"}},
        )
        with container, cancel.on(container.kill):
            if stage.internet:
                self.engine.api.connect_container_to_network(container.id, "bridge")
            return _follow(container, stage, emit, attested, cancel)


def _follow(
    container: Container,
    stage: Stage,
    emit: Callable[[Event], None],
    attested: Callable[[], None],
    cancel: Cancel,
) -> Ended:
    lines: queue.Queue[tuple[str, str] | None] = queue.Queue(10_000)
    output = container.lines()

    def read() -> None:
        try:
            for line in output:
                lines.put(line)
        finally:
            lines.put(None)

    timed_out = threading.Event()

    def late() -> None:
        timed_out.set()
        container.kill()

    timer = threading.Timer(stage.seconds, late)
    reader = threading.Thread(target=read, daemon=True, name=f"lines-{stage.name}")
    tail: deque[str] = deque(maxlen=40)
    said = {"out": "", "err": ""}
    cancel.check()
    container.start()
    timer.start()
    reader.start()
    try:
        for stream, text in _batches(lines):
            tail.extend(text)
            spoken = [line.strip() for line in text if line.strip() and not line.startswith(RUNTIME)]
            said[stream] = spoken[-1] if spoken else said[stream]
            emit(Lines(task=stage.name, stream="err" if stream == "err" else "out", text=text))
            if any(ATTESTED in line for line in text):
                attested()
        code = container.wait(30)
    finally:
        timer.cancel()
    cancel.check()
    state = container.inspect()["State"]
    return Ended(
        code=-1 if code is None else code,
        tail=tuple(tail),
        complaint=said["err"] or said["out"],
        timed_out=timed_out.is_set(),
        out_of_memory=bool(state.get("OOMKilled")),
    )


def _batches(lines: queue.Queue[tuple[str, str] | None]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Lines of one stream together, at most `_FLUSH` seconds late: never an event a line under a flood."""
    stream, held, since = "out", list[str](), 0.0
    while True:
        try:
            item = lines.get(timeout=_FLUSH if held else None)
        except queue.Empty:
            item = ("", "")
        now = time.monotonic()
        if held and (item is None or item[0] != stream or len(held) >= _BATCH or now - since > _FLUSH):
            yield stream, tuple(held)
            held = []
        if item is None:
            return
        if item[0]:
            if not held:
                stream, since = item[0], now
            held.append(item[1])


def _open_folders(names: tuple[str, ...]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o777
            archive.addfile(entry)
    return buffer.getvalue()
