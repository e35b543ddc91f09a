"""Uploads and downloads against real servers: the localnet's storage, and servers that misbehave."""

import asyncio
import hashlib
import json
import os
import socket
import stat
import threading
import tracemalloc
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.iexec.loopback import Seen, nobody, raw, served
from workflows.core.failure import Cancelled, Failed, Missing, Unavailable
from workflows.core.step import Cancel
from workflows.iexec import cid, download
from workflows.iexec.storage import upload

fetch = download.download


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSE", 0.0)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Any]:
    """The localnet's content storage on a loop of its own."""
    from workflows.localnet.storage import Storage

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    storage = Storage(tmp_path / "blocks")
    asyncio.run_coroutine_threadsafe(storage.start(), loop).result(30)
    yield storage
    asyncio.run_coroutine_threadsafe(storage.stop(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(30)
    loop.close()


def file_of(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def leftovers(folder: Path, *known: str) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.name not in known)


@pytest.mark.parametrize("size", [0, 1, 262_144, 262_145, 3_000_000])
def test_there_and_back_through_the_localnet(tmp_path: Path, node: Any, size: int) -> None:
    data = os.urandom(size)
    told: list[tuple[int, int | None]] = []
    stored = upload(node.api.url, file_of(tmp_path / "f", data), lambda *now: told.append(now))
    assert stored.multiaddr == f"/ipfs/{stored.cid}" and stored.cid.startswith("Qm")
    assert not size or told[-1] == (size, size)
    for sha256 in (None, "0x" + hashlib.sha256(data).hexdigest()):
        got = fetch(stored.multiaddr, tmp_path / "g", gateway=node.gateway.url, sha256=sha256)
        assert (tmp_path / "g").read_bytes() == data
        assert (got.size, got.verified, got.note) == (size, "checksum" if sha256 else "cid", "")
        assert got.checksum == "0x" + hashlib.sha256(data).hexdigest()
    assert stat.S_IMODE((tmp_path / "g").stat().st_mode) == 0o600


def test_a_large_file_is_never_whole_in_memory(tmp_path: Path, node: Any) -> None:
    with (tmp_path / "f").open("wb") as file:
        file.truncate(80 << 20)
    tracemalloc.start()
    try:
        stored = upload(node.api.url, tmp_path / "f")
        fetch(stored.multiaddr, tmp_path / "g", gateway=node.gateway.url)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 24 << 20
    assert (tmp_path / "g").stat().st_size == 80 << 20


def test_an_upload_is_what_kubo_s_clients_send(tmp_path: Path) -> None:
    data = b"hello world\n"
    answer = json.dumps(
        {"Name": "data", "Hash": "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o", "Size": "20"}
    )
    with served(lambda seen, _: (200, {}, answer.encode() + b"\n")) as stub:
        stored = upload(stub.url + "/", file_of(tmp_path / "secret-name.txt", data))
    assert stored.cid == "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o"
    [seen] = stub.seen
    assert seen.method == "POST" and seen.path.startswith("/api/v0/add?")
    boundary = seen.headers["Content-Type"].partition("boundary=")[2].encode()
    assert seen.body.count(boundary) == 2 and data in seen.body
    assert b"secret-name" not in seen.body


@pytest.mark.parametrize(
    ("status", "body", "name"),
    [
        (200, b'{"Hash":"QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"}', "cid_mismatch"),
        (200, b'{"Hash":3}', "no_ipfs_node"),
        (200, b"<html>", "no_ipfs_node"),
        (200, b"", "no_ipfs_node"),
        (403, b"<html>forbidden", "upload_refused"),
        (500, b'{"Message":"disk full\\u001b[2J","Code":0,"Type":"error"}', "upload_refused"),
        (301, b"", "upload_refused"),
    ],
)
def test_a_node_that_does_something_else_is_told(tmp_path: Path, status: int, body: bytes, name: str) -> None:
    with served(lambda seen, _: (status, {"Location": "/"}, body)) as stub, pytest.raises(Failed) as caught:
        upload(stub.url, file_of(tmp_path / "f", b"x"))
    assert caught.value.name == name
    assert "\x1b" not in caught.value.message and caught.value.hint


def test_an_upload_can_be_cancelled(tmp_path: Path, node: Any) -> None:
    cancel = Cancel()
    with pytest.raises(Cancelled):
        upload(node.api.url, file_of(tmp_path / "f", os.urandom(5 << 20)), lambda *_: cancel.set(), cancel)


def test_a_file_that_shrinks_is_not_sent_as_if_whole(tmp_path: Path, node: Any) -> None:
    path = file_of(tmp_path / "f", os.urandom(4 << 20))
    with pytest.raises(Failed, match="became shorter"):
        upload(node.api.url, path, lambda *_: os.truncate(path, 1 << 20))


def test_no_node_is_exit_code_3(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        upload(nobody(), file_of(tmp_path / "f", b"x"))
    assert caught.value.exit_code == 3


KNOWN = "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o"
DATA = os.urandom(700_000)
SHA256 = "0x" + hashlib.sha256(DATA).hexdigest()


def qm(data: bytes) -> str:
    hasher = cid.FileHasher()
    hasher.update(data)
    return str(hasher.cid())


class Flaky:
    """A server that breaks off after `step` bytes of each answer; `ranges` says whether it can go on."""

    def __init__(self, *, ranges: bool, tag: str = "", step: int = 300_000, change: bool = False) -> None:
        self.ranges, self.tag, self.step, self.change, self.asked = ranges, tag, step, change, 0

    def __call__(self, seen: Seen, handler: BaseHTTPRequestHandler) -> None:
        self.asked += 1
        data = DATA[::-1] if self.change and self.asked == 1 else DATA
        wanted = seen.headers.get("Range")
        fresh = "If-Range" in seen.headers and seen.headers["If-Range"] != self.tag
        start = int(wanted[6:-1]) if wanted and self.ranges and not fresh else 0
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if self.tag:
            handler.send_header("ETag", self.tag if not (self.change and self.asked == 1) else '"old"')
        handler.send_header("Content-Length", str(len(data) - start))
        handler.end_headers()
        # a server without ranges gets further each time, or nobody could ever finish
        handler.wfile.write(data[start : start + self.step * (1 if self.ranges else self.asked)])


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("tag", ["", '"v1"', 'W/"weak"'])
@pytest.mark.parametrize("sha256", [pytest.param(SHA256, id="known"), pytest.param(None, id="unknown")])
def test_a_broken_download_goes_on_or_begins_again(
    tmp_path: Path, ranges: bool, tag: str, sha256: str | None
) -> None:
    server = Flaky(ranges=ranges, tag=tag)
    told: list[int] = []
    with served(server) as stub:
        if ranges and sha256 is None and not tag.startswith('"'):
            with pytest.raises(Unavailable):  # nothing says that the rest belongs to the same file
                fetch(stub.url + "/f", tmp_path / "g")
            assert all("Range" not in seen.headers for seen in stub.seen)
            assert leftovers(tmp_path) == []
            return
        got = fetch(
            stub.url + "/f", tmp_path / "g", sha256=sha256, progress=lambda done, _: told.append(done)
        )
    assert (tmp_path / "g").read_bytes() == DATA
    assert got.checksum == SHA256 and got.verified == ("checksum" if sha256 else "nothing")
    assert bool(got.note) == (sha256 is None)
    assert told[-1] == len(DATA)
    assert len(stub.seen) == 3


def test_a_file_that_changes_in_between_is_begun_again(tmp_path: Path) -> None:
    with served(Flaky(ranges=True, tag='"new"', change=True)) as stub:
        fetch(stub.url + "/f", tmp_path / "g")
    assert (tmp_path / "g").read_bytes() == DATA


def test_a_range_that_was_not_asked_for_is_refused(tmp_path: Path) -> None:
    headers = {"Content-Range": "bytes 5-9/10"}
    with served(lambda *_: (206, headers, b"56789")) as stub, pytest.raises(Failed) as caught:
        fetch(stub.url, tmp_path / "g")
    assert caught.value.name == "refused_download"


def test_patience_ends(tmp_path: Path) -> None:
    with served(lambda *_: (503, {}, b"")) as stub, pytest.raises(Unavailable):
        fetch(stub.url + "/f", tmp_path / "g")
    assert len(stub.seen) == download.ATTEMPTS
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("announced", [True, False])
def test_more_than_the_limit_is_cut(tmp_path: Path, announced: bool) -> None:
    def flood(peer: socket.socket) -> None:
        peer.recv(65536)
        length = b"Content-Length: 100000000000\r\n" if announced else b""
        peer.sendall(b"HTTP/1.1 200 OK\r\n" + length + b"Connection: close\r\n\r\n")
        for _ in range(10_000):
            peer.sendall(b"x" * 65536)

    with raw(flood) as url, pytest.raises(Failed) as caught:
        fetch(url, tmp_path / "g", limit=1_000_000)
    assert caught.value.name == "answer_too_large"
    assert leftovers(tmp_path) == []


def test_wrong_bytes_are_refused(tmp_path: Path) -> None:
    with served(lambda *_: (200, {}, b"evil")) as stub:
        with pytest.raises(Failed) as caught:
            fetch(stub.url, tmp_path / "g", sha256=SHA256)
        assert caught.value.name == "checksum_mismatch"
        single = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
        with pytest.raises(Failed) as caught:
            fetch(f"/ipfs/{single}", tmp_path / "g", gateway=stub.url)
        assert caught.value.name == "cid_mismatch"
        got = fetch(f"/ipfs/{qm(DATA)}", tmp_path / "g", gateway=stub.url)
        assert (
            got.verified == "nothing" and "checksum" in got.note
        )  # it may be cut otherwise: said, not hidden


def test_the_next_gateway_is_asked(tmp_path: Path) -> None:
    def right(seen: Seen, _: object) -> tuple[int, dict[str, str], bytes]:
        return 200, {}, DATA

    with served(lambda *_: (404, {}, b"")) as empty, served(lambda *_: (200, {}, b"evil")) as evil:
        with served(right) as good:
            got = fetch(
                f"/ipfs/{qm(DATA)}",
                tmp_path / "g",
                gateway=[nobody(), empty.url, evil.url, good.url],
                sha256=SHA256,
            )
            assert got.url.startswith(good.url)
        with pytest.raises(Failed) as caught:
            fetch(f"/ipfs/{qm(DATA)}", tmp_path / "h", gateway=[empty.url, evil.url], sha256=SHA256)
        assert caught.value.name == "not_found"
    assert (tmp_path / "g").read_bytes() == DATA
    assert leftovers(tmp_path, "g") == []


def test_redirects_are_followed_to_http_only(tmp_path: Path) -> None:
    def answer(seen: Seen, _: object) -> tuple[int, dict[str, str], bytes]:
        return {
            "/a": (302, {"Location": "b"}, b""),
            "/b": (307, {"Location": f"{stub.url}/c"}, b""),
            "/c": (200, {}, DATA),
            "/loop": (302, {"Location": "/loop"}, b""),
            "/none": (302, {}, b""),
        }.get(seen.path) or (302, {"Location": seen.path[1:]}, b"")

    with served(answer) as stub:
        assert fetch(stub.url + "/a", tmp_path / "g", sha256=SHA256).size == len(DATA)
        for path in ("/loop", "/none", "/file:///etc/passwd", "/ftp://host/x", "/gopher://x/_", "/data:,x"):
            with pytest.raises(Failed) as caught:
                fetch(stub.url + path, tmp_path / "h")
            assert caught.value.name == "refused_download"
    assert leftovers(tmp_path, "g") == []


def test_a_public_server_cannot_send_us_into_the_private_network() -> None:
    for inner in ("http://127.0.0.1/x", "http://[::1]/", "http://169.254.169.254/", "http://10.0.0.1/",
                  "http://0x7f000001/", "http://127.1/", "http://[::ffff:127.0.0.1]/", "//192.168.1.1/"):  # fmt: skip
        with pytest.raises(Failed, match="private network"):
            download._next("http://93.184.216.34/file", inner)
    assert download._next("http://127.0.0.1:1/a", "http://127.0.0.1:2/b") == "http://127.0.0.1:2/b"
    with pytest.raises(Failed, match="open connection"):
        download._next("https://93.184.216.34/file", "http://93.184.216.34/file")


@pytest.mark.parametrize(
    "source",
    ["", "Qm", "/ipfs/", "/ipfs/../../etc/passwd", "/ipfs/QmX", "file:///etc/passwd", "ftp://host/x",
     "http://user:pass@host/", "http://", "/etc/passwd",
     "/ipfs/QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o/../x",
     "/ipfs/QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o?x=y"],
)  # fmt: skip
def test_other_addresses_are_refused(tmp_path: Path, source: str) -> None:
    with pytest.raises(Missing):
        fetch(source, tmp_path / "g", gateway="http://127.0.0.1:1")


def test_every_spelling_of_an_ipfs_address() -> None:
    for source in ("/ipfs/{}", "/p2p/{}", "ipfs://{}", "/ipfs/{}/"):
        urls, wanted = download._urls(source.format(KNOWN), ["http://g/"])
        assert urls == [f"http://g/ipfs/{KNOWN}"] and wanted is not None
    urls, wanted = download._urls(f"/ipfs/{KNOWN}/a b/c", ["http://g"])
    assert (urls, wanted) == ([f"http://g/ipfs/{KNOWN}/a%20b/c"], None)
    with pytest.raises(Missing, match="gateway"):
        download._urls(f"/ipfs/{KNOWN}", [])


def test_a_download_can_be_cancelled_and_leaves_nothing(tmp_path: Path) -> None:
    cancel = Cancel()
    with served(lambda *_: (200, {}, os.urandom(5 << 20))) as stub, pytest.raises(Cancelled):
        fetch(stub.url, tmp_path / "g", progress=lambda *_: cancel.set(), cancel=cancel)
    assert leftovers(tmp_path) == []


def test_what_was_there_stays_when_the_download_fails(tmp_path: Path) -> None:
    file_of(tmp_path / "g", b"mine")
    with served(lambda *_: (200, {}, b"evil")) as stub, pytest.raises(Failed):
        fetch(stub.url, tmp_path / "g", sha256=SHA256)
    assert (tmp_path / "g").read_bytes() == b"mine"
