"""The wizard: what waits to be read, forms and questions, going back, cancelling, ending. Driven by keys."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input, Static, TextArea

from tests.tui.recordings import events, is_, until
from tests.tui.stage import Staged, app, asking, failing, form, play, settled, states, step, wrong
from tui.answers import AnswerWanted, FormWanted, Want, WordWanted
from tui.feed import Item
from tui.screens.wizard import Wizard
from tui.widgets.form import Form
from tui.widgets.keys import Keys
from tui.widgets.log_pane import LogPane
from tui.widgets.options import Options
from tui.widgets.prose import Prose, Said
from tui.widgets.question import Question
from tui.widgets.rail import Rail
from tui.widgets.still import StillInput
from tui.widgets.tasks import Tasks
from tui.widgets.work import Work, heading, said
from workflows.core.engine import Back
from workflows.core.events import (
    Asked,
    Lines,
    Noted,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
    TaskChanged,
)
from workflows.core.failure import Cancelled, Failed
from workflows.core.fields import Choice, Filled


def outcome(screen: Wizard) -> str:
    return "\n".join(said.text for said in screen.query_one("#outcome", Prose)._said)


def asked(kind: Any, default: str | None = None) -> tuple[Staged, AnswerWanted]:
    want = AnswerWanted(Asked(step="build", field="x", question="Well?", kind=kind, default=default))
    return Staged([StepStarted(step="build", title="x", command=""), want.asked, want]), want


def answer(want: Want) -> Any:
    assert want._slot.done(), "nothing was answered"
    return want._slot.result() if want._slot.exception() is None else want._slot.exception()


# Reading


def test_what_a_step_left_is_read_before_the_next_form_covers_it() -> None:
    wanted = form("network", network="localnet")
    source = Staged([*until("onboard", is_("step_ended", "doctor")), wanted], patient=("doctor",))

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        assert screen.view.looked_at is not None and screen.view.looked_at.id == "doctor"
        assert "enter: next — Network" in outcome(screen)
        assert not screen.query(Form)
        await pilot.press("enter")
        await settled(pilot)
        assert screen.view.looked_at.id == "network"
        assert screen.query_one(Form).has_focus_within
        assert not wanted._slot.done(), "the same Enter does not send the form"
        await pilot.press("enter")
        assert answer(wanted) == {"network": "localnet"}

    play(app(source), body)


def test_a_step_that_runs_on_without_a_form_is_held_back_too() -> None:
    source = Staged(asking("deploy_app"), patient=("measure",))

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        assert screen.view.looked_at is not None and screen.view.looked_at.id == "measure"
        assert not screen.query(Question), "nothing can be confirmed that is not in view"
        await pilot.press("y")
        await settled(pilot)
        assert not source.items[-1]._slot.done()  # type: ignore[union-attr]
        await pilot.press("enter")
        await settled(pilot)
        assert screen.view.looked_at.id == "deploy_app"
        assert screen.query_one(Question).has_focus_within

    play(app(source), body)


def test_several_steps_are_read_one_after_the_other() -> None:
    source = Staged(until("onboard", is_("step_ended", "network")), patient=("doctor", "network"))

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        assert screen.view.looked_at is not None and screen.view.looked_at.id == "doctor"
        await pilot.press("enter")
        assert screen.view.looked_at.id == "network"
        assert "enter: next" in outcome(screen)

    play(app(source), body)


def test_a_failure_comes_before_everything_that_waits_to_be_read() -> None:
    source = Staged(failing(), patient=("doctor", "network", "base_image", "dockerfile"))

    async def body(_: Pilot[int], screen: Wizard) -> None:
        assert screen.view.looked_at is not None and screen.view.looked_at.id == "build"
        assert "r: again" in outcome(screen)
        assert "No matching distribution" in screen.query_one(Work).pane.visible_text()

    play(app(source), body)


def test_a_replay_and_the_demo_wait_for_nobody() -> None:
    async def body(_: Pilot[int], screen: Wizard) -> None:
        assert screen.view.looked_at is not None and screen.view.looked_at.id == "result"
        assert screen.view.unread == []

    play(app(Staged(events("onboard"))), body)


# Looking elsewhere, and back


def test_looking_at_other_steps_and_back_to_the_one_at_work() -> None:
    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        await pilot.press("left_square_bracket", "up")
        assert screen.view.looked_at is not None and screen.view.looked_at.id == "base_image"
        assert "enter: to Build, which is at work" in outcome(screen)
        await pilot.press("right_square_bracket")
        assert screen.view.looked_at.id == "dockerfile"
        await pilot.press("enter")
        assert screen.view.looked_at.id == "build"
        assert outcome(screen) == ""
        for _ in range(20):
            await pilot.press("down")
        assert screen.view.looked_at.id == list(screen.model.steps)[-1]

    play(app(states()["build_running"]()), body)


def test_a_click_on_the_rail_looks_at_a_step() -> None:
    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        await pilot.click("#rail", offset=(3, 2))
        assert screen.view.looked_at is not None and screen.view.looked_at.id == "base_image"

    play(app(states()["build_running"]()), body)


def test_what_happens_elsewhere_does_not_move_the_view() -> None:
    source = states()["build_running"]()

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        await pilot.press("up")
        screen.take(events("stages")[len(source.items) :])
        screen.sync()
        await settled(pilot)
        assert screen.view.looked_at is not None and screen.view.looked_at.id == "dockerfile"

    play(app(source), body)


def test_from_a_form_back_to_an_earlier_step() -> None:
    wanted = form("build", image="hello:1", builder="auto")
    source = Staged([*until("onboard", is_("step_ended", "dockerfile")), wanted])

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        await pilot.press("r")
        assert not wanted._slot.done(), "in a field r is a letter"
        await pilot.press("escape", "up")
        await settled(pilot)
        assert screen.view.looked_at is not None and screen.view.looked_at.id == "dockerfile"
        assert "r: do this one again" in outcome(screen)
        await pilot.press("r")
        back = answer(wanted)
        assert isinstance(back, Back) and back.step == "dockerfile"

    play(app(source), body)


def test_from_what_is_read_back_to_edit_it() -> None:
    wanted = form("build", image="hello:1", builder="auto")
    source = Staged([*until("onboard", is_("step_ended", "dockerfile")), wanted], patient=("dockerfile",))

    async def body(pilot: Pilot[int], _: Wizard) -> None:
        await pilot.press("r")
        back = answer(wanted)
        assert isinstance(back, Back) and back.step == "dockerfile"

    play(app(source), body)


def test_a_later_step_cannot_be_gone_back_to() -> None:
    wanted = form("network")
    source = Staged([*until("onboard", is_("step_ended", "doctor")), wanted])

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        await pilot.press("escape", "down", "down", "r")
        assert not wanted._slot.done()
        assert not screen.check_action("retry", ())
        await pilot.press("enter")
        await settled(pilot)
        assert screen.query_one(Form).has_focus_within

    play(app(source), body)


def test_a_form_left_for_a_look_keeps_what_was_typed() -> None:
    wanted = form("build", image="hello:1", builder="auto")
    source = Staged([*until("onboard", is_("step_ended", "dockerfile")), wanted])

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        await pilot.press("end", *"23", "ctrl+up")
        await settled(pilot)
        assert screen.view.looked_at is not None and screen.view.looked_at.id == "dockerfile"
        await pilot.press("enter")
        await settled(pilot)
        await pilot.press("enter")
        assert answer(wanted)["image"] == "hello:123"

    play(app(source), body)


# Where a run began, and its end on a low screen


def test_steps_that_were_done_before_the_first_one_are_done_on_the_rail() -> None:
    before = {"doctor": {"checks": []}, "network": {"name": "localnet", "chain_id": 1, "simulated": True}}
    started = RunStarted(workflow="onboard", network="localnet", project="/p", before=before)
    source = Staged([started, StepStarted(step="base_image", title="x", command="")])

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        shown = [step.state for step in screen.model.steps.values()]
        assert shown[:4] == ["done", "done", "running", "waiting"]
        assert "SIMULATED SGX" in screen.model.place
        await pilot.press("up")
        assert heading(screen.model.steps["network"], "")[1].plain == "done earlier"

    play(app(source), body)


def test_the_end_on_a_low_screen_leaves_room_for_what_the_step_says() -> None:
    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        said = outcome(screen)
        assert "app" in said and "result" in said and "[ ] look back" in said
        assert screen.query_one("#outcome").size.height <= 4
        assert screen.query_one("#notes-scroll").size.height >= 2
        await pilot.press("up")
        await settled(pilot)
        assert screen.query_one("#outcome").size.height <= 2, "elsewhere its own lines are what is looked for"

    play(app(Staged(events("onboard"))), body, size=(40, 12))


def test_looking_back_after_the_end_the_step_has_the_room() -> None:
    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        assert "result" in outcome(screen) and "log" in outcome(screen)
        await pilot.press("up")
        await settled(pilot)
        assert outcome(screen).startswith("q: quit · [ and ] look back")
        await pilot.press("enter")
        await settled(pilot)
        assert "The run is done" in outcome(screen)

    play(app(Staged(events("onboard"))), body)


def test_the_end_says_that_there_is_more_to_read_in_what_it_covers() -> None:
    *found, last, run_ended = events("onboard")
    long = Noted(step="result", at=last.at, text="report.txt:\n" + "\n".join(map(str, range(9))))

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        assert screen.query_one(Work).has_more
        assert "PgDn: more to read" in outcome(screen)
        await pilot.press("end")
        await settled(pilot)
        assert "PgDn" not in outcome(screen), "all of it has been seen"

    play(app(Staged([*found, long, last, run_ended])), body)


# Forms


def test_tab_and_arrows_go_through_the_fields_and_ctrl_r_sends_from_anywhere() -> None:
    wanted = form("push_secrets", encrypt_result=True)
    source = Staged([*until("onboard", is_("step_ended", "encrypt_dataset")), wanted])

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        await pilot.press(*"secret.txt", "tab")
        assert isinstance(screen.focused, TextArea)
        await pilot.press(*"1=a", "enter", *"2=b", "tab")
        assert isinstance(screen.focused, Options), "a field of several lines does not trap Tab"
        await pilot.press("right", "shift+tab")
        assert isinstance(screen.focused, TextArea)
        await pilot.press("ctrl+r")
        assert answer(wanted) == {
            "app_secret_file": "secret.txt", "requester_secret": ["1=a", "2=b"], "encrypt_result": False
        }  # fmt: skip

    play(app(source), body)


def test_a_short_list_is_chosen_from_by_arrows() -> None:
    wanted = form("request", category="0")
    source = Staged([*until("onboard", is_("step_ended", "push_secrets")), wanted])

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        screen.query_one("#ask Options", Options).focus()
        await pilot.press("down", "down", "enter")
        assert answer(wanted)["category"] == "2"

    play(app(source), body)


def test_the_picker_is_searched_and_narrowed_by_the_language() -> None:
    wanted = form("base_image", language="python")
    source = Staged([*until("onboard", is_("step_ended", "network")), wanted])

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        await pilot.press("right", "tab", *"5.7", "down")
        await settled(pilot)
        await pilot.press("enter")
        chosen = answer(wanted)
        assert chosen["language"] == "node"
        assert chosen["base_image"].endswith("node:16.13.1-alpine3.15-scone5.7.0")

    play(app(source), body)


def test_what_fits_no_choice_is_used_as_typed() -> None:
    wanted = form("base_image", language="python")
    source = Staged([*until("onboard", is_("step_ended", "network")), wanted])

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        await pilot.press("tab", *"registry.example/mine:1", "enter")
        assert answer(wanted) == {"language": "python", "base_image": "registry.example/mine:1"}

    play(app(source), body)


def test_a_form_that_came_back_shows_what_is_wrong_at_its_field() -> None:
    wanted = wrong("encrypt_dataset", "dataset_name", "x", "that is no name")
    source = Staged([*until("onboard", is_("step_ended", "deploy_app")), wanted])

    async def body(_: Pilot[int], screen: Wizard) -> None:
        entry = next(entry for entry in screen.query_one(Form)._entries if entry.problem)
        assert entry.filled.field.name == "dataset_name"
        assert isinstance(screen.focused, Input) and screen.focused in entry.query(Input)
        assert "that is no name" in str(entry.query_one("Prose", Prose).render())

    play(app(source), body)


def test_the_source_of_a_value_is_told() -> None:
    wanted = form("build", image="hello:1", builder="auto")
    named = [Filled(wanted.form[0].field, "x:1", "flag"), Filled(wanted.form[1].field, "auto", "manifest")]
    wanted = FormWanted(wanted.step, named, wanted.choices)
    source = Staged([*until("onboard", is_("step_ended", "dockerfile")), wanted])

    async def body(_: Pilot[int], screen: Wizard) -> None:
        shown = "\n".join("".join(part.text for part in row) for row in screen._compositor.render_strips())
        assert "from --image" in shown and "from creamtea.toml" in shown

    play(app(source), body)


def test_a_path_is_completed(tmp_path: Any) -> None:
    (tmp_path / "people.csv").touch()
    wanted = form("encrypt_dataset")
    source = Staged([*until("onboard", is_("step_ended", "deploy_app")), wanted])

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        made = Form(wanted.form, wanted.choices, tmp_path)
        screen.query_one(Form).remove()
        await screen.query_one("#ask").mount(made)
        await settled(pilot)
        await pilot.press(*"peo")
        await settled(pilot)
        await pilot.press("right")
        assert made.query(Input).first().value == "people.csv"

    play(app(source), body)


@pytest.mark.parametrize("name", [name for name in states() if name.endswith("_form")])
def test_every_form_of_the_wizard_fits_80x24_without_a_scroll(name: str) -> None:
    async def body(_: Pilot[int], screen: Wizard) -> None:
        fields = screen.query_one("Form .fields")
        assert fields.max_scroll_y == 0

    play(app(states()[name]()), body)


# Questions


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["y"], True), (["n"], False), (["enter"], False), (["escape"], False), (["left", "enter"], True),
        (["left", "right", "enter"], False), (["right", "enter"], False),
    ],
)  # fmt: skip
def test_yes_and_no(keys: list[str], expected: bool) -> None:
    source, want = asked("confirm")

    async def body(pilot: Pilot[int], _: Wizard) -> None:
        await pilot.press(*keys)
        assert answer(want) is expected

    play(app(source), body)


def test_a_secret_is_sent_as_typed_and_escape_stops_the_step() -> None:
    source, want = asked("secret")

    async def body(pilot: Pilot[int], _: Wizard) -> None:
        await pilot.press(*"q?c hunter2", "enter")
        assert answer(want) == "q?c hunter2"

    play(app(source), body)
    other, unanswered = asked("text")

    async def escaped(pilot: Pilot[int], _: Wizard) -> None:
        await pilot.press("escape")
        assert isinstance(answer(unanswered), Cancelled)

    play(app(other), escaped)


def test_a_document_is_edited_left_for_a_look_and_kept() -> None:
    source, want = asked("document", "FROM a\nRUN b\n")

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        await pilot.press(*"# x", "enter", "escape")
        await settled(pilot)
        assert screen.focused is None
        await pilot.press("up", "enter")
        await settled(pilot)
        assert screen.query_one("#ask TextArea").has_focus
        await pilot.press("ctrl+r")
        assert answer(want) == "# x\nFROM a\nRUN b\n"

    play(app(source), body)


# Cancelling and ending


def test_c_cancels_the_work() -> None:
    source = states()["build_running"]()

    async def body(pilot: Pilot[int], _: Wizard) -> None:
        await pilot.press("c")
        assert source.cancelled == 1 and not source.closed

    play(app(source), body)


def test_ctrl_c_cancels_and_the_second_one_leaves() -> None:
    source = states()["build_running"]()

    async def body(pilot: Pilot[int], _: Wizard) -> None:
        await pilot.press("ctrl+c")
        assert source.cancelled == 1 and not source.closed
        await pilot.press("ctrl+c")
        assert source.closed

    play(app(source), body)


@pytest.mark.parametrize("name", ["dataset_form", "deploy_question", "document", "password"])
def test_ctrl_c_cancels_a_step_that_waits_for_an_answer(name: str) -> None:
    source = states()[name]()
    want = source.items[-1]
    assert isinstance(want, Want)

    async def body(pilot: Pilot[int], _: Wizard) -> None:
        await pilot.press("ctrl+c")
        assert isinstance(answer(want), Cancelled)
        assert not source.closed

    play(app(source), body)


@pytest.mark.parametrize("name", list(states()))
def test_ctrl_q_leaves_from_everywhere(name: str) -> None:
    source = states()[name]()

    async def body(pilot: Pilot[int], _: Wizard) -> None:
        await pilot.press("ctrl+q")
        assert source.closed

    play(app(source), body)


@pytest.mark.parametrize("key", ["question_mark", "ctrl+p"])
def test_ctrl_q_leaves_from_what_lies_above(key: str) -> None:
    source = states()["build_running"]()

    async def body(pilot: Pilot[int], _: Wizard) -> None:
        await pilot.press(key, "ctrl+q")
        assert source.closed

    play(app(source), body)


def test_a_failed_step_is_tried_again() -> None:
    source = states()["build_failed"]()
    want = source.items[-1]
    assert isinstance(want, Want)

    async def body(pilot: Pilot[int], _: Wizard) -> None:
        await pilot.press("r")
        assert answer(want) == "retry"

    play(app(source), body)


def test_a_key_pressed_twice_answers_once() -> None:
    first, second = (form("build", image="hello:1", builder="auto") for _ in range(2))
    source = Staged([*until("onboard", is_("step_ended", "dockerfile")), first])

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        screen.query_one(Form).submit()
        screen.query_one(Form).submit()
        await pilot.pause()
        items: list[Item] = [second]
        screen.take(items)
        screen.sync()
        await settled(pilot)
        assert answer(first)["image"] == "hello:1"
        assert not second._slot.done()

    play(app(source), body)


def test_the_end_names_where_everything_is() -> None:
    async def body(_: Pilot[int], screen: Wizard) -> None:
        told = outcome(screen)
        for part in ("The run is done", "app ", "dataset ", "task ", "/creamtea-results/", "log ", "q: quit"):
            assert part in told

    play(app(states()["ended"]()), body)


def test_why_tells_what_the_step_is_for() -> None:
    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        await pilot.press("question_mark")
        await pilot.pause()
        told = "\n".join(str(part.render()) for part in pilot.app.screen.query("#why Static, #why Prose"))
        assert (step("build").__doc__ or "").split(".")[0] in told
        assert "docker build" in told
        assert "Stop the running step" in told
        await pilot.press("escape")
        assert pilot.app.screen is screen

    play(app(states()["build_running"]()), body)


def test_copying_names_the_log_because_no_terminal_confirms(monkeypatch: pytest.MonkeyPatch) -> None:
    made = app(states()["build_running"]())
    copied: list[str] = []
    told: list[str] = []
    monkeypatch.setattr(made, "copy_to_clipboard", copied.append)
    monkeypatch.setattr(Wizard, "notify", lambda _, text, **options: told.append(text))

    async def body(pilot: Pilot[int], _: Wizard) -> None:
        await pilot.press("y", "Y", "dollar_sign")
        assert copied[0].splitlines()[-1] == "training epoch 7: loss 0.50"
        assert len(copied[0].splitlines()) == 6 and len(copied[1].splitlines()) == 7
        assert copied[2].startswith("docker build ")
        assert all("/steps/build.log" in text for text in told)

    play(made, body)


def test_finding_and_errors() -> None:
    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        pane = screen.query_one(Work).pane
        await pilot.press("e")
        assert pane.ring[pane._current].startswith("ERROR: Could not find")
        await pilot.press("e")
        assert pane.ring[pane._current].startswith("ERROR: No matching")
        await pilot.press("slash", *"NUMPY", "enter")
        assert pane.ring[pane._current] == "collecting numpy==1.99"
        assert "1 of 3" in pane.status
        await pilot.press("N")
        assert "3 of 3" in pane.status
        await pilot.press("slash", "escape")
        assert screen.focused is None and "3 of 3" in pane.status
        await pilot.press("slash", "ctrl+u", "enter")
        assert pane.status == ""

    play(app(states()["build_failed"]()), body)


def test_panes_are_gone_through_and_tiled_where_there_is_room() -> None:
    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        work = screen.query_one(Work)
        first = work.pane.ring
        await pilot.press("tab")
        assert not screen.query_one("#panes").display, "the notes are a pane too"
        await pilot.press("tab")
        assert work.pane.ring is not first
        await pilot.press("t")
        await settled(pilot)
        tiles = [tile for tile in screen.query("Tile") if tile.display]
        assert len(tiles) == 2
        assert all(tile.query_one("LogPane").size.height >= 6 for tile in tiles)
        await pilot.resize_terminal(80, 14)
        await settled(pilot)
        assert len([tile for tile in screen.query("Tile") if tile.display]) == 1

    play(app(states()["build_running"]()), body)


def test_what_is_told_of_a_task_is_cut_only_where_there_is_no_room_for_more() -> None:
    where = "/ipfs/QmXfucZWHvbXJE4yzYCdfm8txjiEJx5Hc1SHJNjVi93CoM"
    items: list[Item] = [
        StepStarted(step="build", title="x", command="y"),
        TaskChanged(step="build", task="a", title="upload the file", state="done", detail=where),
        TaskChanged(step="build", task="b", title="a title of " + "many words " * 9, state="done"),
        StepEnded(step="build", outcome="done", outputs={}, seconds=1.0),
    ]

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        tasks = screen.query_one(Tasks)
        assert where in str(tasks.render()) and "…" not in str(tasks.render())
        assert tasks.size.height == len(str(tasks.render()).splitlines()) == 4

    async def cut(pilot: Pilot[int], screen: Wizard) -> None:
        tasks = screen.query_one(Tasks)
        assert str(tasks.render()).count("…") == 2 and tasks.size.height == 2

    play(app(Staged(items)), body)
    notes: list[Item] = [Noted(step="build", text=f"reason {number}") for number in range(40)]
    play(app(Staged([items[0], *notes, *items[1:]])), cut)


def test_tiles_of_what_is_over_take_no_more_room_than_they_have_lines() -> None:
    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        screen.view.look("watch")
        screen.redraw()
        await settled(pilot)
        await pilot.press("t")
        await settled(pilot)
        tiles = [tile for tile in screen.query("Tile") if tile.display]
        assert len(tiles) >= 2
        assert str(screen.query_one(Tasks).render()).count("\n") >= 4, "the tasks have what the lines leave"
        for tile in tiles:
            pane = tile.query_one(LogPane)
            assert pane.size.height <= max(len(pane.ring), len(tiles)), "no blank lines"

    play(app(states()["ended"]()), body)


def test_tiles_without_room_say_how_there_is_some() -> None:
    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        await pilot.press("t")
        await settled(pilot)
        assert len([tile for tile in screen.query("Tile") if tile.display]) == 1
        assert [note.message for note in pilot.app._notifications if "z gives" in note.message]
        await pilot.press("z")
        await settled(pilot)
        assert len([tile for tile in screen.query("Tile") if tile.display]) == 2

    play(app(states()["build_running"]()), body, (80, 17))


def test_a_question_says_when_there_is_more_to_read_before_the_answer() -> None:
    notes: list[Item] = [Noted(step="build", text=f"reason {number}") for number in range(40)]
    source, want = asked("confirm")
    source.items[1:1] = notes

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        def shown() -> str:
            strips = screen._compositor.render_strips()
            return "\n".join("".join(part.text for part in row) for row in strips)

        assert "reason 0" in shown() and "PgDn: more to read · y yes" in shown()
        for _ in range(4):
            await pilot.press("pagedown")
        await settled(pilot)
        assert "reason 39" in shown() and "PgDn: more to read" not in shown()
        assert not want._slot.done()

    play(app(source), body)


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20)], ids=str)
def test_twelve_stages_at_once_leave_room_for_lines_of_any_length(size: tuple[int, int]) -> None:
    stages: list[Item] = [StepStarted(step="build", title="x", command="docker build")]
    for number in range(9):
        stages.append(TaskChanged(step="build", task=f"old{number}", title=f"over {number}", state="done"))
    for number in range(12):
        stages.append(TaskChanged(step="build", task=f"s{number}", title=f"stage {number}", state="running"))
    for number in range(15):
        stages.append(TaskChanged(step="build", task=f"c{number}", title=f"copy {number}", state="waiting"))
    for number in range(12):
        stages.append(Lines(step="build", task=f"s{number}", text=("first", "x" * 20_000, "last")))

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        tasks = str(screen.query_one(Tasks).render())
        shown = tasks.splitlines()
        assert len(shown) <= size[1] // 2
        assert sum("◐ stage" in row for row in shown) >= min(12, len(shown)), tasks
        assert "over" not in tasks
        work = screen.query_one(Work)
        assert work.showing_lines and work.pane.size.height >= 5
        assert screen.check_action("scroll", ("right",)) and not screen.check_action("scroll", ("left",))
        await pilot.press("right")
        assert screen.check_action("scroll", ("left",))

    play(app(Staged(stages)), body, size)


def test_an_editor_is_left_before_more_is_read() -> None:
    notes: list[Item] = [Noted(step="build", text=f"reason {number}") for number in range(40)]
    source, _ = asked("document", "FROM a\n")
    source.items[1:1] = notes

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        assert "escape, PgDn: more to read" in str(screen.query_one("#ask .form-hint").render())  # type: ignore[attr-defined]
        await pilot.press("escape")
        await settled(pilot)
        top = screen.query_one("#notes-scroll").scroll_offset.y
        await pilot.press("pagedown")
        await settled(pilot)
        assert screen.query_one("#notes-scroll").scroll_offset.y > top

    play(app(source), body)


def test_a_file_at_hand_is_taken_by_a_key_and_not_by_itself() -> None:
    for keys, taken in (("enter",), ""), (("right", "enter"), "weather.csv"), (("w", "right", "enter"), "w"):
        asked = form("encrypt_dataset", dataset="")
        choices = {**asked.choices, "dataset": [Choice("weather.csv"), Choice("b.csv")]}
        wanted = FormWanted(asked.step, asked.form, choices)
        source = Staged([*until("onboard", is_("step_ended", "deploy_app")), wanted])

        async def body(pilot: Pilot[int], screen: Wizard, keys: Any = keys) -> None:
            note = screen.query_one("#ask .note", Static)
            assert str(note.content) == "right arrow fills in weather.csv; b.csv is here too"
            assert [one.placeholder for one in screen.query("#ask Input").results(Input)] == [
                "FILE – or nothing", "the file's name",
            ]  # fmt: skip
            assert note.visible
            await pilot.press(*keys[:-1])
            await settled(pilot)
            assert note.visible is (len(keys) == 1), "where something is typed, → takes nothing"
            await pilot.press(keys[-1])
            await settled(pilot)

        play(app(source), body)
        assert answer(wanted)["dataset"] == taken


def test_no_dataset_is_told_in_the_rail_and_at_the_end() -> None:
    none = dict.fromkeys(("dataset", "tx", "checksum", "multiaddr", "file"))
    recorded = [
        dataclasses.replace(event, outputs=none)
        if isinstance(event, StepEnded) and event.step == "encrypt_dataset"
        else dataclasses.replace(event, outputs={**event.outputs, "encrypt_dataset": none})
        if isinstance(event, RunEnded)
        else event
        for event in events("onboard")
    ]

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        rail = screen.query_one(Rail).render().plain
        assert "✓ no dataset" in rail and "✓ Secrets" in rail
        assert "dataset    none" in outcome(screen)

    play(app(Staged(recorded)), body)


def test_what_is_wrong_with_a_field_is_gone_once_it_is_corrected() -> None:
    source = Staged(
        [
            *until("onboard", is_("step_ended", "deploy_app")),
            wrong("encrypt_dataset", "dataset", "/nowhere", "there is no file /nowhere"),
        ]
    )

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        problem = screen.query_one("#ask .problem", Prose)
        assert problem.display
        await pilot.press("end", "x")
        assert not problem.display, "it speaks of another value"
        await pilot.press("backspace")
        assert problem.display

    play(app(source), body)


@pytest.mark.parametrize(
    "lines",
    [["model=encrypted", "lib=authentic", "a=authenticated"], ["lib", "lib=authentic", "lib"]],
    ids=["among others", "begins like another"],
)
def test_the_cursor_goes_to_the_line_that_is_wrong(lines: list[str]) -> None:
    bad = wrong("dockerfile", "region", "", "lib=authentic is not FOLDER=KIND; kinds are …")
    filled = [
        Filled(one.field, lines, "asked", one.problem) if one.field.name == "region" else one
        for one in bad.form
    ]
    wanted = FormWanted(bad.step, filled, bad.choices)
    source = Staged([*until("onboard", is_("step_ended", "base_image")), wanted])

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        assert isinstance(screen.focused, TextArea)
        await pilot.press(*"ated")
        await pilot.press("ctrl+r")
        assert answer(wanted)["region"][1] == "lib=authenticated"

    play(app(source), body)


def test_a_line_that_goes_on_outside_of_the_editor_is_marked() -> None:
    source, _ = asked("document", "short\n" + "x" * 200 + "END\ntail")

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        editor = screen.query_one(TextArea)
        shown = [editor.render_line(row).text.rstrip() for row in range(3)]
        assert [row.endswith("›") for row in shown] == [False, True, False]
        assert "x" in shown[1]
        await pilot.press("down", "end")
        await settled(pilot)
        shown = [editor.render_line(row).text for row in range(3)]
        assert "END" in shown[1] and not shown[1].rstrip().endswith("›")
        assert [row.split()[1].startswith("‹") for row in shown] == [True, True, True], shown

    play(app(source), body)


# Typing ahead


def burst(pilot: Pilot[int], *keys: str) -> None:
    """Keys that are all there before the first one has had its effect, as from a slow line."""
    for key in keys:
        pilot.app.post_message(Key(key, key if len(key) == 1 else None))


def test_what_is_typed_fast_goes_to_the_field_of_its_turn() -> None:
    wanted = form("dockerfile", heap="1G", entrypoint="python3 /app/src/app.py")
    source = Staged([*until("onboard", is_("step_ended", "base_image")), wanted])

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        fields = [type(one) for one in screen.focus_chain]
        assert fields[:2] == [StillInput, StillInput], fields
        burst(pilot, "ctrl+u", *"banana", "tab", "ctrl+u", *"512M", "tab", "tab", "shift+tab", "ctrl+r")
        await settled(pilot)
        await settled(pilot)
        values = answer(wanted)
        assert list(values.values())[:2] == ["banana", "512M"]

    play(app(source), body)


def test_letters_typed_on_a_choice_search_the_long_list() -> None:
    reference = "sconecuratedimages/public-apps:python-3.7.3-alpine3.10-scone3.0"
    wanted = form("base_image", language="python", base_image=reference)
    source = Staged([*until("onboard", is_("step_ended", "network")), wanted])

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        assert isinstance(screen.focused, Options)
        assert not {"q", "c"} & {key for key, _ in screen.query_one(Keys).shown()}, "they are letters here"
        burst(pilot, *"c3q")
        await settled(pilot)
        await settled(pilot)
        assert isinstance(screen.focused, Input) and screen.focused.value == "c3q"

    play(app(source), body)


def test_nothing_is_cancelled_by_a_letter_while_a_form_waits() -> None:
    wanted = form("network", network="localnet")
    source = Staged([*until("onboard", is_("step_ended", "doctor")), wanted])

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        await pilot.press("escape", "c")
        assert not wanted._slot.done() and "c" not in dict(screen.query_one(Keys).shown())
        await pilot.press("ctrl+c")
        assert isinstance(answer(wanted), Cancelled)

    play(app(source), body)


def test_a_long_last_word_says_how_to_read_on() -> None:
    recorded = events("onboard")
    last = max(n for n, event in enumerate(recorded) if is_("noted", "result")(event))
    many = [Noted(step="result", text=f"line {n}") for n in range(40)]

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        assert "q: quit" in outcome(screen) and "PgDn: more to read" in outcome(screen)
        await pilot.press("end")
        await settled(pilot)
        assert "PgDn" not in outcome(screen)

    play(app(Staged([*recorded[: last + 1], *many, *recorded[last + 1 :]])), body)


# After a failed task


def test_again_after_a_failed_task_is_another_request() -> None:
    lost = Failed("APP_COMPUTE_FAILED: it ended with 1", "look at its lines", mends="request")
    error = {"name": "x", "message": lost.message, "hint": lost.hint}
    ended = StepEnded(step="watch", outcome="failed", outputs={}, seconds=1.0, error=error)
    wanted = WordWanted(step("watch"), lost)
    source = Staged([*until("onboard", is_("lines", "watch", task="app")), ended, wanted])

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        assert "r: again from Request on, with other values if you like" in outcome(screen)
        assert "creamtea resume begins there too" in outcome(screen)
        await pilot.press("r")
        back = answer(wanted)
        assert isinstance(back, Back) and back.step == "request"

    play(app(source), body)


def test_the_view_follows_who_answered_unless_a_form_comes() -> None:
    source = Staged(asking("request"), patient=("request",))
    recorded = events("onboard")

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        await pilot.press("y")
        done = next(n for n, event in enumerate(recorded) if is_("step_ended", "request")(event))
        yes = Noted(step="request", text="answered: yes", answer="yes")  # the engine puts it into the record
        screen.take([yes, *recorded[len(source.items) - 1 : done + 1]])
        screen.sync()
        assert screen.view.unread == ["request"], "there is something to read, should a form come"
        assert [said.hint for said in said_of(screen) if said.mark == "?"][-1] == "yes"
        screen.take(recorded[done + 1 : done + 2])
        screen.sync()
        assert screen.view.looked_at is not None and screen.view.looked_at.id == "watch"
        assert screen.view.unread == []

    play(app(source), body)


def test_a_form_that_is_asked_again_stands_alone() -> None:
    source = Staged(states()["build_failed"]().items)

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        assert "r: again" in outcome(screen)
        await pilot.press("r")
        screen.take([form("build", image="hello-sgx:0.1", builder="auto")])
        screen.sync()
        await settled(pilot)
        assert screen.query_one(Form).has_focus_within
        assert outcome(screen) == ""
        assert (
            screen.view.looked_at is not None
            and not screen.view.looked_at.tasks
            and not screen.view.looked_at.notes
        )

    play(app(source), body)


def said_of(screen: Wizard) -> list[Said]:
    assert screen.view.looked_at is not None
    return said(screen.view.looked_at)


def test_what_is_typed_before_a_form_has_the_cursor_waits_for_it() -> None:
    wanted = form("build", image="", builder="auto")
    source = Staged([*until("onboard", is_("step_ended", "dockerfile")), wanted], patient=("dockerfile",))

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        assert screen.view.unread == ["dockerfile"]
        burst(pilot, "enter", *"quick:1", "ctrl+r")
        for _ in range(3):
            await settled(pilot)
        assert not source.closed, "q is a letter of the name, not the end of the run"
        assert answer(wanted)["image"] == "quick:1"

    play(app(source), body)


def test_what_is_typed_before_a_question_has_the_cursor_waits_for_it() -> None:
    secret = AnswerWanted(Asked(step="build", field="password", question="password of 0x…", kind="secret"))
    first, second = form("dockerfile", heap="1G"), [StepStarted(step="build", title="x", command="")]
    source = Staged([*until("onboard", is_("step_ended", "base_image")), first])

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        burst(pilot, "ctrl+r", *"qcq", "enter")  # the engine needs a moment to ask
        await pilot.pause(0.05)
        assert source.feed is not None
        for item in (*second, secret.asked, secret):
            source.feed.put(item)
        for _ in range(4):
            await settled(pilot)
        assert not source.closed and not source.cancelled
        assert answer(secret) == "qcq"

    play(app(source), body)
