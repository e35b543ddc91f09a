"""Pull, push and access, against a real docker-registry on loopback."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from workflows.containers.access import access
from workflows.containers.engine import Engine
from workflows.containers.reference import Reference
from workflows.containers.registry import Login, credentials, refusal
from workflows.containers.transfer import Transfer
from workflows.core.events import Event, Lines, Progress
from workflows.core.failure import Failed, Unavailable

SECRET = "tea-and-scones"


def finish(work: Iterator[Event]) -> tuple[list[Event], object]:
    """All events of a generator, and what it returned."""
    events: list[Event] = []
    while True:
        try:
            events.append(next(work))
        except StopIteration as end:
            return events, end.value


@pytest.fixture
def pushed(engine: Engine, base: str, registry, mark: str) -> Iterator[tuple[str, str]]:
    """An image in the open registry, gone from the engine: its name and digest."""
    name = f"{registry.host}/tea/app:{mark}"
    engine.tag(base, name)
    _, digest = finish(engine.push(name))
    engine.remove(name)
    yield name, str(digest)
    engine.remove(name)


@pytest.mark.engine
def test_push_gives_the_digest_under_which_the_image_comes_back(
    engine: Engine, base: str, pushed: tuple[str, str]
) -> None:
    name, digest = pushed
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", digest)
    assert not engine.exists(name)
    events, image = finish(engine.pull(name, task="pull"))
    assert image.id == engine.require(base).id
    assert image.digest == digest
    assert {event.task for event in events if isinstance(event, (Lines, Progress))} == {"pull"}
    by_digest = f"{name.rpartition(':')[0]}@{digest}"
    _, again = finish(engine.pull(by_digest))
    assert again.id == image.id


@pytest.mark.engine
def test_access_tells_a_present_image_from_an_absent_one(engine: Engine, pushed: tuple[str, str]) -> None:
    name, digest = pushed
    found = access(engine, name)
    assert (found.state, found.digest) == ("available", digest)
    absent = access(engine, name + "-not")
    assert absent.state == "missing"
    assert name + "-not" in absent.reason
    assert access(engine, name.rpartition("/")[0] + "/nothing:1").state == "missing"


@pytest.mark.engine
@pytest.mark.parametrize("reference", ["127.0.0.1:1/tea/app:1", "registry.invalid/tea/app:1"])
def test_a_registry_that_does_not_answer_is_unreachable(engine: Engine, reference: str) -> None:
    assert access(engine, reference).state == "unreachable"
    with pytest.raises(Unavailable) as caught:
        finish(engine.pull(reference))
    assert caught.value.name == "registry_unreachable"


@pytest.mark.engine
def test_an_absent_image_cannot_be_pulled(engine: Engine, registry, pushed: tuple[str, str]) -> None:
    with pytest.raises(Failed) as caught:
        finish(engine.pull(pushed[0] + "-not"))
    assert caught.value.name == "registry_missing"


@pytest.mark.engine
def test_a_private_registry_wants_a_login(engine: Engine, base: str, private_registry, mark: str) -> None:
    name = f"{private_registry.host}/tea/secret:{mark}"
    login = Login.password(private_registry.host, "baker", SECRET)
    engine.tag(base, name)
    try:
        with pytest.raises(Failed) as caught:
            finish(engine.push(name))
        assert caught.value.name == "registry_denied"
        assert "it needs a login" in caught.value.message
        assert private_registry.host in caught.value.hint
        _, digest = finish(engine.push(name, login))
    finally:
        engine.remove(name)
    assert access(engine, name).state == "denied"
    wrong = Login.password(private_registry.host, "baker", "wrong-" + SECRET)
    refused = access(engine, name, wrong)
    assert refused.state == "denied"
    assert SECRET not in refused.reason + refused.hint + repr(wrong)
    assert access(engine, name, login).digest == digest
    _, image = finish(engine.pull(name, login))
    assert image.digest == digest
    engine.remove(name)


@pytest.mark.engine
def test_the_login_of_the_docker_configuration_is_used(
    engine: Engine, base: str, private_registry, mark: str, docker_config: Callable[..., None]
) -> None:
    auth = base64.b64encode(f"baker:{SECRET}".encode()).decode()
    docker_config({"auths": {private_registry.host: {"auth": auth}}})
    name = f"{private_registry.host}/tea/configured:{mark}"
    engine.tag(base, name)
    _, digest = finish(engine.push(name))
    engine.remove(name)
    assert access(engine, name).digest == digest


@pytest.fixture
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    """Writes a Docker configuration that this test alone sees."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return lambda content: (tmp_path / "config.json").write_text(json.dumps(content)) and None


