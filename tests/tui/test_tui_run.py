"""Whole runs on the screen: the real engine, journal and recorder under it, small steps in it, keys alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from textual.pilot import Pilot

from tests.tui.stage import settled
from tui.app import Creamtea, _app, _finish
from tui.run import LiveRun, Playback
from tui.screens.start import Start
from tui.screens.wizard import Wizard
from tui.widgets.form import Form
from tui.widgets.options import Options
from tui.widgets.question import Question
from workflows.cli import prepare, program
from workflows.cli.options import parse_run
from workflows.core.catalog import Catalog
from workflows.core.events import Asked, Lines, Noted, RunEnded, TaskChanged
from workflows.core.failure import Failed
from workflows.core.fields import Field
from workflows.core.journal import Journal
from workflows.core.record import Recorder
from workflows.core.step import Context, Done, Step, Work


class Name(Step):
    """Give it a name."""

    id, title, heading = "name", "Name", "Give it a name"
    workflows = ("onboard", "demo", "deploy")
    fields = (Field("word", "A word", default="tea", manifest="word"),)

    def command(self, ctx: Context) -> str:
        return f"echo {ctx['word']}"

    def done(self, ctx: Context) -> Done | None:
        return Done({"word": ctx["word"]}, "it has that name") if ctx.previous and not ctx.again else None

    def run(self, ctx: Context) -> Work:
        yield Noted(text=f"its name is {ctx['word']}")
        return {"word": ctx["word"]}


class Sign(Step):
    """Sign it."""

    id, title, heading = "sign", "Sign", "Sign it"
    after = ("name",)
    workflows = ("onboard", "demo")

    def command(self, ctx: Context) -> str:
        return "sign"

    def run(self, ctx: Context) -> Work:
        yield Noted(text=f"you sign {ctx.outputs['name']['word']}")
        agreed = yield Asked(field="sign", question="Sign?")
        if not agreed:
            raise Failed("it is not signed", "sign it")
        return {"signed": ctx.outputs["name"]["word"]}


class Brew(Step):
    """Brew it."""

    id, title, heading = "brew", "Brew", "Brew it"
    after = ("sign",)
    workflows = ("onboard", "demo")
    mood: ClassVar[str] = "good"

    def command(self, ctx: Context) -> str:
        return "brew"

    def run(self, ctx: Context) -> Work:
        yield TaskChanged(task="pot", title="the pot", state="running")
        yield Lines(task="pot", text=("water", "error: no leaves" if Brew.mood == "bad" else "leaves"))
        if Brew.mood == "bad":
            yield TaskChanged(task="pot", title="the pot", state="failed")
            raise Failed("the pot is empty", "add leaves", name="empty")
        if Brew.mood == "crash":
            raise RuntimeError("boom \x1b[2J")
        while Brew.mood == "slow":
            ctx.cancel.wait(60)
        yield TaskChanged(task="pot", title="the pot", state="done")
        return {}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three steps instead of the product's."""
    monkeypatch.setattr(program, "catalog", lambda: Catalog([Name(), Sign(), Brew()]))
    monkeypatch.setattr(prepare, "demo_project", lambda options: options.project)
    monkeypatch.setattr(Brew, "mood", "good")


class Stage:
    """The app and its pilot, and waiting for what a thread does."""

    def __init__(self, app: Creamtea, pilot: Pilot[int]) -> None:
        self.app, self.pilot = app, pilot

    @property
    def screen(self) -> Wizard:
        assert isinstance(self.app.screen, Wizard)
        return self.app.screen

    async def until(self, check: Callable[[], object]) -> None:
        for _ in range(500):
            await settled(self.pilot)
            if check():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(self.text)

    @property
    def text(self) -> str:
        strips = self.app.screen._compositor.render_strips()
        return "\n".join("".join(part.text for part in row) for row in strips)

    async def shows(self, text: str) -> None:
        await self.until(lambda: text in self.text)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await settled(self.pilot)

    async def ready(self, kind: type[Form] | type[Question]) -> None:
        """Until a form or a question has the keyboard."""
        await self.until(lambda: any(found.has_focus_within for found in self.screen.query(kind)))

    async def to_the_question(self) -> None:
        """Through the first step as it is, to the question of the second."""
        await self.ready(Form)
        await self.press("enter")
        await self.shows("enter: next — Sign")
        await self.press("enter")
        await self.ready(Question)


