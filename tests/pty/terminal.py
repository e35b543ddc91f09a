"""A terminal for tests: the program runs in a pseudo-terminal, keys go in, pyte draws what comes out."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import pyte

KEYS = {
    "enter": "\r", "escape": "\x1b", "tab": "\t", "up": "\x1b[A", "down": "\x1b[B", "left": "\x1b[D", "right": "\x1b[C",
    "ctrl+c": "\x03", "ctrl+p": "\x10", "ctrl+q": "\x11", "ctrl+r": "\x12", "pagedown": "\x1b[6~",
}  # fmt: skip
PATIENCE = 60.0  # seconds before a text that does not come fails the test


class Terminal:
    """`creamtea` with these words in a terminal of this size (or another Python `program`); leaves no process."""

    def __init__(
        self,
        words: Sequence[str],
        *,
        size: tuple[int, int] = (80, 24),
        environ: Mapping[str, str] | None = None,
        folder: Path | None = None,
        program: Sequence[str] = ("-m", "tui"),
    ) -> None:
        self.screen = pyte.Screen(*size)
        self.raw = b""
        self.status: int | None = None
        self._stream = pyte.ByteStream(self.screen)
        env = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **(environ or {})}
        for name in ("CI", "NO_COLOR"):
            if environ is None or name not in environ:
                env.pop(name, None)
        self.pid, self._fd = pty.fork()
        if self.pid == 0:  # pragma: no cover - the child
            signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever the tests run under
            if folder is not None:
                os.chdir(folder)
            os.execve(sys.executable, [sys.executable, *program, *words], env)
        self.before = termios.tcgetattr(self._fd)
        self.resize(*size)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        self.hang_up()

    @property
    def text(self) -> str:
        """The screen as it stands."""
        return "\n".join(self.screen.display)

    def resize(self, columns: int, rows: int) -> None:
        """Change the terminal's size, as a window manager does."""
        self.screen.resize(rows, columns)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, *keys: str) -> None:
        """Type keys by name, or texts."""
        for key in keys:
            os.write(self._fd, KEYS.get(key, key).encode())
            self.read(0.05)

    def until(self, *texts: str, patience: float = PATIENCE) -> str:
        """Read until one of these texts is on the screen; which one."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            found = next((text for text in texts if text in self.text), None)
            if found is not None:
                for _ in range(10):  # the rest of the same frame
                    if not self.read(0.05):
                        break
                return found
            if not self.read(0.1) and self.status is not None:
                break
        raise AssertionError(f"{texts} did not come:\n{self.text}")

    def read(self, seconds: float) -> bool:
        """Read what comes within so many seconds; whether anything came."""
        if self._fd < 0:
            time.sleep(seconds)
            return False
        ready, _, _ = select.select([self._fd], [], [], seconds)
        if not ready:
            return False
        try:
            data = os.read(self._fd, 1 << 16)
        except OSError:
            data = b""
        if not data:
            self._reap()
            return False
        self.raw += data
        self._stream.feed(data)
        return True

    def hang_up(self) -> None:
        """Close the terminal, as who closes its window does."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def over(self) -> bool:
        """Whether the program ended, without reading a word of it."""
        if self.status is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def end(self, patience: float = PATIENCE) -> int:
        """Read until the program ended; its exit code, or minus the signal that killed it."""
        deadline = time.monotonic() + patience
        while self.status is None:
            if time.monotonic() > deadline:
                raise AssertionError(f"it did not end:\n{self.text}")
            if not self.read(0.1) and self.over:
                while self.read(0.1):
                    pass
        return self.status

    def _reap(self) -> None:
        if self.status is None:
            _, status = os.waitpid(self.pid, 0)
            self.status = os.waitstatus_to_exitcode(status)

    @property
    def restored(self) -> bool:
        """Whether the terminal is as it was: the main screen, a cursor, no mouse, the old modes of the line."""
        return (
            self.raw.rfind(b"\x1b[?1049l") > self.raw.rfind(b"\x1b[?1049h") >= 0
            and self.raw.rfind(b"\x1b[?25h") > self.raw.rfind(b"\x1b[?25l")
            and self.raw.rfind(b"\x1b[?1000l") > self.raw.rfind(b"\x1b[?1000h")
            and termios.tcgetattr(self._fd)[:4] == self.before[:4]
        )
