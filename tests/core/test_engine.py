"""The engine: order, questions, resuming, cancelling, failures, and that secrets reach no event."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from workflows.core.catalog import Catalog, position
from workflows.core.engine import Back, Engine
from workflows.core.events import Asked, Event, Lines, Noted, RunEnded, StepEnded, TaskChanged, to_json
from workflows.core.failure import Failed, Missing, Unavailable
from workflows.core.fields import Choice, Field, Filled
from workflows.core.journal import Journal
from workflows.core.listen import listen
from workflows.core.manifest import Manifest
from workflows.core.step import Cancel, Context, Done, Step, Work


class Base(Step):
    """A step for tests."""

    workflows = ("all",)
    heading = "Heading"

    def command(self, ctx: Context) -> str:
        return f"do {self.id}"


class First(Base):
    id, title = "first", "First"
    fields = (
        Field("name", "Name", default="world", manifest="app.name"),
        Field("size", "Size", "number", default=3),
        Field("kind", "Kind", "choice", choices=lambda _: [Choice("a"), Choice("b")], default="a"),
    )

    def run(self, ctx: Context) -> Work:
        yield TaskChanged(task="t", title="task", state="running")
        yield Lines(task="t", text=(f"hello {ctx['name']}",))
        return {"greeting": f"hello {ctx['name']}"}


class Second(Base):
    id, title, after = "second", "Second", ("first",)

    def done(self, ctx: Context) -> Done | None:
        return Done(ctx.previous.data["outputs"], "as before") if ctx.previous else None

    def run(self, ctx: Context) -> Work:
        agreed = yield Asked(field="sign", question="Sign?")
        if not agreed:
            raise Failed("you said no", "say yes", name="refused")
        return {"from": ctx.outputs["first"]["greeting"]}


class Face:
    """Answers as told and keeps what it was asked."""

    def __init__(self, answers: Sequence[Any] = (), retries: int = 0) -> None:
        self.answers = list(answers)
        self.retries = retries
        self.forms: list[Sequence[Filled]] = []
        self.fills: list[Any] = []

    def fill(self, step: Step, form: Sequence[Filled]) -> Mapping[str, Any]:
        self.forms.append(form)
        given = self.fills.pop(0) if self.fills else {}
        if isinstance(given, Back):
            raise given
        return {**{filled.field.name: filled.value for filled in form}, **given}

    def answer(self, asked: Asked) -> Any:
        return self.answers.pop(0)

    def failed(self, step: Step, failure: Failed) -> Literal["retry", "stop"]:
        self.retries -= 1
        return "retry" if self.retries >= 0 else "stop"


def go(
    folder: Path, face: Face, steps: Sequence[Step] = (First(), Second()), **options: Any
) -> tuple[int, list[Event], Context]:
    ctx = Context(folder, Journal(folder), Manifest(folder), workflow="all", run="r1")
    ctx.interactive = options.pop("interactive", False)
    events: list[Event] = []
    run_options = {name: options.pop(name) for name in ("start", "only", "force") if name in options}
    engine = Engine(steps, ctx, events.append, face, **options)
    return engine.run(**run_options), events, ctx


def ended(events: Sequence[Event], step: str) -> StepEnded:
    return next(event for event in events if isinstance(event, StepEnded) and event.step == step)


def test_a_run_ends_with_the_outputs_of_its_steps(tmp_path: Path) -> None:
    code, events, _ = go(tmp_path, Face([True]))
    assert code == 0
    last = events[-1]
    assert isinstance(last, RunEnded)
    assert last.outputs == {"first": {"greeting": "hello world"}, "second": {"from": "hello world"}}
    assert all(event.run == "r1" and event.at for event in events)
    assert {event.step for event in events} == {None, "first", "second"}


def test_a_second_run_does_nothing_twice(tmp_path: Path) -> None:
    go(tmp_path, Face([True]))
    code, events, _ = go(tmp_path, Face())
    assert code == 0
    assert ended(events, "second").outcome == "skipped"
    assert ended(events, "second").outputs == {"from": "hello world"}


def test_what_stands_beside_work_that_is_done_is_put_right(tmp_path: Path) -> None:
    class Named(Second):
        def mend(self, ctx: Context, done: Done) -> Iterator[Event]:
            yield Noted(text=f"mended {done.outputs['from']}")

    def mended(events: Sequence[Event]) -> list[str]:
        return [event.text for event in events if isinstance(event, Noted) and "mended" in event.text]

    _, events, _ = go(tmp_path, Face([True]), (First(), Named()))
    assert not mended(events), "it was not done before"
    _, events, _ = go(tmp_path, Face(), (First(), Named()))
    assert mended(events) == ["mended hello world"] and ended(events, "second").outcome == "skipped"


def test_changed_inputs_and_force_do_it_again(tmp_path: Path) -> None:
    go(tmp_path, Face([True]))
    _, events, _ = go(tmp_path, Face([True]), given={"name": "moon"})
    assert ended(events, "second").outcome == "done"
    _, events, _ = go(tmp_path, Face([True]), given={"name": "moon"}, force=True)
    assert ended(events, "second").outcome == "done"


def test_where_a_value_comes_from(tmp_path: Path) -> None:
    (tmp_path / "creamtea.toml").write_text("# mine\n[app]\nname = 'manifest'\n")
    face = Face([True])
    go(tmp_path, face, given={"size": "7"}, environ={"CREAMTEA_KIND": "b", "CREAMTEA_SIZE": "9"})
    found = {filled.field.name: (filled.value, filled.source) for filled in face.forms[0]}
    assert found == {"name": ("manifest", "manifest"), "size": (7, "flag"), "kind": ("b", "environment")}
    assert (tmp_path / "creamtea.toml").read_text().startswith("# mine\n")


def test_a_bad_value_is_refused_with_its_flag(tmp_path: Path) -> None:
    code, events, _ = go(tmp_path, Face(), given={"size": "many"})
    error = ended(events, "first").error
    assert code == 2
    assert error is not None
    assert "many is not a whole number" in error["message"]
    assert "--size" in error["hint"]


def test_a_person_is_asked_again_until_the_value_is_right(tmp_path: Path) -> None:
    face = Face([True])
    face.fills = [{"kind": "z"}, {"kind": "b"}]
    code, _, ctx = go(tmp_path, face, interactive=True)
    assert code == 0
    assert ctx["kind"] == "b"
    assert "z is not one of a, b" in str(face.forms[1][2].problem)


def test_back_to_an_earlier_step(tmp_path: Path) -> None:
    class Third(Base):
        id, title, after = "third", "Third", ("second",)
        fields = (Field("last", "Last", default="x"),)

        def run(self, ctx: Context) -> Work:
            yield Noted(text="third")
            return {}

    face = Face([True, True])
    face.fills = [{"name": "one"}, Back("first"), {"name": "two"}, {}]
    code, _, ctx = go(tmp_path, face, [First(), Second(), Third()], interactive=True)
    assert code == 0
    assert ctx.outputs["second"] == {"from": "hello two"}


def test_back_from_a_failure_to_the_step_that_mends_it_even_before_the_first_one(tmp_path: Path) -> None:
    class Mended(Face):
        def failed(self, step: Step, failure: Failed) -> Literal["retry", "stop"]:
            raise Back("first")

    go(tmp_path, Face([True]))
    face = Mended([False, True])
    face.fills = [{"name": "two"}]
    code, _, ctx = go(tmp_path, face, interactive=True, start="second", force=True)
    assert code == 0
    assert ctx.outputs["second"] == {"from": "hello two"}


def test_a_run_from_a_step_on_tells_what_the_steps_before_left(tmp_path: Path) -> None:
    go(tmp_path, Face([True]))
    _, events, _ = go(tmp_path, Face([True]), start="second", force=True)
    assert events[0].before == {"first": {"greeting": "hello world"}}  # type: ignore[attr-defined]
    _, events, _ = go(tmp_path, Face([True]), force=True)
    assert events[0].before == {}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("kind", "answer", "told"),
    [
        ("confirm", True, "yes"), ("confirm", False, "no"), ("secret", "hunter22", "given"), ("secret", "", "nothing"),
        ("document", "same", "kept"), ("document", "other hunter22", "edited"), ("text", "a \x1b[31mname", "a name"),
    ],
)  # fmt: skip
def test_an_answer_is_in_the_record_and_a_secret_is_not(
    tmp_path: Path, kind: Any, answer: Any, told: str
) -> None:
    class Asks(Base):
        id, title = "asks", "Asks"

        def run(self, ctx: Context) -> Work:
            yield Asked(field="x", question="Well?", kind=kind, default="same")
            return {}

    _, found, _ = go(tmp_path, Face([answer]), steps=[Asks()])
    at = next(index for index, event in enumerate(found) if isinstance(event, Asked))
    reply = found[at + 1]
    assert isinstance(reply, Noted) and reply.answer == told and reply.text == f"answered: {told}"
    assert "hunter22" not in "".join(map(to_json, found))


def test_a_failure_stops_the_run_and_names_what_to_do(tmp_path: Path) -> None:
    code, events, _ = go(tmp_path, Face([False]))
    assert code == 1
    assert ended(events, "second").error == {"name": "refused", "message": "you said no", "hint": "say yes"}
    assert events[-1].outcome == "failed"  # type: ignore[attr-defined]


def test_retry_runs_the_step_again(tmp_path: Path) -> None:
    code, events, _ = go(tmp_path, Face([False, True], retries=1))
    assert code == 0
    assert [event.outcome for event in events if isinstance(event, StepEnded)] == ["done", "failed", "done"]


def test_our_own_bug_is_told_apart(tmp_path: Path) -> None:
    class Broken(Base):
        id, title = "broken", "Broken"

        def run(self, ctx: Context) -> Work:
            yield Noted(text="so far")
            raise ZeroDivisionError("oops \x1b[2J")

    code, events, _ = go(tmp_path, Face(), [Broken()])
    assert code == 70
    error = ended(events, "broken").error or {}
    assert error["name"] == "crashed" and "step's log" in str(error["hint"])
    assert any(isinstance(event, Lines) and event.task == "traceback" for event in events)
    assert "\\u001b" not in "".join(map(to_json, events))


def test_cancel_reaches_the_step_which_cleans_up(tmp_path: Path) -> None:
    cleaned: list[str] = []

    class Long(Base):
        id, title = "long", "Long"

        def run(self, ctx: Context) -> Work:
            try:
                while True:
                    yield Noted(text="working")
                    ctx.cancel.set()
            finally:
                cleaned.append("yes")

    code, events, _ = go(tmp_path, Face(), [Long()])
    assert code == 130
    assert cleaned == ["yes"]
    assert ended(events, "long").outcome == "cancelled"
    assert events[-1].outcome == "cancelled"  # type: ignore[attr-defined]


def test_a_secret_reaches_no_event(tmp_path: Path) -> None:
    class Leaky(Base):
        id, title = "leaky", "Leaky"

        def run(self, ctx: Context) -> Work:
            password = yield Asked(field="password", question="password", kind="secret")
            yield Noted(text=f"using {password}")
            yield Lines(task="t", text=(f"curl -u me:{password}",))
            raise Failed(f"{password} was refused", f"not {password}")

    _, events, ctx = go(tmp_path, Face(["hunter2222"]), [Leaky()])
    assert "hunter2222" not in "".join(map(to_json, events))
    assert "hunter2222" not in ctx.journal.path.read_text()


def test_only_and_from_use_what_earlier_runs_left(tmp_path: Path) -> None:
    go(tmp_path, Face([True]))
    code, events, _ = go(tmp_path, Face([True]), only="second", force=True)
    assert code == 0
    assert ended(events, "second").outputs == {"from": "hello world"}
    assert not [event for event in events if event.step == "first"]
    with pytest.raises(Missing, match="no step 'nowhere'"):
        go(tmp_path, Face(), start="nowhere")


def test_what_the_steps_before_left_is_told_as_they_left_it(tmp_path: Path) -> None:
    class Odd(First):
        def run(self, ctx: Context) -> Work:
            yield Noted(text="a name that a terminal would act on")
            return {"greeting": "odd\u202ename"}

    go(tmp_path, Face([True]), [Odd(), Second()])
    _, events, _ = go(tmp_path, Face([True]), start="second", force=True)
    assert events[0].before == {"first": {"greeting": "odd\u202ename"}}  # type: ignore[attr-defined]
    assert events[-1].outputs["first"] == events[0].before["first"]  # type: ignore[attr-defined]


def test_the_catalogue_orders_by_after_and_refuses_nonsense() -> None:
    assert [step.id for step in Catalog([Second(), First()]).steps] == ["first", "second"]
    with pytest.raises(ValueError, match="share an id"):
        Catalog([First(), First()])
    with pytest.raises(ValueError, match="unknown steps: first"):
        Catalog([Second()])
    with pytest.raises(Missing, match="no workflow 'none'"):
        Catalog([First()]).workflow("none")


def test_listen_turns_calls_into_events_and_brings_back_result_and_error() -> None:
    def work(emit: Any) -> int:
        emit(Noted(text="one"))
        return 7

    generator = listen(work, Cancel())
    assert next(generator) == Noted(text="one")
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == 7

    def broken(emit: Any) -> int:
        raise Failed("no")

    with pytest.raises(Failed, match="no"):
        next(listen(broken, Cancel()))


def test_closing_listen_cancels_its_work() -> None:
    cancel, over = Cancel(), threading.Event()

    def work(emit: Any) -> None:
        emit(Noted(text="started"))
        while not cancel.is_set():
            pass
        over.set()

    generator = listen(work, cancel)
    next(generator)
    generator.close()
    assert over.is_set()


def test_a_cancel_between_two_steps_is_not_lost(tmp_path: Path) -> None:
    class Deaf(Base):
        id, title = "deaf", "Deaf"

        def run(self, ctx: Context) -> Work:
            yield Noted(text="past the last look")
            ctx.cancel.set()
            return {}

    code, events, _ = go(tmp_path, Face([True]), [Deaf(), First()])
    assert code == 130
    assert ended(events, "deaf").outcome == "done"
    assert not [event for event in events if event.step == "first"]
    assert events[-1].outcome == "cancelled"  # type: ignore[attr-defined]


def test_a_cancelled_step_can_be_tried_again(tmp_path: Path) -> None:
    tries: list[int] = []

    class Long(Base):
        id, title = "long", "Long"

        def run(self, ctx: Context) -> Work:
            tries.append(1)
            if len(tries) == 1:
                ctx.cancel.set()
            yield Noted(text="working")
            return {}

    code, _, _ = go(tmp_path, Face(retries=1), [Long()])
    assert (code, len(tries)) == (0, 2)


def test_a_signal_handler_may_cancel_while_its_own_thread_registers() -> None:
    cancel = Cancel()

    def handled() -> None:
        with cancel._lock:  # where a signal may find the main thread
            cancel.set()

    thread = threading.Thread(target=handled, daemon=True)
    thread.start()
    thread.join(5)
    assert cancel.is_set()
    assert not thread.is_alive()


def test_from_a_step_whose_predecessors_never_ran_names_where_to_begin(tmp_path: Path) -> None:
    code, events, _ = go(tmp_path, Face(), start="second")
    error = ended(events, "second").error
    assert code == 2
    assert error is not None
    assert "--from first" in error["hint"]


def test_the_network_is_known_to_the_steps_before_its_own(tmp_path: Path) -> None:
    class Early(Base):
        id, title = "early", "Early"

        def run(self, ctx: Context) -> Work:
            yield Noted(text="looking")
            return {"network": ctx["network"]}

    for how in ({"given": {"network": "far"}}, {"environ": {"CREAMTEA_NETWORK": "far"}}):
        _, events, _ = go(tmp_path, Face(), [Early()], force=True, **how)
        assert ended(events, "early").outputs == {"network": "far"}


def test_a_full_disk_is_the_machines_word_and_not_our_bug(tmp_path: Path) -> None:
    class Full(Base):
        id, title = "full", "Full"

        def run(self, ctx: Context) -> Work:
            yield Noted(text="writing")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/some/file")

    code, events, _ = go(tmp_path, Face(), [Full()])
    error = ended(events, "full").error
    assert code == 3
    assert error is not None
    assert error["message"] == "/some/file: No space left on device"


def test_nothing_that_a_step_says_can_drive_a_terminal(tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07a\x9b2Jb\u202ec\r"

    class Hostile(Base):
        id, title = "hostile", "Hostile"

        def command(self, ctx: Context) -> str:
            return f"run {evil}\nsecond line"

        def run(self, ctx: Context) -> Work:
            yield TaskChanged(task=evil, title=evil, state="running", detail=evil)
            yield Lines(task="t", text=(evil,))
            yield Noted(text=f"one{evil}\ntwo", hint=evil)
            raise Failed(evil, evil)

    _, events, _ = go(tmp_path, Face(), [Hostile()])
    said = "".join(str(json.loads(to_json(event))) for event in events)
    assert not any(mark in said for mark in ("x1b", "x07", "x9b", "u202e", "\\r"))
    assert next(event.text for event in events if isinstance(event, Noted)) == "oneabc\ntwo"
    assert ended(events, "hostile").error == {"name": "failed", "message": "abc", "hint": "abc"}


def test_secrets_of_several_lines_and_secrets_inside_secrets_are_masked(tmp_path: Path) -> None:
    class Leaky(Base):
        id, title = "leaky", "Leaky"

        def run(self, ctx: Context) -> Work:
            for secret in ("first line\nsecond line", "pass", "password1", "running"):
                ctx.hide(secret)
            yield TaskChanged(task="t", title="password1", state="running")
            yield Lines(task="t", text=("the second line of it", "password1"))
            return {}

    code, events, _ = go(tmp_path, Face(), [Leaky()])
    text = "".join(map(to_json, events))
    assert code == 0
    assert "second line" not in text
    assert "word1" not in text
    assert next(event.state for event in events if isinstance(event, TaskChanged)) == "running"


@pytest.mark.parametrize("written", ["size = 4\nkind = 'a'", "size = '4'\nkind = 'a'"])
def test_values_of_a_hand_written_manifest_have_one_form(tmp_path: Path, written: str) -> None:
    class Choosy(Base):
        id, title = "choosy", "Choosy"
        fields = (
            Field("size", "Size", "choice", choices=lambda _: [Choice("4")], manifest="size"),
            Field("kind", "Kind", many=True, manifest="kind"),
        )

        def run(self, ctx: Context) -> Work:
            yield Noted(text="so")
            return {"size": ctx["size"], "kind": ctx["kind"]}

    (tmp_path / "creamtea.toml").write_text(written)
    _, events, _ = go(tmp_path, Face(), [Choosy()])
    assert ended(events, "choosy").outputs == {"size": "4", "kind": ["a"]}


def test_a_value_that_has_to_be_tried_is_kept_only_once_it_worked(tmp_path: Path) -> None:
    class Reach(Base):
        id, title = "reach", "Reach"
        fields = (
            Field("where", "Where", manifest="where", tried=True),
            Field("why", "Why", manifest="why", required=False),
        )

        def run(self, ctx: Context) -> Work:
            yield Noted(text="reaching")
            if ctx["where"] != "here":
                raise Unavailable(f"{ctx['where']} cannot be reached", "go elsewhere")
            return {}

    (tmp_path / "creamtea.toml").write_text("where = 'here' # by hand\n")
    given = {"where": "nowhere", "why": "thought"}
    assert go(tmp_path, Face(), [Reach()], given=given)[0] == 3
    assert (tmp_path / "creamtea.toml").read_text() == "where = 'here' # by hand\nwhy = \"thought\"\n"
    face = Face(retries=1)  # a person mends it: what was typed before is still in the form
    face.fills = [{"where": "nowhere"}, {"where": "here"}]
    assert go(tmp_path, face, [Reach()], interactive=True)[0] == 0
    assert face.forms[1][0].value == "nowhere"
    assert go(tmp_path, Face(), [Reach()])[0] == 0


@pytest.mark.parametrize("written", ["size = [3]", "size = {a = 1}", "kind = {a = 1}"])
def test_a_manifest_value_of_the_wrong_shape_is_named(tmp_path: Path, written: str) -> None:
    class Plain(Base):
        id, title = "plain", "Plain"
        fields = (
            Field("size", "Size", manifest="size"),
            Field("kind", "Kind", many=True, required=False, manifest="kind"),
        )

        def run(self, ctx: Context) -> Work:
            yield Noted(text="never")
            return {}

    (tmp_path / "creamtea.toml").write_text(written + ("" if "size" in written else "\nsize = 'x'"))
    code, events, _ = go(tmp_path, Face(), [Plain()])
    assert code == 2
    assert "one value" in ended(events, "plain").error["message"]  # type: ignore[index]


def test_what_a_person_takes_to_answer_is_no_time_of_the_work(tmp_path: Path) -> None:
    now = [0.0]

    class Slow(Face):
        def fill(self, step: Step, form: Sequence[Filled]) -> Mapping[str, Any]:
            now[0] += 100
            return super().fill(step, form)

        def answer(self, asked: Asked) -> Any:
            now[0] += 1000
            return super().answer(asked)

    class Works(Second):
        def run(self, ctx: Context) -> Work:
            now[0] += 2
            outputs = yield from super().run(ctx)
            now[0] += 3
            return outputs

    seen: list[Event] = []
    ctx = Context(tmp_path, Journal(tmp_path), Manifest(tmp_path), workflow="all", interactive=True)
    Engine([First(), Works()], ctx, seen.append, Slow([True]), clock=lambda: now[0]).run()
    assert [event.seconds for event in seen if isinstance(event, StepEnded)] == [0, 5]
    assert [event.seconds for event in seen if isinstance(event, RunEnded)] == [5]


def test_a_step_that_fails_on_entering_has_begun_under_its_own_name(tmp_path: Path) -> None:
    def unreachable(_: Context) -> Any:
        raise Failed("nobody answers", "start it")

    class Enters(First):
        id = "enters"
        fields = (Field("value", "Value", default=unreachable),)

    seen: list[Event] = []
    ctx = Context(tmp_path, Journal(tmp_path), Manifest(tmp_path), workflow="all")
    assert Engine([First(), Enters()], ctx, seen.append, Face(), clock=lambda: 0.0).run() == 1
    told = [(event.type, event.step) for event in seen if event.type.startswith("step_")]
    assert told[-2:] == [("step_started", "enters"), ("step_ended", "enters")]


@pytest.mark.parametrize("word", ["SECOND", "second", " the  Second one", "the_second-one"])
def test_a_step_is_named_by_its_id_or_its_title_in_any_case(word: str) -> None:
    class Titled(Second):
        title = "The second one"

    assert position([First(), Titled()], word) == 1


def test_an_unknown_step_is_refused_with_ids_and_titles() -> None:
    class Titled(Second):
        title = "Sign"

    with pytest.raises(Missing) as caught:
        position([First(), Titled()], "third")
    assert caught.value.hint == "its steps are first, second (Sign)"
