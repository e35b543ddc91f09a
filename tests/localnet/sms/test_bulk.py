"""What the SMS makes of the lists of a bulk task: whatever stands in them, and whoever wrote it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.localnet.sms.sms_world import (
    BULK,
    CONFIG,
    KEY,
    MRENCLAVE,
    TAG,
    TASK,
    Client,
    Run,
    bulk_order,
    ledger,
    serve,
)
from tests.localnet.tee.services import serving
from workflows.iexec.cid import FileHasher
from workflows.iexec.ids import ZERO_ADDRESS
from workflows.iexec.records import Resource
from workflows.localnet.sms import bulk
from workflows.localnet.sms.chain import describe
from workflows.localnet.sms.store import Store

FITS = bulk_order(BULK[0])
CHECKSUM = "0x" + "cc" * 32
REFUSED = (500, {"error": "SECURE_SESSION_GENERATION_FAILED"})


async def task_of(sms: Client, root: Any, fingerprint: str = json.dumps(CONFIG)) -> None:
    """The ledger's task asks for this bulk, without a dataset beside it."""
    assert await sms.web2("iexec-result-iexec-ipfs-token", "token") in (204, 409)
    sms.chain.register(fingerprint)
    sms.chain.change_deal(
        params=json.dumps({"iexec_args": "x", "bulk_cid": root}),
        dataset=Resource(ZERO_ADDRESS, ZERO_ADDRESS, 0),
    )


async def brought_in(sms: Client) -> list[tuple[str, str]]:
    """Name and place of each dataset, as pre-compute gets them; the app gets the same names."""
    await sms.made()
    pre, app, _ = (service["environment"] for service in yaml.safe_load(sms.posted[-1])["services"])
    found = []
    for n in range(1, int(pre["IEXEC_BULK_SLICE_SIZE"]) + 1):
        found.append((pre[f"IEXEC_DATASET_{n}_FILENAME"], pre[f"IEXEC_DATASET_{n}_URL"]))
        assert app[f"IEXEC_DATASET_{n}_FILENAME"] == found[-1][0]
        assert bool(pre[f"IEXEC_DATASET_{n}_CHECKSUM"]) == bool(found[-1][1])
    assert app["IEXEC_BULK_SLICE_SIZE"] == pre["IEXEC_BULK_SLICE_SIZE"] == str(len(found))
    assert f"IEXEC_DATASET_{len(found) + 1}_FILENAME" not in {**pre, **app}
    return found


def test_each_task_gets_the_slice_of_its_own_index(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        await task_of(sms, await sms.slices([FITS, bulk_order(BULK[1])], [bulk_order(BULK[1])]))
        assert await brought_in(sms) == [(BULK[0], "/ipfs/Qmd1"), (BULK[1], "/ipfs/Qmd2")]
        sms.chain.change_task(index=5)
        assert await brought_in(sms) == [(BULK[1], "/ipfs/Qmd2")]
        sms.chain.change_task(index=6)  # more tasks than slices
        assert await brought_in(sms) == []

    on_sms(body)


@pytest.mark.parametrize(
    "change",
    [
        {"volume": "1"},
        {"volume": str((1 << 53) - 3)},
        {"sign": None},
        {"sign": "not hex"},
        {"salt": "0x00"},
        {"apprestrict": "anyone"},
        {"datasetprice": "-1"},
        {"dataset": ZERO_ADDRESS},
        {"dataset": "../../etc/passwd"},
        {"dataset": "$HOME \u202e\x1b[31m # 'x': \n - y"},
    ],
    ids=str,
)
def test_an_order_that_does_not_fit_is_a_dataset_without_a_place(on_sms: Run, change: dict[str, Any]) -> None:
    async def body(sms: Client) -> None:
        unfit = bulk_order(BULK[1]) | change
        await task_of(sms, await sms.slices([FITS, unfit, FITS]))
        fits = (BULK[0], "/ipfs/Qmd1")
        assert await brought_in(sms) == [fits, (unfit["dataset"], ""), fits]
        unfit = {key: value for key, value in bulk_order(BULK[1]).items() if key != next(iter(change))}
        if "dataset" in unfit:  # a field that is missing
            await task_of(sms, await sms.slices([unfit, FITS]))
            assert await brought_in(sms) == [(BULK[1], ""), fits]

    on_sms(body)


def test_the_least_volume_is_that_of_older_orders(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        await task_of(sms, await sms.slices([bulk_order(BULK[0], volume=(1 << 53) - 2)]))
        assert await brought_in(sms) == [(BULK[0], "/ipfs/Qmd1")]

    on_sms(body)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>busy</html>",
        b"\xff\xfe",
        b"[" * 200_000,
        b"[" + b"9" * 5000 + b"]",
        {"orders": [FITS]},
        None,
        "text",
        [FITS, None],
        [[FITS]],
        [FITS | {"more": 1}],
        [FITS | {"dataset": None}],
        [FITS | {"dataset": 7}],
        [{}],
    ],
    ids=lambda content: str(content)[:30],
)
def test_a_list_that_cannot_be_read_is_an_empty_one(on_sms: Run, content: Any) -> None:
    """As with iExec's SMS: the session is made, and the task has no datasets."""

    async def body(sms: Client) -> None:
        await task_of(sms, await sms.slices(content))  # a slice
        assert await brought_in(sms) == []
        await task_of(sms, await sms.add(content))  # the root
        assert await brought_in(sms) == []

    on_sms(body)


