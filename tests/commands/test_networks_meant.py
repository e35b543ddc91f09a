"""Which network a command means that is told of none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workflows.cli import main
from workflows.core.journal import Journal
from workflows.core.manifest import Manifest
from workflows.core.step import Context
from workflows.steps.network import Network

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


def test_a_network_s_file_is_looked_for_beside_creamtea_toml(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, elsewhere = tmp_path / "tea", tmp_path / "elsewhere"
    project.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    (project / "net.toml").write_text(
        f'[class]\ntitle = "A class"\nnote = "Ours."\nrpc = "http://127.0.0.1:9"\nchain_id = 4711\nnative = true\n'
        f'hub = "{APP}"\nregistries = {{app = "{APP}", dataset = "{APP}", workerpool = "{APP}"}}\n'
    )
    Manifest(project).set("network", "net.toml")
    assert main(["verify", APP, "--project", str(project), "--json"]) == 3
    assert "127.0.0.1:9" in json.loads(capsys.readouterr().out)["error"]["message"]
    field = Network.fields[0]
    ctx = Context(project, Journal(project), Manifest(project))
    path = field.parse("net.toml", ctx)
    assert path == str(project / "net.toml") and field.kept(path, ctx) == "net.toml"
    with pytest.raises(ValueError, match="cannot be read"):
        field.parse("none.toml", ctx)
