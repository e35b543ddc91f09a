"""The plain face of a run: lines for people, NDJSON for programs, prompts on a terminal."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from workflows.core.events import (
    Asked,
    Event,
    Lines,
    Noted,
    Progress,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
    TaskChanged,
    to_json,
)
from workflows.core.failure import Cancelled, Failed, Missing
from workflows.core.text import clean, size

if TYPE_CHECKING:
    from workflows.core.fields import Field, Filled
    from workflows.core.step import Cancel, Context, Step

MARKS = {"waiting": "○", "running": "◐", "done": "✓", "cached": "✓", "failed": "✗", "cancelled": "■"}
_KEPT_LINES = 2000
_TITLE = 90


class JsonPrinter:
    """Each event as one line of JSON, flushed at once."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __call__(self, event: Event) -> None:
        self._out.write(to_json(event) + "\n")
        self._out.flush()


class PlainPrinter:
    """One line for each change of state; the whole log of a failed task; last of all where the log is."""

    def __init__(self, out: TextIO, steps: Sequence[Step], *, verbose: bool = False) -> None:
        self._out = out
        self._verbose = verbose
        self._live = out.isatty()
        self._order = {step.id: index for index, step in enumerate(steps, start=1)}
        self._heading = {step.id: step.heading for step in steps}
        self._titles: dict[str, str] = {}
        self._lines: dict[str, list[str]] = {}
        self._bar = False

    def __call__(self, event: Event) -> None:
        handler = getattr(self, f"_on_{event.type}", None)
        if handler is not None:
            handler(event)
            self._out.flush()

    def clear(self) -> None:
        """Take a progress line away, so that something else may be printed."""
        if self._bar:
            self._out.write("\r\x1b[K")
            self._out.flush()
            self._bar = False

    def _say(self, text: str = "") -> None:
        self.clear()
        self._out.write(text + "\n")

    def _on_run_started(self, event: RunStarted) -> None:
        self._say(f"{event.workflow} · {clean(event.project)}")

    def _on_step_started(self, event: StepStarted) -> None:
        self._titles, self._lines = {}, {}
        step = event.step or ""
        number = f"{self._order[step]}/{len(self._order)} " if step in self._order else ""
        self._say(f"\n▸ {number}{self._heading.get(step, event.title)}")
        for line in event.command.splitlines():
            self._say(f"  $ {line}")

    def _on_task_changed(self, event: TaskChanged) -> None:
        self._titles[event.task] = event.title
        if event.state in ("waiting", "running") and not (self._verbose and event.state == "running"):
            return
        tail = "  cached" if event.state == "cached" else ""
        if event.detail:
            tail += f"  {event.detail}"
        self._say(f"  {MARKS[event.state]} {_short(event.title)}{tail}")

    def _on_lines(self, event: Lines) -> None:
        kept = self._lines.setdefault(event.task, [])
        kept.extend(event.text)
        del kept[:-_KEPT_LINES]
        if self._verbose:
            for line in event.text:
                self._say(f"    {event.task} │ {line}")

    def _on_progress(self, event: Progress) -> None:
        if not self._live:
            return
        done = size(event.done) if event.unit == "bytes" else f"{event.done} {event.unit}"
        share = f" {100 * event.done // event.total}%" if event.total else ""
        self._out.write(f"\r\x1b[K  ◐ {self._titles.get(event.task, event.task)}  {done}{share}")
        self._bar = True

    def _on_asked(self, event: Asked) -> None:
        self._say(f"  ? {event.question}")

    def _on_noted(self, event: Noted) -> None:
        mark = {"info": "·", "warning": "!", "error": "✗"}[event.level]
        first, *rest = event.text.splitlines() or [""]
        self._say(f"  {mark} {first}")
        for line in rest:
            self._say(f"    {line}")
        if event.hint:
            self._say(f"    → {event.hint}")

    def _on_step_ended(self, event: StepEnded) -> None:
        if event.outcome == "skipped":
            self._say("  ✓ nothing to do")
        elif event.outcome == "done":
            self._say(f"  ✓ done in {event.seconds:.1f} s")
        elif event.error is not None:
            if not self._verbose:
                self._failed_log()
            self._say(f"  ✗ {event.error['message']}")
            if event.error.get("hint"):
                self._say(f"    → {event.error['hint']}")

    def _failed_log(self) -> None:
        for task, lines in self._lines.items():
            self._say(f"  ── {_short(self._titles.get(task, task))}")
            for line in lines:
                self._say(f"    {line}")

    def _on_run_ended(self, event: RunEnded) -> None:
        self._say(f"\n{event.outcome} in {event.seconds:.1f} s of work")
        if event.outcome != "done":
            self._say("go on with: creamtea resume")
        if event.log:
            self._say(f"log: {clean(event.log)}")


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

            with interruptible():
                try:
                    return getpass.getpass(f"  {asked.question}: ")
                except EOFError:
                    raise Cancelled("the input ended") from None
        reply = self._read(f"  {asked.question} [{'y/N' if asked.kind == 'confirm' else ''}] ")
        return reply.lower() in ("y", "yes") if asked.kind == "confirm" else reply

    def _edit(self, asked: Asked) -> str:
        """Show a document and let it be edited with the person's editor."""
        import shlex
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
        with interruptible():
            self._cancel.check()  # asked for before we listened
            self._out.write(prompt)
            self._out.flush()
            line = sys.stdin.readline()
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


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C ends the waiting for a person at once; elsewhere it only asks the step to stop."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        raise Cancelled from None
    finally:
        signal.signal(signal.SIGINT, before)


def _short(title: str) -> str:
    return title if len(title) <= _TITLE else title[: _TITLE - 1] + "…"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) and "\n" in value:
        return f"{len(value.splitlines())} lines"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
