"""Content storage: a file into a kubo node, streamed, with the CID computed on the way and compared."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from workflows.core.failure import Failed, Unavailable
from workflows.core.step import Cancel
from workflows.core.text import clean
from workflows.iexec import cid, web
from workflows.iexec.download import Downloaded, download
from workflows.iexec.streams import CHUNK, Tell, reading

__all__ = ["Downloaded", "Stored", "download", "upload"]

_ANSWER = 300.0  # a node may take its time after the last byte


class Stored(NamedTuple):
    """Where an uploaded file is: its CID, and the multiaddr `/ipfs/<cid>` that goes on chain."""

    cid: str
    multiaddr: str


def upload(api_url: str, path: Path, progress: Tell | None = None, cancel: Cancel | None = None) -> Stored:
    """Add a file to a kubo node (`/api/v0/add`), streamed; the node's CID must be the one computed here."""
    base = web.origin(api_url, "IPFS node")
    boundary = secrets.token_hex(16)
    options = "cid-version=0&raw-leaves=false&chunker=size-262144&pin=true&progress=false"
    hasher = cid.FileHasher()
    with reading(path) as (file, size):
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="data"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(head) + size + len(tail)),
        }

        def body() -> Iterator[bytes]:
            yield head
            done = 0
            while chunk := file.read(min(CHUNK, size - done)):
                hasher.update(chunk)
                yield chunk
                done += len(chunk)
                if progress is not None:
                    progress(done, size)
            if done != size:
                raise Failed(f"{path} became shorter while it was sent", "Try again.", name="file_changed")
            yield tail

        reply = web.request(
            "POST", f"{base}/api/v0/add?{options}", headers=headers, body=body(), timeout=_ANSWER,
            deadline=None, cancel=cancel,
        )  # fmt: skip
    found = _added(reply)
    if found != (computed := str(hasher.cid())):
        raise Failed(
            f"the node stored {found}, but the file is {computed}",
            "It stored other bytes, or does not cut files as kubo does by default: use another node.",
            name="cid_mismatch",
        )
    return Stored(found, f"/ipfs/{found}")


def _added(reply: web.Reply) -> str:
    """The CID of the one file that a node added: the last line of its answer."""
    where = web.shown(reply.url)
    lines = reply.body.splitlines()
    document = None
    with contextlib.suppress(ValueError, RecursionError):
        document = json.loads(lines[-1]) if lines else None
    if reply.status != 200:
        said = clean(str(document.get("Message", "")))[:200] if isinstance(document, dict) else ""
        raise Unavailable(
            f"{where} did not take the file ({reply.status}){': ' + said if said else ''}",
            "Check the network's IPFS node: its RPC must allow uploads of this size.",
            name="upload_refused",
        )
    found = document.get("Hash") if isinstance(document, dict) else None
    if not isinstance(found, str):
        raise Unavailable(
            f"{where} does not answer as a kubo node does", "Check its URL.", name="no_ipfs_node"
        )
    return clean(found)[:100]
