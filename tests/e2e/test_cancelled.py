"""Ctrl-C: the program ends with 130, nothing half-done stays, and resume goes on."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.chain import Tally
from tests.e2e.house import House

DOCKERFILE = """\
FROM sconecuratedimages/public-apps:python-3.7.3-alpine3.10-scone3.0
COPY speed /build/
RUN echo going slowly; sleep $(cat /build/speed)
RUN SCONE_MODE=sim pip3 install --no-cache-dir inflection==0.5.1
COPY main.py /app/main.py
COPY rules /app/rules
ENTRYPOINT ["python3", "/app/main.py"]
"""
SLEEP = "987.654"  # found again among the processes


@pytest.mark.usefixtures("network")
def test_interrupted_in_the_build(house: House, ledger: Path) -> None:
    (ledger / "Dockerfile").write_text(DOCKERFILE)
    (ledger / "speed").write_text(SLEEP)
    image = house.image("slow")
    live = house.start("run", "deploy", "--json", "--yes", "--project", ledger, "--image", image)
    live.until(lambda it: it["type"] == "lines" and "going slowly" in it["text"])
    assert _sleepers(house) == 1
    live.signal(signal.SIGINT)
    ended = live.end()
    house.remember(ended)
    run = ended.run()
    assert ended.code == 130 and run.end["outcome"] == "cancelled"
    assert run.outcome("build") == "cancelled"
    running = {it["task"]: it["state"] for it in run.of("task_changed", "build")}
    assert "running" not in running.values(), "a task is shown as running for ever"
    assert _sleepers(house) == 0
    assert not house.engine.exists(image)
    assert house.leftovers() == []
    (ledger / "speed").write_text("0")
    ended = house.resume(ledger)
    assert ended.code == 0, ended.run().error
    assert house.engine.exists(image)


def test_interrupted_while_the_task_runs(
    house: House, network: dict[str, Any], ledger: Path, ledger_image: str
) -> None:
    before = Tally.of(network)
    live = house.start(
        "run", "onboard", "--json", "--yes", "--project", ledger, "--image", ledger_image, "--no-encrypt-result",
        "--args", "wait 3 after all",
    )  # fmt: skip
    live.until(lambda it: it["type"] == "lines" and it["task"] == "app" and "waiting" in it["text"])
    live.signal(signal.SIGINT)
    ended = live.end()
    house.remember(ended)
    run = ended.run()
    assert ended.code == 130 and run.outcome("watch") == "cancelled"
    ended = house.resume(ledger)
    run = ended.run()
    assert ended.code == 0, run.error
    assert run.written("report.json")["title"] == "3 After All"
    assert Tally.of(network).less(before)["deals"] == 1


COUNT = """
import pathlib
print(sum(b"sleep\\0%s" in path.read_bytes() for path in pathlib.Path("/proc").glob("[0-9]*/cmdline")))
"""


def _sleepers(house: House) -> int:
    """Processes of the engine's machine that are this test's RUN."""
    tags = [tag for record in house.engine.api.images() for tag in record["RepoTags"] or ()]
    root = next(tag for tag in tags if "stand-in-root:python" in tag)
    ran = house.engine.run(root, ["-Ic", COUNT % SLEEP], entrypoint=["/usr/bin/python3"], pid_mode="host")
    assert ran.code == 0, ran.err
    return int(ran.out)
