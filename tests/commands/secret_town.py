"""A chain with an app and a dataset of the requester's, the localnet's SMS beside it, and a project between them."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from tests.localnet.logins import authorization
from tests.localnet.sms.sms_world import STAGES
from workflows.cli import main
from workflows.core.journal import Journal
from workflows.core.manifest import Manifest
from workflows.iexec.orders import AppOrder, DatasetOrder, Domain, Order, RequestOrder, WorkerpoolOrder
from workflows.iexec.poco import Poco
from workflows.iexec.records import NewApp, NewDataset
from workflows.iexec.sms import Sms
from workflows.iexec.tags import TEE_SCONE
from workflows.localnet.chain import Chain
from workflows.localnet.market.server import Market
from workflows.localnet.service import Door
from workflows.localnet.sms.server import Sms as Server

NETWORK = """
[trial]
title = "Of the tests"
note = "simulated"
chain_id = {chain_id}
native = true
simulated = true
rpc = "{rpc}"
hub = "{hub}"
sms = {{ scone = "{sms}" }}

[trial.registries]
app = "{app}"
dataset = "{dataset}"
workerpool = "{workerpool}"
"""
CHECKSUM = "0x" + "cc" * 32
FINGERPRINT = f"{'3b' * 32}|{'b8' * 16}|{'54' * 32}".encode()


@contextmanager
def served(server: Door) -> Iterator[str]:
    """A server of the localnet's on a thread of its own; its URL."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="served", daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(30)
    try:
        yield server.url
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


@contextmanager
def sms_over(chain: Chain, folder: Path) -> Iterator[str]:
    """The localnet's own SMS, which reads owners off this chain; its URL."""

    async def no_session(_: str) -> str:
        raise AssertionError("no session is made here")

    folder.mkdir(mode=0o700)
    reader = Poco(chain.rpc, chain.hub, None, chain_id=chain.chain_id)
    with served(Server(folder, lambda: reader, str, no_session, tee=STAGES)) as url:
        yield url


@contextmanager
def market_over(chain: Chain, folder: Path) -> Iterator[str]:
    """The localnet's own market over this chain; its URL."""

    async def sell(_: int) -> WorkerpoolOrder:
        raise AssertionError("no workerpool is asked for here")

    folder.mkdir(mode=0o700)
    reader = Poco(chain.rpc, chain.hub, None, chain_id=chain.chain_id)
    market = Market(
        folder, lambda: reader, sell, chain_id=chain.chain_id, workerpool=chain.workerpool, owner=""
    )
    with served(market) as url:
        yield url


@dataclass
class Town:
    """`secrets` calls the command; its exit code and its document."""

    chain: Chain
    project: Path
    home: Path
    sms: str
    market: str = ""
    app: str = ""
    dataset: str = ""
    capsys: pytest.CaptureFixture[str] | None = None

    def __post_init__(self) -> None:
        self.account = Account.from_key(self.chain.key("requester"))
        self.poco = Poco(self.chain.rpc, self.chain.hub, self.account, chain_id=self.chain.chain_id)
        self.domain = Domain(self.chain.chain_id, self.chain.hub)
        self.me = str(self.account.address)

    @property
    def ledger(self) -> Path:
        return self.home / "xdg_data_home" / "creamtea" / "networks" / "trial" / "secrets" / "pushed.jsonl"

    def settle(self) -> None:
        """Register an app and a dataset, and describe the network to the person who will use it."""
        self.app = self.register("tea")
        cid = "/ipfs/QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPbdG"
        new = self.poco.deploy_dataset(NewDataset(self.me, "leaves", cid, CHECKSUM))
        self.poco.send(new)
        self.dataset = self.poco.deployed_address("dataset", self.poco.wait(new), new)
        self.network()
        manifest = Manifest(self.project)
        manifest.set("network", "trial")
        manifest.set("networks.trial.app", self.app)

    def register(self, name: str) -> str:
        """Another app of the requester's; its address."""
        new = self.poco.deploy_app(NewApp(self.me, name, "docker.io/tea:1", CHECKSUM, FINGERPRINT))
        self.poco.send(new)
        return self.poco.deployed_address("app", self.poco.wait(new), new)

    def secrets(self, *words: str | Path) -> tuple[int, dict[str, Any]]:
        assert self.capsys is not None
        self.capsys.readouterr()
        code = main(["secrets", *map(str, words), "--project", str(self.project), "--json"])
        [line] = self.capsys.readouterr().out.splitlines()
        return code, json.loads(line)

    def signed(self, kind: type[Order], **fields: Any) -> Order:
        """An order of the requester's for the town's app or dataset."""
        known: dict[str, Any] = {"tag": TEE_SCONE, "volume": 10}
        if kind is DatasetOrder:
            known |= {"dataset": self.dataset, "apprestrict": self.app}
        elif kind is AppOrder:
            known |= {"app": self.app}
        elif kind is RequestOrder:
            known |= {"app": self.app, "requester": self.me, "beneficiary": self.me}
        return kind(**{**known, **fields}).sign_with(self.account, self.domain)

    def offer(self, order: Order) -> None:
        """Give an order to the market, as somebody else's program does: nothing of it is written here."""

        def ask(path: str, headers: dict[str, str], body: Any = None) -> Any:
            url = f"{self.market}{path}chainId={self.chain.chain_id}"
            data = None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers})
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)

        challenge = ask(f"/challenge?address={self.me}&", {})["data"]
        signed = {"Authorization": authorization(challenge, self.account)}
        assert ask(f"/{order.kind}s?", signed, {"order": order.to_json()})["ok"]

    def network(self, **changes: str) -> None:
        """Describe the network to the person who uses it."""
        path = self.home / "xdg_config_home" / "creamtea" / "networks.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = NETWORK.format(
            chain_id=self.chain.chain_id, rpc=self.chain.rpc, hub=self.chain.hub, sms=changes.get("sms", self.sms),
            **self.chain.registries,
        )  # fmt: skip
        if market := changes.get("market", self.market):
            text = text.replace("[trial.registries]", f'market = "{market}"\n\n[trial.registries]')
        path.write_text(text)

    def write_orders(self, *orders: Order) -> None:
        """As the SDK keeps them in the project."""
        document = {str(self.chain.chain_id): {order.kind: order.to_json() for order in orders}}
        (self.project / "orders.json").write_text(json.dumps(document))

    def ran(self, **given: Any) -> Journal:
        """The journal of a run with these values."""
        journal = Journal(self.project)
        journal.append("run", run="r", data={"workflow": "onboard", "given": given})
        journal.append("done", "encrypt_dataset", run="r", data={"outputs": {"dataset": self.dataset}})
        return journal

    def is_set(self, what: str) -> bool:
        """What the SMS itself says."""
        client = Sms(self.sms)
        return {"dataset-key": client.has_dataset_key, "app-secret": client.has_app_secret}[what](
            {"dataset-key": self.dataset, "app-secret": self.app}[what]
        )


@contextmanager
def town(
    chain: Chain, home: Path, folder: Path, capsys: pytest.CaptureFixture[str] | None = None
) -> Iterator[Town]:
    """A town whose traces on the chain are undone."""
    project = folder / "tea"
    project.mkdir()
    with sms_over(chain, folder / "sms") as url, market_over(chain, folder / "market") as market:
        made = Town(chain, project, home, url, market, capsys=capsys)
        before = made.poco.w3.provider.make_request("evm_snapshot", [])["result"]  # type: ignore[arg-type]
        try:
            made.settle()
            yield made
        finally:
            assert made.poco.w3.provider.make_request("evm_revert", [before])["result"]  # type: ignore[arg-type]
