"""However the program is ended, it ends soon: by signals, a terminal that is closed, a reader that went away."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.localnet.processes import gone, until
from tests.pty.terminal import Terminal
from workflows.core.files import private_dir
from workflows.localnet import client

SOON = 8.0  # seconds; about three on a machine with nothing else to do
START = "import sys; from tui.__main__ import main; sys.exit(main())"
NETWORK = """\
[hangs]
title = "A network that hangs"
note = "for a test"
chain_id = 77
native = true
rpc = "{url}"
hub = "0x3eca1B216A7DF1C7689aEb259fFB83ADFB894E7f"

[hangs.registries]
app = "0xB1C52075b276f87b1834919167312221d50c9D16"
dataset = "0x799DAa22654128d0C64d5b79eac9283008158730"
workerpool = "0xC76A18c78B7e530A165c5683CB1aB134E21938B4"

[hangs.sms]
scone = "{url}"
"""
STEP = """
import os, sys, time
from workflows.cli import program
from workflows.core.catalog import Catalog
from workflows.core.events import Noted
from workflows.core.step import Step

class Slow(Step):
    id, title, heading = "slow", "Slow", "It takes its time"
    def command(self, ctx): return "sleep"
    def run(self, ctx):
        yield Noted(text="asleep")
        if "DEAF" in os.environ:
            time.sleep(600)
        try:
            while True:
                ctx.cancel.wait(0.01)
                yield Noted(text="still asleep")
        finally:
            (ctx.project / "cleaned-up").touch()

program.catalog = lambda: Catalog([Slow()])
from tui.__main__ import main
sys.exit(main())
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "hello"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "app.py").write_text("print('hello')\n")
    return folder


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a server that takes every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def soon(terminal: Terminal, how: signal.Signals | None) -> int:
    """End it by a signal, or close its terminal; the exit code."""
    if how is None:
        terminal.hang_up()
    else:
        os.kill(terminal.pid, how)
    return terminal.end(SOON)


def outcome(project: Path) -> str:
    """How the record of the only run says that it ended; every line of it is whole."""
    [file] = project.glob(".creamtea/runs/*/events.jsonl")
    events = [json.loads(line) for line in file.read_text().splitlines()]
    assert events[-1]["type"] == "run_ended"
    return str(events[-1]["outcome"])


def journal(project: Path) -> list[str]:
    lines = (project / ".creamtea" / "journal.jsonl").read_text().splitlines()
    return [json.loads(line)["kind"] for line in lines]


ENDS = pytest.mark.parametrize(
    "how", [None, signal.SIGTERM, signal.SIGHUP], ids=["closed", "SIGTERM", "SIGHUP"]
)


# The full screen


@ENDS
def test_the_start_screen(tmp_path: Path, how: signal.Signals | None) -> None:
    with Terminal([], folder=tmp_path) as terminal:
        terminal.until("Onboard the app in this folder")
        assert soon(terminal, how) == 130


@ENDS
def test_a_question_of_the_wizard(project: Path, how: signal.Signals | None) -> None:
    with Terminal(["run", "onboard", "--only", "build", "--project", str(project)]) as terminal:
        terminal.until("Image name")
        assert soon(terminal, how) == 130
    assert journal(project) == ["run", "failed"]
    assert outcome(project) == "cancelled"


@ENDS
@pytest.mark.parametrize("face", [[], ["--plain"]], ids=["screen", "lines"])
def test_a_step_at_work_cleans_up(project: Path, how: signal.Signals | None, face: list[str]) -> None:
    words = ["run", "onboard", "--project", str(project), *face]
    with Terminal(words, program=("-c", STEP)) as terminal:
        terminal.until("still asleep")
        assert soon(terminal, how) == 130
    assert (project / "cleaned-up").exists()
    assert journal(project) == ["run", "failed"]
    assert outcome(project) == "cancelled"


@ENDS
@pytest.mark.parametrize("face", [[], ["--plain"]], ids=["screen", "lines"])
def test_a_step_that_hears_nothing(project: Path, how: signal.Signals | None, face: list[str]) -> None:
    words = ["run", "onboard", "--project", str(project), *face]
    with Terminal(words, program=("-c", STEP), environ={"DEAF": "1"}) as terminal:
        terminal.until("asleep")
        assert soon(terminal, how) == 130
    assert journal(project)[0] == "run"


