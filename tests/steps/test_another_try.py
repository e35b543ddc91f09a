"""A task that failed is no reason to pay for another without need, nor to be stuck with it for ever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workflows.localnet import client
from workflows.localnet.toolchain import Toolchain

pytestmark = [pytest.mark.engine, pytest.mark.chain]
CODE = "import sys; from workflows.cli import main; sys.exit(main())"
IMAGE = f"creamtea-tests/another-try:{os.getpid()}"
APP = """
import json, os, sys, time
out = os.environ["IEXEC_OUT"]
if time.time() < float(sys.argv[1]):
    sys.exit("too early")
open(f"{out}/answer.txt", "w").write("42")
json.dump({"deterministic-output-path": f"{out}/answer.txt"}, open(f"{out}/computed.json", "w"))
"""


@pytest.fixture
def state(tmp_path: Path, tools: Toolchain, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "localnet"
    monkeypatch.setenv("CREAMTEA_LOCALNET", str(folder))
    with client.join(folder, lambda _: None):
        yield folder
    from workflows.containers.engine import Engine

    with Engine.connect() as engine:
        engine.remove(IMAGE, force=True)


def run(project: Path, *words: str) -> tuple[int, list[dict[str, Any]]]:
    command = [sys.executable, "-c", CODE, "run", "onboard", "--json", "--yes", "--no-encrypt-result", *words]
    ran = subprocess.run(
        [*command, "--project", str(project)], stdout=subprocess.PIPE, text=True, check=False
    )
    return ran.returncode, [json.loads(line) for line in ran.stdout.splitlines()]


def ended(events: list[dict[str, Any]], step: str) -> dict[str, Any]:
    return next(event for event in events if event["type"] == "step_ended" and event["step"] == step)


def deal(events: list[dict[str, Any]]) -> str:
    return str(ended(events, "request")["outputs"]["deal"])


def test_the_same_request_again_after_a_lost_task_is_another_deal(state: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "app.py").write_text(APP)
    image = ("--image", IMAGE)
    code, events = run(project, *image)  # fails for want of an argument; what is slow is made by then
    assert code == 1, events[-3:]
    soon = time.time() + 40
    words = ("--args", str(soon), *image)
    code, events = run(project, *words)
    assert code == 1, events[-3:]
    assert ended(events, "watch")["error"]["name"] == "APP_COMPUTE_FAILED"
    hint = ended(events, "watch")["error"]["hint"]
    assert "stay locked until claimed; from " in hint and f"iexec deal claim {deal(events)}" in hint
    first = ended(events, "request")["outputs"]
    time.sleep(max(0.0, soon - time.time()))
    code, events = run(project, *words)
    second = ended(events, "request")
    told = [event["text"] for event in events if event["type"] == "noted" and event["step"] == "request"]
    assert any("these inputs failed: APP_COMPUTE_FAILED" in text and "and paid" in text for text in told), (
        told
    )
    assert code == 0, events[-3:]
    assert (second["outcome"], ended(events, "deploy_app")["outcome"]) == ("done", "skipped")
    assert second["outputs"]["deal"] != first["deal"]
    code, events = run(project, *words)
    assert code == 0
    assert ended(events, "request")["outcome"] == "skipped"
    assert (Path(ended(events, "result")["outputs"]["folder"]) / "answer.txt").read_text() == "42"
    code, events = run(project, *words, "--force", "--only", "deploy_app")
    deployed = ended(events, "deploy_app")
    assert (code, deployed["outcome"], deployed["outputs"]["tx"]) == (
        0,
        "done",
        None,
    )  # not even --force makes it twice
