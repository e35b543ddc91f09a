"""Processes of a localnet, watched from outside."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


def until(true: Callable[[], object]) -> None:
    """Wait for something that has to come; the test's own time-out ends it otherwise."""
    while not true():
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """Whether a process is no more; our own child is waited for."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return not Path(f"/proc/{pid}").exists()


def command(*words: str, **env: str) -> subprocess.Popen[str]:
    """`creamtea localnet WORDS`."""
    code = "import sys; from workflows.cli import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", code, "localnet", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
    )
