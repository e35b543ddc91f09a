"""What every screen looks like. Look at each picture before accepting it: pytest --snapshot-update."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.tui.recordings import RUNS
from tests.tui.stage import app, settled, states
from tui.app import Creamtea
from tui.run import Playback

SMALL, WIDE, NARROW = (80, 24), (120, 40), (60, 20)
STATES = states()
SHOTS = [
    *((name, SMALL) for name in STATES),
    *((name, WIDE) for name in ("base_form", "document", "build_running", "request_question", "ended")),
    *((name, NARROW) for name in ("build_failed", "request_question")),
]


@pytest.mark.parametrize(("name", "size"), SHOTS, ids=[f"{name}-{size[0]}x{size[1]}" for name, size in SHOTS])
def test_the_wizard_looks_as_accepted(
    name: str, size: tuple[int, int], snap_compare: Callable[..., bool]
) -> None:
    assert snap_compare(app(STATES[name]()), terminal_size=size, run_before=settled)


def test_the_start_looks_as_accepted(snap_compare: Callable[..., bool]) -> None:
    assert snap_compare(Creamtea(folder=Path("/home/ada/hello-sgx")), terminal_size=SMALL)


def test_a_replay_looks_as_accepted(snap_compare: Callable[..., bool]) -> None:
    source = Playback(RUNS / "onboard.ndjson", 0)

    async def played(pilot: Pilot[Any]) -> None:
        assert source.wait(30)
        await settled(pilot)

    assert snap_compare(Creamtea(source), terminal_size=SMALL, run_before=played)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("why", ["question_mark"]),
        ("palette", ["ctrl+p"]),
        ("find", ["slash", *"epoch", "enter"]),
        ("tiles", ["t"]),
        ("zoom", ["z"]),
        ("look_back", ["left_square_bracket"]),
    ],
)
def test_a_key_looks_as_accepted(name: str, keys: list[str], snap_compare: Callable[..., bool]) -> None:
    async def pressed(pilot: Pilot[Any]) -> None:
        await settled(pilot)
        await pilot.press(*keys)
        await settled(pilot)

    assert snap_compare(app(STATES["build_running"]()), terminal_size=SMALL, run_before=pressed)
