"""A user's machine for the tests: empty folders, one localnet that stays up, and the command `creamtea`.

Everything here goes through the installed program as a subprocess. What it makes in the container engine is
remembered and removed at the end, and what it leaves behind is an error.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import tarfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import user
from tests.e2e.contract import Event, Run, checked
from workflows.containers.engine import Engine
from workflows.core.failure import Failed

PROGRAM = Path(sys.executable).with_name("creamtea")
LABEL = "creamtea.localnet"
PATIENCE = 240.0  # seconds until a process that hangs is killed; never what a test asserts


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    def document(self) -> dict[str, Any]:
        """Its one JSON document."""
        assert self.out.count("\n") == 1, f"not one line: {self.out[:2000]}\n{self.err}"
        found = json.loads(self.out)
        assert found["v"] == 1
        return dict(found)

    def run(self) -> Run:
        """Its NDJSON, every line checked against the contract."""
        return checked(self.out)


class Live:
    """A command that is still running, followed line by line."""

    def __init__(self, words: Sequence[str], env: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            words, env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True, umask=0,
        )  # fmt: skip
        self.lines: list[str] = []
        self._err: list[str] = []
        self._new: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=body, daemon=True) for body in (self._read, self._drain)]
        for thread in self._threads:
            thread.start()
        self._late = threading.Timer(PATIENCE, self.process.kill)
        self._late.daemon = True
        self._late.start()

    def until(self, wanted: Callable[[Event], bool]) -> Event:
        """The first event from here on that is wanted."""
        while (line := self._new.get()) is not None:
            event: Event = json.loads(line)
            if wanted(event):
                return event
        raise AssertionError(f"it ended before: {''.join(self.lines[-5:])} {''.join(self._err)}")

    def signal(self, number: int) -> None:
        """Send a signal to the program alone."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """As a power cut: no handler runs."""
        self.process.send_signal(signal.SIGKILL)

    def end(self) -> Ended:
        """Wait for its end."""
        code = self.process.wait()
        for thread in self._threads:
            thread.join()
        self._late.cancel()
        return Ended(code, "".join(self.lines), "".join(self._err))

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            self._new.put(line)
        self._new.put(None)

    def _drain(self) -> None:
        assert self.process.stderr is not None
        self._err.extend(self.process.stderr)


@dataclass
class House:
    """`home` holds all of it; `env` is what every command gets."""

    home: Path
    env: dict[str, str]
    engine: Engine
    made: set[str] = field(default_factory=set)

    @property
    def state(self) -> Path:
        """The localnet's state folder."""
        return Path(self.env["CREAMTEA_LOCALNET"])

    def creamtea(self, *words: str | Path, env: Mapping[str, str] | None = None) -> Ended:
        """Run one command to its end."""
        return self.start(*words, env=env).end()

    def start(self, *words: str | Path, env: Mapping[str, str] | None = None) -> Live:
        """Start one command."""
        return Live([str(PROGRAM), *map(str, words)], {**self.env, **(env or {})})

    def onboard(
        self,
        project: Path,
        *words: str | Path,
        workflow: str = "onboard",
        env: Mapping[str, str] | None = None,
    ) -> Ended:
        """`creamtea run onboard --json --yes` on a project; its images are removed at the end."""
        ended = self.creamtea("run", workflow, "--project", project, "--json", "--yes", *words, env=env)
        self.remember(ended)
        return ended

    def resume(self, project: Path, *words: str | Path, env: Mapping[str, str] | None = None) -> Ended:
        """`creamtea resume --json --yes`."""
        ended = self.creamtea("resume", "--project", project, "--json", "--yes", *words, env=env)
        self.remember(ended)
        return ended

    def remember(self, ended: Ended) -> None:
        """Note which images a run made."""
        for line in ended.out.splitlines():
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if event.get("type") == "step_ended":
                    found = event["outputs"]
                    self.made |= {found[name] for name in ("image_id", "image") if found.get(name)}
                    if found.get("stand_in"):
                        self.made.add(found["used"])

    def image(self, name: str) -> str:
        """A name for an image of this session, removed at the end."""
        tag = f"creamtea-e2e/{name}:{secrets.token_hex(3)}"
        self.made.add(tag)
        return tag

    def of_localnet(self, pid: int) -> list[dict[str, Any]]:
        """The containers, relay included, that the localnet with this process has started."""
        return [
            it for it in self.engine.api.containers(all=True, filters={"label": LABEL}) if _owned(it, pid)
        ]

    def leftovers(self, pid: int | None = None) -> list[str]:
        """Containers of images made here; of a localnet's process also its containers, networks and volumes."""
        api = self.engine.api
        records = [] if pid is None else self.of_localnet(pid)
        for image in self.made:
            if self.engine.exists(image):
                records += api.containers(all=True, filters={"ancestor": image})
        found = {record["Id"]: str(record["Names"][0]) for record in records}
        others = [
            *api.networks(filters={"label": LABEL}),
            *(api.volumes(filters={"label": LABEL}).get("Volumes") or ()),
        ]
        return [*found.values(), *(it["Name"] for it in others if pid is not None and _owned(it, pid))]

    def room(self, pid: int) -> list[str]:
        """What the tasks of a running localnet have left: all that is not its relay and its network."""
        return [
            name for name in self.leftovers(pid) if not name.endswith("-relay") and "-" in name.strip("/")[9:]
        ]

    def altered(self, image: str, *changes: str, files: Mapping[str, bytes] | None = None) -> str:
        """An image FROM another with other files and settings, under a name of its own; labels are inherited."""
        tag = self.image("altered")
        name, _, version = tag.partition(":")
        with self.engine.create(image, ["-"], entrypoint=[]) as container:
            for path, content in (files or {}).items():
                container.put("/", _tar(path, content))
            record = self.engine.require(image)
            kept = [f"ENTRYPOINT {json.dumps(record.entrypoint)}", "CMD []"]
            self.engine.api.commit(
                container.id, repository=name, tag=version, changes="\n".join([*kept, *changes])
            )
        return tag

    def clean(self) -> None:
        """Remove the images made here, children first."""
        waiting = set(self.made)
        for _ in range(4):
            for image in sorted(waiting):
                with contextlib.suppress(Failed):
                    self.engine.remove(image, force=True)
                    waiting.discard(image)


