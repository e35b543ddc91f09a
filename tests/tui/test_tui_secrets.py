"""The screen of secrets: by keys, on every size, with hostile text; and over a real SMS and chain."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.commands.secret_town import Town
from tests.commands.secret_town import town as a_town
from tests.pty.terminal import Terminal
from tests.tui.secret_stage import NOWHERE, Replayed, app, empty, play, quiet, recorded
from tui.actions import SECRETS
from tui.app import Creamtea
from tui.screens.secrets import SecretsScreen
from tui.screens.start import Start
from tui.widgets.keys import Keys
from tui.widgets.matrix import Matrix
from tui.widgets.options import Options
from tui.widgets.prose import Prose
from tui.widgets.question import Question
from workflows.core.command import Result
from workflows.core.events import Event, TaskChanged
from workflows.localnet.chain import Chain

SMALL, WIDE, NARROW = (80, 24), (120, 40), (60, 20)
EVIL = "\x1b]0;owned\x07\x1b[31m\u202e\n"
KEYS: dict[str, tuple[Any, list[str]]] = {
    "matrix": (recorded, []),
    "missing": (recorded, ["e"]),
    "public": (recorded, ["up", *["down"] * 9]),
    "file": (recorded, ["e", "p"]),
    "confirm": (recorded, ["e", "p", *"pin.txt", "enter"]),
    "no_file": (recorded, ["e", "p", *"pni.txt", "enter"]),
    "bad_name": (recorded, ["a", "down", "down", "enter", *"a b", "enter"]),
    "kinds": (recorded, ["a"]),
    "cancel": (recorded, ["o"]),
    "accept": (recorded, ["i", "up"]),
    "empty": (empty, []),
    "nowhere": (lambda: NOWHERE, []),
    "help": (recorded, ["question_mark"]),
}
SHOTS = [*((name, SMALL) for name in KEYS), ("matrix", WIDE), ("confirm", WIDE), ("matrix", NARROW)]


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the keys name as a file is there, where the screen looks for it."""
    monkeypatch.chdir(tmp_path)
    for name in ("pin.txt", "-f", "-", "f"):
        Path(name).write_text("1234\n")


@pytest.mark.parametrize(("name", "size"), SHOTS, ids=[f"{name}-{size[0]}x{size[1]}" for name, size in SHOTS])
def test_the_screen_looks_as_accepted(
    name: str, size: tuple[int, int], snap_compare: Callable[..., bool]
) -> None:
    document, keys = KEYS[name]

    async def pressed(pilot: Pilot[Any]) -> None:
        await quiet(pilot)
        for key in keys:
            await pilot.press(key)
            await quiet(pilot)

    assert snap_compare(app(Replayed(document())), terminal_size=size, run_before=pressed)


def shown(screen: SecretsScreen) -> str:
    return "\n".join(
        f"{said.mark} {said.text} {said.hint}"
        for name in ("#news", "#full", "#advice")
        if screen.query_one(name).display
        for said in screen.query_one(name, Prose)._said
    )


def drawn(pilot: Pilot[int]) -> str:
    """What stands on the terminal."""
    return "\n".join(strip.text for strip in pilot.app.screen._compositor.render_strips())


def test_a_missing_secret_is_pushed_by_keys_and_its_row_is_marked() -> None:
    command = Replayed(recorded())

    async def body(pilot: Pilot[int], screen: SecretsScreen) -> None:
        await pilot.press("e")
        assert screen.row is not None and screen.row["name"] == "Pin" and screen.row["state"] == "missing"
        assert "push requester-secret --name Pin" in shown(screen)
        await pilot.press("p")
        await quiet(pilot)
        assert screen.query_one(Question).has_focus_within
        assert "of wallet" not in shown(screen), "nothing else is told while this is asked"
        await pilot.press(*"pin.txt", "enter")
        await quiet(pilot)
        assert "for ever" in shown(screen)
        await pilot.press("y")
        await quiet(pilot)
        assert "is in the SMS" in shown(screen) and not screen.query(Question)

    play(app(command), body)
    push = command.asked_for[1]
    assert (push["action"], push["kind"], push["name"], push["from"]) == (
        "push",
        "requester-secret",
        "Pin",
        "pin.txt",
    )
    assert push["owner"] == recorded()["rows"][2]["owner"] and push["framework"] == "scone"
    assert [one["action"] for one in command.asked_for] == ["audit", "push", "audit"]
    assert command.closed


