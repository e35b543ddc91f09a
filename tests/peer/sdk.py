"""The official client, `iexec` from npm: its command line and its library, as a user has them."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import user
from workflows.core.files import private_dir
from workflows.core.text import clean
from workflows.localnet import toolchain

_HERE = Path(__file__).parent
LOCK = _HERE / "package-lock.json"
PATIENCE = 120.0  # seconds until a call that hangs is ended; never what a test asserts
KEYS = ("--keystoredir", "keystore", "--password", "localnet")  # what `creamtea localnet export` made


Words = tuple["str | Path", ...]


class Refused(Exception):  # noqa: N818 - what the library throws
    """An error of the library: its message."""


@dataclass(frozen=True)
class Sdk:
    """Installed in `home`; `env` is what its processes get."""

    home: Path
    env: Mapping[str, str]

    def run(self, folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """One command to its end, in a folder."""
        program = self.home / "node_modules/iexec/dist/esm/cli/cmd/iexec.js"
        argv = [_node(), str(program), *map(str, words)]
        return subprocess.run(
            argv, cwd=folder, env=dict(self.env), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=PATIENCE,
        )  # fmt: skip

    def ask(self, folder: Path, *words: str | Path) -> dict[str, Any]:
        """The document of a command that succeeds."""
        ended = self.run(folder, *words, "--raw")
        assert ended.returncode == 0, ended.stderr + ended.stdout
        document: dict[str, Any] = json.loads(ended.stdout)
        assert document["ok"] is True
        return document

    def told(self, folder: Path, *words: str | Path, code: int = 0) -> str:
        """What a command prints, with the exit code that it must have."""
        ended = self.run(folder, *words, "--quiet")
        text = "\n".join(clean(line) for line in (ended.stdout + ended.stderr).splitlines())
        assert ended.returncode == code, text
        return text

    def each_told(self, folder: Path, expected: Mapping[Words, str], code: int = 0) -> None:
        """Commands that do not touch each other, all at once: each prints its text and ends with this code."""
        with ThreadPoolExecutor(max_workers=2) as pool:
            printed = pool.map(lambda words: self.told(folder, *words, code=code), expected)
            for words, said in zip(expected, printed, strict=True):
                assert expected[words] in said, f"{words}: {said}"

    @contextmanager
    def library(self, settings: Mapping[str, Any]) -> Iterator[Library]:
        """The library for the localnet of these settings, in a process of its own."""
        argv = [_node(), str(_HERE / "calls.mjs"), str(self.home), json.dumps(settings)]
        with subprocess.Popen(
            argv, env=dict(self.env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                yield Library(process)
            finally:
                process.kill()


@dataclass(frozen=True)
class Library:
    """Calls into the library, each with the key that signs."""

    process: subprocess.Popen[str]

    def call(self, account: Any, name: str, *args: Any) -> Any:
        """The value of `module.method`; Refused with the library's message."""
        assert self.process.stdin is not None and self.process.stdout is not None
        line = json.dumps({"key": "0x" + bytes(account.key).hex(), "call": name, "args": args})
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise Refused(answer["error"]["message"])
        return answer["value"]


def install() -> Path:
    """The folder with the locked packages in the user's cache, filled by npm the first time."""
    from platformdirs import user_cache_path

    with user.settings():
        if toolchain.npm_command() is None:
            toolchain.install_node(lambda _: None)
        kept = private_dir(user_cache_path("creamtea") / "peer")
        home = kept / hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
        with (kept / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two processes of the tests install once
            if not home.is_dir():
                toolchain.fetch(_HERE, home, lambda _: None)
    return home


def _node() -> str:
    found = shutil.which("node")
    return found if found else (toolchain.npm_command() or [""])[0]
