"""A build that is done already: looking changes nothing, and the image gets its name back."""

from __future__ import annotations

import io
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from workflows.containers.engine import Engine
from workflows.core.events import Noted
from workflows.core.journal import Entry, Journal
from workflows.core.manifest import Manifest
from workflows.core.step import Context
from workflows.steps.build import Build

pytestmark = pytest.mark.engine


def image(engine: Engine, name: str, text: bytes) -> str:
    """The id of an image with one file, under this name."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        info = tarfile.TarInfo("tea")
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text))
    target.seek(0)
    return engine.import_rootfs(target, name)


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine.connect() as connected:
        yield connected


@pytest.fixture
def name(engine: Engine) -> Iterator[str]:
    name = f"creamtea-test/again:{uuid.uuid4().hex[:12]}"
    yield name
    for one in (name, f"{name}-kept"):
        engine.remove(one, force=True)


def test_looking_gives_no_name_back_and_mending_does(tmp_path: Path, engine: Engine, name: str) -> None:
    built = image(engine, f"{name}-kept", b"earl grey")
    other = image(engine, name, b"oolong")
    outputs = {"image": name, "image_id": built, "seconds": 1.0, "log": ""}
    ctx = Context(tmp_path, Journal(tmp_path), Manifest(tmp_path), values={"image": name})
    ctx.previous = Entry("done", "r1", "build", "", {"outputs": outputs})
    step = Build()
    try:
        done = step.done(ctx)
        assert done is not None and done.outputs["image_id"] == built
        now = engine.image(name)
        assert now is not None and now.id == other, "a probe only looks"

        (note,) = step.mend(ctx, done)
        assert isinstance(note, Noted) and "that image again" in note.text
        now = engine.image(name)
        assert now is not None and now.id == built
        assert not list(step.mend(ctx, done)), "nothing is left to mend"
    finally:
        ctx.close()
