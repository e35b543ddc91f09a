"""The headless face: arguments, plain lines, NDJSON, exit codes. Here: what a line asks for, and how it ends."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from workflows.cli import program
from workflows.cli.document import show
from workflows.cli.parser import PROGRAM
from workflows.core import ending
from workflows.core.failure import Cancelled, Failed, Missing
from workflows.core.text import clean


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code of contracts.md."""
    words = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in words
    for stream in (sys.stdout, sys.stderr):
        # What a locale or a file's name cannot say must not end a run.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        with ending.on_signals(ending.once(), *ending.SIGNALS):
            code = _ended(words, as_json)
            sys.stdout.flush()  # while it can still be told that nobody reads it
            return code
    except KeyboardInterrupt:
        return Cancelled.exit_code
    except OSError as error:
        unread = ending.unread()
        ending.hush()
        if unread:
            return Cancelled.exit_code
        return explain(Failed(f"standard output: {error.strerror}", "look at what it is redirected to"))


def _ended(words: list[str], as_json: bool) -> int:
    """The exit code of one command line that went well, or whose failure is told."""
    try:
        return _dispatch(words)
    except Failed as failure:
        return explain(failure, as_json)
    except Exception as error:
        if isinstance(error, OSError) and ending.unread():
            raise
        if os.environ.get("CREAMTEA_DEBUG"):
            raise
        from workflows.core.stumbled import stumbled

        return explain(stumbled(error), as_json)


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(program.overview())
        return 0 if words else Missing.exit_code
    if words[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(f"{PROGRAM} {version(PROGRAM)}")
        return 0
    name, rest = words[0], words[1:]
    if name in ("run", "resume", "replay"):
        from workflows.cli import run

        return {"run": run.run, "resume": run.resume, "replay": run.replay}[name](rest)
    if name in ("runs", "steps"):
        from workflows.cli import lists

        return {"runs": lists.runs, "steps": lists.steps}[name](rest)
    from workflows.cli import command

    return command.run(program.command(name), rest)


def explain(failure: Failed, as_json: bool = False) -> int:
    """Tell what ended the program early, on stderr (and as a document); its exit code."""
    message, told = clean(failure.message), clean(failure.hint)
    if as_json:
        show({"error": {"name": failure.name, "message": message, "hint": told}})
    hint = f"\n  → {told}" if told else ""
    print(f"{PROGRAM}: {message}{hint}", file=sys.stderr)
    return failure.exit_code
