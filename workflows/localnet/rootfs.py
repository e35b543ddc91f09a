"""The root file system of a stand-in base image: from a public image, else from Debian packages.

Whatever the way, the outcome is one tar in the user's cache folder, named by what decides its content.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from workflows.core.command import Emit
from workflows.core.events import Lines, Noted
from workflows.core.failure import Cancelled, Failed, Unavailable
from workflows.core.step import Cancel
from workflows.core.text import LineCutter
from workflows.localnet.leftovers import labels
from workflows.localnet.trim import trim

if TYPE_CHECKING:
    from workflows.containers.engine import Engine

TASK = "root"
PULL_SECONDS = 90.0
_CLEAN_UP_SECONDS = 5.0


@dataclass(frozen=True)
class Recipe:
    """One kind of base out of `bases.toml`; paths as seen inside the image."""

    kind: str
    title: str
    suite: str
    os: str
    public: str
    packages: tuple[str, ...]
    version_of: str
    interpreters: Mapping[str, Mapping[str, Any]]
    drop: tuple[str, ...]
    npm: Mapping[str, str] | None

    @property
    def key(self) -> str:
        """Sixteen hex digits that change with anything that changes the root file system."""
        parts = [2, self.suite, self.packages, self.drop, self.interpreters]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def base_json(self) -> dict[str, Any]:
        """What the runtime and LAS read in the image: which files make the enclave of each interpreter."""
        return {
            "version": 1,
            "os": self.os,
            "stands_in_for": f"a SCONE curated image with {self.title}",
            "interpreters": self.interpreters,
        }


@dataclass(frozen=True)
class Root:
    """A finished root file system: its tar, and the version of its interpreter (`3.11.2`)."""

    tar: Path
    version: str


def build(recipe: Recipe, cache: Path, engine: Engine | None, emit: Emit, cancel: Cancel) -> Root:
    """The root file system of a recipe, from the cache or made now (about half a minute).

    Unavailable: neither the engine nor this machine can make one.
    """
    tar = cache / f"{recipe.kind}-{recipe.key}.tar"
    note = tar.with_suffix(".json")
    if tar.exists() and note.exists():
        return Root(tar, json.loads(note.read_text())["version"])
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="creamtea-root-", dir=cache) as folder:
        raw = _make(recipe, Path(folder), engine, emit, cancel)
        trimmed = Path(folder) / "trimmed.tar"
        version = trim(raw, trimmed, recipe.drop, recipe.base_json(), recipe.version_of)
        note.write_text(json.dumps({"version": version, "packages": recipe.packages}))
        trimmed.replace(tar)
    return Root(tar, version)


def _make(recipe: Recipe, folder: Path, engine: Engine | None, emit: Emit, cancel: Cancel) -> Path:
    raw = folder / "raw.tar"
    reasons = []
    for name, way in (("image", _from_image), ("mmdebstrap", _mmdebstrap), ("debootstrap", _debootstrap)):
        cancel.check()
        try:
            way(recipe, raw, engine, emit, cancel)
            return raw
        except Cancelled:
            raise
        except Exception as error:  # each way fails in ways of its own; the next one is tried
            reasons.append(f"{name}: {error}")
            emit(Noted(text=f"{name} cannot make the root file system: {error}"))
            raw.unlink(missing_ok=True)
    raise Unavailable(
        f"no way to make a root file system with {recipe.title}: " + "; ".join(reasons),
        "Install one of its makers (apt-get install mmdebstrap), or let the engine reach a registry with "
        f"{recipe.public}.",
        name="no_stand_in_root",
    )


def _from_image(recipe: Recipe, raw: Path, engine: Engine | None, emit: Emit, cancel: Cancel) -> None:
    """A public image plus the packages, installed in a throw-away container and exported."""
    if engine is None:
        raise Failed("no container engine")
    if not engine.exists(recipe.public):
        _pull(engine, recipe.public, emit, cancel)
    install = (
        "apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "
        + " ".join(recipe.packages)
    )
    container = engine.create(
        recipe.public,
        ["-ec", install],
        entrypoint=["/bin/sh"],
        network="bridge",
        labels=labels(),
    )
    with container, cancel.on(container.kill):
        lines = container.lines()
        container.start()
        last = ""
        for _, last in lines:
            emit(Lines(task=TASK, text=(last,)))
        code = container.wait()
        cancel.check()
        if code:
            raise Failed(f"apt-get ended with {code} in {recipe.public}: {last}")
        with raw.open("wb") as file:
            for chunk in engine.api.export(container.id):
                file.write(chunk)
                cancel.check()


def _pull(engine: Engine, reference: str, emit: Emit, cancel: Cancel) -> None:
    """Pull, but give up when it takes too long: behind some firewalls a connection just hangs."""
    stop = Cancel()
    timer = threading.Timer(PULL_SECONDS, stop.set)
    timer.start()
    try:
        with cancel.on(stop.set):
            for event in engine.pull(reference, task=TASK, cancel=stop):
                emit(event)
    except Cancelled:
        cancel.check()
        raise Failed(f"{reference} did not arrive within {PULL_SECONDS:.0f} s") from None
    finally:
        timer.cancel()


def _mmdebstrap(recipe: Recipe, raw: Path, engine: Engine | None, emit: Emit, cancel: Cancel) -> None:
    program = _program("mmdebstrap")
    options = ["--variant=apt", "--format=tar", "--include=" + ",".join(recipe.packages)]
    options += ['--aptopt=APT::Install-Recommends "false"']
    options += [f"--dpkgopt=path-exclude=/{path}" for path in recipe.drop if path.startswith("usr/share/")]
    sources = [f"deb {url} {name} main" for url, name in _mirrors(recipe.suite)]
    # In the system's temporary folder and open to pass through: a home is closed to mapped user ids. It is
    # ours to remove, because mmdebstrap that is killed leaves its own.
    with tempfile.TemporaryDirectory(prefix="creamtea-", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o711)
        _run([program, *options, recipe.suite, str(raw), *sources], emit, cancel, TMPDIR=scratch)


def _debootstrap(recipe: Recipe, raw: Path, engine: Engine | None, emit: Emit, cancel: Cancel) -> None:
    program = _program("debootstrap")
    if os.geteuid() != 0:
        raise Failed("needs root")
    folder = raw.parent / "root"
    mirror = [url for url, name in _mirrors(recipe.suite) if name == recipe.suite][:1]
    options = ["--variant=minbase", "--include=" + ",".join(recipe.packages)]
    # Its mounts in a namespace of their own end with it, however it ends.
    _run(
        [_program("unshare"), "--mount", program, *options, recipe.suite, str(folder), *mirror], emit, cancel
    )
    with tarfile.open(raw, "w", format=tarfile.GNU_FORMAT) as archive:
        archive.add(folder, ".")
    shutil.rmtree(folder)


def _mirrors(suite: str) -> list[tuple[str, str]]:
    """(URL, codename) of the package sources that this machine uses for the suite; empty: the tool's own."""
    apt = shutil.which("apt-get")
    if apt is None:
        return []
    done = subprocess.run(
        [apt, "indextargets", "--format", "$(ORIGIN) $(CODENAME) $(COMPONENT) $(REPO_URI)"],
        capture_output=True,
        text=True,
        check=False,
    )
    found = []
    for line in done.stdout.splitlines():
        origin, name, component, url = (*line.split(), "", "", "", "")[:4]
        usable = origin == "Debian" and component == "main" and name.startswith(suite)
        if usable and url.startswith(("http://", "https://")) and (url, name) not in found:
            found.append((url, name))
    return found if any(name == suite for _, name in found) else []


def _program(name: str) -> str:
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise Failed("not installed")
    return path


def _run(argv: list[str], emit: Emit, cancel: Cancel, **environment: str) -> None:
    """Run a program, its output as lines; when cancelled it may clean up after itself and is waited for."""
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "LC_ALL": "C", **environment},
        start_new_session=True,
    )
    end = threading.Thread(target=_end, args=(process,), daemon=True)
    with cancel.on(end.start), process:
        pipe = cast(IO[bytes], process.stdout).fileno()
        last = _show(iter(lambda: os.read(pipe, 65536), b""), emit)
    cancel.check()
    if process.returncode:
        raise Failed(f"ended with {process.returncode}: {last}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """What Ctrl-C does: all of its group stop, it removes what it made; then the end of what is left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_CLEAN_UP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _show(chunks: Iterator[bytes], emit: Emit) -> str:
    cutter = LineCutter()
    last = ""
    for chunk in chunks:
        if lines := cutter.feed(chunk):
            emit(Lines(task=TASK, text=tuple(lines)))
            last = lines[-1]
    if lines := cutter.flush():
        emit(Lines(task=TASK, text=tuple(lines)))
        last = lines[-1]
    return last