def test_credentials_come_from_a_helper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, docker_config: Callable[[object], None]
) -> None:
    helper = tmp_path / "docker-credential-tea"
    answer = json.dumps({"ServerURL": "registry.tea", "Username": "baker", "Secret": SECRET})
    helper.write_text(
        '#!/bin/sh\nread host\n[ "$host" = registry.tea ] && exec cat <<END\n'
        f"{answer}\nEND\necho credentials not found in native keychain; exit 1\n"
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    docker_config({"credHelpers": {"registry.tea": "tea", "other.tea": "tea", "broken.tea": "none"}})
    login = credentials("registry.tea")
    assert login is not None
    assert json.loads(base64.urlsafe_b64decode(login.header()))["Password"] == SECRET
    assert SECRET not in repr(login)
    assert credentials("other.tea") is None
    assert credentials("unknown.tea") is None
    with pytest.raises(Unavailable) as caught:
        credentials("broken.tea")
    assert "docker login" in caught.value.hint


def test_an_ambiguous_refusal_says_that_the_registry_does_not_tell() -> None:
    said = (
        "pull access denied for tea/app, repository does not exist or may require 'docker login': "
        "denied: requested access to the resource is denied"
    )
    failed = refusal(Reference.parse("tea/app"), said, logged_in=False)
    assert failed.name == "registry_denied"
    assert "does not exist" in failed.message and "needs a login" in failed.message
    assert "`docker login`" in failed.hint


def test_layers_are_summed_into_one_bar() -> None:
    transfer = Transfer("pull")
    records = [
        {"status": "Pulling from tea/app", "id": "1"},
        {"status": "Downloading", "id": "a", "progressDetail": {"current": 10, "total": 100}},
        {"status": "Downloading", "id": "b", "progressDetail": {"current": 50, "total": 60}},
        {"status": "Downloading", "id": "b", "progressDetail": {"current": 50, "total": 60}},
        {"status": "Extracting", "id": "b", "progressDetail": {"current": 1, "total": 60}},
        {"status": "Download complete", "id": "a", "progressDetail": {}},
        {"status": "Pull complete", "id": "b", "progressDetail": {}},
        {"status": "Digest: sha256:\x1b[31mabc"},
        {"status": 7}, {"id": None}, {"progressDetail": []},
    ]  # fmt: skip
    bars = [e for r in records for e in transfer.apply(r) if isinstance(e, Progress)]
    assert [(bar.done, bar.total) for bar in bars] == [(10, 100), (60, 160), (150, 160), (160, 160)]
    assert transfer.digest == "sha256:abc"


@pytest.mark.parametrize("name", ["pull", "push"])
def test_a_recorded_transfer_ends_with_a_full_bar_and_a_digest(name: str) -> None:
    transfer = Transfer("t")
    lines = (Path(__file__).parent.parent / "data" / "streams" / f"{name}.ndjson").read_text().splitlines()
    events = [event for line in lines for event in transfer.apply(json.loads(line))]
    bars = [event for event in events if isinstance(event, Progress)]
    assert len(bars) > 1
    assert bars[-1].done == bars[-1].total and bars[-1].done >= 30 << 20
    assert [bar.done for bar in bars] == sorted(bar.done for bar in bars)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", transfer.digest or "")
    assert transfer.error is None
