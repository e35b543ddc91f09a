"""What can be compared, each as a record: a build, a record's file, an image, an app, a signed enclave, a printout."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from workflows.commands import onchain
from workflows.core.command import Emit
from workflows.core.events import TaskChanged
from workflows.core.failure import Missing
from workflows.core.fields import Choice
from workflows.core.journal import FOLDER
from workflows.core.step import Cancel

if TYPE_CHECKING:
    from workflows.containers.engine import Engine, Image
    from workflows.scone.record import Kept, Record

_APP = re.compile(r"(?:app:)?(0x[0-9a-fA-F]{40})")
_BUILD = re.compile(r"(?:build:|#)?([0-9]{1,9})")
_WHAT = "a build's number or image id, a record's file, an image, app:0x…, a signed enclave, or a printout"
_ID = re.compile(r"(?:sha256:)?([0-9a-f]{6,64})")


class Sides:
    """Finds what a word means. project: the folder whose builds count; nothing in it is changed.

    `cancel` ends the reading of an image and the start of a localnet early, with Cancelled.
    """

    def __init__(
        self, project: Path, network: str, rpc: str | None, emit: Emit, cancel: Cancel | None = None
    ) -> None:
        self.state = project / FOLDER
        self.network = network
        self.rpc = rpc
        self.emit = emit
        self.cancel = cancel or Cancel()

    def find(self, word: str) -> Record:
        """The record that a word means; Missing when it means nothing."""
        if not word.strip():
            raise Missing("one of the two is empty", _WHAT, name="no_side")
        if match := _APP.fullmatch(word):
            return self.app(match[1])
        if word == "last" or (match := _BUILD.fullmatch(word)):
            return self._build(word, int(match[1]) if match else None)
        if (path := Path(word).expanduser()).is_file():
            return self._file(path)
        if (match := _ID.fullmatch(word)) and (found := self._by_id(match[1])) is not None:
            return self._load(found)
        return self.image(word)

    def app(self, address: str) -> Record:
        """An app on the chain; with all that is known of the build or the local image it was made from."""
        with onchain.hub(self.network, self.rpc, self.emit, self.cancel) as (place, chain):
            record = onchain.record_of(onchain.read_app(chain, place, address))
        return self.more(record)

    def more(self, record: Record) -> Record:
        """The same with the build that has this very fingerprint or image, if one is kept here."""
        parts = ("fspf_key", "fspf_tag", "mrenclave")
        wanted = [getattr(record.fingerprint, part) for part in parts]
        digits = (record.image.digest or "").removeprefix("sha256:")
        for one in reversed(self._kept()):
            if record.fingerprint.fspf_key is None and one.image != digits[:12]:
                continue
            known = self._load(one)
            if [getattr(known.fingerprint, part) for part in parts][-3 if wanted[0] else -1 :] == (
                wanted if wanted[0] else wanted[-1:]
            ):
                return replace(known, name=f"{record.name} ({known.name})")
        return record

    def image(self, reference: str) -> Record:
        """A local image: the record of its build if one is kept here, else a new one, not kept."""
        from workflows.containers.engine import Engine

        with Engine.connect() as engine:
            found = engine.image(reference)
            if found is None:
                raise Missing(
                    f"{reference[:200]!r} is no build, file, app or local image",
                    _WHAT,
                    name="no_side",
                )
            return self.of_image(engine, found, reference)

    def of_image(self, engine: Engine, image: Image, reference: str) -> Record:
        """The record of an image of the engine."""
        from workflows.scone import record, recording

        short = record.short_id(image.id)
        if (kept := self._by_id(short)) is not None:
            return self._load(kept)
        title = f"read image {reference}"
        self.emit(TaskChanged(task="read", title=title, state="running"))
        taken = recording.take(engine, image.id, name=f"image {reference}", cancel=self.cancel)
        self.emit(TaskChanged(task="read", title=title, state="done"))
        return replace(taken, image=replace(taken.image, reference=reference))

    def _build(self, word: str, number: int | None) -> Record:
        kept = self._kept()
        found = next((one for one in reversed(kept) if number in (None, one.number)), None)
        if found is None:
            have = f"{kept[0].number} to {kept[-1].number}" if kept else "none yet"
            raise Missing(
                f"there is no build {word} in this project", f"builds here: {have}; --project names another folder",
                name="no_build",
            )  # fmt: skip
        return self._load(found)

    def _file(self, path: Path) -> Record:
        from workflows.scone import record

        with path.open("rb") as file:
            head = file.read(1)
        if head == b"{":
            return record.load(path)
        from workflows.scone import signed, transcript
        from workflows.sgx.inspection import Unknown

        title = f"read {path.name}"
        self.emit(TaskChanged(task="read", title=title, state="running"))
        try:
            found = signed.read(path)
        except Unknown:
            printed = transcript.read(path)
            if printed is None:
                raise
            found = printed.record()
        self.emit(TaskChanged(task="read", title=title, state="done"))
        return found

    def _by_id(self, digits: str) -> Kept | None:
        return next((one for one in reversed(self._kept()) if one.image.startswith(digits[:12])), None)

    def _load(self, kept: Kept) -> Record:
        from workflows.scone import record

        found = record.load(kept.path)
        return replace(found, name=f"build {kept.number} · {found.name}")

    def _kept(self) -> list[Kept]:
        from workflows.scone import record

        return record.kept(self.state)


def builds(project: Path) -> list[Choice]:
    """The builds that a project keeps, newest first, to choose from: each value is a word that `find` knows.

    No record is read for it, which would take long where there are many.
    """
    from workflows.scone import record

    found = []
    for one in reversed(record.kept(project / FOLDER)):
        with suppress(OSError):  # it was taken away just now
            at = datetime.fromtimestamp(one.path.stat().st_mtime, timezone.utc)
            note = f"measured {at:%Y-%m-%d %H:%M} UTC, image {one.image}"
            found.append(Choice(str(one.number), f"build {one.number}", note))
    return found


def columns(rows: Iterator[dict[str, str | None]] | list[dict[str, str | None]], width: int) -> Iterator[str]:
    """The two side by side, in lines; what changed is marked by a sign and a word."""
    marks = {"same": "=", "changed": "≠", None: "·"}
    room = max(12, (width - 26) // 2)
    for row in rows:
        if row["a"] is None and row["b"] is None:
            continue
        a, b = (_fit(row[side] or "—", room) for side in ("a", "b"))
        word = "changed" if row["state"] == "changed" else ""
        yield f"{marks[row['state']]} {row['name']:<12} {a:<{room}} {b:<{room}} {word}".rstrip()


def _fit(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room // 2] + "…" + text[-(room - room // 2 - 1) :]
