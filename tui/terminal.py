"""Textual's driver of the terminal, for a terminal that may go away."""

from __future__ import annotations

from contextlib import suppress
from typing import IO, Any, cast

from textual.drivers.linux_driver import LinuxDriver

from workflows.core.ending import gone


class Terminal(LinuxDriver):
    """Writes to a terminal that is gone go nowhere.

    In Textual 8.2.8 the first of them ends the thread that writes (`drivers/_writer_thread.py`), and once the thirty
    that it keeps are there, the next one blocks the event loop for good, signals and all.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._file: Any = _Output(cast(IO[str], self._file))

    @property
    def gone(self) -> bool:
        """Whether nobody is at the other end any more."""
        return self.input_tty and gone(self.fileno)

    def _sigcont_application(self, *arguments: Any) -> None:
        if not self.gone:  # the kernel sends SIGCONT after SIGHUP, so that who is stopped hears of it
            super()._sigcont_application(*arguments)


class _Output:
    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._file.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._file.flush()

    def fileno(self) -> int:
        return self._file.fileno()
