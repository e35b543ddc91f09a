"""A run or a recording on the plain face: its printer, who answers, what interrupts it."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from workflows.cli import options as taken
from workflows.cli import program
from workflows.cli.parser import PROGRAM
from workflows.core import ending

if TYPE_CHECKING:
    from workflows.core.events import Event
    from workflows.core.step import Context


def run(words: Sequence[str]) -> int:
    """`creamtea run WORDS`; the exit code."""
    return _run(taken.parse_run(words))


def resume(words: Sequence[str]) -> int:
    """`creamtea resume WORDS`: the last run of the project goes on; the exit code."""
    return _run(taken.parse_resume(words))


def replay(words: Sequence[str]) -> int:
    """`creamtea replay WORDS`: a recording, printed."""
    from workflows.cli.printers import JsonPrinter, PlainPrinter
    from workflows.core import record

    options = taken.parse_replay(words)
    steps = program.catalog().steps
    printer = JsonPrinter(sys.stdout) if options.json else PlainPrinter(sys.stdout, steps, verbose=True)
    record.replay(options.file, printer, options.speed)
    return 0


def _run(options: argparse.Namespace) -> int:
    from workflows.cli.person import Prompts, Unattended, agreed, asks
    from workflows.cli.prepare import prepare
    from workflows.cli.printers import JsonPrinter, PlainPrinter
    from workflows.core.engine import Engine
    from workflows.core.record import Recorder

    agreed(options)
    ask = asks(options)
    if options.workflow == "demo":
        ask, options.yes = False, True
    steps, ctx = prepare(options, interactive=ask)
    printer = (
        JsonPrinter(sys.stdout) if options.json else PlainPrinter(sys.stdout, steps, verbose=options.verbose)
    )
    answers = Prompts(ctx, sys.stdout, yes=options.yes) if ask else Unattended(yes=options.yes)
    with ctx.journal.lock(), contextlib.closing(Recorder(ctx.run_dir)) as recorder, interrupts(ctx):

        def emit(event: Event) -> None:
            recorder(event)
            try:
                printer(event)
            except OSError as error:  # who does not read does not want the rest of it either
                unread = ending.unread()
                ending.hush()
                ctx.cancel.set()
                if not unread:
                    print(f"{PROGRAM}: standard output: {error.strerror}", file=sys.stderr)

        engine = Engine(steps, ctx, emit, answers, given=options.given, environ=os.environ)
        return engine.run(start=options.start, only=options.only, force=options.force)


@contextlib.contextmanager
def interrupts(ctx: Context) -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP cancel the running step; a second one ends the program.

    After a signal from outside nobody may be there to send the second one: it comes by itself.
    """
    import _thread
    import signal
    import threading

    asked, over = False, threading.Event()

    def stop(number: int, _frame: object) -> None:
        nonlocal asked
        if asked and number == signal.SIGHUP:
            return  # a terminal that is closed sends it more than once
        if asked:
            raise KeyboardInterrupt
        asked = True
        # Not here: what it calls may want a lock that this very thread holds.
        _thread.start_new_thread(ctx.cancel.set, ())
        if number in ending.SIGNALS:
            ending.at_the_latest(over, lambda: os.kill(os.getpid(), signal.SIGTERM))

    with ending.on_signals(stop, signal.SIGINT, *ending.SIGNALS):
        try:
            yield
        finally:
            over.set()
