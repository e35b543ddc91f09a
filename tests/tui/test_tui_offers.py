"""What is offered does something, and what is not offered does nothing: keys, footer and palette agree."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from textual.actions import parse
from textual.pilot import Pilot

from tests.tui.stage import Staged, app, settled, states
from tui.actions import WIZARD, Action
from tui.app import Creamtea
from tui.screens.wizard import Wizard
from tui.widgets.keys import Keys

# What a widget with the keyboard does with the key itself; or what ends the state (tested with the wizard).
_OWN = ("next", "go", "quit", "cancel", "retry")
_WORDS = ("find", "next_match", "previous_match", "error", "pane", "previous_pane", "tile", "zoom", "follow", "copy",
          "copy_all", "command", "page_up", "page_down", "top", "bottom", "scroll_left", "scroll_right",
          "previous_step", "next_step", "compare", "why", "look")  # fmt: skip


def seen(made: Creamtea, source: Staged) -> tuple[object, ...]:
    """All that a key may change: the picture, what is told, who listens, what was answered."""
    strips = made.screen._compositor.render_strips()
    text = [[(part.text, part.style) for part in row] for row in strips]
    answered = [item._slot.done() for item in source.items if hasattr(item, "_slot")]
    return text, len(made._notifications), made.screen, made.screen.focused, answered, source.cancelled


async def tried(pilot: Pilot[int], source: Staged, screen: Wizard, action: Action) -> str:
    """Press the action's first key; how that does not fit what was offered, or nothing."""
    made = screen.app
    assert isinstance(made, Creamtea)
    offered = bool(screen.check_action(*parse(action.action)[1:]))
    made.clear_notifications()  # none may go away by itself meanwhile
    await settled(pilot)
    in_footer = action.title in [title for _, title in screen.query_one(Keys).shown()]
    before = seen(made, source)
    await pilot.press(action.keys.split(",")[0])
    await settled(pilot)
    acted = seen(made, source) != before
    if made.screen is not screen:
        await pilot.press("escape")
        await settled(pilot)
    if offered != acted:
        return f"{action.id} is {'' if offered else 'not '}offered and does {'some' if acted else 'no'}thing"
    return f"{action.id} is in the footer and not offered" if in_footer and not offered else ""


@pytest.mark.parametrize("size", [(80, 24), (40, 12)], ids=str)
@pytest.mark.parametrize(
    "name",
    ["doctor_read", "build_running", "build_failed", "ended", "locked"],
)
def test_what_is_offered_acts_and_nothing_else_does(
    name: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Creamtea, "NOTIFICATION_TIMEOUT", 1000)
    source = states()[name]()
    made = app(source)
    actions: Mapping[str, Action] = {action.id: action for action in WIZARD}
    assert {*_OWN, *_WORDS} == actions.keys()

    async def body() -> None:
        async with made.run_test(size=size) as pilot:
            await settled(pilot)
            screen = made.screen
            assert isinstance(screen, Wizard)
            assert screen.focused is None, "its keys come after those of a form or a question"
            wrong = []
            for word in _WORDS:
                if told := await tried(pilot, source, screen, actions[word]):
                    wrong.append(told)
                if screen.query("#find").first().has_focus:
                    await pilot.press("escape")
                    await settled(pilot)
            assert wrong == []

    asyncio.run(body())
