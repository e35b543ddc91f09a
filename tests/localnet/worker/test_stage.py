"""Containers of stages: their limits, how they end, and what a failure is called."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from workflows.containers.engine import Engine
from workflows.core.events import Event, Lines
from workflows.core.failure import Cancelled
from workflows.core.step import Cancel
from workflows.localnet.images import root_image
from workflows.localnet.runtime.refusals import BadBase, BadFiles, NotAttested, Refused
from workflows.localnet.worker.failures import failed
from workflows.localnet.worker.stage import Ended, Room, Stage

LABELS = {"creamtea.test": secrets.token_hex(4)}


class _World:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.room = Room(engine, "none", LABELS)
        self.events: list[Event] = []

    def stage(self, program: str, *, seconds: int = 60, memory: int = 256 << 20) -> Stage:
        tag = f"creamtea-test/stage:{secrets.token_hex(4)}"
        name, _, version = tag.partition(":")
        entry = json.dumps(["/usr/bin/python3", "-uIc", program])
        with self.engine.create(root_image(self.engine, "python", lambda _: None), ["-"]) as container:
            self.engine.api.commit(
                container.id, repository=name, tag=version, changes=f"ENTRYPOINT {entry}\nCMD []"
            )
        return Stage("app", tag, "session/app", {}, seconds, memory)

    def run(self, stage: Stage, cancel: Cancel | None = None) -> Ended:
        try:
            return self.room.run(stage, self.events.append, lambda: None, cancel or Cancel())
        finally:
            self.engine.remove(stage.image, force=True)

    @property
    def printed(self) -> list[str]:
        return [line for event in self.events if isinstance(event, Lines) for line in event.text]


@pytest.fixture
def world() -> Iterator[_World]:
    with Engine.connect() as engine:
        yield _World(engine)
        assert not engine.api.containers(
            all=True, filters={"label": f"creamtea.test={LABELS['creamtea.test']}"}
        )


@pytest.mark.engine
def test_a_stage_ends_and_its_lines_are_told_in_order(world: _World) -> None:
    stage = world.stage("import os\nfor n in range(3): print(n)\nprint(os.environ['SCONE_CONFIG_ID'])")
    assert world.run(stage) == Ended(0, ("0", "1", "2", "session/app"), False, False)
    assert world.printed == ["0", "1", "2", "session/app"]


@pytest.mark.engine
def test_time_runs_out(world: _World) -> None:
    stage = world.stage("import time; print('begun'); time.sleep(600)", seconds=2)
    ended = world.run(stage)
    assert ended.timed_out and ended.tail == ("begun",)
    failure = failed(stage, ended)
    assert failure.name == "APP_COMPUTE_TIMEOUT" and "2 s" in failure.message


@pytest.mark.engine
def test_memory_runs_out(world: _World) -> None:
    stage = world.stage("x = bytearray(900 << 20); print(len(x))", memory=64 << 20)
    ended = world.run(stage)
    assert ended.code != 0 and ended.out_of_memory
    assert "64.0 MiB" in failed(stage, ended).message


@pytest.mark.engine
def test_a_stage_has_no_capabilities_and_no_way_out(world: _World) -> None:
    program = (
        "print([l for l in open('/proc/self/status') if l.startswith(('CapEff', 'NoNewPrivs'))])\n"
        "import os; print(os.listdir('/sys/class/net'))"
    )
    assert world.run(world.stage(program)).code == 0
    assert world.printed == [r"['CapEff:\t0000000000000000\n', 'NoNewPrivs:\t1\n']", "['lo']"]


@pytest.mark.engine
def test_a_stopped_stage_is_cancelled(world: _World) -> None:
    cancel = Cancel()
    stage = world.stage("import time; print('begun'); time.sleep(600)")

    def emit(event: Event) -> None:
        threading.Thread(target=cancel.set).start()

    with pytest.raises(Cancelled):
        try:
            world.room.run(stage, emit, lambda: None, cancel)
        finally:
            world.engine.remove(stage.image, force=True)


@pytest.mark.engine
def test_volumes_are_made_for_everybody_and_removed(world: _World) -> None:
    image = root_image(world.engine, "python", lambda _: None)
    prefix = f"creamtea-test-{secrets.token_hex(4)}"
    with world.room.volumes(prefix, ("a",), image) as volumes:
        assert volumes == {"a": f"{prefix}-a"}
        ran = world.engine.run(
            image,
            ["-c", "touch /v/x && stat -c %a /v"],
            entrypoint=["/bin/sh"],
            user="1000",
            volumes={volumes["a"]: "/v"},
        )
        assert ran.out == "777", ran.err
    assert not world.engine.api.volumes(filters={"name": prefix})["Volumes"]


APP = Stage("app", "image", "s/app", {}, 300, 1 << 30)
PRE = Stage("pre-compute", "image", "s/pre-compute", {}, 300, 1 << 30)


def _ended(code: int, *tail: str) -> Ended:
    return Ended(code, tail, False, False)


def test_the_runtimes_refusal_is_the_reason() -> None:
    line = (
        "[SCONE|FATAL] SIMULATED runtime: /app/app.py changed: the file system is not the fingerprinted one"
    )
    failure = failed(APP, _ended(BadFiles.exit_code, "earlier", line))
    assert failure.name == "APP_COMPUTE_FAILED"
    assert failure.message.endswith(
        "refused: /app/app.py changed: the file system is not the fingerprinted one"
    )
    assert "Build the image again" in failure.hint


def test_what_the_launcher_says_to_do_is_the_hint() -> None:
    line = (
        "[SCONE|FATAL] SIMULATED runtime: /iexec_out cannot lead to memory: Permission denied; run it as root"
    )
    failure = failed(APP, _ended(Refused.exit_code, line))
    assert failure.message.endswith("refused: /iexec_out cannot lead to memory: Permission denied")
    assert failure.hint == "Run it as root."


@pytest.mark.parametrize("code", range(Refused.exit_code, BadBase.exit_code + 1))
def test_every_refusal_has_a_hint_of_its_own(code: int) -> None:
    from workflows.iexec.task_events import ended

    failure = failed(APP, _ended(code, "[SCONE|FATAL] SIMULATED runtime: no reason"))
    assert failure.hint and failure.hint == ended("FAILED", failure.name, failure.message, failure.hint).hint
    assert "locally" not in failure.hint


def test_an_app_that_prints_like_the_runtime_is_not_taken_for_it() -> None:
    failure = failed(APP, _ended(1, "[SCONE|FATAL] SIMULATED runtime: made up"))
    assert "refused" not in failure.message and "exit code 1" in failure.message


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (1, "PRE_COMPUTE_FAILED_UNKNOWN_ISSUE"),
        (2, "PRE_COMPUTE_EXIT_REPORTING_FAILED"),
        (3, "PRE_COMPUTE_TASK_ID_MISSING"),
        (NotAttested.exit_code, "PRE_COMPUTE_FAILED_UNKNOWN_ISSUE"),
    ],
)
def test_exit_codes_of_the_stages_beside_the_app(code: int, cause: str) -> None:
    assert failed(PRE, _ended(code, "words")).name == cause


def test_pre_compute_of_an_old_app_has_told_its_cause_by_its_exit_code() -> None:
    line = "PRE_COMPUTE_INVALID_DATASET_CHECKSUM: the file at /ipfs/Qm has another SHA-256"
    failure = failed(PRE, replace(_ended(67, line), complaint=line))
    assert (failure.name, failure.message) == (
        "PRE_COMPUTE_INVALID_DATASET_CHECKSUM",
        "the file at /ipfs/Qm has another SHA-256",
    )
    assert failed(PRE, _ended(64, "words")).name == "PRE_COMPUTE_FAILED_UNKNOWN_ISSUE"
    assert failed(APP, _ended(67, "words")).name == "APP_COMPUTE_FAILED"


def test_a_reported_cause_comes_before_the_exit_code() -> None:
    failure = failed(PRE, _ended(1), [("PRE_COMPUTE_DATASET_KEY_MISSING", "IEXEC_DATASET_KEY is not set")])
    assert (failure.name, failure.message) == (
        "PRE_COMPUTE_DATASET_KEY_MISSING",
        "IEXEC_DATASET_KEY is not set",
    )


def test_of_several_causes_the_first_is_that_of_the_task_and_no_message_is_lost() -> None:
    missing = "PRE_COMPUTE_DATASET_KEY_MISSING"
    other = ("PRE_COMPUTE_DATASET_URL_MISSING", "dataset 0xb: no place")
    failure = failed(PRE, _ended(1), [(missing, "dataset 0xa: no key"), other, (missing, "")])
    assert (failure.name, failure.message) == (
        missing,
        "dataset 0xa: no key; PRE_COMPUTE_DATASET_URL_MISSING: dataset 0xb: no place; " + missing,
    )
    failure = failed(PRE, _ended(1), [other] * 100)
    assert failure.message.count("no place") == 5
    assert failure.message.endswith("; and 95 more, which pre-compute printed")


def test_an_app_that_says_nothing() -> None:
    assert "printed nothing" in failed(APP, _ended(7)).message
    own = "[SCONE|INFO] SIMULATED attestation: CAS cas gave this enclave the session s/app"
    assert failed(APP, _ended(3, own)).message == "app ended with exit code 3, and printed nothing"


def test_an_app_that_a_signal_ends() -> None:
    assert failed(APP, _ended(139, "deep")).message == "app was ended by SIGSEGV: deep"
