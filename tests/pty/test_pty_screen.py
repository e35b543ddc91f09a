"""The program in a real terminal, by keys alone: it starts, asks, stops, and leaves the terminal as it was."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.pty.terminal import Terminal
from tests.tui.recordings import RUNS


def project(folder: Path) -> Path:
    """A small app."""
    place = folder / "hello"
    (place / "src").mkdir(parents=True)
    (place / "src" / "app.py").write_text("print('hello')\n")
    return place


def recording(folder: Path, lines: Sequence[Sequence[str]], **more: Any) -> Path:
    """A build with these lines, in as many events."""
    at = {"v": 1, "at": "2026-01-01T00:00:00Z", "run": "r", "step": "build"}
    events: list[dict[str, Any]] = [
        {**at, "type": "step_started", "title": "Build", "command": "docker build ."},
        {**at, "type": "task_changed", "task": "t", "title": "RUN it", "state": "running", **more},
        *({**at, "type": "lines", "task": "t", "stream": "out", "text": list(text)} for text in lines),
    ]
    file = folder / "events.jsonl"
    file.write_text("".join(json.dumps(event) + "\n" for event in events))
    return file


def test_the_start_screen_and_out_again(tmp_path: Path) -> None:
    with Terminal([], folder=tmp_path) as terminal:
        terminal.until("Onboard the app in this folder")
        assert "q quit" in terminal.text
        terminal.press("?")
        terminal.until("creamtea takes an application")
        terminal.press("escape")
        terminal.until("Onboard the app")
        terminal.press("q")
        assert terminal.end() == 0
        assert terminal.restored


def test_a_form_is_cancelled_quit_and_the_log_is_named(tmp_path: Path) -> None:
    place = project(tmp_path)
    with Terminal(["run", "onboard", "--only", "build", "--project", str(place)]) as terminal:
        terminal.until("Image name")
        terminal.until("hello:0.1")
        terminal.press("ctrl+c")
        terminal.until("stopped; what is finished stays")
        terminal.press("r")
        terminal.until("Image name")
        terminal.press("ctrl+c")
        terminal.until("r: again")
        terminal.press("q")
        assert terminal.end() == 130
        assert terminal.restored
        after = terminal.raw[terminal.raw.rfind(b"\x1b[?1049l") :].decode()
        assert "creamtea onboard: stopped" in after
        assert f"log: {place}/.creamtea/runs/" in after
        assert f"creamtea resume --project {place}" in after


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_from_outside_leaves_in_order(tmp_path: Path, number: signal.Signals) -> None:
    place = project(tmp_path)
    with Terminal(["run", "onboard", "--only", "build", "--project", str(place)]) as terminal:
        terminal.until("Image name")
        os.kill(terminal.pid, number)
        assert terminal.end() == 130
        assert terminal.restored
    entries = [json.loads(line) for line in (place / ".creamtea" / "journal.jsonl").read_text().splitlines()]
    assert [entry["kind"] for entry in entries] == ["run", "failed"]


STUBBORN = """
import sys, time
from workflows.cli import program
from workflows.core.catalog import Catalog
from workflows.core.events import Noted
from workflows.core.step import Step

class Deaf(Step):
    id, title, heading = "deaf", "Deaf", "It hears nothing"
    def command(self, ctx): return "sleep"
    def run(self, ctx):
        yield Noted(text="asleep")
        time.sleep(600)
        return {}

program.catalog = lambda: Catalog([Deaf()])
from tui.app import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_step_that_hears_nothing_cannot_keep_the_terminal(tmp_path: Path) -> None:
    words = ["run", "onboard", "--project", str(tmp_path)]
    with Terminal(words, program=("-c", STUBBORN)) as terminal:
        terminal.until("asleep")
        terminal.press("ctrl+c", "ctrl+c")
        terminal.until("stopping the step; ctrl+c ends at once")
        assert terminal.restored
        terminal.press("ctrl+c")
        assert terminal.end() == 130


