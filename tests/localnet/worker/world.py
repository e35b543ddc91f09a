"""A whole localnet around the worker for tests: every service real, one app whose first argument says what to do."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import secrets
import tarfile
import threading
import urllib.request
import zipfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from workflows.containers.container import run_to_end
from workflows.containers.engine import Engine, Image
from workflows.core.events import Event
from workflows.iexec import ids, tags
from workflows.iexec.dataset import encrypt, new_key
from workflows.iexec.orders import NULL_DATASET_ORDER, AppOrder, DatasetOrder, RequestOrder, WorkerpoolOrder
from workflows.iexec.params import build
from workflows.iexec.poco import Poco
from workflows.iexec.records import NewApp, NewDataset
from workflows.iexec.sms import Sms as SmsClient
from workflows.iexec.storage import upload
from workflows.localnet.cas.client import CasClient
from workflows.localnet.cas.server import Cas
from workflows.localnet.chain import Chain
from workflows.localnet.floor import Floor
from workflows.localnet.genesis import account
from workflows.localnet.images import forget, stand_in
from workflows.localnet.leftovers import labels
from workflows.localnet.result_proxy import ResultProxy
from workflows.localnet.sms.server import Sms
from workflows.localnet.storage import Storage
from workflows.localnet.worker.worker import Worker
from workflows.sgx.pki import development_pki

T = TypeVar("T")
COMMAND = "python3 /app/app.py"
APP = r"""
import hashlib, json, os, sys, time
out, inp = os.environ["IEXEC_OUT"], os.environ["IEXEC_IN"]
what = sys.argv[1] if len(sys.argv) > 1 else "ok"
name = os.environ["IEXEC_DATASET_FILENAME"]
data = open(os.path.join(inp, name), "rb").read() if name.strip("0x") else b"nothing"
print("read", len(data), "bytes", flush=True)
if what == "crash":
    raise RuntimeError("the app's own words")
if what == "hostile":
    print("\x1b]0;owned\x07\x1b[31mred \u202eabc")
if what == "flood":
    for number in range(100000): print("line", number)
if what == "secrets":
    data = (os.environ["IEXEC_APP_DEVELOPER_SECRET"] + os.environ["IEXEC_REQUESTER_SECRET_1"]).encode()
if what == "inputs":
    path = os.path.join(inp, os.environ["IEXEC_INPUT_FILE_NAME_1"])
    data = open(path, "rb").read()
if what == "bulk":
    numbers = range(1, 1 + int(os.environ["IEXEC_BULK_SLICE_SIZE"]))
    names = [os.environ["IEXEC_DATASET_%d_FILENAME" % n] for n in numbers]
    data = json.dumps({name: open(os.path.join(inp, name)).read() for name in names}).encode()
if what == "environment":
    data = json.dumps({k: v for k, v in os.environ.items() if k.startswith("IEXEC_")}).encode()
if what == "sleep":
    time.sleep(float(sys.argv[2]))
if what == "forge":
    import urllib.request
    url = "http://worker:13100/compute/post/%s/computed" % os.environ["IEXEC_TASK_ID"]
    request = urllib.request.Request(url, b'{"result-digest": "0x00"}', {"Authorization": "0x" + "00" * 65})
    try: data = str(urllib.request.urlopen(request).status).encode()
    except Exception as error: data = str(error).encode()
with open(os.path.join(out, "result.txt" if what != "long" else "x" * 32), "wb") as file:
    file.write(data)
if what == "unreadable":
    os.chmod(os.path.join(out, "result.txt"), 0)
if what != "nocomputed":
    path = os.path.join(out, "result.txt")
    if what == "callback": record = {"callback-data": "0x" + "ab" * 32}
    else: record = {"deterministic-output-path": path if what != "long" else os.path.join(out, "x" * 32)}
    json.dump(record, open(os.path.join(out, "computed.json"), "w"))
