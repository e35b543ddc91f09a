"""Storage over HTTP: the CIDs are the ones that IPFS's own importer makes, files survive, nothing escapes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from workflows.iexec import cid
from workflows.localnet.storage import Storage

HELLO = "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o"  # kubo's documentation: "hello world\n"
CHUNK = cid.CHUNK


def pattern(length: int) -> bytes:
    return (bytes(range(251)) * (length // 251 + 1))[:length]


def cid_of(data: bytes) -> str:
    hasher = cid.FileHasher()
    hasher.update(data)
    return str(hasher.cid())


Body = Callable[[Storage, aiohttp.ClientSession], Awaitable[None]]


def on(folder: Path, body: Body, **options: Any) -> None:
    async def main() -> None:
        storage = Storage(folder, **options)
        await storage.start()
        try:
            async with aiohttp.ClientSession() as http:
                await body(storage, http)
        finally:
            await storage.stop()

    asyncio.run(main())


async def add(
    storage: Storage, http: aiohttp.ClientSession, data: Any, query: str = "", name: str = "file", **more: Any
) -> tuple[int, list[dict[str, Any]]]:
    form = aiohttp.FormData()
    form.add_field("file", data, filename=name, content_type="application/octet-stream")
    async with http.post(f"{storage.api.url}/api/v0/add{query}", data=form, **more) as answer:
        return answer.status, [json.loads(line) for line in (await answer.text()).splitlines()]


def test_what_was_added_is_served_whole_in_ranges_and_after_a_restart(tmp_path: Path) -> None:
    data = pattern(CHUNK + 1)
    text = cid_of(data)
    size = 262_158 + 9 + 100  # kubo's sizes of the two leaves, and the root: links of 44 and 42, UnixFS of 14

    async def first(storage: Storage, http: aiohttp.ClientSession) -> None:
        assert await add(storage, http, data) == (200, [{"Name": "file", "Hash": text, "Size": str(size)}])

    async def second(storage: Storage, http: aiohttp.ClientSession) -> None:
        url = f"{storage.url}/ipfs/{text}"
        async with http.get(url) as answer:
            assert (answer.status, await answer.read()) == (200, data)
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        async with http.head(url) as answer:
            assert (answer.status, answer.headers["Content-Length"]) == (200, str(len(data)))
        async with http.get(url, headers={"Range": "bytes=3-6"}) as answer:
            assert (answer.status, await answer.read()) == (206, data[3:7])
            assert answer.headers["Content-Range"] == f"bytes 3-6/{len(data)}"
        async with http.get(url, headers={"Range": f"bytes={len(data)}-"}) as answer:
            assert answer.status == 416

    on(tmp_path, first)
    on(tmp_path, second)


def test_the_published_cid_and_version_one(tmp_path: Path) -> None:
    async def body(storage: Storage, http: aiohttp.ClientSession) -> None:
        assert (await add(storage, http, b"hello world\n"))[1][0]["Hash"] == HELLO
        _, entries = await add(storage, http, b"x", "?cid-version=1&pin=true")
        async with http.get(f"{storage.url}/ipfs/{entries[0]['Hash']}") as answer:
            assert (entries[0]["Hash"][:7], await answer.read()) == ("bafkrei", b"x")
        _, entries = await add(storage, http, b"not kept", "?only-hash=true")
        async with http.get(f"{storage.url}/ipfs/{entries[0]['Hash']}") as answer:
            assert answer.status == 404

    on(tmp_path, body)


def test_two_files_in_one_request_and_a_name_that_would_climb(tmp_path: Path) -> None:
    async def body(storage: Storage, http: aiohttp.ClientSession) -> None:
        form = aiohttp.FormData()
        form.add_field("a", b"one", filename="../../escape")
        form.add_field("b", b"two", filename="b")
        async with http.post(f"{storage.api.url}/api/v0/add", data=form) as answer:
            entries = [json.loads(line) for line in (await answer.text()).splitlines()]
        assert [entry["Hash"] for entry in entries] == [cid_of(b"one"), cid_of(b"two")]
        assert not list(tmp_path.parent.glob("escape*"))
        assert len(list((tmp_path / "files").iterdir())) == 2

    on(tmp_path, body)


def test_what_is_too_large_or_cut_off_leaves_nothing(tmp_path: Path) -> None:
    async def body(storage: Storage, http: aiohttp.ClientSession) -> None:
        status, answer = await add(storage, http, b"x" * 1025)
        assert (status, answer[0]["Message"]) == (413, "the file is larger than 1.0 KiB")
        assert (await add(storage, http, b"x" * 1024))[0] == 200

        async def breaks() -> AsyncIterator[bytes]:
            yield b"--b\r\nContent-Disposition: form-data; name=file\r\n\r\nhalf"
            raise ConnectionError

        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            headers = {"Content-Type": "multipart/form-data; boundary=b"}
            await http.post(f"{storage.api.url}/api/v0/add", data=breaks(), headers=headers)

    on(tmp_path, body, max_file=1024)
    assert len(list((tmp_path / "files").iterdir())) == 1
    assert list((tmp_path / "incoming").iterdir()) == []


def test_a_disk_that_would_be_full_takes_no_more_files(tmp_path: Path) -> None:
    async def body(storage: Storage, http: aiohttp.ClientSession) -> None:
        status, answer = await add(storage, http, b"x" * 1024)
        assert status == 507 and answer[0]["Message"].startswith(
            "the disk of the localnet has no room for it"
        )

    on(tmp_path, body, keep_free=1 << 60)
    assert list((tmp_path / "files").iterdir()) == list((tmp_path / "incoming").iterdir()) == []


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / "incoming").mkdir(parents=True)
    (tmp_path / "incoming" / "half").write_bytes(b"x")

    async def body(storage: Storage, http: aiohttp.ClientSession) -> None:
        assert list((tmp_path / "incoming").iterdir()) == []

    on(tmp_path, body)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (HELLO, 404),
        ("nonsense", 400),
        ("..%2F..%2Fetc%2Fpasswd", 400),
        ("%2e%2e", 400),
        ("Qm" + "1" * 44, 400),
        ("bafkqaaa", 400),  # an identity hash
    ],
)
def test_what_is_no_cid_or_not_here(tmp_path: Path, path: str, status: int) -> None:
    async def body(storage: Storage, http: aiohttp.ClientSession) -> None:
        from yarl import URL

        async with http.get(URL(f"{storage.url}/ipfs/{path}", encoded=True)) as answer:
            assert answer.status == status

    on(tmp_path, body)


def test_bad_requests_and_browsers(tmp_path: Path) -> None:
    async def body(storage: Storage, http: aiohttp.ClientSession) -> None:
        url = f"{storage.api.url}/api/v0/add"
        for data, headers in (
            (b"plain", {"Content-Type": "text/plain"}),
            (b"", {"Content-Type": "multipart/form-data; boundary=b"}),
            (b"garbage", {"Content-Type": "multipart/form-data; boundary=b"}),
            (b"x", {"Content-Type": "multipart/form-data"}),
        ):
            async with http.post(url, data=data, headers=headers) as answer:
                assert answer.status == 400
        assert (await add(storage, http, b"x", "?cid-version=2"))[0] == 400
        assert (await add(storage, http, b"x", headers={"Origin": "https://evil.example"}))[0] == 403
        async with http.post(url, data=b"x", headers={"Host": "evil.example"}) as answer:
            assert answer.status == 403
        async with http.get(url) as answer:
            assert answer.status == 405
        async with http.post(f"{storage.url}/api/v0/add") as answer:  # not on the gateway
            assert answer.status == 404

    on(tmp_path, body)