@pytest.mark.parametrize(
    ("name", "file", "told"), [("pin", "pin.txt", "pin.txt"), ("--x", "-f", "-f"), ("pin", "-", "./-")]
)
def test_a_name_is_asked_for_before_the_file_and_neither_is_an_option(
    name: str, file: str, told: str
) -> None:
    command = Replayed(recorded())

    async def body(pilot: Pilot[int], screen: SecretsScreen) -> None:
        await pilot.press("a", "down", "down", "enter")
        await quiet(pilot)
        assert "Name of the requester secret" in drawn(pilot)
        await pilot.press(*name, "enter")
        await quiet(pilot)
        assert f"holds the requester secret {name}" in drawn(pilot)
        await pilot.press(*file, "enter")
        await quiet(pilot)
        await pilot.press("n")
        await quiet(pilot)

    play(app(command), body)
    push = command.asked_for[1]
    assert (push["action"], push["kind"], push["name"], push["from"]) == (
        "push",
        "requester-secret",
        name,
        told,
    )


@pytest.mark.parametrize(
    ("name", "told"), [("a b", "a name has 1 to 64 of A–Z a–z 0–9 - _"), ("", "has a name: 1 to 64 of")]
)
def test_a_name_that_will_not_do_is_told_beside_it_and_mended_there(name: str, told: str) -> None:
    command = Replayed(recorded())

    async def body(pilot: Pilot[int], screen: SecretsScreen) -> None:
        await pilot.press("a", "down", "down", "enter")
        await quiet(pilot)
        await pilot.press(*name, "enter")
        await quiet(pilot)
        assert "✗ a" in drawn(pilot) and told in " ".join(drawn(pilot).split()) and "--" not in drawn(pilot)
        assert screen.query_one(Input).value == name and screen.query_one(Question).has_focus_within
        await pilot.press("x")
        await quiet(pilot)
        assert told not in drawn(pilot), "it was told of what stood there before"
        await pilot.press(*["backspace"] * 9, *"pin", "enter")
        await quiet(pilot)
        assert "holds the requester secret pin" in drawn(pilot)

    play(app(command), body)
    assert [one["action"] for one in command.asked_for] == ["audit"], "nothing was begun for a wrong name"


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("pni.txt", None, "there is no file pni.txt; did you mean pin.txt?"),
        ("~no-such-user/x", None, "there is no file ~no-such-user/x"),
        ("empty", b"", "empty holds nothing"),
        ("bytes", b"\xff\xfe", "bytes is not UTF-8 text"),
    ],
)
def test_a_file_that_will_not_do_is_told_beside_it(
    name: str, content: bytes | None, told: str, tmp_path: Path
) -> None:
    command = Replayed(recorded())
    if content is not None:
        (tmp_path / name).write_bytes(content)

    async def body(pilot: Pilot[int], screen: SecretsScreen) -> None:
        await pilot.press("e", "p", *name, "enter")
        await quiet(pilot)
        assert f"✗ {told}" in drawn(pilot) and screen.query_one(Input).value == name
        await pilot.press(*["backspace"] * len(name), *"pin.txt", "enter")
        await quiet(pilot)
        assert "for ever" in shown(screen) and "✗ there" not in drawn(pilot)

    play(app(command), body)
    assert [one["from"] for one in command.asked_for[1:]] == ["pin.txt"]


def test_a_typed_value_that_no_sms_takes_is_told_at_once_and_not_shown() -> None:
    command = Replayed(recorded())

    async def body(pilot: Pilot[int], screen: SecretsScreen) -> None:
        await pilot.press("e", "p", "enter")
        await quiet(pilot)
        await pilot.press("enter")
        await quiet(pilot)
        assert "✗" in drawn(pilot) and screen.query_one(Input).password
        await pilot.press(*"hunter2", "enter")
        await quiet(pilot)
        await pilot.press("n")
        await quiet(pilot)

    play(app(command), body)
    assert command.answers == ["hunter2", False]


