"""Two builds side by side: reached, chosen, read whole, stopped, and as it looks."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.strip import Strip

from tests.scone.measurements import BUILD, builds, new
from tui.actions import COMPARE
from tui.app import Creamtea, _app
from tui.palette import Actions
from tui.screens.compare import Compare
from tui.widgets.beside import Beside
from tui.widgets.keys import Keys
from workflows.cli import program
from workflows.commands.diff import Diff
from workflows.core.catalog import Catalog
from workflows.core.command import Result
from workflows.core.events import Noted, TaskChanged
from workflows.core.journal import FOLDER
from workflows.core.step import Cancel, Context, Step, Work
from workflows.scone import record
from workflows.scone.record import Base, Interpreter, Picture

KEY = str(BUILD.fingerprint.fspf_key)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return builds(tmp_path / "app")


class Stage:
    """The app, and waiting for what its threads do."""

    def __init__(self, app: Creamtea, pilot: Pilot[int]) -> None:
        self.app, self.pilot = app, pilot

    @property
    def strips(self) -> list[list[Strip]]:
        return self.app.screen._compositor.render_strips()  # type: ignore[return-value]

    @property
    def text(self) -> str:
        return "\n".join("".join(part.text for part in row) for row in self.strips)

    async def until(self, check: Callable[[], object]) -> None:
        for _ in range(500):
            await self.pilot.pause()
            if check():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(self.text)

    async def shows(self, *texts: str) -> None:
        await self.until(lambda: all(text in self.text for text in texts))

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()


def play(made: Creamtea, body: Callable[[Stage], Awaitable[None]], size: tuple[int, int] = (80, 40)) -> None:
    async def main() -> None:
        async with made.run_test(size=size) as pilot:
            await body(Stage(made, pilot))

    asyncio.run(main())


def opened(made: Creamtea, body: Callable[[Stage, Compare], Awaitable[None]], **options: Any) -> None:
    """Run the body once the comparison of the start screen is drawn."""

    async def begun(stage: Stage) -> None:
        await stage.press("d")
        screen = made.screen
        assert isinstance(screen, Compare)
        await stage.until(lambda: screen.document is not None or screen.failure is not None)
        await body(stage, screen)

    play(made, begun, **options)


# Reaching it


def test_it_is_offered_where_there_are_two_builds(project: Path, tmp_path: Path) -> None:
    async def offered(stage: Stage) -> None:
        await stage.shows("Compare two builds")
        assert ("d", "compare") in stage.app.screen.query_one(Keys).shown()
        provider = Actions(stage.app.screen)
        provider._post_init()
        hit = max([hit async for hit in provider._search("compare two")], key=lambda hit: hit.score)
        await hit.command()
        await stage.shows("≠ heap")
        await stage.press("escape")
        await stage.press("down", "down", "down", "down", "enter")
        await stage.shows("≠ heap")

    async def not_offered(stage: Stage) -> None:
        await stage.press("d")
        assert "ompare" not in stage.text

    play(Creamtea(folder=project), offered)
    play(Creamtea(folder=tmp_path), not_offered)


class Measured(Step):
    """As the real one ends: with the number of the record."""

    id, title, heading = "measure", "Measure", "Measure it"
    workflows = ("onboard",)

    def command(self, ctx: Context) -> str:
        return "measure"

    def run(self, ctx: Context) -> Work:
        yield Noted(text="measured")
        return {"record": 2}


def test_at_the_measure_step_it_is_the_build_and_the_one_before(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "catalog", lambda: Catalog([Measured()]))

    async def body(stage: Stage) -> None:
        await stage.shows("The run is done", "d compare")
        await stage.press("d")
        await stage.shows("A  build 1", "B  build 2", "$ creamtea diff 1 2 --project")
        await stage.press("escape")
        await stage.shows("The run is done")

    play(_app(["run", "onboard", "--project", str(project)]), body)


# Reading it


def test_what_changed_and_why(project: Path) -> None:
    async def body(stage: Stage, screen: Compare) -> None:
        assert screen.sides == {"a": "2", "b": "3"}
        await stage.shows("≠ heap         1 GiB", "2 GiB", " 1. heap 1 GiB → 2 GiB", "! heap 1 GiB → 2 GiB")
        assert "= threads" in stage.text and "SCONE_HEAP 1073741824" in stage.text
        assert KEY not in stage.text

    opened(Creamtea(folder=project), body)


@pytest.mark.parametrize("width", [120, 80, 57, 40, 20])
def test_every_width_shows_all_of_it(project: Path, width: int) -> None:
    document = (
        Diff()
        .run({"a": "1", "b": "3", "project": project, "network": "localnet", "rpc": None}, lambda _: None)
        .document
    )

    async def body(stage: Stage, _: Compare) -> None:
        beside = stage.app.screen.query_one(Beside)
        for whole in (False, True):
            beside.show(document, whole=whole)
            lines = beside._lines(width)
            assert max(line.cell_length for line in lines) <= width
            told = "".join("".join(line.plain.split()) for line in lines)
            for cause in document["causes"]:
                assert "".join(cause["sentence"].split()) in told
        assert KEY in beside.text

    opened(Creamtea(folder=project), body)


def test_what_differs_within_a_value_is_underlined(tmp_path: Path) -> None:
    folder = builds(tmp_path / "app")
    for digit, tag in (("4", "3.7"), ("5", "3.8")):
        base = Base(f"curated/python:{tag}-alpine", "stand-in:1")
        record.keep(folder / FOLDER, new(base=base, image=Picture("x:1", "sha256:" + digit * 64)))

    async def body(stage: Stage, _: Compare) -> None:
        underlined = [
            part.text
            for row in stage.strips
            for part in row
            if part.style and part.style.underline  # type: ignore[attr-defined]
        ]
        assert underlined[:2] == ["7", "8"]

    opened(Creamtea(folder=folder), body)


def test_words_of_outside_do_nothing(tmp_path: Path) -> None:
    folder = builds(tmp_path / "app")
    wild = new(
        name="\x1b]0;owned\x07\u202eeman [bold]x[/bold]",
        interpreter=Interpreter("/bin/\x1b[2Jsh", {}),
        image=Picture("x:1", "sha256:" + "4" * 64),
    )
    record.keep(folder / FOLDER, wild)

    async def body(stage: Stage, screen: Compare) -> None:
        assert "eman" in stage.text and "[bold]x[/bold]" in stage.text and "/bin/sh" in stage.text
        assert all(text.isprintable() for text in stage.text.splitlines())
        assert "\\u001b" not in json.dumps(screen.document)

    opened(Creamtea(folder=folder), body)


# Using it


def test_others_are_chosen_swapped_and_shown_whole(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.parent)
    made = Creamtea(folder=project)
    copied: list[str] = []
    monkeypatch.setattr(made, "copy_to_clipboard", copied.append)

    async def body(stage: Stage, screen: Compare) -> None:
        await stage.press("a", "down", "enter")
        await stage.shows("A  build 1", "B  build 3")
        await stage.press("s")
        await stage.shows("A  build 3", "B  build 1", "heap 2 GiB → 1 GiB")
        await stage.press("a", "escape")
        assert screen.sides == {"a": "3", "b": "1"}, "escape changes nothing"
        await stage.press("b", *"friend.json", "enter")
        await stage.shows("diff 3 friend.json", "r: again")
        assert "whole" not in [title for _, title in screen.query_one(Keys).shown()]
        Path("friend.json").write_text(record.write(BUILD))
        await stage.press("r")
        await stage.shows("heap 2 GiB → 1 GiB")
        await stage.press("w")
        assert KEY[:25] in stage.text and KEY[-4:] in stage.text
        await stage.press("y", "dollar_sign")
        assert KEY in copied[0] and "heap 2 GiB → 1 GiB" in copied[0]
        assert copied[1].startswith("creamtea diff 3 ") and f"--project {project}" in copied[1]

    opened(made, body)


@pytest.mark.parametrize("key", ["c", "ctrl+c"])
def test_it_tells_its_progress_and_is_stopped(
    project: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    seen: list[Cancel] = []

    def slow(_: Diff, options: Mapping[str, Any], emit: Any, cancel: Cancel) -> Result:
        seen.append(cancel)
        emit(TaskChanged(task="read", title="read image \x1b[2Jhello", state="running"))
        cancel.wait(60)
        raise AssertionError("nobody stopped it")

    monkeypatch.setattr(Diff, "run", slow)

    async def body(stage: Stage) -> None:
        await stage.press("d")
        await stage.shows("◐ read image hello", "c cancel")
        await stage.press(key)
        await stage.shows("stopped", "r: again")
        assert seen[0].is_set()
        await stage.press("r")
        await stage.shows("◐ read image hello")
        await stage.press("escape")
        await stage.until(lambda: seen[1].is_set())

    play(Creamtea(folder=project), body)


def test_a_bug_of_ours_and_a_damaged_record_are_told(project: Path) -> None:
    path = project / FOLDER / record.FOLDER / f"0003-{'3' * 12}.json"
    path.write_text(path.read_text()[:-30])

    async def body(stage: Stage, screen: Compare) -> None:
        await stage.shows("no measurement record")
        await stage.press("b", "down", "enter")
        await stage.shows("The same: every part")

    opened(Creamtea(folder=project), body)


def test_every_key_of_it_acts_or_is_not_offered(project: Path) -> None:
    async def body(stage: Stage, screen: Compare) -> None:
        offered = {title for _, title in screen.query_one(Keys).shown()}
        for action in COMPARE:
            if action.id == "cancel":
                assert action.title not in offered
            elif action.show:
                assert action.title in offered, action.id
        await stage.press("question_mark")
        await stage.shows("Why two measurements differ")
        await stage.press("escape", "escape")
        assert not isinstance(stage.app.screen, Compare)

    opened(Creamtea(folder=project), body, size=(100, 40))


# As it looks


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (44, 20)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_it_looks_as_accepted(
    project: Path, size: tuple[int, int], snap_compare: Callable[..., bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)

    async def body(pilot: Pilot[Any]) -> None:
        stage = Stage(pilot.app, pilot)  # type: ignore[arg-type]
        await stage.press("d")
        await stage.shows("heap")

    assert snap_compare(Creamtea(folder=project), terminal_size=size, run_before=body)


def test_choosing_looks_as_accepted(
    project: Path, snap_compare: Callable[..., bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    for path in (project / FOLDER / record.FOLDER).iterdir():
        os.utime(path, (1_800_000_000, 1_800_000_000))

    async def body(pilot: Pilot[Any]) -> None:
        stage = Stage(pilot.app, pilot)  # type: ignore[arg-type]
        await stage.press("d")
        await stage.shows("heap")
        await stage.press("a", "down")
        await stage.shows("build 1")

    assert snap_compare(Creamtea(folder=project), terminal_size=(80, 24), run_before=body)