def play(words: Sequence[str], body: Callable[[Stage], Awaitable[None]], *, resume: bool = False) -> Creamtea:
    """Run the app for these words of the command line under keys, then let it finish as `main` does."""
    made = _app([("resume" if resume else "run"), *words])

    async def main() -> None:
        async with made.run_test(size=(80, 24)) as pilot:
            await body(Stage(made, pilot))

    asyncio.run(main())
    return made


def journal(folder: Path) -> list[tuple[str, str]]:
    return [(entry.kind, entry.step) for entry in Journal(folder)._entries]


def test_a_walk_by_keys_from_form_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def body(stage: Stage) -> None:
        await stage.ready(Form)
        await stage.press(*"cup", "enter")
        await stage.shows("enter: next — Sign")
        assert "its name is cup" in stage.text
        await stage.press("enter")
        await stage.ready(Question)
        await stage.press("y")
        await stage.shows("The run is done")
        await stage.press("q")

    made = play(["onboard", "--project", str(tmp_path)], body)
    assert _finish(made) == 0
    said = capsys.readouterr().out
    assert "creamtea onboard: done" in said and f"log: {tmp_path}/.creamtea/runs/" in said
    assert ("done", "brew") in journal(tmp_path)
    source = made.source
    assert isinstance(source, LiveRun)
    recorded = (source.ctx.run_dir / "events.jsonl").read_text().splitlines()
    assert json.loads(recorded[-1])["type"] == "run_ended"


def test_the_demo_asks_and_holds_nothing(tmp_path: Path) -> None:
    async def body(stage: Stage) -> None:
        await stage.shows("The run is done")

    made = play(["demo", "--project", str(tmp_path)], body)
    assert _finish(made) == 0


def test_the_everyday_way_asks_only_what_is_not_settled(tmp_path: Path) -> None:
    async def first(stage: Stage) -> None:
        await stage.ready(Form)
        await stage.press("enter")
        await stage.shows("The run is done")

    async def second(stage: Stage) -> None:
        await stage.shows("The run is done")

    play(["deploy", "--project", str(tmp_path)], first)
    play(["deploy", "--project", str(tmp_path)], second)


def test_a_no_fails_the_step_and_again_asks_again(tmp_path: Path) -> None:
    async def body(stage: Stage) -> None:
        await stage.to_the_question()
        await stage.press("escape")
        await stage.shows("it is not signed")
        await stage.press("r")
        await stage.ready(Question)
        await stage.press("enter")
        await stage.shows("it is not signed")
        await stage.press("q")

    made = play(["onboard", "--project", str(tmp_path)], body)
    assert _finish(made) == 1
    assert ("done", "sign") not in journal(tmp_path)


def test_going_back_redoes_a_step_with_other_values(tmp_path: Path) -> None:
    async def body(stage: Stage) -> None:
        await stage.to_the_question()
        await stage.press("left_square_bracket")
        await stage.shows("r: do this one again")
        await stage.press("r")
        await stage.ready(Form)
        assert stage.screen.model.steps["sign"].state == "waiting"
        await stage.press("end", *"pot", "enter")
        await stage.shows("its name is teapot")
        await stage.press("enter")
        await stage.ready(Question)
        assert "you sign teapot" in stage.text
        await stage.press("y")
        await stage.press("enter")
        await stage.shows("The run is done")
        assert stage.screen.model.steps["sign"].outputs == {"signed": "teapot"}

    play(["onboard", "--project", str(tmp_path)], body)


def test_a_failure_opens_on_the_lines_and_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Brew, "mood", "bad")

    async def body(stage: Stage) -> None:
        await stage.shows("the pot is empty")
        assert "error: no leaves" in stage.text and "→ add leaves" in stage.text
        Brew.mood = "good"
        await stage.press("r")
        await stage.shows("The run is done")

    made = play(["demo", "--project", str(tmp_path)], body)
    assert _finish(made) == 0


def test_a_failure_on_entering_a_step_comes_into_view_with_its_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = [False]

    def first_choice(_: Context) -> str:
        if not reached[0]:
            raise Failed("no container engine answers", "start it", name="engine")
        return "leaves"

    class Enters(Brew):
        fields = (Field("tea", "Tea", default=first_choice),)

    monkeypatch.setattr(program, "catalog", lambda: Catalog([Name(), Sign(), Enters()]))

    async def body(stage: Stage) -> None:
        await stage.to_the_question()
        await stage.press("y")
        await stage.shows("✗ no container engine answers")
        assert "→ start it" in stage.text and "▸✗ Brew" in stage.text and "r: again" in stage.text
        reached[0] = True
        await stage.press("r")
        await stage.ready(Form)
        await stage.press("enter")
        await stage.shows("The run is done")

    assert _finish(play(["onboard", "--project", str(tmp_path)], body)) == 0


