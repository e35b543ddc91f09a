"""Watching a task on a network without a worker to ask: the chain alone tells, and it is told when to stop waiting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.iexec.world import World
from tests.steps.conftest import ENTRY
from workflows.core.events import Event, Noted
from workflows.core.failure import Failed
from workflows.core.journal import Journal
from workflows.core.manifest import Manifest
from workflows.core.step import Context
from workflows.iexec import ids
from workflows.localnet.chain import Chain
from workflows.steps import watch

pytestmark = pytest.mark.chain


@pytest.fixture
def matched(
    world: World, chain: Chain, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Context:
    """A run right after its request, on a chain where nobody takes the task up."""
    monkeypatch.setattr(watch, "_POLL", 0.02)
    path = home / "xdg_config_home" / "creamtea" / "networks.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        ENTRY.format(
            name="alone", chain_id=chain.chain_id, simulated="true", rpc=chain.rpc, hub=chain.hub,
            sms="http://127.0.0.1:9", **chain.registries,
        )
    )  # fmt: skip
    ctx = Context(tmp_path, Journal(tmp_path), Manifest(tmp_path), workflow="onboard", run="r")
    ctx.values["network"] = "alone"
    deal = world.match()
    ctx.outputs["request"] = {"deal": deal, "task": ids.taskid(deal, 0)}
    return ctx


def until(work: Iterator[Event], words: str) -> Noted:
    """The next note with these words in it."""
    return next(event for event in work if isinstance(event, Noted) and words in event.text)


def test_a_task_that_nobody_takes_up_ends_with_what_can_be_done(world: World, matched: Context) -> None:
    work = watch.Watch().run(matched)
    assert "UNSET" in until(work, "the chain says").text
    world.later(301)
    told = until(work, "300 s")
    deal = matched.outputs["request"]["deal"]
    assert told.level == "warning" and "nobody has taken the task up" in told.text
    assert f"iexec deal claim {deal}" in str(told.hint) and "creamtea resume" in str(told.hint)
    world.later(2700)
    with pytest.raises(Failed) as caught:
        list(work)
    assert caught.value.name == "FINAL_DEADLINE_REACHED" and caught.value.mends == "request"
    assert f"now: iexec deal claim {deal}" in caught.value.hint
    assert watch.lost(matched, matched.outputs["request"]), "a resumed run asks for another one"


def test_a_task_that_is_at_work_when_the_categorys_time_is_over_is_told_as_that(
    world: World, matched: Context
) -> None:
    world.started(matched.outputs["request"]["deal"])
    work = watch.Watch().run(matched)
    assert "ACTIVE" in until(work, "the chain says").text
    world.later(301)
    assert "nobody has finished the task" in until(work, "300 s").text


def test_a_task_that_was_claimed_ends_the_watch(world: World, matched: Context) -> None:
    task = world.started(matched.outputs["request"]["deal"])
    work = watch.Watch().run(matched)
    until(work, "the chain says ACTIVE")
    world.later(3001)
    pool = world.poco("workerpool")
    pool.run(lambda: pool.claim(task.taskid))
    with pytest.raises(Failed) as caught:
        list(work)
    assert "went back to the account of the requester" in caught.value.hint


def test_a_task_that_ends_well_between_two_looks_is_not_late(world: World, matched: Context) -> None:
    task = world.started(matched.outputs["request"]["deal"])
    work = watch.Watch().run(matched)
    until(work, "the chain says ACTIVE")
    worker, digest = world.poco("worker"), "0x" + "5e" * 32
    result = world.result(task.taskid, digest)
    worker.run(lambda: worker.contribute_and_finalize(task.taskid, digest, b"", **result))
    world.later(3001)  # as when the machine slept
    assert "COMPLETED" in until(work, "the chain says").text