def test_a_value_is_typed_without_a_trace_on_the_screen() -> None:
    command = Replayed(recorded())

    async def body(pilot: Pilot[int], screen: SecretsScreen) -> None:
        await pilot.press("e", "p", "enter")
        await quiet(pilot)
        await pilot.press(*"hunter2")
        assert screen.query_one(Input).password
        assert "hunter2" not in drawn(pilot)
        await pilot.press("enter")
        await quiet(pilot)
        await pilot.press("y")
        await quiet(pilot)

    play(app(command), body)
    assert command.answers == ["hunter2", True]


@pytest.mark.parametrize("keys", [["n"], ["enter"], ["escape"]], ids=lambda keys: keys[0])
def test_enter_alone_or_escape_pushes_nothing(keys: list[str]) -> None:
    command = Replayed(recorded())

    async def body(pilot: Pilot[int], screen: SecretsScreen) -> None:
        await pilot.press("e", "p", *"f", "enter")
        await quiet(pilot)
        await pilot.press(*keys)
        await quiet(pilot)
        assert "nothing was pushed" in shown(screen) and not screen.query(Question)
        assert screen.is_current

    play(app(command), body)
    assert command.answers == [False]


def test_escape_leaves_a_question_and_then_the_screen() -> None:
    async def main() -> None:
        made = Creamtea(folder=Path("/nonexistent"))
        async with made.run_test() as pilot:
            await pilot.press("f4")
            await quiet(pilot)
            screen = made.screen
            assert isinstance(screen, SecretsScreen) and "not a folder" in shown(screen)
            await pilot.press("f4")
            assert made.screen is screen, "once is enough"
            await pilot.press("escape")
            await pilot.pause()
            assert isinstance(made.screen, Start)

    asyncio.run(main())


def test_the_start_screen_leads_to_the_secrets(tmp_path: Path) -> None:
    async def main() -> None:
        made = Creamtea(folder=tmp_path)
        async with made.run_test() as pilot:
            values = [choice.value for choice in made.screen.query_one(Options).choices]
            await pilot.press(*["down"] * values.index("secrets"), "enter")
            await quiet(pilot)
            assert isinstance(made.screen, SecretsScreen)
            assert "no localnet has ever run here" in shown(made.screen)

    asyncio.run(main())


def test_an_order_is_cancelled_only_when_one_is_chosen() -> None:
    command = Replayed(recorded())

    async def body(pilot: Pilot[int], screen: SecretsScreen) -> None:
        await pilot.press("o", "enter")
        await quiet(pilot)
        assert len(command.asked_for) == 1, "enter takes none of them"
        await pilot.press("o", "up", "enter")
        await quiet(pilot)
        await pilot.press("y")
        await quiet(pilot)
        assert "is cancelled" in shown(screen)

    play(app(command), body)
    assert command.asked_for[1]["kind"] == recorded()["rows"][0]["uses"][-1]["hash"]


def test_a_warning_is_accepted_by_keys_and_taken_back() -> None:
    command = Replayed(recorded())

    async def body(pilot: Pilot[int], screen: SecretsScreen) -> None:
        assert screen.check_action("accept", ()) and "1 to do" not in shown(screen)
        await pilot.press("i", "enter")
        await quiet(pilot)
        assert len(command.asked_for) == 1, "enter takes none of them"
        await pilot.press("i", "up")
        await quiet(pilot)
        assert "lets ANY app read dataset" in shown(screen), "in full, where the list has no room"
        await pilot.press("enter")
        await quiet(pilot)
        assert "accepted: order" in shown(screen) and "accepted on 2026-11-27: order" in shown(screen)
        assert screen._at == 0, "the same row is marked"
        lines = screen.query_one(Matrix).render().plain.splitlines()
        assert lines[1].startswith("▸✓ dataset key")
        await pilot.press("i", "up", "enter")
        await quiet(pilot)
        assert "it will be warned of again" in shown(screen)
        lines = screen.query_one(Matrix).render().plain.splitlines()
        assert lines[1].startswith("▸✓!dataset key")

    play(app(command), body)
    accepted = [one for one in command.asked_for if one["action"] == "accept"]
    assert [(one["kind"], one["undo"]) for one in accepted] == [("5b1f0c2e", False), ("5b1f0c2e", True)]


def test_a_row_without_a_warning_that_may_be_accepted_offers_none() -> None:
    async def body(pilot: Pilot[int], screen: SecretsScreen) -> None:
        await pilot.press("down")
        assert not screen.check_action("accept", ())

    play(app(Replayed(recorded())), body)