def test_the_start_screen_warns_of_an_unlikely_folder_and_asks_twice(home: Path) -> None:
    (home / "app.py").touch()

    async def body() -> None:
        made = Creamtea(folder=home)
        async with made.run_test(size=(120, 30)) as pilot:
            stage = Stage(made, pilot)
            await stage.shows(f"{home} is your home folder")
            await stage.press("enter")
            await stage.shows("enter again: go on all the same")
            assert isinstance(made.screen, Start) and not any(home.glob(".creamtea"))
            await stage.press("enter")
            await stage.until(lambda: isinstance(made.screen, Wizard))
            await stage.press("ctrl+q")

    asyncio.run(body())


def test_a_screenshot_needs_no_downloads_folder(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(Creamtea, "notify", lambda _, text, **options: told.append(text))

    async def body() -> None:
        made = Creamtea(folder=tmp_path)
        async with made.run_test(size=(120, 30)) as pilot:
            stage = Stage(made, pilot)
            await stage.press("f8")
            await stage.until(lambda: told)
            [saved] = home.glob("creamtea*.svg")
            assert told == [f"the screen is in {saved}"]
            assert "Into an SGX enclave" in saved.read_text().replace("&#160;", " ")

    asyncio.run(body())


def test_a_bug_of_ours_is_told_and_ends_with_70(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Brew, "mood", "crash")

    async def body(stage: Stage) -> None:
        await stage.shows("creamtea stumbled")
        assert "Traceback" in stage.text
        await stage.press("q")

    made = play(["demo", "--project", str(tmp_path)], body)
    assert _finish(made) == 70


@pytest.mark.parametrize("keys", [["c"], ["ctrl+c"]])
def test_cancelling_stops_the_step_and_resume_goes_on_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], keys: list[str]
) -> None:
    monkeypatch.setattr(Brew, "mood", "slow")

    async def body(stage: Stage) -> None:
        await stage.shows("leaves")
        await stage.press(*keys)
        await stage.shows("stopped; what is finished stays")
        await stage.press("q")

    made = play(["demo", "--project", str(tmp_path)], body)
    assert _finish(made) == 130
    assert f"creamtea resume --project {tmp_path}" in capsys.readouterr().out
    monkeypatch.setattr(Brew, "mood", "good")

    async def resumed(stage: Stage) -> None:
        await stage.shows("The run is done")

    assert _finish(play(["--project", str(tmp_path)], resumed, resume=True)) == 0


def test_resume_asks_no_form_of_a_step_that_is_done(tmp_path: Path) -> None:
    async def body(stage: Stage) -> None:
        await stage.to_the_question()
        await stage.press("q")

    assert _finish(play(["onboard", "--project", str(tmp_path)], body)) == 130

    async def resumed(stage: Stage) -> None:
        await stage.ready(Question)
        await stage.press("y")
        await stage.shows("the pot")

    play(["--project", str(tmp_path)], resumed, resume=True)


def test_quitting_while_a_step_works_stops_it_and_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Brew, "mood", "slow")

    async def body(stage: Stage) -> None:
        await stage.shows("leaves")
        await stage.press("q")

    made = play(["demo", "--project", str(tmp_path)], body)
    assert _finish(made) == 130
    assert made.source is not None and made.source.wait(0)
    assert ("failed", "brew") in journal(tmp_path)


def test_a_second_run_in_the_same_project_is_refused_by_name(tmp_path: Path) -> None:
    async def body(stage: Stage) -> None:
        await stage.shows("is running in this project")
        assert "wait for it" in stage.text
        await stage.press("q")

    with Journal(tmp_path).lock():
        made = play(["onboard", "--project", str(tmp_path)], body)
    assert _finish(made) == 1


def test_after_the_end_a_step_can_be_run_again(tmp_path: Path) -> None:
    async def body(stage: Stage) -> None:
        await stage.shows("The run is done")
        first = stage.app.source
        await stage.until(lambda: first is not None and first.wait(0))
        await stage.press("r")
        await stage.until(lambda: stage.app.source is not first)
        await stage.shows("The run is done")
        earlier = stage.screen.model.steps["name"]
        assert (earlier.state, earlier.began) == ("done", None), "only from the step in view on"

    play(["demo", "--project", str(tmp_path)], body)