def test_a_usage_error_never_opens_the_screen(tmp_path: Path) -> None:
    with Terminal(["run", "nonsense"]) as terminal:
        assert terminal.end() == 2
        assert b"\x1b[?1049h" not in terminal.raw
        assert "there is no workflow" in terminal.text


def test_a_recording_is_played_on_the_same_screen() -> None:
    with Terminal(["replay", str(RUNS / "onboard.ndjson"), "--speed", "0"]) as terminal:
        terminal.until("The run is done")
        assert "hello-sgx ▸ onboard · replay" in terminal.text
        assert "SIMULATED SGX" in terminal.text
        terminal.press("[", "[")
        terminal.until("Request a run")
        terminal.press("q")
        assert terminal.end() == 0
        assert terminal.restored


def test_nothing_of_a_hostile_log_reaches_the_terminal(tmp_path: Path) -> None:
    evil = "\x1b]0;PWNED\x07|\x1b]52;c;UFdORUQ=\x07|\x1b[2J|\x1b[?1049l|\x9b2J|\u202eevil|[bold]x[/]|\x1b]8;;http://evil\x1b\\"
    file = recording(tmp_path, [[evil, "the end"]], title=evil, detail=evil)
    with Terminal(["replay", str(file), "--speed", "0"]) as terminal:
        terminal.until("the end")
        terminal.press("q")
        assert terminal.end() == 0
        for sequence in (
            b"\x1b]0;",
            b"PWNED",
            b"\x1b]52",
            b"\x1b]8;",
            b"\x1b[2J",
            "\u202e".encode(),
            b"\xc2\x9b",
        ):
            assert sequence not in terminal.raw, sequence
        assert terminal.raw.count(b"\x1b[?1049l") == 1


def test_markup_in_a_log_is_text(tmp_path: Path) -> None:
    file = recording(tmp_path, [["[internal] load [bold]x[/]"]])
    with Terminal(["replay", str(file), "--speed", "0"]) as terminal:
        terminal.until("[internal] load [bold]x[/]")
        terminal.press("q")
        assert terminal.end() == 0


def test_resizing_during_a_flood(tmp_path: Path) -> None:
    flood = [
        [f"line {start + number} of a long build" for number in range(100)] for start in range(0, 60_000, 100)
    ]
    file = recording(tmp_path, flood)
    with Terminal(["replay", str(file), "--speed", "0"]) as terminal:
        terminal.until("RUN it")
        for size in ((20, 5), (1, 1), (80, 24), (9, 3), (200, 60), (300, 2), (60, 20), (80, 24)):
            terminal.resize(*size)
            terminal.press("t", "z", "tab")
        terminal.until("line 59999")
        terminal.press("q")
        assert terminal.end() == 0
        assert terminal.restored


def test_without_colour_there_is_none_and_the_marks_say_it() -> None:
    with Terminal(
        ["replay", str(RUNS / "broken.ndjson"), "--speed", "0"], environ={"NO_COLOR": "1"}
    ) as terminal:
        terminal.until("The run is failed")
        assert "✗ Build" in terminal.text and "✓ Check" in terminal.text and "○ Measure" in terminal.text
        terminal.press("q")
        assert terminal.end() == 0
        colours = re.findall(rb"[34]8;2;(\d+);(\d+);(\d+)", terminal.raw)
        assert all(red == green == blue for red, green, blue in colours)


def test_a_small_terminal_is_survived() -> None:
    with Terminal(["replay", str(RUNS / "stages.ndjson"), "--speed", "0"], size=(20, 5)) as terminal:
        terminal.until("q quit", "q qui", "✓")
        terminal.press("q")
        assert terminal.end() == 0
        assert terminal.restored


def test_without_a_terminal_worth_the_name_lines_are_printed() -> None:
    with Terminal(
        ["replay", str(RUNS / "broken.ndjson"), "--speed", "0"], environ={"TERM": "dumb"}
    ) as terminal:
        assert terminal.end() == 0
        assert b"\x1b[?1049h" not in terminal.raw
        assert b"failed in " in terminal.raw
