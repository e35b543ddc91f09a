"""Downloads from IPFS gateways and from any http(s) address: bounded, taken up again, checked.

Nothing that comes in is believed: an IPFS file is compared with its CID where that can be recomputed, a
dataset with its checksum on chain; where neither is possible the result says so.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import ipaddress
import re
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal
from urllib.parse import quote, urljoin, urlsplit

from workflows.core.failure import Failed, Missing, Unavailable
from workflows.core.step import Cancel
from workflows.core.text import clean
from workflows.core.text import size as human
from workflows.iexec import cid, web
from workflows.iexec.streams import Tell, replacing, trouble

ATTEMPTS = 4
PAUSE = 0.5
REDIRECTS = 5
LIMIT = 2 << 30
_PIECE = 1 << 16
_IPFS = re.compile(r"(?:/(?:ipfs|p2p)/|ipfs://)([0-9A-Za-z]+)((?:/[^/?#\x00-\x1f]+)*)/?\Z")
_RANGE = re.compile(r"bytes (\d{1,15})-")
_TRY_NEXT = ("not_found", "cid_mismatch", "checksum_mismatch", "answer_too_large", "refused_download")


@dataclass(frozen=True)
class Downloaded:
    """A downloaded file. `checksum` is its 0x-hex SHA-256, `verified` what vouches for it, `note` what to know."""

    path: Path
    size: int
    checksum: str
    url: str
    verified: Literal["checksum", "cid", "nothing"]
    note: str = ""


def download(
    source: str,
    target: Path,
    *,
    gateway: str | Sequence[str] = (),
    limit: int = LIMIT,
    sha256: str | None = None,
    progress: Tell | None = None,
    cancel: Cancel | None = None,
) -> Downloaded:
    """Fetch an http(s) URL or `/ipfs/<cid>[/path]` (through the gateways, in order) into `target`, 0600.

    At most `limit` bytes. A broken connection is taken up where it broke, or begun again. `target` appears when
    all is there and agrees with `sha256` (0x-hex) and with the CID as far as it can be recomputed.
    """
    urls, wanted = _urls(source, [gateway] if isinstance(gateway, str) else gateway)
    failure: Failed | None = None
    for url in urls:
        try:
            with trouble(target), replacing(target) as file:
                sink = _Sink(file, wanted, target, limit, progress, cancel)
                _fetch(url, sink, resumable=bool(sha256 or wanted))
                verified, note = sink.judge(sha256)
            return Downloaded(target, sink.done, sink.checksum(), url, verified, note)
        except Failed as error:
            if not isinstance(error, Unavailable) and error.name not in _TRY_NEXT:
                raise
            failure = failure or error
    assert failure is not None  # noqa: S101 - there is at least one URL
    raise failure


class _Sink:
    """The file being written, its hashes, and how far it is."""

    def __init__(
        self,
        file: BinaryIO,
        wanted: cid.Cid | None,
        target: Path,
        limit: int,
        progress: Tell | None,
        cancel: Cancel | None,
    ) -> None:
        self._file, self._wanted, self._target = file, wanted, target
        self._limit, self._progress, self.cancel = limit, progress, cancel
        self.restart()

    def restart(self) -> None:
        self.done = 0
        self._digest = hashlib.sha256()
        self._verifier = cid.Verifier(self._wanted) if self._wanted else None
        with trouble(self._target):
            self._file.seek(0)
            self._file.truncate()

    def expect(self, length: int | None) -> int | None:
        """The total of bytes when `length` more are announced."""
        total = None if length is None else self.done + length
        if total is not None and total > self._limit:
            raise self._too_large()
        return total

    def put(self, chunk: bytes, total: int | None) -> None:
        if self.cancel is not None:
            self.cancel.check()
        self.done += len(chunk)
        if self.done > self._limit:
            raise self._too_large()
        self._digest.update(chunk)
        if self._verifier is not None:
            self._verifier.update(chunk)
        with trouble(self._target):
            self._file.write(chunk)
        if self._progress is not None:
            self._progress(self.done, total)

    def checksum(self) -> str:
        return "0x" + self._digest.hexdigest()

    def judge(self, sha256: str | None) -> tuple[Literal["checksum", "cid", "nothing"], str]:
        verdict = self._verifier.verdict() if self._verifier else None
        if verdict is False:
            raise Failed(
                "the gateway sent another file than the one of this CID",
                "Try another gateway.",
                name="cid_mismatch",
            )
        if sha256 is not None:
            if self.checksum() != sha256.lower():
                raise Failed(
                    f"the downloaded file's checksum is {self.checksum()}, not {clean(sha256)[:80]}",
                    "The address gives other bytes than were deployed: upload them again, or deploy anew.",
                    name="checksum_mismatch",
                )
            return "checksum", ""
        if verdict:
            return "cid", ""
        why = "Its CID cannot be recomputed here" if self._wanted else "Nothing says what these bytes must be"
        return "nothing", f"{why}: only a checksum from the chain can vouch for them."

    def _too_large(self) -> Failed:
        return Failed(
            f"the download is larger than {human(self._limit)}",
            "It is not what it should be, or the limit is too low for it.",
            name="answer_too_large",
        )


def _fetch(url: str, sink: _Sink, resumable: bool) -> None:
    """All of one URL into the sink, in as many attempts as it is worth."""
    tag = ""
    for attempt in range(1, ATTEMPTS + 1):
        resume = sink.done > 0 and bool(tag or resumable)
        if not resume:
            sink.restart()
        headers = {"Range": f"bytes={sink.done}-"} if resume else {}
        if resume and tag:
            headers["If-Range"] = tag
        try:
            with _followed(url, headers, sink.cancel) as response:
                tag = _strong_tag(response)
                _receive(response, sink, url)
            return
        except Unavailable as error:
            if attempt == ATTEMPTS or error.name in ("unknown_host", "untrusted_certificate"):
                raise
        _pause(PAUSE * 2 ** (attempt - 1), sink.cancel)


@contextlib.contextmanager
def _followed(url: str, headers: dict[str, str], cancel: Cancel | None) -> Iterator[http.client.HTTPResponse]:
    """The answer after redirects, which may lead neither to another protocol nor into the private network."""
    for _ in range(REDIRECTS + 1):
        with web.exchange("GET", url, headers=headers, cancel=cancel) as response:
            if response.status not in (301, 302, 303, 307, 308):
                yield response
                return
            url = _next(url, response.headers.get("Location", ""))
    raise Failed(f"{web.shown(url)} redirects in circles", "Check the address.", name="refused_download")


def _next(url: str, location: str) -> str:
    there = urljoin(url, location)
    before, after = urlsplit(url), urlsplit(there)
    why = ""
    if after.scheme not in ("http", "https") or not after.hostname:
        why = "to something that is not http or https"
    elif before.scheme == "https" and after.scheme == "http":
        why = "from an encrypted to an open connection"
    elif _is_private(after.hostname) and not _is_private(before.hostname or ""):
        why = "into a private network"
    if why:
        raise Failed(
            f"{web.shown(url)} redirects {why}: {web.shown(there)}",
            "Check the address.",
            name="refused_download",
        )
    return there


def _receive(response: http.client.HTTPResponse, sink: _Sink, url: str) -> None:
    status, where = response.status, web.shown(url)
    if status in (404, 410):
        raise Failed(
            f"{where} is not there ({status})",
            "If it was just uploaded, wait until the gateway knows it; else check the address.",
            name="not_found",
        )
    if status == 416:  # the rest of a file that changed
        sink.restart()
        raise Unavailable(f"{where} changed while it was read", "Try again.", name="broken_off")
    if status == 429 or status >= 500:
        raise Unavailable(f"{where} answers with status {status}", "Try again later.", name="server_error")
    start = _RANGE.match(response.headers.get("Content-Range", ""))
    if status not in (200, 206) or (status == 206 and (start is None or int(start[1]) != sink.done)):
        raise Failed(f"{where} answers with status {status}", "Check the address.", name="refused_download")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise Failed(f"{where} sends a compressed form", "Use another gateway.", name="refused_download")
    if status == 200 and sink.done:
        sink.restart()
    total = sink.expect(response.length)
    while chunk := response.read(_PIECE):
        sink.put(chunk, total)
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)


def _strong_tag(response: http.client.HTTPResponse) -> str:
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') and len(tag) < 200 else ""


def _urls(source: str, gateways: Sequence[str]) -> tuple[list[str], cid.Cid | None]:
    """Where to fetch from, and the CID when the path is nothing but one."""
    if source.startswith(("http://", "https://")):
        parts = urlsplit(source)
        web.origin(f"{parts.scheme}://{parts.netloc}", "file")
        return [quote(source.partition("#")[0], safe="%/:?=&+,;@!$'()*~[]")], None
    match = _IPFS.match(source)
    if match is None or ".." in match[2].split("/"):
        raise Missing(
            f"{clean(source)[:120]!r} is neither http(s)://… nor /ipfs/<cid>",
            "Check the address.",
            name="bad_url",
        )
    try:
        wanted = cid.parse(match[1])
    except ValueError as error:
        raise Missing(clean(str(error)), "Check the address.", name="bad_url") from None
    if not gateways:
        raise Missing(
            f"no IPFS gateway is known for {source}", "Check the network's settings.", name="no_gateway"
        )
    bases = [web.origin(gateway, "IPFS gateway") for gateway in gateways]
    urls = [f"{base}/ipfs/{match[1]}{quote(match[2], safe='/%')}" for base in bases]
    return urls, None if match[2] else wanted


def _is_private(host: str) -> bool:
    """Whether a host name leads to an address that is not of the public Internet, as far as one can tell."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return any(not ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_global for entry in found)


def _pause(seconds: float, cancel: Cancel | None) -> None:
    if cancel is not None:
        cancel.wait(seconds)
    else:
        time.sleep(seconds)
