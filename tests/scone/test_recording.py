"""Records of real images through the engine, why they differ, and builds that repeat or do not."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scone.oven import APP, Oven, project
from tests.sgx.enclaves import sigstruct
from workflows.containers.context import Context
from workflows.containers.engine import Engine
from workflows.core.events import Event, Lines, TaskChanged
from workflows.core.failure import Failed
from workflows.localnet.images import root_image
from workflows.scone import difference, layers, record, recording, reproduce
from workflows.scone.difference import RANDOM
from workflows.scone.record import Record
from workflows.scone.reproduce import Outcome
from workflows.sgx.sigstruct import parse

pytestmark = pytest.mark.engine
REGIONS = {"model": "encrypted", "notes": "not-protected"}


@pytest.fixture(scope="module")
def oven() -> Iterator[Oven]:
    with Engine.connect() as engine:
        made = Oven(engine)
        yield made
        made.clear()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project(tmp_path_factory.mktemp("apps") / "tea")


@pytest.fixture(scope="module")
def first(oven: Oven, folder: Path) -> Record:
    return oven.record(folder, oven.draft(folder, regions=REGIONS))


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_all_that_decides_is_in_the_record(first: Record, oven: Oven) -> None:
    assert first.simulated is True
    assert first.fingerprint.entrypoint == "python3 /app/app.py"
    assert (first.fingerprint.heap, first.stack, first.threads) == (1 << 30, 2 << 20, 8)
    assert (first.dlopen, first.fork) == ("no", "no")
    assert first.settings is not None and first.settings["SCONE_QUEUES"] == "4"
    assert first.runtime is not None and first.runtime.scone
    assert first.base is not None and first.base.id == oven.engine.require(first.base.used).id
    assert first.builder is not None and first.builder.builder == (
        "buildkit" if oven.engine.buildkit else "classic"
    )
    assert record.read(record.write(first)) == first


def test_the_interpreter_is_the_file_behind_the_launcher(first: Record, oven: Oven) -> None:
    assert first.interpreter is not None
    assert first.interpreter.path == "/usr/local/bin/python3"
    launcher, real = "/usr/local/bin/scone", "/usr/bin/python3.11"
    for path in (launcher, real):
        data = oven.engine.read_file(str(first.image.id), path)
        assert first.interpreter.files[path] == sha(data or b"")


def test_every_protected_region_and_its_files(first: Record) -> None:
    assert first.regions is not None and first.files is not None
    kinds = {path: region.kind for path, region in first.regions.items()}
    assert kinds["/app"] == "authenticated" and kinds["/app/model"] == "encrypted"
    assert kinds["/app/notes"] == "not-protected" and kinds["/"] == "not-protected"
    assert first.regions["/bin"].root == "/usr/bin"  # a link on Debian
    assert first.files["/app/app.py"].content == sha(APP.encode())
    assert first.files["/bin"].kind == "link"
    assert first.files["/app/model/weights.txt"].content != sha(b"0.1 0.2\n")
    assert set(first.texts) == {"/app/app.py", "/app/notes/read.txt"}
    assert len(first.files) > 3000
    assert not any(path.startswith(("/proc/", "/build/", "/var/log/")) for path in first.files)


def test_an_edit_is_named_by_file_and_lines(oven: Oven, first: Record, tmp_path: Path) -> None:
    edited = project(tmp_path / "tea", **{"app.py": APP.replace("tea", "coffee")})
    found = difference.compare(first, oven.record(edited, oven.draft(edited, regions=REGIONS)))
    assert found.causes[0].sentence == "/app/app.py changed, 1 line"
    assert found.parts == {"fspf_key": "changed", "fspf_tag": "changed", "mrenclave": "same"}
    assert not found.warnings


def test_open_and_encrypted_files(oven: Oven, first: Record, tmp_path: Path) -> None:
    files = {"model/weights.txt": "0.3\n", "notes/read.txt": "shut\n"}
    edited = project(tmp_path / "tea", **files)
    found = difference.compare(first, oven.record(edited, oven.draft(edited, regions=REGIONS)))
    assert "model/weights.txt changed in the project; it is encrypted" in found.causes[0].sentence
    assert found.causes[-1].sentence == "/app/notes/read.txt changed, 1 line"
    assert found.warnings == ("/app/notes/read.txt changed in no protected region: outside what is measured",)


def test_another_heap_is_another_mrenclave(oven: Oven, folder: Path, first: Record) -> None:
    found = difference.compare(first, oven.record(folder, oven.draft(folder, 2 << 30, REGIONS)))
    assert found.causes[0].sentence == "heap 1 GiB → 2 GiB"
    assert found.causes[1].sentence == "the Dockerfile changed, 1 line from line 9 on"
    assert found.parts["mrenclave"] == "changed"


def test_the_same_inputs_built_anew_differ_by_the_key_alone(oven: Oven, folder: Path, first: Record) -> None:
    again = oven.record(folder, oven.draft(folder, regions=REGIONS), fresh=True)
    assert [cause.sentence for cause in difference.compare(first, again).causes] == [RANDOM]


def test_a_build_from_the_cache_is_the_same(oven: Oven, folder: Path) -> None:
    text = oven.draft(folder, regions=REGIONS)
    assert difference.compare(oven.record(folder, text), oven.record(folder, text)).same


def again(oven: Oven, context: Context) -> tuple[Outcome, list[Event]]:
    made = oven.built(context)
    mark = {"creamtea-test-again": uuid.uuid4().hex}
    events: list[Event] = []
    work = reproduce.again(oven.engine, context, made.image_id, builder=made.builder, labels=mark)
    while True:
        try:
            events.append(next(work))
        except StopIteration as end:
            wanted = {"label": [f"{name}={value}" for name, value in mark.items()]}
            assert oven.engine.api.images(filters=wanted) == []  # the second image is gone again
            return end.value, events


@pytest.mark.parametrize("regions", [{}, REGIONS])
def test_a_drafted_build_repeats(oven: Oven, folder: Path, regions: dict[str, str]) -> None:
    outcome, events = again(oven, oven.context(folder, oven.draft(folder, regions=regions))[0])
    assert outcome.reproducible
    assert "/fspf.pb" in outcome.expected and "/build/keytag" in outcome.expected
    assert ("/app/model/weights.txt" in outcome.expected) == bool(regions)
    assert outcome.document()["path"] is None
    reproduce.refuse(outcome)
    assert any("the same MRENCLAVE" in note.text for note in reproduce.told(outcome))
    tasks = [event.task for event in events if isinstance(event, TaskChanged | Lines)]
    assert tasks and all(task.startswith("again:") for task in tasks)


@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_the_first_layer_and_file_that_differ_are_named(oven: Oven, folder: Path, builder: str) -> None:
    if builder == "buildkit" and not oven.engine.buildkit:
        builder = "classic"
    text = oven.draft(folder)
    drawn = "RUN cat /proc/sys/kernel/random/uuid > /app/drawn && date +%N > /var/tick\n"
    place = text.index("# Last of all")
    context, _ = oven.context(folder, text[:place] + "RUN echo same > /app/same\n" + drawn + text[place:])
    made = oven.built(context, builder=builder)
    work = reproduce.again(oven.engine, context, made.image_id, builder=builder)  # type: ignore[arg-type]
    while True:
        try:
            next(work)
        except StopIteration as end:
            outcome: Outcome = end.value
            break
    assert not outcome.reproducible
    assert [one.path for one in outcome.differs] == ["/app/drawn", "/var/tick"]
    assert [one.protected for one in outcome.differs] == [True, False]
    assert outcome.differs[0].instruction.startswith("RUN cat /proc/sys/kernel/random/uuid")
    assert outcome.document()["layer"] == outcome.differs[0].layer > 2
    with pytest.raises(Failed, match="it is /app/drawn in layer") as caught:
        reproduce.refuse(outcome)
    assert caught.value.name == "not_reproducible"


def test_what_is_not_measured_may_differ(oven: Oven, folder: Path) -> None:
    text = oven.draft(folder)
    place = text.index("# Last of all")
    outcome, _ = again(
        oven, oven.context(folder, text[:place] + "RUN date +%N > /var/tick\n" + text[place:])[0]
    )
    assert outcome.reproducible
    assert outcome.document()["path"] == "/var/tick"


def test_layers_of_an_image(oven: Oven, first: Record) -> None:
    found = layers.read(oven.engine, str(first.image.id))
    assert any("COPY" in one.instruction for one in found)
    assert all(one.digest.startswith("sha256:") for one in found)
    assert "/fspf.pb" in found[-1].entries or "/fspf.pb" in found[-2].entries


PRINTOUT = """export SCONE_QUEUES=4
export SCONE_HEAP=268435456
export SCONE_STACK=4194304
export SCONE_TCS=8
export SCONE_MODE=sim
export SCONE_ALLOW_DLOPEN=yes (protected)
export SCONE_FORK=no
musl version: 1.1.24
SCONE version: 5.7.0 (Tue Jan 18 08:45:24 2022 +0100)
Enclave hash: {hash}
[SCONE|WARN] src/enclave/dispatch.c:203:print_version(): Application runs in SGX simulation mode."""


def test_an_image_without_a_stand_in(oven: Oven, tmp_path: Path) -> None:
    """A sconified image: no /build, no label, and an interpreter with a SIGSTRUCT that prints as SCONE 5.7 does."""
    mrenclave = "5e" * 32
    script = (
        f'#!/bin/sh\nif [ "$SCONE_HASH" = 1 ]; then echo {mrenclave}; exit; fi\n'
        f'if [ "$SCONE_VERSION" = 1 ]; then cat <<-END\n{PRINTOUT.format(hash=mrenclave)}\nEND\nfi\nexit 0\n'
    )
    signed = sigstruct(bytes.fromhex(mrenclave))
    context = Context(
        tmp_path,
        f"FROM {root_image(oven.engine, 'python', lambda _: None)}\nLABEL creamtea.simulated=0\n"
        "COPY node /usr/local/bin/node\nENV SCONE_HEAP=256M SCONE_SERVICE_ACCESS_TOKEN=hush\n"
        'ENTRYPOINT ["node", "/app/app.js"]\n',
        extra={"node": script.encode() + signed},
    )
    found = recording.take(oven.engine, oven.built(context).image_id, name="sconified")
    assert found.simulated is False
    assert (found.fingerprint.mrenclave, found.fingerprint.fspf_key) == (mrenclave, None)
    assert (found.fingerprint.heap, found.stack, found.threads) == (256 << 20, 4 << 20, 8)
    assert found.runtime is not None and (found.runtime.scone, found.runtime.libc) == ("5.7.0", "1.1.24")
    assert found.interpreter is not None
    assert found.interpreter.files == {"/usr/local/bin/node": sha(script.encode() + signed)}
    assert found.signer == parse(signed).mrsigner
    assert found.settings is not None and found.settings["SCONE_SERVICE_ACCESS_TOKEN"] == "(hidden)"
    assert "hush" not in record.write(found)


def test_an_image_of_nobody_is_refused(oven: Oven, tmp_path: Path) -> None:
    base = oven.base().root
    context = Context(tmp_path, f'FROM {base}\nENTRYPOINT ["/bin/true"]\n')
    with pytest.raises(Failed) as caught:
        recording.take(oven.engine, oven.built(context).image_id)
    assert caught.value.name == "no_mrenclave"
