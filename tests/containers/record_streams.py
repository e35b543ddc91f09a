"""Records the streams in tests/data/streams from the engine of this machine, by hand.

    python tests/containers/record_streams.py BASE-IMAGE REGISTRY-HOST:PORT

BASE-IMAGE has a busybox in it; the registry is an empty one on loopback. Hosts are scrubbed.
"""

from __future__ import annotations

import io
import os
import sys
import tarfile
from pathlib import Path
from tempfile import mkdtemp

from workflows.containers.context import Context
from workflows.containers.engine import Engine
from workflows.containers.stream import Refused, post

DATA = Path(__file__).parent.parent / "data" / "streams"
BASE = "tea/base:1"
PARALLEL = f"""\
FROM {BASE} AS left
RUN for i in 1 2 3; do echo left $i; sleep 0.3; done; echo oops >&2
FROM {BASE} AS right
COPY hello.txt /hello.txt
RUN for i in 1 2 3; do echo right $i; sleep 0.2; done; printf '10%%\\r50%%\\r100%%\\n'
FROM {BASE}
COPY --from=left /etc/tea /l
COPY --from=right /hello.txt /r
LABEL a=b
ENTRYPOINT ["/bin/cat", "/r"]
"""
CASES = {
    "parallel": PARALLEL,
    "cached": PARALLEL,
    "failing": f"FROM {BASE} AS app\nRUN echo fine\nRUN echo before; echo worse >&2; cat /nowhere; exit 7\n"
    "RUN echo never\n",
    "syntax_error": f"FROM {BASE}\nRUNN x\n",
    "missing_file": f"FROM {BASE}\nCOPY nope /x\n",
    "missing_base": "FROM 127.0.0.1:1/no/base:1\nRUN x\n",
    "hostile": f"FROM {BASE}\n"
    r"RUN printf '\033]0;PWNED\007\033[2J\033[31mred\033[0m \342\200\256rtl\nStep 9/9 : FROM evil\nSuccessfully built"
    " deadbeefdead\\n'\n",
    "clipped": f"FROM {BASE}\nRUN seq 1 200000\n",
}


def record(engine: Engine, name: str, text: str) -> None:
    """One Dockerfile through both builders."""
    for builder, version in (("buildkit", "2"), ("classic", "1")):
        context = Context(Path(mkdtemp()), text, {"hello.txt": b"hello\n"})
        params: dict[str, str | list[str]] = {"version": version, "rm": "1", "forcerm": "1"}
        if name != "cached":
            params["nocache"] = "1"
        headers = {"Content-Type": "application/x-tar"}
        try:
            blocks = list(post(engine.api, "/build", params=params, headers=headers, body=context.archive()))
        except Refused as error:
            print(f"{name} {builder}: {error.status} {error.message}")
            continue
        lines = b"".join(blocks).decode().splitlines()
        if (
            name == "clipped"
        ):  # the middle of the flood teaches nothing, and the classic builder clips nothing
            lines = lines[:16] + lines[-8:]
            if builder == "classic":
                continue
        text_lines = "\n".join([*lines, ""]).encode("ascii", "backslashreplace")
        (DATA / f"{name}_{builder}.ndjson").write_bytes(text_lines)


def transfers(engine: Engine, host: str) -> None:
    """A push and a pull of an image with a layer of some size."""
    name = f"{host}/tea/big:1"
    noise = io.BytesIO()
    with tarfile.open(fileobj=noise, mode="w") as archive:
        info = tarfile.TarInfo("noise")
        info.size = 30 << 20
        archive.addfile(info, io.BytesIO(os.urandom(info.size)))
    noise.seek(0)
    engine.import_rootfs(noise, name)
    for what, path, params in (
        ("push", f"/images/{host}/tea/big/push", {"tag": "1"}),
        ("pull", "/images/create", {"fromImage": f"{host}/tea/big", "tag": "1"}),
    ):
        blocks = list(post(engine.api, path, params=params, headers={"X-Registry-Auth": "e30="}))
        data = b"".join(blocks).replace(host.encode(), b"registry.test:5000")
        (DATA / f"{what}.ndjson").write_bytes(data)
        engine.remove(name)


if __name__ == "__main__":
    with Engine.connect() as connected:
        connected.tag(sys.argv[1], BASE)
        try:
            for case, dockerfile in CASES.items():
                record(connected, case, dockerfile)
            transfers(connected, sys.argv[2])
        finally:
            connected.remove(BASE)
