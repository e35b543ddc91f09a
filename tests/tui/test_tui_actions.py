"""Every action can be reached by its key and by the palette, and the tables made of them are current."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from textual.actions import parse
from textual.pilot import Pilot
from textual.widgets import OptionList

from tests.tui.stage import Staged, app, play, settled, states
from tui.actions import APP, SCREENS, START, WIZARD, Action, all_actions, key_table, shown_keys
from tui.app import Creamtea
from tui.palette import Actions
from tui.screens.start import Start
from tui.screens.wizard import Wizard
from tui.widgets.keys import Keys

README = Path(__file__).parents[2] / "README.md"


class Heard:
    """Stands in place of an action method and remembers what it was called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def __call__(self, _node: object, *arguments: object) -> None:
        self.calls.append(arguments)

    def __get__(self, node: object, _kind: type | None = None) -> Any:
        return lambda *arguments: self(node, *arguments)


def heard(
    monkeypatch: pytest.MonkeyPatch, action: Action, screen: type[Any] = Wizard
) -> tuple[Heard, tuple[object, ...]]:
    """Listen for an action of a screen that is always possible; what it is to be called with."""
    namespace, name, parameters = parse(action.action)
    ear = Heard()
    owner = Creamtea if namespace == "app" else screen
    monkeypatch.setattr(owner, f"action_{name}", ear, raising=True)
    monkeypatch.setattr(screen, "check_action", lambda *_: True)
    return ear, parameters


def test_every_key_of_the_wizard_does_its_action(monkeypatch: pytest.MonkeyPatch) -> None:
    ears = [(action, *heard(monkeypatch, action)) for action in (*WIZARD, *APP)]
    by_method = {parse(action.action)[:2]: ear for action, ear, _ in ears}  # the last one listens

    async def body(pilot: Pilot[int], _: Wizard) -> None:
        for action, _ear, parameters in ears:
            ear = by_method[parse(action.action)[:2]]
            for key in action.keys.split(","):
                before = len(ear.calls)
                await pilot.press(key)
                assert ear.calls[before:] == [parameters], f"{action.id} by {key}"

    play(app(states()["build_running"]()), body)


def test_the_palette_offers_every_action(monkeypatch: pytest.MonkeyPatch) -> None:
    ears = [(action, *heard(monkeypatch, action)) for action in (*WIZARD, *APP) if action.id != "commands"]
    by_method = {parse(action.action)[:2]: ear for action, ear, _ in ears}

    async def body(_: Pilot[int], screen: Wizard) -> None:
        provider = Actions(screen)
        provider._post_init()
        offered = [hit async for hit in provider._search("")]
        assert len(offered) == len(ears)
        for action, _ear, parameters in ears:
            ear = by_method[parse(action.action)[:2]]
            best = max([hit async for hit in provider._search(action.help)], key=lambda hit: hit.score)
            before = len(ear.calls)
            await best.command()
            assert ear.calls[before:] == [parameters], action.id

    play(app(states()["build_running"]()), body)


def test_the_palette_by_keys() -> None:
    source = states()["build_running"]()

    async def body(pilot: Pilot[int], _: Wizard) -> None:
        await pilot.press("ctrl+p", *"stop the running")
        await pilot.app.workers.wait_for_complete()
        while pilot.app.screen.query_one(OptionList).option_count == 0:
            await pilot.pause()
        await pilot.press("enter")
        await settled(pilot)
        assert source.cancelled == 1

    play(app(source), body)


def test_the_palette_lists_only_what_is_possible() -> None:
    async def body(_: Pilot[int], screen: Wizard) -> None:
        provider = Actions(screen)
        provider._post_init()
        titles = [str(hit.display) async for hit in provider._search("")]
        assert any(title.startswith("next: ") for title in titles)
        assert not any(title.startswith(("find: ", "zoom: ", "go on: ")) for title in titles)

    play(app(states()["doctor_read"]()), body)


@pytest.mark.parametrize("action", START, ids=lambda action: action.id)
def test_every_key_of_the_start_does_its_action(
    action: Action, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ear, parameters = heard(monkeypatch, action, Start)

    async def body() -> None:
        async with Creamtea(folder=tmp_path).run_test() as pilot:
            await pilot.press(action.keys.split(",")[0])
            assert ear.calls == [parameters]

    asyncio.run(body())


def test_ids_and_keys_are_unique() -> None:
    for screen in SCREENS:
        actions = [*screen, *APP]
        assert len({action.id for action in actions}) == len(actions)
        keys = [key for action in actions for key in action.keys.split(",")]
        assert len(set(keys)) == len(keys)
    everything = [*APP, *(action for screen in SCREENS for action in screen)]
    assert {action.id for action in all_actions()} == {action.id for action in everything}
    keys_of = {(action.id, action.keys) for action in everything}
    assert len(keys_of) == len(all_actions()), "an id has the same keys wherever it is"


def test_keys_are_shown_as_people_read_them() -> None:
    shown = {action.id: shown_keys(action) for action in WIZARD}
    assert shown["find"] == "/"
    assert shown["previous_step"] == "[ or ↑ or ctrl+up"
    why = next(action for action in WIZARD if action.id == "why")
    assert shown_keys(why, {"why": "f2"}) == "f2"


def test_the_key_table_names_every_action() -> None:
    table = key_table()
    for action in all_actions():
        assert f"| {shown_keys(action)} | `{action.id}` | {action.help} |" in table


@pytest.mark.parametrize("name", list(states()))
def test_the_row_of_keys_fits_and_keeps_the_important_ones(name: str) -> None:
    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        for width in (80, 60, 40):
            await pilot.resize_terminal(width, 20)
            await settled(pilot)
            shown = screen.query_one(Keys).shown()
            assert sum(len(key) + len(title) + 2 for key, title in shown) - 1 <= max(width, 46)
            titles = [title for _, title in shown]
            assert titles[-3:] == ["why", "quit", "commands"]
            if screen.check_action("cancel", ()) and screen.focused is None and screen.want is None:
                assert "cancel" in titles
            if screen.check_action("next", ()) and screen.focused is None:
                assert titles[0] == "next"

    play(app(states()[name]()), body)


def test_a_click_on_a_key_presses_it() -> None:
    source = states()["build_running"]()

    async def body(pilot: Pilot[int], _: Wizard) -> None:
        await pilot.click(Keys, offset=(1, 0))
        await settled(pilot)
        assert source.cancelled == 1

    play(app(source), body)


def test_keys_of_the_configuration_take_the_place_of_ours(home: Path) -> None:
    folder = home / "xdg_config_home" / "creamtea"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text('[keys]\ncancel = "x"\n')
    source: Staged = states()["build_running"]()

    async def body(pilot: Pilot[int], screen: Wizard) -> None:
        await pilot.press("c")
        assert source.cancelled == 0
        await pilot.press("x")
        assert source.cancelled == 1
        assert ("x", "cancel") in screen.query_one(Keys).shown()

    play(app(source), body)


def test_the_readme_holds_the_key_table() -> None:
    """To bring it up to date: python -m tui.actions README.md"""
    inside = README.read_text().partition("<!-- keys -->\n")[2].partition("<!-- /keys -->")[0]
    assert inside.strip() == key_table()
