"""The images of pre-compute and post-compute: their fingerprint says which program runs in them."""

from __future__ import annotations

import io
import re
import tarfile

import pytest

from workflows.containers.container import run_to_end
from workflows.containers.engine import Engine
from workflows.localnet.images import forget, stand_in
from workflows.localnet.tee.images import PROGRAM, stage_images
from workflows.localnet.trim import add_file

ROOT_PEM = b"-----BEGIN CERTIFICATE-----\nSIMULATED root of the stages\n-----END CERTIFICATE-----\n"


def _measured(engine: Engine, image: str, program: bytes | None = None) -> str:
    with engine.create(
        image, ["-ec", "SCONE_MODE=sim SCONE_HASH=1 python3"], entrypoint=["/bin/sh"]
    ) as container:
        if program is not None:
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w") as files:
                add_file(files, PROGRAM.lstrip("/"), program)
            container.put("/", buffer.getvalue())
        ran = run_to_end(container, 60, 1 << 16)
        assert ran.code == 0, ran.err
        return ran.out.strip()


@pytest.mark.engine
def test_another_program_or_another_stage_is_another_enclave() -> None:
    with Engine.connect() as engine:
        base = stand_in(engine, "python", lambda _: None, root_pem=ROOT_PEM)
        stages = stage_images(engine, base, lambda _: None)
        try:
            pre, post = stages["pre-compute"], stages["post-compute"]
            assert all(re.fullmatch("[0-9a-f]{64}", stage.fingerprint) for stage in (pre, post))
            assert _measured(engine, pre.image) == pre.fingerprint
            assert _measured(engine, post.image) == post.fingerprint != pre.fingerprint
            assert _measured(engine, pre.image, b"another program") != pre.fingerprint
        finally:
            for stage in stages.values():
                engine.remove(stage.image, force=True)
            forget(engine, ROOT_PEM)
