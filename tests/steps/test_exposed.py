"""A dataset whose plain text is in the app's image is refused, wherever it lies there."""

from __future__ import annotations

import hashlib
import io
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from workflows.containers.engine import Engine
from workflows.core.failure import Failed
from workflows.core.journal import Journal
from workflows.core.manifest import Manifest
from workflows.core.step import Context
from workflows.steps import project_files
from workflows.steps.exposed import refuse_dataset

pytestmark = pytest.mark.engine
DATA = b"what,amount\n" + b"vault 7 rent,1200.25\n" * 3
SMALL = b"a,1\n"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """It holds the data under another name, and two short files that are equal."""
    tar = tmp_path_factory.mktemp("image") / "root.tar"
    with tarfile.open(tar, "w") as archive:
        for name, content in (
            ("srv/x/renamed.bin", DATA),
            ("app/small.csv", SMALL),
            ("app/other.txt", SMALL),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    name = f"creamtea-test/exposed:{uuid.uuid4().hex[:12]}"
    with Engine.connect() as engine:
        engine.import_rootfs(tar, name, changes=['CMD ["-"]'])
        yield name
        engine.remove(name, force=True)


@pytest.fixture
def ctx(tmp_path: Path, image: str) -> Iterator[Context]:
    (tmp_path / "main.py").touch()
    found = Context(tmp_path, Journal(tmp_path), Manifest(tmp_path), workflow="onboard", run="r")
    found.outputs["measure"] = {"image_id": image}
    yield found
    found.close()


def refused(ctx: Context, name: str, content: bytes) -> Failed | None:
    file = ctx.project / name
    file.write_bytes(content)
    try:
        refuse_dataset(ctx, file, hashlib.sha256(content).hexdigest())
    except Failed as failure:
        return failure
    return None


def test_it_is_found_under_any_name(ctx):
    failure = refused(ctx, "weather.csv", DATA)
    assert failure is not None and failure.name == "dataset_in_image"
    assert "/srv/x/renamed.bin" in failure.message
    assert "creamtea run onboard --from dockerfile leaves weather.csv out" in failure.hint
    assert failure.mends == "dockerfile", "a key on the screen goes there"


def test_a_secret_in_the_image_leads_back_to_the_dockerfile(ctx):
    with pytest.raises(Failed, match=r"small\.csv is in the app's image") as caught:
        project_files.keep_out(ctx, ctx.project / "small.csv")
    assert caught.value.mends == "dockerfile"
    assert "begin again at Dockerfile" in caught.value.hint
    assert "creamtea run onboard --from dockerfile" in caught.value.hint
    project_files.keep_out(ctx, ctx.project / "elsewhere.csv")


def test_another_copy_in_the_project_is_named(ctx):
    (ctx.project / "again.txt").write_bytes(DATA)
    failure = refused(ctx, "weather.csv", DATA)
    assert failure is not None and "move again.txt out" in failure.hint


def test_other_bytes_pass_and_so_do_small_ones_of_another_name(ctx):
    assert refused(ctx, "weather.csv", DATA + b"x") is None
    assert refused(ctx, "weather.csv", SMALL) is None
    assert refused(ctx, "empty.csv", b"") is None
    assert refused(ctx, "small.csv", SMALL) is not None


def test_an_image_that_is_gone_is_no_obstacle(ctx):
    ctx.outputs["measure"] = {"image_id": "creamtea-test/none:0"}
    assert refused(ctx, "weather.csv", DATA) is None
