"""The main job once, with everything that it can be given: several tests look at what it left."""

from __future__ import annotations

import contextlib
import json
import threading
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.e2e import apps
from tests.e2e.contract import Run
from tests.e2e.house import Ended, House
from workflows.containers.engine import Engine

DATA = b"what,amount\nvault 7 rent,1200.25\nvault 7 gold,0.5\nthe widow's share,99.25\n"
DEVELOPER, FIRST, SECOND = "developer-pepper-91c4", "requester-first-e07b", "requester-second-5d2a"
INPUT = b"a public price list\n"


@dataclass(frozen=True)
class Onboarded:
    """`words` are the fields of the run, `volumes` what the engine's volumes held while its task ran."""

    project: Path
    words: list[str | Path]
    ended: Ended
    volumes: list[bytes]

    @cached_property
    def run(self) -> Run:
        """Its events."""
        return self.ended.run()


def onboard(house: House, network: Mapping[str, Any], image: str, place: Path) -> Onboarded:
    """A Python app with a dataset, three secrets, an input file and arguments, in a fresh folder."""
    project = apps.ledger(place)
    kept = place / "kept"
    kept.mkdir()
    texts = {"app": DEVELOPER + "\n", "one": FIRST, "two": SECOND + "\r\n"}
    for name, content in {**{name: text.encode() for name, text in texts.items()}, "data.csv": DATA}.items():
        (kept / name).write_bytes(content)
    stored = _store(network["ipfs"]["api"], INPUT)
    words: list[str | Path] = [
        "--image", image, "--dataset", kept / "data.csv", "--dataset-name", "ledger of vault 7",
        "--app-secret-file", kept / "app", "--requester-secret", f"1={kept / 'one'}",
        "--requester-secret", f"2={kept / 'two'}", "--args", "hold quarterly_report",
        "--input-file", f"{network['ipfs']['gateway']}/ipfs/{stored}",
    ]  # fmt: skip
    seen: list[bytes] = []
    over = threading.Event()
    watcher = threading.Thread(target=_look, args=(house, network["pid"], seen, over))
    watcher.start()
    try:
        ended = house.onboard(project, *words)
    finally:
        over.set()
        watcher.join()
    assert ended.code == 0, ended.out[-3000:] + ended.err
    return Onboarded(project, words, ended, seen)


def _store(api: str, content: bytes) -> str:
    """Add a file to the content storage as kubo's clients do; its CID."""
    limit = "e2e-limit"
    body = (
        f'--{limit}\r\nContent-Disposition: form-data; name="file"; filename="list"\r\n\r\n'.encode()
        + content
        + f"\r\n--{limit}--\r\n".encode()
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={limit}"}
    with urllib.request.urlopen(urllib.request.Request(f"{api}/api/v0/add", body, headers)) as answer:
        return str(json.load(answer)["Hash"])


def _look(house: House, pid: int, seen: list[bytes], over: threading.Event) -> None:
    """Copy what the engine's volumes hold while the task's containers run."""
    from docker.errors import APIError, NotFound

    with Engine.connect() as engine:
        while not over.wait(0.05):
            for record in house.of_localnet(pid):
                if record["State"] != "running" or record["Names"][0].endswith("-relay"):
                    continue
                with contextlib.suppress(NotFound, APIError):
                    blocks, _ = engine.api.get_archive(record["Id"], "/.scone/volumes")
                    held = b"".join(blocks)
                    if held not in seen:
                        seen.append(held)
