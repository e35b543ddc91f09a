"""The secrets step keeps the same ledger as `creamtea secrets`, and takes over what older versions remembered."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands.secret_town import Town
from tests.commands.secret_town import town as a_town
from workflows.core.events import Asked
from workflows.core.failure import Failed
from workflows.core.journal import Journal
from workflows.core.manifest import Manifest
from workflows.core.step import Context
from workflows.iexec import dataset, keys
from workflows.localnet.chain import Chain
from workflows.steps import keyring, world
from workflows.steps.encrypt_dataset import key_path
from workflows.steps.push_secrets import PushSecrets

pytestmark = pytest.mark.chain


@pytest.fixture
def town(chain: Chain, home: Path, tmp_path: Path) -> Iterator[Town]:
    with a_town(chain, home, tmp_path) as made:
        yield made


def begin(town: Town, **values: Any) -> Context:
    ctx = Context(town.project, Journal(town.project), Manifest(town.project), workflow="onboard", run="r")
    ctx.values.update({"network": "trial", "dataset": "leaves.csv", "encrypt_result": True, **values})
    ctx.outputs.update(
        measure={"image_id": "none"}, deploy_app={"app": town.app}, encrypt_dataset={"dataset": town.dataset}
    )
    dataset.ensure_key(key_path(town.project, "leaves.csv"))
    return ctx


def run(ctx: Context) -> list[Any]:
    work, events, answer = PushSecrets().run(ctx), [], None
    try:
        while True:
            events.append(work.send(answer))
            answer = True if isinstance(events[-1], Asked) else None
    except StopIteration as end:
        return [*events, end.value]


def test_what_the_step_pushed_is_in_the_ledger(town: Town) -> None:
    ctx = begin(town)
    assert PushSecrets().done(ctx) is None
    *events, outputs = run(ctx)
    assert outputs == {"pushed": ["dataset key", "result key"]}
    assert any("for ever" in str(getattr(event, "text", "")) for event in events)
    book = keyring.ledger(ctx)
    assert {(push.kind, push.outcome) for push in book.pushes()} == {
        ("dataset-key", "stored"),
        ("result-key", "stored"),
    }
    done = PushSecrets().done(begin(town))
    assert done is not None and done.outputs == outputs
    assert not list(keyring.key_folder(ctx).glob("*.pushed"))


def test_a_result_key_of_another_machine_is_replaced_by_ours(town: Town) -> None:
    ctx = begin(town)
    run(ctx)
    keyring.ledger(ctx).path.unlink()
    fresh = begin(town)
    assert PushSecrets().done(fresh) is None
    assert sum(isinstance(event, Asked) for event in run(fresh)) == 1
    assert [push.kind for push in keyring.ledger(fresh).pushes()] == ["result-key"], (
        "a dataset's key is never pushed again"
    )


@pytest.mark.parametrize("right", [True, False], ids=["ours", "another"])
def test_what_an_older_version_remembered_is_taken_over_once(town: Town, right: bool) -> None:
    ctx = begin(town)
    run(ctx)
    keyring.ledger(ctx).path.unlink()
    pair = keyring.needed_pair(ctx)
    old = keyring.key_folder(ctx) / f"{town.me}.pushed"
    old.write_text(hashlib.sha256(pair.public.read_bytes() if right else b"another").hexdigest() + "\n")
    assert (PushSecrets().done(begin(town)) is not None) is right
    assert not old.exists()
    assert (
        keyring.ledger(ctx).holds(world.sms(ctx).url, keyring.result_place(ctx), keys.sms_value(pair))
        is right
    )


def test_the_sdk_s_pair_of_the_project_is_the_one_that_is_pushed(town: Town) -> None:
    pair = keys.create(town.project / ".secrets" / "beneficiary", town.me, None)
    before = pair.private.read_bytes()
    ctx = begin(town)
    run(ctx)
    assert keyring.needed_pair(ctx) == pair and pair.private.read_bytes() == before
    assert not (world.user_state(ctx) / "beneficiary").exists()
    assert keyring.ledger(ctx).holds(world.sms(ctx).url, keyring.result_place(ctx), keys.sms_value(pair))


def test_an_app_secret_is_the_first_one_for_ever(town: Town, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("first")
    given = {"app_secret_file": str(file), "encrypt_result": False}
    run(begin(town, **given))
    assert PushSecrets().done(begin(town, **given)) is not None
    file.write_text("second")
    assert PushSecrets().done(begin(town, **given)) is None
    with pytest.raises(Failed) as caught:
        run(begin(town, **given))
    assert caught.value.name == "app_secret_differs"
