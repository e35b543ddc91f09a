"""The secrets step keeps the same ledger as `creamtea secrets`, and takes over what older versions remembered."""

from __future__ import annotations

import hashlib
import secrets
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands.secret_town import Town
from tests.commands.secret_town import town as a_town
from workflows.cli.person import Unattended
from workflows.containers.engine import Engine as Docker
from workflows.core.engine import Engine
from workflows.core.events import Asked, Event, Noted
from workflows.core.failure import Failed
from workflows.core.journal import Journal
from workflows.core.manifest import Manifest
from workflows.core.step import Context, Step
from workflows.iexec import dataset, keys
from workflows.localnet.chain import Chain
from workflows.steps import chosen_network, clients, keyring, project_files
from workflows.steps.deploy_app import DeployApp
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


def run(ctx: Context, step: Step | None = None) -> list[Any]:
    work, events, answer = (step or PushSecrets()).run(ctx), [], None
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
        keyring.ledger(ctx).holds(clients.sms(ctx).url, keyring.result_place(ctx), keys.sms_value(pair))
        is right
    )


def test_the_sdk_s_pair_of_the_project_is_the_one_that_is_pushed(town: Town) -> None:
    pair = keys.create(town.project / ".secrets" / "beneficiary", town.me, None)
    before = pair.private.read_bytes()
    ctx = begin(town)
    run(ctx)
    assert keyring.needed_pair(ctx) == pair and pair.private.read_bytes() == before
    assert not (chosen_network.user_state(ctx) / "beneficiary").exists()
    assert keyring.ledger(ctx).holds(clients.sms(ctx).url, keyring.result_place(ctx), keys.sms_value(pair))


def test_what_nobody_sees_in_a_value_is_told_before_it_is_sent(town: Town, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"\xef\xbb\xbfpin\n")
    events = run(begin(town, app_secret_file=str(file), encrypt_result=False))
    told = next(at for at, one in enumerate(events) if "byte order mark" in str(getattr(one, "text", "")))
    asked = next(at for at, one in enumerate(events) if isinstance(one, Asked))
    assert told < asked


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


# The next run: what was named is not forgotten, and what is lost is told


def again(town: Town, **given: Any) -> tuple[Context, list[Event], int]:
    """The step as the next process runs it unattended, with these flags."""
    ctx = begin(town)
    ctx.values.pop("encrypt_result")
    ctx.journal.append("run", run="r", data={"workflow": "onboard", "given": given})
    events: list[Event] = []
    engine = Engine([PushSecrets()], ctx, events.append, Unattended(yes=True), given=given)
    return ctx, events, engine.run()


def notes(events: list[Any], level: str = "warning") -> list[str]:
    return [one.text for one in events if isinstance(one, Noted) and one.level == level]


@pytest.fixture
def named(town: Town, tmp_path: Path) -> dict[str, Any]:
    """One secret in the project, one outside of it, and two of the requester's."""
    for path, value in ((town.project / "dev.secret", "of the app"), (tmp_path / "two.secret", "of mine")):
        path.write_text(value)
    (town.project / "one.secret").write_text("the first of mine")
    return {
        "app_secret_file": str(town.project / "dev.secret"),
        "requester_secret": [f"1={town.project / 'one.secret'}", f"2={tmp_path / 'two.secret'}"],
        "encrypt_result": False,
    }


ALL = ["dataset key", "app secret", "requester secret 1", "requester secret 2"]


