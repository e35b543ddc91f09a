"""The fold of events into what the screen knows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.tui.recordings import events, is_, until
from tui.model import Ring, RunModel
from workflows.cli import program
from workflows.core.events import (
    Asked,
    Event,
    Lines,
    Noted,
    Progress,
    RunEnded,
    StepEnded,
    StepStarted,
    TaskChanged,
)

STEPS = program.catalog().steps
IDS = [step.id for step in STEPS]
NAMES = st.sampled_from([*IDS, "unheard_of", None])
TASKS = st.sampled_from(["a", "b", "c"])
STATES = st.sampled_from(["waiting", "running", "done", "cached", "failed", "cancelled"])
TIMES = st.sampled_from(["", "2026-11-23T10:00:00.000Z", "2026-11-23T10:00:09.500Z"])
EVENTS = st.one_of(
    st.builds(StepStarted, step=NAMES, at=TIMES, title=st.text(), command=st.text()),
    st.builds(
        TaskChanged, step=NAMES, at=TIMES, task=TASKS, title=st.text(), state=STATES, parent=st.none() | TASKS
    ),
    st.builds(Lines, step=NAMES, at=TIMES, task=TASKS, text=st.lists(st.text()).map(tuple)),
    st.builds(Progress, step=NAMES, task=TASKS, done=st.integers(0), total=st.none() | st.integers(0)),
    st.builds(Noted, step=NAMES, text=st.text()),
    st.builds(Asked, step=NAMES, field=st.text(), question=st.text()),
    st.builds(
        StepEnded,
        step=NAMES,
        at=TIMES,
        outcome=st.sampled_from(["done", "skipped", "failed", "cancelled"]),
        outputs=st.dictionaries(st.text(), st.text()),
        seconds=st.floats(0, 1e6),
    ),
    st.builds(RunEnded, outcome=st.just("done"), outputs=st.just({}), seconds=st.just(1.0)),
)


def folded(found: list[Event]) -> RunModel:
    model = RunModel(STEPS)
    for event in found:
        model.apply(event)
    return model


def test_an_answer_stands_below_its_question_in_a_replay_too() -> None:
    asked = [Asked(step="build", field="a", question="One?"), Asked(step="build", field="b", question="Two?")]
    first, second = (Noted(step="build", text=f"answered: {word}", answer=word) for word in ("yes", "no"))
    model = folded([StepStarted(step="build", title="x", command=""), asked[0], first, asked[1], second])
    step = model.steps["build"]
    assert step.notes == asked and step.replies == {0: "yes", 1: "no"}
    assert step.state == "running"


@given(st.lists(EVENTS, max_size=40))
def test_any_order_of_events_folds_into_a_drawable_model(found: list[Event]) -> None:
    model = folded(found)
    at_work = [step for step in model.steps.values() if step.state in ("running", "asking")]
    assert model.current is None or model.current in model.steps
    assert isinstance(model.place, str)
    for step in model.steps.values():
        over, count = step.counts
        assert 0 <= over <= count == len(step.rows)
        loudest = step.loudest()
        assert (loudest is None) == (not step.speaking)
        ids = [task.id for task in step.rows]
        assert len(set(ids)) == len(ids)
    started = [event.step for event in found if isinstance(event, StepStarted) and event.step in model.steps]
    if not any(isinstance(event, Asked) for event in found) and started:
        assert model.current == started[-1]
        assert all(step.id == model.current for step in at_work)


@given(st.lists(st.lists(st.text(max_size=8), max_size=6), max_size=12), st.integers(1, 9))
def test_a_ring_keeps_the_newest_lines_and_counts_the_others(chunks: list[list[str]], capacity: int) -> None:
    ring = Ring(capacity)
    for chunk in chunks:
        ring.extend(chunk)
    everything = [line for chunk in chunks for line in chunk]
    assert list(ring) == everything[-capacity:]
    assert ring.dropped == max(0, len(everything) - capacity)
    assert len(ring) == min(capacity, len(everything))


def test_a_recorded_run_folds_into_done() -> None:
    model = folded(events("onboard"))
    assert {step.state for step in model.steps.values()} == {"done", "skipped"} or {
        step.state for step in model.steps.values()
    } == {"done"}
    assert model.place == "localnet · SIMULATED SGX · engine 20.10"
    assert model.ended is not None and model.ended.outcome == "done"
    assert not model.running


def test_stages_group_their_instructions_and_are_no_rows_themselves() -> None:
    build = folded(until("stages", is_("step_ended", "build"))).steps["build"]
    titles = [task.title.partition(" ")[0] for task in build.rows]
    assert "model" not in titles and "wheels" not in titles
    assert [title for title in titles if title.startswith("[")] == [
        "[internal]", "[internal]", "[model", "[model", "[wheels", "[stage-2", "[stage-2", "[stage-2", "[stage-2"
    ]  # fmt: skip
    assert build.counts == (11, 11)


def test_the_pane_goes_to_the_failed_task_else_to_the_last_that_began_to_speak() -> None:
    running = folded(until("stages", lambda event: "wheel 5" in str(getattr(event, "text", "")))).steps[
        "build"
    ]
    loudest = running.loudest()
    assert loudest is not None and loudest.title.startswith("[model 2/2]")
    failed = folded(events("broken")).steps["build"].loudest()
    assert failed is not None and failed.state == "failed"


def test_a_task_that_only_speaks_is_at_work_until_its_step_ends() -> None:
    watching = folded(until("onboard", is_("lines", "watch", task="worker"))).steps["watch"]
    assert watching.tasks["worker"].state == "running"
    assert folded(events("onboard")).steps["watch"].tasks["worker"].state == "done"


def test_a_step_that_was_left_for_another_one_waits_again() -> None:
    model = folded(until("onboard", is_("asked", "deploy_app")))
    assert model.steps["deploy_app"].state == "asking"
    model.ask("dockerfile")
    assert model.steps["deploy_app"].state == "waiting"
    assert model.steps["dockerfile"].state == "asking"
    assert model.current == "dockerfile"


def test_an_answer_takes_the_step_back_to_work() -> None:
    found = events("onboard")
    at = next(index for index, event in enumerate(found) if event.type == "asked" and event.step == "request")
    assert folded(found[: at + 1]).steps["request"].state == "asking"
    assert folded(found[: at + 2]).steps["request"].state == "running"


def test_a_clock_stands_while_a_person_is_asked() -> None:
    def at(second: int) -> str:
        return f"2026-11-23T10:00:{second:02}.000Z"

    found: list[Event] = [
        StepStarted(step="build", at=at(0), title="x", command=""),
        Asked(step="build", at=at(2), field="a", question="a?"),
    ]
    step = folded(found).steps["build"]
    assert (step.state, step.worked(at(59))) == ("asking", 2)
    again = Asked(step="build", at=at(30), field="b", question="b?")
    step = folded([*found, again]).steps["build"]
    assert step.worked(at(59)) == 2
    step = folded([*found, again, Noted(step="build", at=at(40), text="x")]).steps["build"]
    assert (step.state, step.worked(at(45))) == ("running", 7)
    ended = StepEnded(step="build", at=at(50), outcome="done", outputs={}, seconds=12.5)
    assert folded([*found, ended]).steps["build"].worked(at(59)) == 12.5


def test_a_form_begins_its_step_anew() -> None:
    model = folded(until("onboard", is_("step_ended", "build")))
    model.ask("build")
    assert model.steps["build"].worked("2026-11-23T10:00:00.000Z") is None
