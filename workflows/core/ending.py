"""How the program is told to end, and that it does: by a signal, or because nobody reads it any more."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from workflows.core.failure import Cancelled

SIGNALS = (signal.SIGTERM, signal.SIGHUP)
PATIENCE = 2.0  # seconds that a step has to clean up after one of them
_REST = 1.0  # and all the rest of the program after that


@contextlib.contextmanager
def on_signals(handler: Callable[[int, FrameType | None], object], *numbers: int) -> Iterator[None]:
    """While inside, these signals call the handler. SIGHUP stays ignored where it is: that is what nohup is for."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in numbers:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def once() -> Callable[[int, FrameType | None], None]:
    """A handler that raises KeyboardInterrupt the first time: who closes a terminal sends SIGHUP more than once."""
    told = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal told
        if not told:
            told = True
            raise KeyboardInterrupt

    return interrupt


def at_the_latest(over: threading.Event, insist: Callable[[], object]) -> None:
    """`insist` once the patience is at its end, and soon after that the process is gone, unless it is `over`."""

    def watch() -> None:
        if not over.wait(PATIENCE):
            insist()
        if not over.wait(_REST):
            os._exit(Cancelled.exit_code)

    threading.Thread(target=watch, name="ending", daemon=True).start()


def gone(descriptor: int) -> bool:
    """Whether there is nobody at the other end: a pipe without a reader, a terminal that was closed."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(state & (select.POLLERR | select.POLLHUP) for _, state in poll.poll(0))


def unread() -> bool:
    """Whether nobody reads standard output, or standard error."""
    return gone(1) or gone(2)


def hush() -> None:
    """What goes to a standard stream that takes nothing any more goes nowhere from now on."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