"""


PROTECT = """set -e
export SCONE_MODE=sim
fspf=/fspf.pb
scone fspf create $fspf > /dev/null
scone fspf addr $fspf / --not-protected --kernel / > /dev/null
for folder in /usr /bin /lib /sbin /etc/ssl /app; do
  scone fspf addr $fspf $folder --authenticated --kernel $folder > /dev/null
  scone fspf addf $fspf $folder $folder > /dev/null
done
sealed=$(scone fspf encrypt $fspf)
tag=$(echo "$sealed" | sed -n 's/.*AES-GCM tag: \\([0-9a-f]\\{32\\}\\) key: \\([0-9a-f]\\{64\\}\\)$/\\1/p')
key=$(echo "$sealed" | sed -n 's/.*AES-GCM tag: \\([0-9a-f]\\{32\\}\\) key: \\([0-9a-f]\\{64\\}\\)$/\\2/p')
printf '%s|%s|%s' "$key" "$tag" "$(SCONE_HASH=1 python3)" > /build/fingerprint
"""


@dataclasses.dataclass(frozen=True)
class App:
    """A registered app."""

    address: str
    image: str


class World:
    """Services on a loop of their own thread; everything else is called from the test."""

    def __init__(self, chain: Chain, state: Path) -> None:
        self.chain = chain
        self.state = state
        self.engine = Engine.connect()
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True, name="world").start()
        self.owner = account("requester")
        self.poco = Poco(chain.rpc, chain.hub, self.owner, chain_id=chain.chain_id, gas_free=True)
        self.pki = development_pki(state / "keys")
        self.events: list[Event] = []
        self.tags: list[str] = []
        self._signing: dict[str, Poco] = {}

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the loop of the services."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(240)

    def start(self) -> None:
        """Bring the services up."""
        self.call(self._start())
        self.base = stand_in(self.engine, "python", self.events.append, root_pem=self.pki.root_pem.encode())

    async def _start(self) -> None:
        pki, state = self.pki, self.state

        def reads() -> Poco:
            return Poco(self.chain.rpc, self.chain.hub, chain_id=self.chain.chain_id, gas_free=True)

        self.cas = Cas(state / "cas", pki)
        await self.cas.start()
        self.storage = Storage(state / "storage")
        await self.storage.start()
        self.proxy = ResultProxy(state / "storage", reads, self.storage.files, self.chain.chain_id)
        await self.proxy.start()
        sessions = CasClient(self.cas.url, pki.root_pem, self.cas.client("sms"))
        self.sms = Sms(state / "sms", reads, lambda: self.storage.url, sessions.post)
        await self.sms.start()
        await self.start_compute()

    async def start_compute(self) -> None:
        """The part with the engine; may be stopped and started again."""
        self.worker = Worker(
            self.state / "worker",
            workerpool=self.chain.workerpool,
            pool=lambda: self._contracts("workerpool"),
            worker=lambda: self._contracts("worker"),
            worker_address=self.chain.accounts["worker"].address,
            sms=self.sms.url,
            proxy=self.proxy.url,
        )
        await self.worker.start()
        here = "127.0.0.1"
        self.floor = Floor(
            self.pki,
            {
                ("cas", 18765): (here, self.cas.enclave_port),
                ("ipfs", 8080): (here, self.storage.gateway.port),
                ("proxy", 13200): (here, self.proxy.port),
                ("worker", 13100): (here, self.worker.reports.port),
            },
        )
        room = await self.floor.prepare(self.events.append)
        self.network = room.network
        self.sms.tee = self.floor.tee
        await self.worker.begin(room)

    async def stop_compute(self) -> None:
        """Stop the worker in the middle of whatever it does."""
        await self.worker.stop()
        await self.floor.stop()

    def _contracts(self, role: str) -> Poco:
        chain = self.chain
        if role not in self._signing:  # one for each: it hands out nonces
            signer = account(role)
            self._signing[role] = Poco(chain.rpc, chain.hub, signer, chain_id=chain.chain_id, gas_free=True)
        return self._signing[role]

    def stop(self) -> None:
        """Take the services down and remove the images that tests made."""
        self.call(self.stop_compute())
        for service in (self.sms, self.proxy, self.storage, self.cas):
            self.call(service.stop())
        for tag in self.tags:
            self.engine.remove(tag, force=True)
        forget(self.engine, self.pki.root_pem.encode())
        self.loop.call_soon_threadsafe(self.loop.stop)

    # -- images and apps

    def tag(self) -> str:
        """A fresh image name, removed at the end."""
        self.tags.append(f"creamtea-test/app:{secrets.token_hex(4)}")
        return self.tags[-1]

    def image(self) -> tuple[str, str]:
        """The test app's image, protected like any app's: its tag and its fingerprint."""
        tag = self.tag()
        with self.engine.create(
            self.base.image,
            ["-e", "/build/protect.sh"],
            entrypoint=["/bin/sh"],
            environment={"SCONE_HEAP": "1G"},
        ) as container:
            container.put("/", _tar({"app/app.py": APP, "build/protect.sh": PROTECT}))
            ran = run_to_end(container, 200, 1 << 16)
            assert ran.code == 0, ran.err
            fingerprint = container.read("/build/fingerprint").decode()
            self._commit(
                container.id, tag, ["ENV SCONE_HEAP=1G", f"ENTRYPOINT {json.dumps(COMMAND.split())}"]
            )
        return tag, fingerprint

    def changed(
        self, image: str, files: dict[str, str] | None = None, changes: list[str] | None = None
    ) -> str:
        """Another image: with other files or other settings."""
        tag = self.tag()
        with self.engine.create(image, ["-"], entrypoint=[]) as container:
            container.put("/", _tar(files or {}))
            self._commit(container.id, tag, ["ENTRYPOINT " + json.dumps(COMMAND.split()), *(changes or [])])
        return tag

    def _commit(self, container: str, tag: str, changes: list[str]) -> None:
        name, _, version = tag.partition(":")
        self.engine.api.commit(
            container, repository=name, tag=version, changes="\n".join([*changes, "CMD []"])
        )

    def deploy(self, image: str, fingerprint: str) -> App:
        """Register an app; its checksum is the image's id."""
        found: Image = self.engine.require(image)
        new = NewApp(
            owner=self.owner.address,
            name=secrets.token_hex(4),
            multiaddr=image,
            checksum="0x" + found.id.rpartition(":")[2],
            mrenclave=fingerprint.encode(),
        )
        transaction = self.poco.deploy_app(new)
        self.poco.send(transaction)
        receipt = self.poco.wait(transaction)
        return App(self.poco.deployed_address("app", receipt, transaction), image)

    def dataset(
        self,
        content: bytes,
        folder: Path,
        *,
        push: bool = True,
        checksum: str | None = None,
        place: str | None = None,
    ) -> str:
        """Encrypt, upload, register and (unless told not to) push the key; the dataset's address."""
        plain, encrypted = folder / "data", folder / "data.enc"
        plain.write_bytes(content)
        key = new_key()
        sealed = encrypt(plain, encrypted, key)
        stored = upload(self.storage.api.url, encrypted)
        place = f"/ipfs/{stored.cid}" if place is None else place
        new = NewDataset(self.owner.address, secrets.token_hex(4), place, checksum or sealed.checksum)
        transaction = self.poco.deploy_dataset(new)
        self.poco.send(transaction)
        address = self.poco.deployed_address("dataset", self.poco.wait(transaction), transaction)
        if push:
            self.sms_client.push_dataset_key(address, key)
        return address

    def bulk(self, folder: Path, *orders: DatasetOrder) -> str:
        """The CID of a bulk of one slice with these orders, signed by the owner."""
        signed = [order.sign_with(self.owner, self.poco.domain()).to_json() for order in orders]
        path = folder / "bulk.json"
        path.write_text(json.dumps(signed))
        path.write_text(json.dumps([upload(self.storage.api.url, path).cid]))
        return upload(self.storage.api.url, path).cid

    @property
    def sms_client(self) -> SmsClient:
        return SmsClient(self.sms.url, self.owner)

    # -- deals and tasks

    def request(
        self,
        app: App,
        args: str = "ok",
        *,
        dataset: str | None = None,
        volume: int = 1,
        beneficiary: str | None = None,
        callback: str = ids.ZERO_ADDRESS,
        trust: int = 0,
        bulk: str | None = None,
        **params: Any,
    ) -> list[str]:
        """Match orders; the task ids of the deal."""
        domain, me = self.poco.domain(), self.owner
        query = f"/workerpoolorder?category=0&volume={volume}"
        with urllib.request.urlopen(f"{self.worker.url}{query}") as answer:
            pool = WorkerpoolOrder.from_json(json.load(answer))
        app_order = AppOrder(app=app.address, tag=tags.TEE_SCONE, volume=volume).sign_with(me, domain)
        data_order = NULL_DATASET_ORDER
        if dataset:
            data_order = DatasetOrder(
                dataset=dataset, volume=volume, tag=tags.TEE_SCONE, apprestrict=app.address
            ).sign_with(me, domain)
        asked = build(args=args, callback=callback != ids.ZERO_ADDRESS, **params)
        wish = RequestOrder(
            app=app.address, dataset=dataset or ids.ZERO_ADDRESS, workerpoolmaxprice=pool.workerpoolprice,
            requester=me.address, beneficiary=beneficiary or me.address, tag=tags.TEE_SCONE, volume=volume,
            category=0, trust=trust, callback=callback,
            params=dataclasses.replace(asked, bulk_cid=bulk).to_text(),
        ).sign_with(me, domain)  # fmt: skip
        transaction = self.poco.match_orders(app_order, data_order, pool, wish)
        self.poco.send(transaction)
        match = self.poco.matched(self.poco.wait(transaction))
        return [ids.taskid(match.dealid, index) for index in range(match.volume)]

    def watch(
        self, task: str, seen: Callable[[dict[str, Any]], None] = lambda _: None
    ) -> list[dict[str, Any]]:
        """Everything that the worker tells of a task, to its end."""
        records = []
        url = f"{self.worker.url}/tasks/{task}/events"
        with urllib.request.urlopen(url, timeout=120) as answer:
            for line in answer:
                if line.strip():
                    records.append(json.loads(line))
                    seen(records[-1])
        return records

    def run(
        self, app: App, args: str = "ok", **wish: Any
    ) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
        """Request one task and watch it: its id, its end, all its events."""
        [task] = self.request(app, args, **wish)
        records = self.watch(task)
        return task, records[-1], records

    def result(self, task: str) -> bytes:
        """The archive that the chain says is the result."""
        location = json.loads(self.poco.view_task(task).results)["location"]
        with urllib.request.urlopen(self.storage.url + location) as answer:
            return bytes(answer.read())

    def result_files(self, task: str) -> dict[str, bytes]:
        """The files of a plain result."""
        with zipfile.ZipFile(io.BytesIO(self.result(task))) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    def leftovers(self) -> list[str]:
        """Containers, but the relay, and volumes of the task network."""
        containers = self.engine.api.containers(all=True, filters={"network": self.network})
        ours = "=".join(*labels().items())
        volumes = self.engine.api.volumes(filters={"label": ours})["Volumes"] or []
        names = [record["Names"][0] for record in containers] + [record["Name"] for record in volumes]
        return [name for name in names if not name.endswith("-relay")]


def lines(records: list[dict[str, Any]], task: str) -> list[str]:
    """What a stage or the worker printed."""
    return [
        text
        for record in records
        if record["type"] == "lines" and record["task"] == task
        for text in record["text"]
    ]


def states(records: list[dict[str, Any]]) -> dict[str, str]:
    """The last state of each phase."""
    return {record["task"]: record["state"] for record in records if record["type"] == "task_changed"}


def _tar(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()
