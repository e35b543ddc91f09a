"""The whole job driven by keys alone, on a terminal of 80 by 24."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.pty.terminal import Terminal

APP = """
import json, os
out = os.environ["IEXEC_OUT"]
data = open(os.path.join(os.environ["IEXEC_IN"], os.environ["IEXEC_DATASET_FILENAME"])).read()
print("counting", flush=True)
open(out + "/count.txt", "w").write(f"{len(data.split())} words, {data.count('a')} times a")
json.dump({"deterministic-output-path": out + "/count.txt"}, open(out + "/computed.json", "w"))
"""
DATA = "a cream tea is what a scone comes with"


def typed(screen: str) -> list[str]:
    """What a person who agrees to everything types next."""
    if "y yes" in screen:
        return ["y"]
    if "ctrl+r keeps it and goes on" in screen:
        return ["ctrl+r"]
    if "enter goes on" in screen or "enter: next" in screen:
        return ["enter"]
    return []


@pytest.mark.engine
@pytest.mark.chain
@pytest.mark.slow
def test_from_a_folder_to_the_decrypted_result(tmp_path: Path) -> None:
    project = tmp_path / "count-words"
    project.mkdir()
    (project / "app.py").write_text(APP)
    (tmp_path / "words.txt").write_text(DATA)
    words = ["run", "onboard", "--dataset", str(tmp_path / "words.txt")]
    environ = {"CREAMTEA_LOCALNET": str(tmp_path / "localnet")}
    with Terminal(words, environ=environ, folder=project) as terminal:
        deadline = time.monotonic() + 300
        while "The run is done" not in terminal.text:
            terminal.read(0.4)
            assert terminal.status is None, f"it ended with {terminal.status}:\n{terminal.text}"
            assert time.monotonic() < deadline, f"no end in sight:\n{terminal.text}"
            assert "✗" not in terminal.text, terminal.text
            terminal.press(*typed(terminal.text))
        terminal.press("q")
        assert terminal.end() == 0
        assert terminal.restored
    results = list(project.glob("creamtea-results/*/count.txt"))
    assert [path.read_text() for path in results] == [f"{len(DATA.split())} words, {DATA.count('a')} times a"]
    assert b"\x1b]0;" not in terminal.raw