@contextlib.contextmanager
def machine(home: Path) -> Iterator[House]:
    """A new user's machine; at the end nothing that was made in the engine is left."""
    with Engine.connect() as engine:
        found = House(home, environment(home, user.ENVIRONMENT), engine)
        try:
            yield found
        finally:
            found.clean()


@contextlib.contextmanager
def localnet(house: House, *words: str) -> Iterator[dict[str, Any]]:
    """`creamtea localnet up` in the foreground while inside; its status. Its whole output is kept in files."""
    out, err = house.home / "localnet.out", house.home / "localnet.err"
    with out.open("a") as stdout, err.open("a") as stderr:
        process = subprocess.Popen(
            [str(PROGRAM), "localnet", "up", "--json", *words], env=house.env, stdin=subprocess.DEVNULL, stdout=stdout,
            stderr=stderr, start_new_session=True, umask=0,
        )  # fmt: skip
    try:
        while (ended := house.creamtea("localnet", "status", "--json")).code != 0:
            assert ended.code == 3, ended
            assert process.poll() is None, err.read_text()
        yield ended.document()
    finally:
        if process.poll() is None:
            house.creamtea("localnet", "down", "--json")
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def stages(status: Mapping[str, Any]) -> set[str]:
    """The images that a localnet made for its own stages, once a task was asked for."""
    try:
        with urllib.request.urlopen(f"{status['sms']}/tee/properties/scone/v5.9", timeout=60) as answer:
            found = json.load(answer)
    except urllib.error.HTTPError:
        return set()
    return {str(found[f"{name}ComputeProperties"]["image"]) for name in ("pre", "post")}


def environment(home: Path, user: Mapping[str, str]) -> dict[str, str]:
    """The variables of a new user whose caches are filled already: nothing of `user` but caches and tools."""
    kept = {name: value for name, value in user.items() if not name.startswith(("CREAMTEA_", "XDG_"))}
    kept.pop("NO_COLOR", None)
    cache = user.get("XDG_CACHE_HOME") or str(Path(user.get("HOME", "/")) / ".cache")
    folders = {f"XDG_{name}_HOME": str(home / name.lower()) for name in ("DATA", "CONFIG", "STATE")}
    return {
        **kept, **folders, "HOME": str(home), "XDG_CACHE_HOME": cache, "CREAMTEA_LOCALNET": str(home / "localnet"),
        "PYTHONWARNINGS": "error::ResourceWarning" if os.environ.get("E2E_STRICT") else "", "CI": "1",
    }  # fmt: skip


def _tar(path: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.size, entry.mode = len(content), 0o755
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _owned(record: Mapping[str, Any], pid: int) -> bool:
    return str((record.get("Labels") or {}).get(LABEL, "")).rpartition(".")[2] == str(pid)