def test_what_is_set_for_ever_offers_no_push_and_what_is_not_known_neither() -> None:
    document = recorded()
    document["rows"][1]["state"] = "unknown"

    async def body(pilot: Pilot[int], screen: SecretsScreen) -> None:
        for state in ("set", "unknown", "missing", "set", "set"):
            assert screen.row is not None and screen.row["state"] == state
            offered = bool(screen.check_action("push", ()))
            assert offered is (state == "missing" or not screen.row["forever"])
            await pilot.press("down")
        assert screen.row is not None and screen.row["title"] == "FSPF key"
        assert not screen.check_action("push", ())

    play(app(Replayed(document)), body)


def told_below(pilot: Pilot[int]) -> str:
    return "\n".join(note.message for note in pilot.app._notifications)


def test_a_key_that_does_nothing_says_why() -> None:
    document = recorded()
    document["rows"][1]["state"] = "unknown"

    async def body(pilot: Pilot[int], screen: SecretsScreen) -> None:
        await pilot.press("p")
        assert "is set" in told_below(pilot) and "never: another key needs another dataset" in told_below(
            pilot
        )
        await pilot.press("down", "p")
        assert "did not say" in told_below(pilot)
        await pilot.press(*["down"] * 4, "p", "o")
        assert "FSPF key is public" in told_below(pilot) and "no order" in told_below(pilot)
        assert not screen.query(Question)

    play(app(Replayed(document)), body)


class Starting(Replayed):
    """Says what starts, and goes on when it is told to."""

    def __init__(self) -> None:
        super().__init__(recorded())
        self.go_on = threading.Event()

    def work(self, options: Mapping[str, Any]) -> Generator[Event, Any, Result]:
        for task, title in (("localnet", "start the localnet"), ("chain", "chain with iExec's contracts")):
            yield TaskChanged(task=task, title=title, state="running")
        self.go_on.wait(20)
        for task in ("chain", "localnet"):
            yield TaskChanged(task=task, title="", state="done")
        return (yield from super().work(options))


def test_while_the_localnet_starts_the_screen_says_so_and_so_does_every_key() -> None:
    command = Starting()

    async def main() -> None:
        async with app(command).run_test(size=SMALL) as pilot:
            for _ in range(200):
                await pilot.pause(0.01)
                if "the localnet is starting: chain with iExec's contracts…" in drawn(pilot):
                    break
            else:
                raise AssertionError(drawn(pilot))
            await pilot.press("a")
            assert "not yet: the localnet is starting: chain" in told_below(pilot)
            command.go_on.set()
            await quiet(pilot)
            assert "starting" not in drawn(pilot).replace(told_below(pilot), "") and "dataset key" in drawn(
                pilot
            )

    asyncio.run(main())


def test_states_are_told_by_signs_and_words_too() -> None:
    async def body(pilot: Pilot[int], screen: SecretsScreen) -> None:
        lines = screen.query_one(Matrix).render().plain.splitlines()
        assert lines[1].startswith("▸✓!dataset key") and "ANY app" in lines[1]
        assert "✗!requester secret Pin" in lines[3] and "NOT SET" in lines[3]
        assert "◌ FSPF key" in lines[6] and "PUBLIC" in lines[6]
        await pilot.press("down")
        lines = screen.query_one(Matrix).render().plain.splitlines()
        assert lines[1].startswith(" ") and lines[2].startswith("▸")

    play(app(Replayed(recorded())), body)


@pytest.mark.parametrize(
    "size", [(80, 24), (60, 20), (40, 12), (120, 40), (200, 60)], ids=lambda size: f"{size[0]}"
)
def test_every_row_can_be_reached_and_fits(size: tuple[int, int]) -> None:
    document = recorded()
    document["rows"] = document["rows"] * 8

    async def body(pilot: Pilot[int], screen: SecretsScreen) -> None:
        for _ in range(len(screen.rows)):
            lines = screen.query_one(Matrix).render().plain.splitlines()
            assert sum(line.startswith("▸") for line in lines) == 1
            assert all(len(line) <= size[0] for line in lines)
            await pilot.press("down")
        titles = [title for _, title in screen.query_one(Keys).shown()]
        assert titles[-3:] == ["help", "quit", "commands"]

    play(app(Replayed(document)), body, size)