def test_a_terminal_that_takes_nothing_any_more(project: Path) -> None:
    """Nobody reads it (ctrl+s, a connection that hangs), so the screen's own thread is stuck in a write."""
    words = ["run", "onboard", "--project", str(project)]
    with Terminal(words, program=("-c", STEP), size=(200, 60)) as terminal:
        terminal.until("still asleep")
        time.sleep(2)
        os.kill(terminal.pid, signal.SIGTERM)
        until(lambda: terminal.over)
        assert terminal.status == 130
    assert outcome(project) == "cancelled"


@ENDS
def test_secrets_of_a_network_that_does_not_answer(
    project: Path, how: signal.Signals | None, silent: str
) -> None:
    folder = private_dir(Path(os.environ["XDG_CONFIG_HOME"]) / "creamtea")
    (folder / "networks.toml").write_text(NETWORK.format(url=silent))
    words = ["secrets", "--network", "hangs", "--project", str(project)]
    with Terminal(words) as terminal:
        terminal.until("asking the chain")
        assert soon(terminal, how) == 130


@pytest.mark.chain
def test_a_lease_is_given_back_though_the_localnet_hangs(project: Path, tmp_path: Path) -> None:
    state = tmp_path / "localnet"
    with client.join(state, lambda _: None) as lease:
        pid = lease.document["pid"]
        words = ["secrets", "--project", str(project)]
        with Terminal(words, environ={"CREAMTEA_LOCALNET": str(state)}) as terminal:
            terminal.until("result key")
            found = client.status(state)
            assert found is not None and found["leases"] >= 2
            os.kill(pid, signal.SIGSTOP)
            try:
                terminal.press("r")
                terminal.until("asking the chain")
                assert soon(terminal, None) == 130
            finally:
                os.kill(pid, signal.SIGCONT)
        until(lambda: (now := client.status(state)) is not None and now["leases"] == 1)
    until(lambda: gone(pid))


# Plain lines


@pytest.mark.parametrize("how", [None, signal.SIGTERM, signal.SIGHUP], ids=["closed", "SIGTERM", "SIGHUP"])
def test_a_question_on_a_line(project: Path, how: signal.Signals | None) -> None:
    words = ["run", "onboard", "--plain", "--only", "build", "--project", str(project)]
    with Terminal(words) as terminal:
        terminal.until("Image name")
        assert soon(terminal, how) == 130
    assert journal(project) == ["run", "failed"]
    assert outcome(project) == "cancelled"


def started(*words: str, code: str = STEP, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


@pytest.mark.parametrize("face", ["--plain", "--json"])
def test_who_reads_one_line_and_leaves_ends_the_run(project: Path, face: str) -> None:
    process = started("run", "onboard", face, "--project", str(project))
    assert process.stdout is not None and process.stderr is not None
    while "still asleep" not in process.stdout.readline():
        pass
    process.stdout.close()
    assert process.wait(SOON) == 130
    assert process.stderr.read() == ""
    assert outcome(project) == "cancelled"
    assert (project / "cleaned-up").exists()


def test_who_reads_nothing_of_a_list_is_no_bug() -> None:
    process = started("steps", code=START)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.wait(SOON) == 130
    assert process.stderr.read() == ""


def test_a_disk_that_is_full_is_told(project: Path) -> None:
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(
            [sys.executable, "-c", STEP, "run", "onboard", "--plain", "--project", str(project)],
            stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
    assert process.returncode == 130
    assert "standard output: No space left on device" in process.stderr
    assert outcome(project) == "cancelled"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_waits(project: Path, silent: str, number: signal.Signals) -> None:
    folder = private_dir(Path(os.environ["XDG_CONFIG_HOME"]) / "creamtea")
    (folder / "networks.toml").write_text(NETWORK.format(url=silent))
    process = started("secrets", "list", "--network", "hangs", "--project", str(project), code=START)
    time.sleep(3)
    assert process.poll() is None
    process.send_signal(number)
    assert process.wait(SOON) == 130
    assert process.communicate() == ("", "")


def test_nohup_is_heeded(project: Path) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    process = started("run", "onboard", "--plain", "--project", str(project), preexec_fn=ignore)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    for _ in range(50):
        assert process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 130