def test_the_start_screen_starts_and_explains(tmp_path: Path) -> None:
    async def body() -> None:
        made = Creamtea(folder=tmp_path)
        async with made.run_test() as pilot:
            stage = Stage(made, pilot)
            assert isinstance(made.screen, Start)
            await stage.press("question_mark")
            await stage.shows("creamtea takes an application")
            await stage.press("escape")
            await stage.press("enter")
            await stage.until(lambda: isinstance(made.screen, Wizard))
            await stage.ready(Form)
            await stage.press("ctrl+q")
        assert _finish(made) == 130

    asyncio.run(body())


def test_the_start_screen_goes_on_and_tells_what_hinders(tmp_path: Path) -> None:
    Journal(tmp_path).append("run", data={"workflow": "of yore", "given": {}})

    async def body() -> None:
        made = Creamtea(folder=tmp_path)
        async with made.run_test() as pilot:
            stage = Stage(made, pilot)
            await stage.shows("Go on where the last run stopped")
            await stage.press("enter")
            await stage.shows("there is no workflow 'of yore'")
            assert isinstance(made.screen, Start)

    asyncio.run(body())


@pytest.mark.parametrize(("outcome", "first"), [("done", "deploy"), ("failed", "resume"), (None, "resume")])
def test_only_a_run_that_is_not_done_is_gone_on_with(
    tmp_path: Path, outcome: Any, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Journal(tmp_path).append("run", run="r1", data={"workflow": "deploy", "given": {}})
    recorder = Recorder(tmp_path / ".creamtea" / "runs" / "r1")
    if outcome is not None:
        recorder(RunEnded(outcome=outcome, outputs={}, seconds=1.0))
    recorder.close()

    async def body() -> None:
        made = Creamtea(folder=tmp_path)
        async with made.run_test() as pilot:
            stage = Stage(made, pilot)
            await stage.shows("the last run is done: it was deploy" if outcome == "done" else "it was deploy")
            options = made.screen.query_one(Options)
            assert options.choice is not None and options.choice.value == first
            offered = any(choice.value == "resume" for choice in options.choices)
            assert offered is (outcome != "done")

    asyncio.run(body())


def test_the_terminal_keeps_where_the_app_and_the_result_are(tmp_path: Path) -> None:
    run = LiveRun(parse_run(["onboard", "--project", str(tmp_path)]))
    run.ctx.outputs["deploy_app"] = {"app": "0x1234"}
    run.ctx.outputs["result"] = {"folder": "/home/ada/results/1", "files": ["answer.txt"]}
    assert "app: 0x1234\nresult: /home/ada/results/1 (1 file)\nlog: " in run.farewell


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("nonsense", "line 1"),
        ('{"v":1,"type":"noted","text":5}', "text is not as"),
        ('{"v":1,"type":"task_changed","task":"t","title":"x","state":"flying"}', "state is not as"),
        ('{"v":1,"type":"lines","task":"t","text":"abc"}', "text is not as"),
        ('{"v":1,"type":"step_ended","outcome":"done","outputs":[],"seconds":1}', "outputs is not as"),
        ('{"v":1,"type":"progress","task":"t","done":true}', "done is not as"),
    ],
)
def test_a_recording_that_is_none_is_told(tmp_path: Path, line: str, told: str) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text(line + "\n")

    async def body() -> None:
        made = Creamtea(Playback(file, 0))
        async with made.run_test(size=(200, 24)) as pilot:
            stage = Stage(made, pilot)
            await stage.shows("is no event")
            assert told in stage.text

    asyncio.run(body())


def test_a_replay_is_paused_by_nothing_and_left_at_once(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = [
        {"v": 1, "type": "run_started", "at": "2026-01-01T00:00:00Z", "run": "r", "step": None, "workflow": "demo",
         "network": None, "project": "/x/hello"},
        {"v": 1, "type": "run_ended", "at": "2027-01-01T00:00:00Z", "run": "r", "step": None, "outcome": "done",
         "outputs": {}, "seconds": 1.0, "log": None},
    ]  # fmt: skip
    file = tmp_path / "events.jsonl"
    file.write_text("".join(json.dumps(event) + "\n" for event in events))
    source = Playback(file)

    async def body() -> None:
        made = Creamtea(source)
        async with made.run_test() as pilot:
            stage = Stage(made, pilot)
            await stage.shows("hello ▸ demo · replay")
            await stage.press("q")

    asyncio.run(body())
    assert source.wait(10)
