"""A localnet that is killed with its run, and one that loses under a running task what tasks stand on."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from tests.e2e.house import House


def test_killed_with_its_localnet_and_resumed(
    house: House, network: dict[str, Any], ledger: Path, ledger_image: str, tmp_path: Path
) -> None:
    state = tmp_path / "own"
    state.mkdir(mode=0o700)
    # The same development root, so that the images made for the other localnet serve this one too.
    shutil.copytree(house.state / "keys", state / "keys")
    env = {"CREAMTEA_LOCALNET": str(state)}
    live = house.start(
        "run", "onboard", "--json", "--yes", "--project", ledger, "--image", ledger_image, "--no-encrypt-result",
        "--args", "wait 4 long",
        env=env,
    )  # fmt: skip
    live.until(lambda it: it["type"] == "lines" and it["task"] == "app" and "waiting" in it["text"])
    pid = int(json.loads((state / "status.json").read_text())["pid"])
    assert pid != network["pid"] and len(house.of_localnet(pid)) == 2  # the relay, and the app
    live.kill()
    killed = live.end()
    house.remember(killed)
    deal = json.loads(
        next(line for line in killed.out.splitlines() if '"step_ended"' in line and '"deal"' in line)
    )
    while _runs(pid):
        time.sleep(0.05)
    assert house.leftovers(pid) == []
    ended = house.resume(ledger, env=env)
    run = ended.run()
    assert ended.code == 0, run.error
    assert run.outputs["request"]["deal"] == deal["outputs"]["deal"] and run.outcome("request") == "skipped"
    assert run.written("report.json")["title"] == "4 Long"
    # Nobody has pushed a result key on this localnet: the next request is stopped before it costs anything.
    ended = house.onboard(ledger, "--from", "request", "--encrypt-result", "--args", "report sealed", env=env)
    assert ended.code == 1
    assert ended.run().error["name"].endswith("_EMPTY_BENEFICIARY_KEY"), ended.run().error
    assert ended.run().of("asked") == []


def test_a_relay_that_is_removed_under_a_task_is_made_again_and_the_task_begins_anew(
    house: House, network: dict[str, Any], ledger: Path, ledger_image: str
) -> None:
    live = house.start(
        "run", "onboard", "--json", "--yes", "--project", ledger, "--image", ledger_image, "--no-encrypt-result",
        "--args", "wait 4 long",
    )  # fmt: skip
    for _ in range(2):  # once more while it is at work again
        live.until(lambda it: it["type"] == "lines" and it["task"] == "app" and "waiting" in it["text"])
        [relay] = [it for it in house.of_localnet(network["pid"]) if it["Names"][0].endswith("-relay")]
        house.engine.api.remove_container(relay["Id"], force=True)
    ended = live.end()
    house.remember(ended)
    run = ended.run()
    assert ended.code == 0, run.error
    assert run.written("report.json")["title"] == "4 Long"
    assert house.room(network["pid"]) == []
    told = (house.state / "start.jsonl").read_text()
    assert told.count("the relay of the task network is gone") == 2


def _runs(pid: int) -> bool:
    """Whether a process is there and not just waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
