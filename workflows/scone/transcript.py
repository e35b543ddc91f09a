"""A file with what SCONE's tools printed, kept by somebody: a log of a run or of a build, a `scone signer info`.

All that is in it is put together; parts that contradict each other are refused. It proves nothing: it is text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from workflows.core.events import now
from workflows.scone import printouts, signer_info
from workflows.scone.fingerprint import Fingerprint
from workflows.scone.printouts import Absent, Settings, Unreadable
from workflows.scone.record import Record, Runtime
from workflows.scone.signer_info import SignerInfo
from workflows.sgx.source import Source

LARGEST = 16 << 20
_SIMULATION = "it ran outside of an enclave (SCONE_MODE=sim): what it printed was not attested by anything"
_ONLY_TEXT = "this is what a program printed: nothing was computed here, and nothing is signed"

T = TypeVar("T")


@dataclass(frozen=True)
class Transcript:
    """What was found; None for what is not in the text. `later`: lines with a hash behind the printout."""

    name: str
    settings: Settings | None
    fingerprint: Fingerprint
    regions: tuple[str, ...]
    info: SignerInfo | None
    later: int

    def document(self) -> dict[str, Any]:
        """Without `v`, in the shape of `creamtea measure`."""
        parts, printed, info = self.fingerprint, self.settings, self.info
        warnings = [_ONLY_TEXT]
        if printed and printed.simulated:
            warnings.append(_SIMULATION)
        if info and info.debug:
            warnings.append(
                "DEBUG is set: whoever runs the machine can read its memory, nothing is protected"
            )
        if self.later:
            warnings.append(
                f"{self.later} more lines with an enclave hash stand behind the printout and were not read: "
                "what runs may print anything"
            )
        return {
            "kind": "printout",
            "mrenclave": parts.mrenclave,
            **dict.fromkeys(("sigstruct", "matches", "pages")),
            "heap": printed.heap if printed else None,
            "threads": printed.threads if printed else None,
            "warnings": warnings,
            "printout": {
                "fspf_key": parts.fspf_key,
                "fspf_tag": parts.fspf_tag,
                "entrypoint": parts.entrypoint,
                "regions": list(self.regions),
                "stack": printed.stack if printed else None,
                "mode": printed.mode if printed else None,
                "dlopen": printed.dlopen if printed else None,
                "scone": printed.scone if printed else None,
                "libc": printed.musl if printed else None,
                "revision": printed.revision if printed else None,
                "settings": dict(printed.settings) if printed else {},
                "mrsigner": info.mrsigner if info else None,
                "isvprodid": info.product if info else None,
                "isvsvn": info.svn if info else None,
                "date": info.date if info else None,
                "attributes": info.attributes if info else None,
                "debug": info.debug if info else None,
            },
        }

    def record(self) -> Record:
        """As a measurement record, so that it can be compared."""
        printed, info = self.settings, self.info
        product = info and " ".join(
            f"{name} {value}" for name, value in (("ISVPRODID", info.product), ("ISVSVN", info.svn)) if value
        )
        return Record(
            name=f"printout {self.name}",
            at=now(),
            fingerprint=self.fingerprint,
            simulated=None,
            runtime=Runtime(printed.scone, printed.musl, printed.revision) if printed else None,
            settings=dict(printed.settings) if printed else None,
            stack=printed.stack if printed else None,
            threads=printed.threads if printed else None,
            dlopen=printed.dlopen if printed else None,
            fork=printed.settings.get("SCONE_FORK") if printed else None,
            signer=info.mrsigner if info else None,
            product=product or None,
            debug=info.debug if info else None,
        )


def read(path: Path) -> Transcript | None:
    """None when nothing that SCONE prints is in the file; Unreadable when it contradicts itself or was cut."""
    with Source.open(path) as source:
        if source.size > LARGEST:
            return None
        data = source.read(0, source.size)
    return None if b"\0" in data[:4096] else parse(data.decode(errors="replace"), path.name)


def parse(text: str, name: str) -> Transcript | None:
    """The same of a text; `name` is how a person calls it."""
    printed = _maybe(printouts.settings, text)
    whole = _maybe(printouts.protect_block, text)
    # The block of protect-fs.sh has a field of the same name; and where a printout says which hash is the
    # enclave's, another line of 64 digits may be anything's.
    info = None if printed or whole else _maybe(signer_info.read, text)
    alone = None if printed or whole or info else _maybe(printouts.enclave_hash, text)
    said = {
        value
        for value in (
            printed and printed.mrenclave, whole and whole.mrenclave, info and info.mrenclave, alone,
        )
        if value
    }  # fmt: skip
    if len(said) > 1:
        raise Unreadable(f"{len(said)} different enclave hashes are in it", "Give one printout at a time.")
    if not said:
        return None
    key, tag = _maybe(printouts.keytag, text) or (None, None)
    if key and whole and (key, tag) != (whole.fspf_key, whole.fspf_tag):
        raise Unreadable(
            "the FSPF key and tag of its fingerprint are not those that scone fspf printed",
            "Give the log of one build at a time.",
        )
    return Transcript(
        name=name,
        settings=printed,
        fingerprint=Fingerprint(
            key or (whole.fspf_key if whole else None),
            tag or (whole.fspf_tag if whole else None),
            said.pop(),
            whole.entrypoint if whole else None,
            printed.heap if printed and printed.heap else None,
        ),
        regions=tuple(line.region for line in printouts.fspf_lines(text) if line.region),
        info=info,
        later=max(0, printouts.hash_lines(text) - 1) if printed else 0,
    )


def _maybe(reader: Callable[[str], T], text: str) -> T | None:
    """What a reader finds, None when there is nothing for it."""
    try:
        return reader(text)
    except Absent:
        return None
