"""Content storage that answers kubo's `add` and an IPFS gateway's `GET /ipfs/<cid>`, on two ports as kubo.

Files are kept whole under the multihash of their root; nothing is announced to any other node.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from aiohttp import BodyPartReader, MultipartReader, web

from workflows.core.failure import Failed
from workflows.core.files import private_dir, sync_dir
from workflows.core.text import size
from workflows.iexec import cid
from workflows.localnet.service import HttpService

MAX_FILE = 4 << 30
KEEP_FREE = 512 << 20  # bytes of the disk that files may not take: the chain and the SMS are on it as well
_FULL = (errno.ENOSPC, errno.EDQUOT)
_PIECE = 1 << 20
_TRUE = ("true", "1", "")


@dataclass(frozen=True)
class Added:
    """A stored file: its identifier, its length, and the bytes of its blocks."""

    cid: str
    length: int
    total: int


class FileStore:
    """Files by multihash in one folder; a file is there whole or not at all."""

    def __init__(self, directory: Path, max_file: int = MAX_FILE, keep_free: int = KEEP_FREE) -> None:
        self._files = private_dir(directory / "files")
        self._incoming = private_dir(directory / "incoming")
        self._max_file = max_file
        self._keep_free = keep_free
        for left_over in self._incoming.iterdir():  # of a process that was killed
            left_over.unlink()

    async def add(self, pieces: AsyncIterator[bytes], version: int = 0, *, keep: bool = True) -> Added:
        """Store a stream. Failed `file_too_large` or `no_room`; nothing stays then."""
        hasher, length = cid.FileHasher(version), 0
        handle, name = tempfile.mkstemp(dir=self._incoming)
        path = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                async for piece in pieces:
                    length += len(piece)
                    if length > self._max_file:
                        raise Failed(
                            f"the file is larger than {size(self._max_file)}",
                            "The localnet's storage does not take more.",
                            name="file_too_large",
                        )
                    if shutil.disk_usage(self._incoming).free - len(piece) < self._keep_free:
                        raise _no_room()
                    await asyncio.to_thread(file.write, piece)
                    await asyncio.to_thread(hasher.update, piece)
                root = await asyncio.to_thread(hasher.cid)
                file.flush()
                await asyncio.to_thread(os.fsync, file.fileno())
            if keep:
                path.replace(self._files / root.multihash.hex())
                await asyncio.to_thread(sync_dir, self._files)
        except OSError as error:
            if error.errno in _FULL:
                raise _no_room() from None
            raise
        finally:
            path.unlink(missing_ok=True)
        return Added(str(root), length, hasher.total())

    def path(self, text: str) -> Path | None:
        """Where the file of a CID is, None when it is not here. ValueError: not a CID."""
        path = self._files / cid.parse(text).multihash.hex()
        return path if path.is_file() else None


class Storage:
    """`directory` is `<state>/storage`; `api`: POST /api/v0/add; `gateway`: GET, HEAD, ranges of /ipfs/<cid>.

    Task containers see the gateway only.
    """

    def __init__(
        self,
        directory: Path,
        *,
        api_port: int = 0,
        gateway_port: int = 0,
        max_file: int = MAX_FILE,
        keep_free: int = KEEP_FREE,
    ) -> None:
        self.files = FileStore(directory, max_file, keep_free)
        self.api = HttpService(port=api_port)
        self.gateway = HttpService(port=gateway_port)
        self.api.app.router.add_post("/api/v0/add", self._add)
        self.api.app.router.add_post("/api/v0/version", self._version)
        self.gateway.app.router.add_get("/ipfs/{cid}", self._get)

    @property
    def url(self) -> str:
        """The gateway's base URL."""
        return self.gateway.url

    async def start(self) -> None:
        """Start both servers."""
        await self.api.start()
        await self.gateway.start()

    async def stop(self) -> None:
        """Stop both servers."""
        await self.api.stop()
        await self.gateway.stop()

    async def _version(self, request: web.Request) -> web.Response:
        return web.json_response({"Version": "0.0.0-creamtea", "Commit": "", "System": "localnet"})

    async def _add(self, request: web.Request) -> web.StreamResponse:
        """One line of JSON for each file of the multipart body, as kubo answers."""
        if "Origin" in request.headers:  # kubo too lets no web page write into a node
            return _refused(403, "browsers may not add files here")
        try:
            version = int(request.query.get("cid-version", "0"))
            only_hash = request.query.get("only-hash", "false") in _TRUE
            reader = await request.multipart()
            entries = [entry async for entry in self._parts(reader, version, keep=not only_hash)]
        except Failed as error:
            return _refused(507 if error.name == "no_room" else 413, error.message)
        except (ValueError, AssertionError) as error:
            return _refused(400, str(error) or "the request is not multipart/form-data")
        if not entries:
            return _refused(400, "file argument 'path' is required")
        text = "".join(json.dumps(entry) + "\n" for entry in entries)
        return web.Response(text=text, content_type="application/json")

    async def _parts(
        self, reader: MultipartReader, version: int, *, keep: bool
    ) -> AsyncIterator[dict[str, str]]:
        while (part := await reader.next()) is not None:
            if not isinstance(part, BodyPartReader):
                raise ValueError("nested multipart bodies are not taken")
            if part.headers.get("Content-Type") == "application/x-directory":
                raise ValueError("directories are not taken")
            added = await self.files.add(_pieces(part), version, keep=keep)
            yield {"Name": part.filename or added.cid, "Hash": added.cid, "Size": str(added.total)}

    async def _get(self, request: web.Request) -> web.StreamResponse:
        text = request.match_info["cid"]
        try:
            path = await asyncio.to_thread(self.files.path, text)
        except ValueError as error:
            return web.Response(status=400, text=f"invalid ipfs path: {error}\n")
        if path is None:
            return web.Response(status=404, text="this storage does not have it; it asks no other node\n")
        headers = {
            "Content-Type": "application/octet-stream",
            "X-Content-Type-Options": "nosniff",
            "X-Ipfs-Path": f"/ipfs/{text}",
            "Cache-Control": "public, max-age=29030400, immutable",
        }
        return web.FileResponse(path, headers=headers)


async def _pieces(part: BodyPartReader) -> AsyncIterator[bytes]:
    while piece := await part.read_chunk(_PIECE):
        yield piece


def _no_room() -> Failed:
    return Failed(
        "the disk of the localnet has no room for it",
        "Who runs the localnet frees some: what nobody needs any more is in storage/files of its folder.",
        name="no_room",
    )


def _refused(status: int, message: str) -> web.Response:
    return web.json_response({"Message": message, "Code": 0, "Type": "error"}, status=status)
