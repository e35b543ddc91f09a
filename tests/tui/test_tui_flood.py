"""A flood of lines: the screen draws ten times a second, whatever comes, and keys are heard in between."""

from __future__ import annotations

import asyncio
import threading

from textual.pilot import Pilot

from tests.tui.stage import Staged, app, play, settled
from tui.app import Creamtea
from tui.model import CAPACITY
from tui.screens.wizard import Wizard
from tui.widgets.log_pane import LogPane
from tui.widgets.work import Work
from workflows.core.events import Event, Lines, StepStarted, TaskChanged

AT = {"at": "2026-11-23T10:00:00.000Z", "step": "build"}
COUNT, CHUNK = 100_000, 50


def begun(*tasks: str) -> list[Event]:
    return [
        StepStarted(title="Build", command="docker build .", **AT),
        *(TaskChanged(task=task, title=f"RUN {task}", state="running", **AT) for task in tasks),
    ]


def flood(source: Staged, task: str = "a") -> threading.Thread:
    """A thread that puts a hundred thousand lines into the feed as fast as it takes them."""

    def produce() -> None:
        assert source.feed is not None
        for start in range(0, COUNT, CHUNK):
            text = tuple(f"line {number}" for number in range(start, start + CHUNK))
            source.feed.put(Lines(task=task, text=text, **AT))

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    return thread


def test_a_flood_is_drawn_in_ticks_and_keys_are_heard_in_between() -> None:
    source = Staged(begun("a"))

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        drawn = 0
        heard: list[int] = []
        ring = screen.model.steps["build"].task("a").lines
        draw = screen._draw

        def counted() -> None:
            nonlocal drawn
            drawn += 1
            draw()

        screen._draw = counted  # type: ignore[method-assign]
        screen.action_zoom = lambda: heard.append(len(ring) + ring.dropped)  # type: ignore[method-assign]
        thread = flood(source)
        while thread.is_alive():
            pilot.app.simulate_key("z")
            await asyncio.sleep(0.01)
        await settled(pilot)
        assert len(ring) == CAPACITY and ring.dropped == COUNT - CAPACITY
        assert ring[-1 + len(ring)] == f"line {COUNT - 1}"
        assert drawn < COUNT / CHUNK / 10, "not once for every event"
        assert any(0 < lines < COUNT for lines in heard), "keys were handled while it flooded"
        assert screen.query_one(Work).pane.follow

    play(app(source), body)


def test_what_is_read_stays_in_place_while_old_lines_make_room() -> None:
    source = Staged([*begun("a"), Lines(task="a", text=tuple(f"line {n}" for n in range(CAPACITY)), **AT)])

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        pane = screen.query_one(Work).pane
        await pilot.press("slash", *"line 9000", "enter")
        await settled(pilot)
        before = pane.visible_text()
        assert "line 9000" in before and not pane.follow
        screen.take([Lines(task="a", text=tuple(f"new {n}" for n in range(500)), **AT)])
        screen.sync()
        await settled(pilot)
        assert pane.visible_text() == before
        assert "below, f follows" in pane.status
        await pilot.press("n")
        assert "line 9000" in pane.visible_text(), "the only match is found again at its new place"
        await pilot.press("f")
        await settled(pilot)
        assert pane.visible_text().endswith("new 499") and pane.follow

    play(app(source), body)


def test_lines_of_hidden_panes_are_only_kept() -> None:
    source = Staged(begun("a", "b"))

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        screen.take([Lines(task="a", text=("first",), **AT)])
        screen.sync()
        await settled(pilot)
        seen: list[str] = []
        for pane in screen.query(LogPane):
            show = pane.show
            pane.show = lambda ring, show=show: (seen.append(ring[0] if len(ring) else ""), show(ring))[1]  # type: ignore[method-assign]
        await pilot.press("left_square_bracket")
        screen.take([Lines(task="a", text=("more",) * 1000, **AT)])
        screen.sync()
        await settled(pilot)
        assert seen == [], "another step is in view: nothing of this one is drawn"
        assert len(screen.model.steps["build"].task("a").lines) == 1001

    play(app(source), body)


def test_resizing_to_anything_during_a_flood() -> None:
    source = Staged(begun("a"))

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        thread = flood(source)
        for size in ((20, 5), (1, 1), (200, 60), (9, 3), (300, 2), (80, 24), (60, 20), (5, 40)):
            await pilot.resize_terminal(*size)
            await pilot.press("t", "tab", "z", "pageup", "slash", "escape")
        while thread.is_alive():
            await settled(pilot)
        await pilot.resize_terminal(80, 24)
        await settled(pilot)
        assert isinstance(pilot.app, Creamtea)
        assert len(screen.model.steps["build"].task("a").lines) == CAPACITY

    play(app(source), body)
