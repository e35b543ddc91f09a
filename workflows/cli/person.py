"""Who answers on the plain face: nobody, or a person at a terminal, a line at a time."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from workflows.cli.parser import HERE, PROGRAM
from workflows.core import ending
from workflows.core.failure import Cancelled, Failed, Missing
from workflows.core.text import clean

if TYPE_CHECKING:
    from workflows.core.events import Asked
    from workflows.core.fields import Field, Filled
    from workflows.core.step import Cancel, Context, Step


class Unattended:
    """Nobody can be asked: defaults are taken, `yes` confirms, anything else is missing."""

    def __init__(self, *, yes: bool) -> None:
        self._yes = yes

    def fill(self, step: Step, form: Sequence[Filled]) -> Mapping[str, Any]:
        return {filled.field.name: filled.value for filled in form}

    def answer(self, asked: Asked) -> Any:
        if asked.kind == "confirm" and self._yes:
            return True
        if asked.default is not None:
            return asked.default
        if asked.kind == "confirm":
            raise Missing(
                f"not confirmed: {asked.question}",
                "give --yes to confirm, or run on a terminal",
                name="unconfirmed",
            )
        named = "--" + asked.field.replace("_", "-") + ("-file" if asked.kind == "secret" else "")
        raise Missing(
            f"{asked.question}: nobody can be asked here", f"give {asked.flag or named}", name="missing"
        )

    def failed(self, step: Step, failure: Failed) -> Literal["retry", "stop"]:
        return "stop"


class Person(Unattended):
    """A person at a terminal without the full screen, who answers a question a line."""

    def __init__(self, out: TextIO, cancel: Cancel, *, yes: bool) -> None:
        super().__init__(yes=yes)
        self._out = out
        self._cancel = cancel

    def answer(self, asked: Asked) -> Any:
        if asked.kind == "confirm" and self._yes:
            return True
        if asked.kind == "document":
            return self._edit(asked)
        if asked.kind == "secret":
            import getpass

            return interruptibly(lambda: getpass.getpass(f"  {asked.question}: "))
        reply = self._read(f"  {asked.question} [{'y/N' if asked.kind == 'confirm' else ''}] ")
        return reply.lower() in ("y", "yes") if asked.kind == "confirm" else reply

    def _edit(self, asked: Asked) -> str:
        """Show a document and let it be edited with the person's editor."""
        import subprocess
        import tempfile

        text = asked.default or ""
        self._out.write("".join(f"    {line}\n" for line in text.splitlines()))
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
        if self._yes or not editor:
            return text
        if self._read(f"  edit it with {clean(editor)}? [y/N] ").lower() not in ("y", "yes"):
            return text
        with tempfile.NamedTemporaryFile("w+", suffix=f".{asked.field}") as file:
            file.write(text)
            file.flush()
            try:
                subprocess.run([*shlex.split(editor), file.name], check=False)
                return Path(file.name).read_text()
            except (OSError, ValueError) as error:
                raise Missing(
                    f"{editor} cannot edit this: {error}", "set EDITOR to an editor of text", name="editor"
                ) from None

    def _read(self, prompt: str) -> str:
        def read() -> str:
            self._cancel.check()  # asked for before we listened
            self._out.write(prompt)
            self._out.flush()
            return sys.stdin.readline()

        line = interruptibly(read)
        if not line:
            raise Cancelled("the input ended")
        return line.strip()


class Prompts(Person):
    """A person who fills in the fields of steps too: a field a line, Enter takes what is in brackets."""

    def __init__(self, ctx: Context, out: TextIO, *, yes: bool) -> None:
        super().__init__(out, ctx.cancel, yes=yes)
        self._ctx = ctx

    def fill(self, step: Step, form: Sequence[Filled]) -> Mapping[str, Any]:
        values: dict[str, Any] = {}
        for filled in form:
            settled = filled.source in ("flag", "environment", "manifest", "asked") or self._yes
            if filled.problem is None and settled:
                values[filled.field.name] = filled.value
            else:
                values[filled.field.name] = self._ask(filled)
        return values

    def _ask(self, filled: Filled) -> Any:
        field, value = filled.field, filled.value
        problem = filled.problem if filled.source != "none" else None
        if problem and not field.required:
            value = None  # Enter goes on without what cannot be used
        self._introduce(field)
        while True:
            if problem:
                self._out.write(f"  ✗ {problem}\n")
            shown = "" if value in (None, "", []) else f" [{_shown(value)}]"
            reply = self._read(f"  {field.label}{shown}: ")
            try:
                return field.parse(reply if reply else value, self._ctx)
            except ValueError as error:
                problem = str(error)

    def _introduce(self, field: Field) -> None:
        if field.help:
            self._out.write(f"  · {field.help}\n")
        choices = field.choices(self._ctx)
        for choice in choices[:12]:
            note = f"  {choice.note}" if choice.note else ""
            self._out.write(f"      {choice.value}{note}\n")
        if len(choices) > 12:
            self._out.write(f"      … {len(choices) - 12} more\n")


def interruptibly(read: Callable[[], str]) -> str:
    """What a person types. Ctrl-C, and what ends the program, end the waiting for it at once.

    Elsewhere they only ask the step to stop. Cancelled then, and when the input or the terminal is at its end.
    """
    try:  # around the handlers, too: a signal may come while they are put back
        with ending.on_signals(ending.once(), signal.SIGINT, *ending.SIGNALS):
            return read()
    except KeyboardInterrupt:
        raise Cancelled from None
    except EOFError:
        raise Cancelled("the input ended") from None
    except OSError:
        if not ending.gone(0):
            raise
        raise Cancelled("the terminal is gone") from None


def asks(options: argparse.Namespace) -> bool:
    """Whether a person can be asked: `options` of `parse_run`."""
    return not options.yes and not options.json and sys.stdin.isatty() and sys.stdout.isatty()


def agreed(options: argparse.Namespace) -> None:
    """Stop before anything is written into a folder that is hardly a project, unless a person wants it.

    On a terminal that is asked; elsewhere the folder has to be named, and then there is a warning. `options` of
    `parse_run`. Cancelled when the person says no, Missing when nobody can be asked.
    """
    from workflows.core import folders

    if options.workflow == "demo" and options.project == Path():
        return  # it has a folder of its own
    folder = options.project.expanduser().resolve()
    told = folders.warning(folder)
    if told is None:
        return
    if not asks(options) and options.project is HERE:
        raise Missing(
            told,
            f"start {PROGRAM} in your app's folder or name that with --project; --project {shlex.quote(str(folder))} "
            "goes on here all the same",
            name="unlikely_folder",
        )
    print(f"{PROGRAM}: {clean(told)}\n  → --project names another folder", file=sys.stderr)
    if asks(options):
        print("go on all the same? [y/N] ", end="", flush=True)
        reply = interruptibly(sys.stdin.readline)
        if reply.strip().lower() not in ("y", "yes"):
            raise Cancelled("nothing was written", f"{PROGRAM} run {options.workflow} --project DIR")


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) and "\n" in value:
        return f"{len(value.splitlines())} lines"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