def test_long_names_are_told_apart_on_a_narrow_screen() -> None:
    document = recorded()
    [row] = [one for one in document["rows"] if one["name"] == "Pin"]
    names = ["creamtea-1-3b2a1c0d9e8f", "creamtea-2-77aa0c0d1e2f"]
    document["rows"] = [{**row, "name": name} for name in names]
    document["warnings"] = []

    async def body(pilot: Pilot[int], screen: SecretsScreen) -> None:
        _, first, second, *_ = screen.query_one(Matrix).render().plain.splitlines()
        assert "creamtea-1…a1c0d9e8f" in first and "creamtea-2…a0c0d1e2f" in second
        await pilot.resize_terminal(160, 30)
        _, first, *_ = screen.query_one(Matrix).render().plain.splitlines()
        assert f"requester secret {names[0]}" in first

    play(app(Replayed(document)), body)


def test_hostile_text_reaches_no_terminal() -> None:
    text = json.dumps(recorded())
    for word in (
        "requester secret Pin",
        "localnet",
        "orders.json",
        "the wallet itself",
        "differ by case only",
    ):
        text = text.replace(word, word + EVIL.encode("unicode_escape").decode().replace("\\x", "\\u00"))
    document = json.loads(text)
    assert "\x1b" in json.dumps(document, ensure_ascii=False) or "\\u001b" in json.dumps(document)

    async def body(pilot: Pilot[int], screen: SecretsScreen) -> None:
        for _ in screen.rows:
            assert not set("\x1b\x07\u202e") & set(shown(screen) + screen.query_one(Matrix).render().plain)
            await pilot.press("down")

    play(app(Replayed(document)), body)


@pytest.mark.parametrize("action", SECRETS, ids=lambda action: action.id)
def test_every_key_does_its_action(action: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from textual.actions import parse

    namespace, name, parameters = parse(action.action)
    heard: list[tuple[object, ...]] = []
    owner = Creamtea if namespace == "app" else SecretsScreen

    async def body(pilot: Pilot[int], _: SecretsScreen) -> None:
        monkeypatch.setattr(owner, f"action_{name}", lambda _self, *arguments: heard.append(arguments))
        monkeypatch.setattr(SecretsScreen, "check_action", lambda *_: True)
        for key in action.keys.split(","):
            await pilot.press(key)

    play(app(Replayed(recorded())), body)
    assert heard == [parameters] * len(action.keys.split(","))


# Over a real SMS and a real chain


@pytest.fixture
def town(chain: Chain, home: Path, tmp_path: Path) -> Iterator[Town]:
    with a_town(chain, home, tmp_path) as made:
        yield made


@pytest.mark.chain
def test_a_secret_goes_from_the_keyboard_into_a_real_sms(town: Town) -> None:
    made = Creamtea(opening=SecretsScreen(["--project", str(town.project)]))

    async def body(pilot: Pilot[int], screen: SecretsScreen) -> None:
        kinds = [row.get("kind") for row in screen.rows]
        await pilot.press(*["down"] * kinds.index("app-secret"), "p", "enter")
        await quiet(pilot)
        for _ in range(2):
            await pilot.press(*"hunter2", "enter")
            await quiet(pilot)
        await pilot.press("y")
        await quiet(pilot)
        assert "is in the SMS" in shown(screen)
        assert screen.row is not None and (screen.row["kind"], screen.row["state"]) == ("app-secret", "set")
        assert not screen.check_action("push", ())

    play(made, body)
    assert town.is_set("app-secret") and "hunter2" not in town.ledger.read_text()


@pytest.mark.chain
def test_the_word_alone_opens_the_screen_in_a_real_terminal(town: Town) -> None:
    with Terminal(["secrets", "--project", str(town.project)]) as terminal:
        assert "NOT SET" not in terminal.until("app secret", "PUBLIC", "nothing to do")
        terminal.press("a")
        terminal.until("none of them")
        terminal.press("escape", "escape")
        assert terminal.end() == 0
        assert terminal.restored
    with Terminal(["secrets", "--project", str(town.project / "nowhere")]) as terminal:
        terminal.until("is not a folder", "r again")
        terminal.press("q")
        assert terminal.end() == 0
    with Terminal(["secrets", "--bogus"]) as terminal:
        terminal.until("--help lists what it takes")
        assert terminal.end() == 2