ABSENT = str(FileHasher().cid())


@pytest.mark.parametrize(
    "cid",
    [ABSENT, "QmBulk", "../../tee/framework", "x" * 100_000, f"{ABSENT}/a", "%00", 7],
    ids=lambda cid: str(cid)[:20],
)
def test_a_cid_that_leads_nowhere_is_an_empty_list(
    on_sms: Run, caplog: pytest.LogCaptureFixture, cid: Any
) -> None:
    async def body(sms: Client) -> None:
        await task_of(sms, cid)
        assert await brought_in(sms) == []
        await task_of(sms, await sms.add(["", "", "", "", cid]))
        assert await brought_in(sms) == []

    on_sms(body)
    said = [record.getMessage() for record in caplog.records if record.name == bulk.__name__]
    assert len(said) == 2 and all("no dataset orders for task 0x1111" in line for line in said)
    assert max(map(len, said)) < 400


def test_a_hundred_orders_are_served_and_no_more(on_sms: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def body(sms: Client) -> None:
        await task_of(sms, await sms.slices([FITS] * 100))
        assert len(await brought_in(sms)) == 100
        await task_of(sms, await sms.slices([FITS] * 101))
        assert await sms.session() == REFUSED

    on_sms(body)
    assert "101 dataset orders for one task, 100 are served" in caplog.text


def test_a_list_has_a_largest_size(on_sms: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def body(sms: Client) -> None:
        padded = json.dumps([FITS]).encode().ljust(bulk.LARGEST)
        await task_of(sms, await sms.slices(padded))
        assert await brought_in(sms) == [(BULK[0], "/ipfs/Qmd1")]
        for root in (await sms.slices(padded + b" "), await sms.add(padded + b" ")):
            await task_of(sms, root)
            assert await sms.session() == REFUSED

    on_sms(body)
    assert "is larger than 1048576 bytes" in caplog.text


def test_an_old_app_gets_no_bulk(on_sms: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def body(sms: Client) -> None:
        await task_of(sms, await sms.slices([FITS]), f"{KEY}|{TAG}|{MRENCLAVE}|run")
        assert await sms.session() == REFUSED

    on_sms(body)
    assert "needs an app with a fingerprint in the JSON form" in caplog.text


@pytest.fixture
def drip() -> Iterator[str]:
    """A gateway that sends one byte now and then, for ever."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            while not over.wait(0.05):
                try:
                    self.wfile.write(b" ")
                except OSError:
                    return

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    over.set()
    server.shutdown()
    server.server_close()


def test_a_gateway_that_never_ends_is_given_up(
    drip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "PATIENCE", 0.3)

    async def body(sms: Client) -> None:
        await task_of(sms, ABSENT)
        before = time.monotonic()
        assert await brought_in(sms) == []
        assert 0.3 <= time.monotonic() - before < 5

    asyncio.run(serve(tmp_path, ledger(), body, gateway=lambda: drip))


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=9), some, max_size=3),
    max_leaves=8,
)
ODD_ORDER = st.builds(
    lambda address, changes, lost: {k: v for k, v in bulk_order(address, **changes).items() if k not in lost},
    st.sampled_from(BULK),
    st.dictionaries(st.sampled_from(sorted(FITS)), JUNK, max_size=2),
    st.sets(st.sampled_from(sorted(FITS)), max_size=1),
)


@settings(max_examples=150, deadline=None)
@given(
    slices=st.lists(st.lists(ODD_ORDER | JUNK, max_size=4) | JUNK, max_size=2),
    whole=JUNK | st.binary(max_size=40),
)
def test_whatever_the_lists_are_a_dataset_has_a_place_and_its_checksum_or_nothing(
    gateway: tuple[dict[str, bytes], str, Store], slices: list[Any], whole: Any
) -> None:
    files, url, store = gateway
    files.clear()

    def add(content: Any) -> str:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        hasher = FileHasher()
        hasher.update(data)
        files[f"/ipfs/{hasher.cid()}"] = data
        return str(hasher.cid())

    chain = ledger()
    for root in (add([""] * 4 + [add(one) for one in slices]), add(whole)):
        chain.change_deal(params=json.dumps({"bulk_cid": root}))
        for one in bulk.datasets(url, chain, store, describe(chain, TASK)):
            assert (one.url, one.checksum) in {("", ""), ("/ipfs/Qmd1", CHECKSUM), ("/ipfs/Qmd2", CHECKSUM)}
            assert one.url == "" or one.name in BULK[:2]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, bytes], str, Store]]:
    """Files of a gateway by their paths, its URL, and a store without secrets."""
    folder = tmp_path_factory.mktemp("store")
    folder.chmod(0o700)
    store = Store(folder)
    with serving() as (seen, _):
        yield seen.files, seen.url, store
    store.close()


def test_no_key_of_a_dataset_is_logged(on_sms: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def body(sms: Client) -> None:
        assert await sms.web3("a key of bulk", address=BULK[2]) == 204
        await task_of(sms, await sms.slices([bulk_order(BULK[2])]))
        assert await brought_in(sms) == [(BULK[2], "")]

    caplog.set_level("DEBUG")
    on_sms(body)
    assert "App restriction not satisfied" in caplog.text and "a key of bulk" not in caplog.text