def test_the_next_run_has_the_secrets_of_the_last(
    town: Town, named: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, events, code = again(town, **named)
    assert code == 0 and first.outputs["push_secrets"] == {"pushed": ALL}
    assert f"from {town.project / 'dev.secret'}: for ever" in " ".join(notes(events))
    assert first.manifest.get("app_secret_file") == "dev.secret"
    assert first.manifest.get("requester_secret") == ["1=one.secret", f"2={tmp_path / 'two.secret'}"]
    kept = (town.project / "creamtea.toml").read_text()
    assert "of the app" not in kept and "of mine" not in kept
    monkeypatch.chdir(tmp_path)  # they are the project's, wherever the next run is started
    second, events, code = again(town)
    assert code == 0 and second.outputs["push_secrets"] == {"pushed": ALL}
    assert notes(events, "info") == [f"this run gets: {', '.join(ALL)}"] and not notes(events)


def test_a_remembered_file_that_is_gone_is_refused_until_it_is_forgotten(
    town: Town, named: dict[str, Any]
) -> None:
    again(town, **named)
    (town.project / "dev.secret").unlink()
    ctx, events, code = again(town)
    [error] = [one.error for one in events if getattr(one, "error", None)]
    assert code == 2 and f"there is no file {town.project / 'dev.secret'}" in error["message"]
    assert "--app-secret-file" in error["hint"] and "--app-secret-file '' goes on without" in error["hint"]
    assert ctx.manifest.get("app_secret_file") == "dev.secret"
    ctx, events, code = again(town, app_secret_file="", requester_secret=[""])
    assert code == 0 and ctx.outputs["push_secrets"] == {"pushed": ["dataset key"]}
    assert ctx.manifest.get("app_secret_file") is None and not ctx.manifest.get("requester_secret")
    assert again(town)[0].outputs["push_secrets"] == {"pushed": ["dataset key"]}


def test_a_forgotten_secret_s_file_stays_out_of_the_images(town: Town, named: dict[str, Any]) -> None:
    first, _, _ = again(town, **named)
    assert {"dev.secret", "one.secret"} <= set(project_files.private_files(first))
    ctx, events, code = again(town, app_secret_file="", requester_secret=[""])
    assert code == 0 and ctx.manifest.get("app_secret_file") is None
    assert {"dev.secret", "one.secret"} <= set(project_files.private_files(begin(town)))
    [told] = [text for text in notes(events, "info") if "dev.secret" in text]
    assert "stays out of the app's images" in told and "one.secret" in told
    assert len(ctx.journal.every("intent", "push_secrets")) == 1, "it is written down once"
    for name in ("dev.secret", "one.secret"):
        (town.project / name).unlink()
    assert not [text for text in notes(again(town)[1], "info") if "secret" in text and "images" in text]


def test_a_run_with_less_than_the_last_request_is_warned(town: Town, named: dict[str, Any]) -> None:
    ctx, _, _ = again(town, **named)
    ctx.journal.append("done", "request", run="r", data={"outputs": {"deal": "0x12"}})
    less = {"app_secret_file": "", "requester_secret": [named["requester_secret"][1]]}
    _, events, code = again(town, **less)
    assert code == 0 and notes(events) == ["the last request had requester secret 1, and this run has not"]
    gets = "this run gets: dataset key, requester secret 2, app secret"
    assert gets in notes(events, "info"), "the app is the same, and has its secret for ever"
    ctx = begin(town, encrypt_result=False)
    ctx.outputs["deploy_app"] = {"app": "0x" + "12" * 20}  # another app
    done = PushSecrets().done(ctx)
    assert done is not None
    assert notes([*done.notes]) == [
        "the last request had app secret and requester secret 1 and requester secret 2, and this run has not"
    ]
    ctx.journal.append("done", "push_secrets", run="r", data={"outputs": dict(done.outputs)})
    ctx.journal.append("done", "request", run="r", data={"outputs": {"deal": "0x13"}})
    done = PushSecrets().done(begin(town, encrypt_result=False))
    assert done is not None and not notes([*done.notes])


@pytest.fixture
def image(tmp_path: Path) -> Iterator[str]:
    name = f"creamtea-test-{secrets.token_hex(4)}:1"
    with tarfile.open(tmp_path / "root.tar", "w"):
        pass
    with Docker.connect() as engine:
        engine.import_rootfs(tmp_path / "root.tar", name, changes=['CMD ["-"]'])
        yield engine.require(name).id
        engine.remove(name, force=True)


@pytest.mark.engine
def test_a_new_address_is_told_to_have_no_developer_secret(
    town: Town, named: dict[str, Any], image: str
) -> None:
    def deployed(mark: str) -> tuple[str, list[Noted]]:
        ctx = begin(town)
        ctx.outputs.update(
            measure={"image_id": image, "fingerprint": f"{mark * 64}|b|c", "simulated": True},
            base_image={"stand_in": "x"},
        )
        *events, outputs = run(ctx, DeployApp())
        ctx.journal.append("done", "deploy_app", run="r", data={"outputs": outputs})
        ctx.close()
        told = [one for one in events if isinstance(one, Noted) and "developer secret" in one.text]
        return outputs["app"], told

    first, told = deployed("1")
    assert not told, "there was no app before"
    second, told = deployed("2")
    assert not told, "the app before had none"
    town.app = second
    again(town, **named)
    assert deployed("2") == (second, []), "it is registered already, and has its own"
    third, [note] = deployed("3")
    assert third not in (first, second) and note.level == "info"
    assert note.text == "the app before had a developer secret; this address has none until it is pushed"
    again(town, app_secret_file="")
    fourth, [note] = deployed("4")
    assert note.level == "warning" and f"push app-secret --app {fourth} --from" in (note.hint or "")
