"""The digest of a result, by the rules of computed.json, compared with the one that the chain holds."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from workflows.core.failure import Failed
from workflows.core.text import clean
from workflows.iexec.ids import keccak
from workflows.iexec.streams import CHUNK


@dataclass(frozen=True)
class DigestCheck:
    """Whether the files give the digest that the chain has; `computed` is None when they cannot give one."""

    ok: bool
    mode: Literal["file", "folder", "callback"] | None
    computed: str | None
    on_chain: str
    because: str


def digest(folder: Path) -> tuple[str, Literal["file", "folder", "callback"]]:
    """The digest that the enclave committed to, computed from an opened result, and how it was computed.

    SHA-256 of a file; Keccak of the SHA-256 of a folder's direct entries; Keccak of callback data.
    Source: iexec-common `ResultUtils`. Failed: computed.json is missing, unreadable, or names nothing inside.
    """
    computed = _computed(folder)
    callback = computed.get("callback-data")
    if isinstance(callback, str) and callback:
        try:
            data = bytes.fromhex(callback.removeprefix("0x"))
        except ValueError:
            raise _no_digest("its callback-data is not hex") from None
        return "0x" + keccak(data).hex(), "callback"
    named = computed.get("deterministic-output-path")
    if not isinstance(named, str) or not named:
        raise _no_digest("it names no deterministic-output-path")
    target = _inside(folder, named)
    if target.is_file():
        return "0x" + _sha256(target).hex(), "file"
    entries = sorted(target.iterdir(), key=lambda entry: entry.name.encode("utf-16-be"))  # as Java sorts
    return "0x" + keccak(b"".join(_sha256(entry) for entry in entries if entry.is_file())).hex(), "folder"


def check_digest(folder: Path, on_chain: str) -> DigestCheck:
    """Compare the files of an opened result with the digest of the task on chain (0x-hex)."""
    try:
        computed, mode = digest(folder)
    except Failed as error:
        return DigestCheck(False, None, None, on_chain, error.message)
    if hmac.compare_digest(computed.lower().encode(), on_chain.lower().encode()):
        note = " Sub-folders are not part of it." if mode == "folder" else ""
        return DigestCheck(True, mode, computed, on_chain, f"The files give the digest on chain.{note}")
    return DigestCheck(
        False,
        mode,
        computed,
        on_chain,
        "The files give another digest than the chain has: do not rely on them.",
    )


def _computed(folder: Path) -> dict[str, Any]:
    path = folder / "computed.json"
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(CHUNK))
    except OSError:
        raise _no_digest("the result has none") from None
    except (ValueError, RecursionError):
        raise _no_digest("it is not JSON") from None
    if not isinstance(document, dict):
        raise _no_digest("it is not a JSON object")
    return document


def _inside(folder: Path, named: str) -> Path:
    """The path that computed.json names: below /iexec_out in the enclave, below `folder` here."""
    parts = [part for part in named.split("/") if part not in ("", ".")]
    if parts[:1] == ["iexec_out"] and not (folder / "iexec_out").exists():
        parts = parts[1:]
    target = folder.joinpath(*parts)
    if ".." in parts or "\x00" in named or not target.exists() or target.is_symlink():
        raise _no_digest(f"it names {clean(named)[:80]!r}, which is not in the result")
    return target


def _sha256(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.digest()


def _no_digest(why: str) -> Failed:
    return Failed(
        f"computed.json gives no digest: {why}",
        'The app must write {"deterministic-output-path": "/iexec_out/…"} to $IEXEC_OUT/computed.json.',
        name="POST_COMPUTE_RESULT_DIGEST_COMPUTATION_FAILED",
    )
