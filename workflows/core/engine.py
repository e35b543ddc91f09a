"""Runs the steps of a workflow in order and passes their events to whoever listens."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

from workflows.core import events, outside
from workflows.core.catalog import position
from workflows.core.events import Asked, Event, Lines, Noted, RunEnded, RunStarted, StepEnded, StepStarted
from workflows.core.failure import Cancelled, Failed, Missing
from workflows.core.fields import Field, Filled, Source
from workflows.core.masking import masked
from workflows.core.step import Context, Outputs, Step, digest, visible
from workflows.core.stumbled import stumbled, traced
from workflows.core.text import clean


class Back(Exception):  # noqa: N818 - a wish, not an error
    """An answer that says: not this step, an earlier one."""

    def __init__(self, step: str) -> None:
        super().__init__(step)
        self.step = step


class Answers(Protocol):
    """The face's side of questions; called on the engine's thread, may block, may raise Back or Cancelled."""

    def fill(self, step: Step, form: Sequence[Filled]) -> Mapping[str, Any]:
        """The values of a step's fields; `form` has what is known, its source, and what is wrong with it."""

    def answer(self, asked: Asked) -> Any:
        """The answer to one question of a running step: bool for confirm, text otherwise."""

    def failed(self, step: Step, failure: Failed) -> Literal["retry", "stop"]:
        """What to do after a step failed; may raise Back, as `failure.mends` says."""


