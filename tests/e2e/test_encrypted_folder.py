"""A folder that is encrypted in the image: the enclave reads it, and nobody else, in no layer."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.contract import Run
from tests.e2e.house import House
from tests.e2e.leaks import Needles
from workflows.containers.engine import Engine

MODEL = b"weights of the secret model: 3 1 4 1 5 9 2 6 5 3 5\n"
APP = """\
import json, os
from pathlib import Path
words = Path("/app/model/weights.txt").read_text().split()
out = Path(os.environ["IEXEC_OUT"])
(out / "sum.txt").write_text(str(sum(int(word) for word in words if word.isdigit())))
(out / "computed.json").write_text(json.dumps({"deterministic-output-path": str(out / "sum.txt")}))
"""


@pytest.fixture(scope="module")
def run(house: House, network: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Run:
    project = tmp_path_factory.mktemp("sealed") / "sealed"
    (project / "model").mkdir(parents=True)
    (project / "model" / "weights.txt").write_bytes(MODEL)
    (project / "app.py").write_text(APP)
    ended = house.onboard(
        project, "--image", house.image("sealed"), "--region", "model=encrypted", "--no-encrypt-result"
    )
    assert ended.code == 0, ended.run().error
    return ended.run()


def test_the_enclave_reads_it(run: Run) -> None:
    assert (Path(run.outputs["result"]["folder"]) / "sum.txt").read_text() == "44"
    assert any("/app/model" in note and "encrypted" in note for note in run.notes("measure"))


def test_no_layer_of_the_image_holds_it(house: House, run: Run) -> None:
    needles = Needles(weights=MODEL[:40])
    names = []
    for name, content in _files(house.engine, run.outputs["build"]["image_id"]):
        names.append(name)
        assert needles.found_in(content) == [], name
    assert {"app/model/weights.txt", "app/app.py", "fspf.pb"} <= set(names)


def _files(engine: Engine, image: str) -> Iterator[tuple[str, bytes]]:
    """Every file of every layer, and the image's own record."""
    saved = io.BytesIO(b"".join(engine.api.get_image(image)))
    with tarfile.open(fileobj=saved) as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is None:
                continue
            content = file.read()
            if content[:2] == b"\x1f\x8b":
                content = gzip.decompress(content)
            if content[257:262] != b"ustar":
                yield member.name, content
                continue
            with tarfile.open(fileobj=io.BytesIO(content)) as layer:
                for inner in layer:
                    held = layer.extractfile(inner) if inner.isfile() else None
                    if held is not None and inner.size < 1 << 24:
                        yield inner.name, held.read()


def test_the_key_is_told_to_be_public(run: Run) -> None:
    """In form 3 the key is on the chain: encrypted folders hide nothing from who reads it."""
    assert any("hide nothing" in it["text"] for it in run.of("noted", "measure") if it["level"] == "warning")
    assert json.dumps(run.outputs["measure"]["fspf_key"]) in json.dumps(run.outputs["measure"])
