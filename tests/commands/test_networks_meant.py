"""Which network a command means that is told of none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workflows.cli import main
from workflows.core.manifest import Manifest

APP = "0x3C329192C400F307c7b639AF60A78Bb1c9ef54Bc"


@pytest.mark.parametrize(
    "words",
    [("verify", APP), ("diff", APP, APP), ("export", "iexec"), ("import", "iexec"), ("secrets", "list")],
    ids=lambda words: words[0],
)
def test_without_a_word_it_is_the_project_s(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...]
) -> None:
    Manifest(tmp_path).set("network", "far-away")
    assert main([*words, "--project", str(tmp_path), "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["name"] == "unknown_network" and "'far-away'" in error["message"]
    assert main([*words, "--project", str(tmp_path), "--network", "farther", "--json"]) == 2
    assert "'farther'" in json.loads(capsys.readouterr().out)["error"]["message"]