class Engine:
    """One run of a workflow. `given` holds values from flags, `environ` the variables of the process."""

    def __init__(
        self,
        steps: Sequence[Step],
        ctx: Context,
        emit: Callable[[Event], None],
        answers: Answers,
        *,
        given: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.steps = list(steps)
        self.ctx = ctx
        self.answers = answers
        self.exit_code = 0
        self.failure: Failed | None = None
        self._listener = emit
        self._given = dict(given or {})
        self._environ = dict(environ or {})
        self._clock = clock
        self._step: str | None = None
        self._waited = 0.0  # seconds that a person was asked

    def foresee(self, *, start: str = "", only: str = "") -> None:
        """Missing, before anything is done, when a file that is named cannot be used and nobody can be asked."""
        for _, wrong in self._foreseen(*self._bounds(start, only)):
            if not self.ctx.interactive:
                raise _unusable(wrong)

    def run(self, *, start: str = "", only: str = "", force: bool = False) -> int:
        """All steps, or from `start`, or `only` one; `force` does again what is done. The exit code."""
        began = self._worked()
        ctx = self.ctx
        first, last = self._bounds(start, only)
        self._named()
        if network := self._value_so_far("network"):
            ctx.values.setdefault("network", network)  # steps before the one that asks for it look there too
        for step in self.steps[:first]:
            if (entry := ctx.journal.last("done", step.id)) is not None:
                ctx.outputs[step.id] = entry.data.get("outputs", {})
        self._emit(
            RunStarted(
                workflow=ctx.workflow, network=network, project=str(ctx.project), before=dict(ctx.outputs)
            )
        )
        try:
            ctx.journal.append(
                "run", run=ctx.run, data={"workflow": ctx.workflow, "given": _plain(self._given)}
            )
            if ctx.journal.notice:
                self._emit(Noted(level="warning", text=ctx.journal.notice))
            for step, wrong in self._foreseen(first, last):
                text = f"{wrong.field.label}: {wrong.problem}"
                self._emit(Noted(level="warning", text=text, hint=f"the step {step.title} will ask for it"))
            for step in self.steps[:first]:
                self._recall(step)
            index = first
            while index < last:
                step = self.steps[index]
                ctx.cancel.check()  # asked for while a step was past its last look, or between two
                try:
                    if not self._perform(step, force):
                        break
                except Back as back:
                    ctx.cancel.clear()  # the person goes on
                    index = position(self.steps, back.step)
                    if only:
                        index = max(first, index)
                    ctx.again = back.step
                    continue
                ctx.again = ""
                index += 1
        except Failed as failure:
            self._fail(failure)
        finally:
            ctx.close()
        outcome: Literal["done", "failed", "cancelled"] = "done"
        if self.failure is not None:
            outcome = "cancelled" if isinstance(self.failure, Cancelled) else "failed"
        self._step = None
        log = str(ctx.run_dir) if ctx.run_dir.name else None
        self._emit(RunEnded(outcome=outcome, outputs=dict(ctx.outputs), seconds=self._since(began), log=log))
        return self.exit_code

    def _bounds(self, start: str, only: str) -> tuple[int, int]:
        if only:
            index = position(self.steps, only)
            return index, index + 1
        return (position(self.steps, start) if start else 0), len(self.steps)

    def _foreseen(self, first: int, last: int) -> Iterator[tuple[Step, Filled]]:
        """The files that a step would refuse when its turn comes."""
        for step in self.steps[first:last]:
            fields: Sequence[Field] = ()
            with contextlib.suppress(Failed):  # its network is not there, say: the step itself will tell
                fields = visible(step.fields, self.ctx)
            for field in fields:
                if field.kind == "path" and not callable(field.default):
                    filled = self._judge(field, *self._resolve(field))
                    if filled.problem and filled.source in ("flag", "environment", "manifest"):
                        yield step, filled

    def _recall(self, step: Step) -> None:
        """Values of a step before the first one that runs. A failure stands under the step's name."""
        self._step, began = step.id, self._worked()
        try:
            form = self._form(step)
        except Failed as failure:
            self._emit(StepStarted(title=step.title, command=""))
            self._end(step, began, failure)
            raise
        self.ctx.values.update({filled.field.name: filled.value for filled in form})

    def _perform(self, step: Step, force: bool) -> bool:
        """One step until it ended well (True) or the run stops (False)."""
        while True:
            self._step = step.id
            began = self._worked()
            try:
                self._enter(step)
                done = self._attempt(step, force, began)
            except Back:
                raise
            except Failed as failure:
                self._fail(failure)
            except Exception as error:
                self._emit(Lines(task="traceback", stream="err", text=traced(error)))
                self._fail(stumbled(error, "the traceback is in the step's log"))
            else:
                self.exit_code, self.failure = 0, None
                return done
            assert self.failure is not None  # noqa: S101 - both branches above set it
            self._end(step, began, self.failure)
            with self._asking():
                word = self.answers.failed(step, self.failure)
            if word != "retry":
                return False
            self.ctx.cancel.clear()
            force = False

    def _enter(self, step: Step) -> None:
        """Fill the form. A step that fails here has begun, too: its failure stands under its own name."""
        try:
            self._fill(step)
        except Back:
            raise
        except Exception:
            self._emit(StepStarted(title=step.title, command=""))
            raise

    def _attempt(self, step: Step, force: bool, began: float) -> bool:
        ctx = self.ctx
        self._emit(StepStarted(title=step.title, command=step.command(ctx)))
        self._need(step)
        inputs = digest(step.inputs(ctx))
        last = ctx.journal.last("done", step.id)
        ctx.previous = last if last is not None and last.inputs == inputs else None
        already = None if force else step.done(ctx)
        if already is not None:
            if already.because:
                self._emit(Noted(text=already.because))
            for note in already.notes:
                self._emit(note)
            for event in step.mend(ctx, already):
                self._emit(event)
            outputs: Outputs = already.outputs
        else:
            outputs = self._drive(step)
        ctx.outputs[step.id] = dict(outputs)
        self._keep(step, tried=True)
        # Another outcome than last time is worth a line; the same one is not.
        if already is None or ctx.previous is None or ctx.previous.data.get("outputs") != dict(outputs):
            final = digest(step.inputs(ctx))
            ctx.journal.append("done", step.id, run=ctx.run, inputs=final, data={"outputs": dict(outputs)})
        outcome: Literal["done", "skipped"] = "skipped" if already is not None else "done"
        self._emit(StepEnded(outcome=outcome, outputs=dict(outputs), seconds=self._since(began)))
        return True

    def _need(self, step: Step) -> None:
        """Missing when an earlier step of the workflow that this one builds on has never ended well."""
        known = {other.id: other for other in self.steps}
        needed, waiting = set(), list(step.after)
        while waiting:
            if (name := waiting.pop()) in known and name not in needed:
                needed.add(name)
                waiting += known[name].after
        for other in self.steps:
            if other.id in needed and other.id not in self.ctx.outputs:
                raise Missing(
                    f"{step.title} needs what {other.title} leaves, and that has not been done here",
                    f"begin there: --from {shlex.quote(other.title.lower())}",
                    name="not_done",
                )

    def _drive(self, step: Step) -> Outputs:
        work = step.run(self.ctx)
        answer: Any = None
        try:
            while True:
                event = work.throw(Cancelled()) if self.ctx.cancel.is_set() else work.send(answer)
                event = events.harmless(event)  # whoever answers shows it too
                self._emit(event)
                answer = None
                if isinstance(event, Asked):
                    with self._asking():
                        answer = self.answers.answer(event)
                    if event.kind == "secret" and answer:
                        self.ctx.hide(str(answer))
                    self._emit(_recorded(event, answer))
        except StopIteration as stop:
            return dict(stop.value or {})
        finally:
            work.close()

    def _fill(self, step: Step) -> None:
        """Ask for the values of the step's fields until all are usable."""
        fields = visible(step.fields, self.ctx)
        if not fields:
            return
        form = self._form(step)
        while True:
            with self._asking():
                answers = self.answers.fill(step, form)
            form = [self._answered(filled, answers.get(filled.field.name, filled.value)) for filled in form]
            wrong = next((filled for filled in form if filled.problem), None)
            if wrong is None:
                break
            if not self.ctx.interactive:
                raise _unusable(wrong)
        for filled in form:
            self.ctx.values[filled.field.name] = filled.value
            if filled.field.manifest and filled.source == "asked":
                outside.remember(filled.field, filled.value, self.ctx.project)
        self._keep(step, tried=False)

    def _keep(self, step: Step, *, tried: bool) -> None:
        """Put the step's values into the manifest: those that have to be tried first, or all the others."""
        for field in visible(step.fields, self.ctx):
            if field.manifest and field.tried is tried:
                self.ctx.manifest.set(field.manifest, field.kept(self.ctx[field.name], self.ctx))

    def _form(self, step: Step) -> list[Filled]:
        form: list[Filled] = []
        for field in visible(step.fields, self.ctx):
            value, source = self._resolve(field)
            form.append(self._judge(field, value, source))
        return form

    def _answered(self, filled: Filled, value: Any) -> Filled:
        """What the face says of a field; what it took from the manifest as it was is still nobody's word."""
        same = filled.source == "manifest" and value == filled.value
        return self._judge(filled.field, value, "manifest" if same else "asked")

    def _judge(self, field: Field, value: Any, source: Source) -> Filled:
        try:
            parsed = field.parse(value, self.ctx)
        except ValueError as error:
            return Filled(field, value, source, clean(str(error)))
        strange = outside.unnamed(field, parsed, self.ctx.project) if source == "manifest" else ()
        if not strange:
            return Filled(field, parsed, source)
        if self.ctx.interactive:  # a person who wants it writes it: nobody takes it over with Enter
            parsed = outside.without(field, parsed, self.ctx.project)
        why = "is outside of this project, and only creamtea.toml names it: name it yourself if it is to be used"
        return Filled(field, parsed, source, clean(f"{strange[0]} {why}"))

    def _resolve(self, field: Field) -> tuple[Any, Source]:
        if self._given.get(field.name) is not None:
            return self._given[field.name], "flag"
        if self._environ.get(field.variable):
            return self._environ[field.variable], "environment"
        if field.name in self.ctx.values:
            return self.ctx.values[field.name], "asked"
        if field.manifest and (kept := self.ctx.manifest.get(field.manifest)) is not None:
            return kept, "manifest"
        if (initial := field.initial(self.ctx)) is not None:
            return initial, "default"
        return None, "none"

    def _named(self) -> None:
        """Remember which files outside of the project the person named, with flags or in the environment.

        Those that no manifest keeps, too: the journal has them, for a run that is resumed.
        """
        for field in (field for step in self.steps for field in step.fields):
            value = self._given.get(field.name) or self._environ.get(field.variable)
            if field.names_file(value):
                with contextlib.suppress(ValueError):  # told when its step comes
                    outside.remember(field, field.parse(value, self.ctx), self.ctx.project)

    def _value_so_far(self, name: str) -> str | None:
        value = self._given.get(name) or self._environ.get("CREAMTEA_" + name.upper())
        return str(value or self.ctx.values.get(name) or self.ctx.manifest.get(name) or "") or None

    def _fail(self, failure: Failed) -> None:
        self.failure, self.exit_code = failure, failure.exit_code

    def _end(self, step: Step, began: float, failure: Failed) -> None:
        cancelled = isinstance(failure, Cancelled)
        with contextlib.suppress(Failed):  # a full disk must not hide why the step failed
            self.ctx.journal.append("failed", step.id, run=self.ctx.run, data={"name": failure.name})
        self._emit(
            StepEnded(
                outcome="cancelled" if cancelled else "failed",
                outputs={},
                seconds=self._since(began),
                error={"name": failure.name, "message": failure.message, "hint": failure.hint},
            )
        )

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """What a person takes to answer is no time of the work."""
        began = self._clock()
        try:
            yield
        finally:
            self._waited += self._clock() - began

    def _worked(self) -> float:
        return self._clock() - self._waited

    def _since(self, began: float) -> float:
        return round(self._worked() - began, 3)

    def _emit(self, event: Event) -> None:
        stamped = dataclasses.replace(event, at=event.at or events.now(), run=self.ctx.run, step=self._step)
        self._listener(masked(events.harmless(stamped), self.ctx.secrets))


def _recorded(asked: Asked, answer: Any) -> Noted:
    """An answer for the record: never a secret, and of a document only whether it was changed."""
    if asked.kind == "confirm":
        told = "yes" if answer else "no"
    elif asked.kind == "secret":
        told = "given" if answer else "nothing"
    elif asked.kind == "document":
        told = "kept" if answer in (None, "", asked.default) else "edited"
    else:
        told = clean(str(answer or "")) or "nothing"
    return Noted(text=f"answered: {told}", answer=told)


def _unusable(wrong: Filled) -> Missing:
    """Nobody can be asked for another value."""
    without = "" if wrong.field.required else f"; {wrong.field.flag} '' goes on without"
    return Missing(
        f"{wrong.field.label}: {wrong.problem}",
        f"give {wrong.field.flag} or set {wrong.field.variable}{without}",
        name="missing",
    )


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
