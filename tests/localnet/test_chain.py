"""The localnet's chain against the real anvil and the real contracts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from web3 import Web3

from tests.chains import running
from tests.localnet.processes import until
from workflows.core.events import Event, Noted, TaskChanged
from workflows.core.failure import Unavailable
from workflows.iexec.connection import Connection
from workflows.localnet import genesis
from workflows.localnet.chain import Chain
from workflows.localnet.deployment import CATEGORIES, DEPOSIT, FACETS, artifact, facet
from workflows.localnet.toolchain import Toolchain

pytestmark = pytest.mark.chain
T = TypeVar("T")
ZERO = "0x" + 40 * "0"


def web3(chain: Chain) -> Web3:
    return Web3(Web3.HTTPProvider(chain.rpc))


def hub(chain: Chain, tools: Toolchain) -> Any:
    abi = artifact(tools.poco, "artifacts/contracts/IexecInterfaceNative.sol/IexecInterfaceNative").abi
    return web3(chain).eth.contract(address=Web3.to_checksum_address(chain.hub), abi=abi)


def pay(chain: Chain, nrlc: int) -> str:
    """Deposit into the requester's escrow: any transaction that leaves a trace will do."""
    w3 = web3(chain)
    fields = {
        "from": chain.accounts["requester"].address,
        "to": chain.hub,
        "value": nrlc * 10**9,
        "gasPrice": 0,
    }
    receipt = w3.eth.wait_for_transaction_receipt(w3.eth.send_transaction(fields), poll_latency=0.01)
    assert receipt["status"] == 1
    return receipt["transactionHash"].to_0x_hex()


def balance(chain: Chain, tools: Toolchain, role: str = "requester") -> int:
    return hub(chain, tools).functions.balanceOf(chain.accounts[role].address).call()


def session(
    folder: Path,
    tools: Toolchain,
    work: Callable[[Chain], T] = lambda chain: None,  # type: ignore[assignment,return-value]
    events: list[Event] | None = None,
) -> T:
    """Start a chain in this folder, do the work, stop it."""

    async def body() -> T:
        chain = Chain(folder, tools, (events if events is not None else []).append)
        await chain.start()
        try:
            return await asyncio.to_thread(work, chain)
        finally:
            await chain.stop()

    return asyncio.run(body())


def warnings(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Noted)]


# What is on the chain


def test_every_function_of_the_protocol_is_routed_to_a_facet(chain: Chain, tools: Toolchain) -> None:
    loupe = artifact(tools.poco, "deployments/arbitrum/DiamondLoupeFacet")
    proxy = web3(chain).eth.contract(address=Web3.to_checksum_address(chain.hub), abi=loupe.abi)
    routed = {
        "0x" + selector.hex() for _, selectors in proxy.functions.facets().call() for selector in selectors
    }

    wanted = {selector for name in FACETS for selector in facet(tools.poco, name).selectors}
    assert wanted <= routed
    assert {"0x00000000", "0xffffffff"} <= routed  # receive and fallback
    assert len(routed) == 97  # reference iexec-protocol §14.2, native mode

    interface = artifact(tools.poco, "artifacts/contracts/IexecInterfaceNative.sol/IexecInterfaceNative")
    missing = set(interface.selectors) - routed
    # In the interface file, but behind no facet on any network in native mode: ERC-1363's hook of token
    # mode, and renounceOwnership, which the Diamond's ownership facet does not have.
    assert missing == {Web3.keccak(text=text)[:4].to_0x_hex() for text in (
        "receiveApproval(address,uint256,address,bytes)", "renounceOwnership()")}  # fmt: skip


def test_the_hub_is_configured_as_documented(chain: Chain, tools: Toolchain) -> None:
    calls = hub(chain, tools).functions
    assert calls.appregistry().call() == chain.registries["app"]
    assert calls.datasetregistry().call() == chain.registries["dataset"]
    assert calls.workerpoolregistry().call() == chain.registries["workerpool"]
    assert calls.owner().call() == chain.accounts["owner"].address
    assert (calls.name().call(), calls.symbol().call(), calls.decimals().call()) == ("Staked RLC", "SRLC", 9)
    assert calls.token().call() == ZERO
    domain = calls.domain().call()
    assert domain == ("iExecODB", "5.0.0", 65535, chain.hub)
    assert calls.contribution_deadline_ratio().call() == 7
    assert web3(chain).eth.chain_id == chain.chain_id == 65535


def test_there_are_five_categories(chain: Chain, tools: Toolchain) -> None:
    calls = hub(chain, tools).functions
    assert calls.countCategory().call() == 5
    found = [calls.viewCategory(number).call() for number in range(5)]
    assert [(name, seconds) for name, _, seconds in found] == list(CATEGORIES)


@pytest.mark.parametrize("kind", ["app", "dataset", "workerpool"])
def test_a_registry_answers(chain: Chain, tools: Toolchain, kind: str) -> None:
    abi = artifact(tools.poco, "artifacts/contracts/registries/Registry.sol/Registry").abi
    registry = web3(chain).eth.contract(address=Web3.to_checksum_address(chain.registries[kind]), abi=abi)
    assert registry.functions.initialized().call()
    assert registry.functions.baseURI().call() == f"https://nfts-metadata.iex.ec/{kind}"
    assert registry.functions.isRegistered(chain.workerpool).call() is (kind == "workerpool")
    if kind == "workerpool":
        owner = registry.functions.ownerOf(int(chain.workerpool, 16)).call()
        assert owner == chain.accounts["workerpool"].address


def test_pool_worker_and_requester_have_something_in_escrow(chain: Chain, tools: Toolchain) -> None:
    for role in ("workerpool", "worker"):
        assert balance(chain, tools, role) >= DEPOSIT // 2
    assert balance(chain, tools, "requester") > 0
    for account in chain.accounts.values():
        assert web3(chain).eth.get_balance(Web3.to_checksum_address(account.address)) > 10**21


def test_keys_belong_to_the_accounts(chain: Chain) -> None:
    from eth_account import Account

    for role in ("owner", "requester", "spare-6"):
        assert Account.from_key(chain.key(role)).address == chain.accounts[role].address
    with pytest.raises(KeyError):
        chain.key("nobody")


def test_transactions_cost_nothing_at_the_price_the_chain_names(chain: Chain) -> None:
    w3 = web3(chain)
    sender = Web3.to_checksum_address(chain.accounts["spare-6"].address)
    before = w3.eth.get_balance(sender)
    fields = {
        "from": sender,
        "to": chain.accounts["spare-5"].address,
        "value": 5,
        "gasPrice": w3.eth.gas_price,
    }
    receipt = w3.eth.wait_for_transaction_receipt(w3.eth.send_transaction(fields), poll_latency=0.01)
    assert receipt["status"] == 1
    assert w3.eth.get_balance(sender) == before - 5


def test_addresses_are_written_down_without_keys(tools: Toolchain, tmp_path: Path) -> None:
    hub_address = session(tmp_path, tools, lambda chain: chain.hub)
    path = tmp_path / "chain" / "addresses.json"
    record = json.loads(path.read_text())
    assert record["hub"] == hub_address
    assert record["rlc"] is None
    assert {entry["role"] for entry in record["accounts"]} >= {"owner", "workerpool", "worker", "requester"}
    assert "key" not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


# What survives


def test_a_cold_deployment_and_a_warm_start_agree(
    tools: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Path(os.environ["XDG_CACHE_HOME"])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache != tmp_path / "cache"

    def seen(chain: Chain) -> tuple[str, dict[str, str], str]:
        return chain.hub, dict(chain.registries), chain.workerpool

    cold = session(tmp_path / "cold", tools, seen)
    prepared = genesis.folder(tools) / "genesis.json"
    made = prepared.stat().st_mtime_ns
    assert session(tmp_path / "warm", tools, seen) == cold
    assert prepared.stat().st_mtime_ns == made


def test_a_warm_start_does_not_import_web3(tools: Toolchain, chain: Chain, tmp_path: Path) -> None:
    code = """
        import asyncio, sys
        from pathlib import Path
        from workflows.localnet.chain import Chain
        from workflows.localnet.toolchain import ensure

        async def body():
            chain = Chain(Path(sys.argv[1]), ensure())
            await chain.start()
            await chain.stop()

        asyncio.run(body())
        print(sorted({"web3", "eth_account", "docker"} & set(sys.modules)))
    """
    assert _python(code, tmp_path).stdout.strip() == "[]"


def test_what_happened_is_there_after_a_stop(tools: Toolchain, chain: Chain, tmp_path: Path) -> None:
    first = session(tmp_path, tools, lambda chain: (pay(chain, 7), balance(chain, tools)))

    def again(chain: Chain) -> tuple[str, int]:
        receipt = web3(chain).eth.get_transaction_receipt(first[0])
        assert receipt["logs"], "the events of earlier transactions are kept"
        return receipt["transactionHash"].to_0x_hex(), balance(chain, tools)

    assert session(tmp_path, tools, again) == first
    assert (tmp_path / "chain" / "state.json").stat().st_mode & 0o777 == 0o600


def test_kill_9_leaves_no_anvil_and_loses_nothing(tools: Toolchain, chain: Chain, tmp_path: Path) -> None:
    code = """
        import asyncio, sys, time
        from pathlib import Path
        from workflows.localnet.chain import Chain
        from workflows.localnet.toolchain import ensure

        async def body():
            chain = Chain(Path(sys.argv[1]), ensure())
            await chain.start()
            tx = await chain._anvil.rpc("eth_sendTransaction", {
                "from": chain.accounts["requester"].address, "to": chain.hub,
                "value": hex(7 * 10**9), "gasPrice": "0x0"})
            while not await chain._anvil.rpc("eth_getTransactionReceipt", tx):
                await asyncio.sleep(0.01)
            print(chain.pid, tx, flush=True)
            await asyncio.sleep(600)

        asyncio.run(body())
    """
    with _popen(code, tmp_path) as parent:
        assert parent.stdout is not None
        pid, tx = parent.stdout.readline().split()
        parent.send_signal(signal.SIGKILL)
    _wait_until(lambda: not Path(f"/proc/{pid}/exe").exists())

    events: list[Event] = []
    receipt = session(tmp_path, tools, lambda chain: web3(chain).eth.get_transaction_receipt(tx), events)
    assert receipt["status"] == 1
    assert not warnings(events)


def test_its_log_does_not_grow_for_ever(
    tools: Toolchain, chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.localnet.chain._LONGEST_LOG", 2000)
    log = tmp_path / "chain" / "anvil.log"
    with running(tmp_path, tools) as other:
        poco = Connection(other.rpc)
        until(lambda: poco.chain_id() and log.with_name("anvil.log.1").exists())
        kept = log.with_name("anvil.log.1")
        assert kept.stat().st_size <= 2000 and stat.S_IMODE(kept.stat().st_mode) == 0o600
        before = log.stat().st_size
        poco.w3.provider.make_request("eth_gasPrice", [])  # type: ignore[arg-type]
        until(lambda: b"eth_gasPrice" in log.read_bytes())
        assert before < 2000 and b"\0" not in log.read_bytes()


def test_a_second_localnet_in_the_same_folder_is_refused(
    tools: Toolchain, chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.localnet.chain._LOCK_PATIENCE", 0.1)

    async def body() -> None:
        first, second = Chain(tmp_path, tools), Chain(tmp_path, tools)
        await first.start()
        try:
            with pytest.raises(Unavailable, match="another localnet"):
                await second.start()
            assert first.running
        finally:
            await first.stop()

    asyncio.run(body())


# Saved states that cannot be trusted


def _without_hub(state: Path) -> bytes:
    record = json.loads(state.read_bytes())
    hub_address = json.loads(state.with_name("addresses.json").read_text())["hub"]
    record["accounts"] = {
        address: account
        for address, account in record["accounts"].items()
        if address.lower() != hub_address.lower()
    }
    return json.dumps(record).encode()


def _other_hub_code(state: Path) -> bytes:
    record = json.loads(state.read_bytes())
    hub_address = json.loads(state.with_name("addresses.json").read_text())["hub"].lower()
    account = next(a for address, a in record["accounts"].items() if address.lower() == hub_address)
    account["code"] = "0x6000"
    return json.dumps(record).encode()


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: state.read_bytes()[:5000],
        lambda state: b"",
        lambda state: b"null",
        lambda state: b"\x00\xff\x1b[31m",
        _without_hub,
        _other_hub_code,
    ],
    ids=["half", "empty", "null", "bytes", "no hub", "other code"],
)
def test_a_damaged_state_is_set_aside_with_a_message(
    tools: Toolchain, chain: Chain, tmp_path: Path, damage: Callable[[Path], bytes]
) -> None:
    session(tmp_path, tools)
    state = tmp_path / "chain" / "state.json"
    damaged = damage(state)
    state.write_bytes(damaged)
    events: list[Event] = []
    categories = session(
        tmp_path, tools, lambda chain: hub(chain, tools).functions.countCategory().call(), events
    )
    assert categories == 5
    [warning] = warnings(events)
    assert "cannot be used" in warning and "new one begins" in warning
    assert "\x1b" not in warning
    [kept] = (tmp_path / "chain").glob("state.json.refused-*")
    assert kept.read_bytes() == damaged
    assert session(tmp_path, tools, lambda chain: balance(chain, tools)) == DEPOSIT


def test_half_a_file_at_exit_does_not_replace_the_last_whole_state(
    tools: Toolchain, chain: Chain, tmp_path: Path
) -> None:
    paid = session(tmp_path, tools, lambda chain: (pay(chain, 3), balance(chain, tools))[1])
    folder = tmp_path / "chain"
    (folder / "exit.json").write_bytes((folder / "state.json").read_bytes()[:-100])
    events: list[Event] = []
    assert session(tmp_path, tools, lambda chain: balance(chain, tools), events) == paid
    assert not warnings(events)


@pytest.mark.parametrize("victim", ["state", "manifest", "gone"])
def test_a_damaged_genesis_is_made_again(
    tools: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    session(tmp_path / "one", tools)
    home = genesis.folder(tools)
    manifest = home / "genesis.json"
    state = home / f"{json.loads(manifest.read_text())['sha256']}.json"
    if victim == "state":
        state.write_bytes(state.read_bytes().replace(b"0x", b"0X", 1))
    elif victim == "manifest":
        manifest.write_text('{"v": 1, "sha256": "../../x"}')
    else:
        state.unlink()
    events: list[Event] = []
    categories = session(
        tmp_path / "two", tools, lambda chain: hub(chain, tools).functions.countCategory().call(), events
    )
    assert categories == 5
    [warning] = warnings(events)
    assert "damaged" in warning
    events.clear()
    session(tmp_path / "three", tools, events=events)
    assert not warnings(events)


def test_an_anvil_that_cannot_run_leaves_the_saved_state_alone(
    tools: Toolchain, chain: Chain, tmp_path: Path
) -> None:
    session(tmp_path, tools)
    state = tmp_path / "chain" / "state.json"
    before = state.read_bytes()
    broken = tmp_path / "anvil"
    broken.write_text("#!/bin/sh\necho 'error: no such instruction' >&2\nexit 132\n")
    broken.chmod(0o755)
    for binary in (broken, tmp_path / "missing"):
        events: list[Event] = []
        with pytest.raises(Unavailable):
            session(tmp_path, Toolchain(binary, tools.poco, tools.lock), events=events)
        assert state.read_bytes() == before
        assert [event.state for event in events if isinstance(event, TaskChanged)] == ["running", "failed"]


# Time


def test_a_state_older_than_now_continues_at_now(tools: Toolchain, chain: Chain, tmp_path: Path) -> None:
    session(tmp_path, tools)
    _shift(tmp_path / "chain" / "state.json", -30 * 86400)
    latest, then = session(tmp_path, tools, _latest_and_next)
    assert abs(latest - time.time()) < 60
    assert then >= latest


def test_a_state_ahead_of_now_never_goes_back(tools: Toolchain, chain: Chain, tmp_path: Path) -> None:
    def jump(chain: Chain) -> int:
        provider = web3(chain).provider
        provider.make_request("evm_increaseTime", [10_000])  # type: ignore[arg-type]
        pay(chain, 1)
        return web3(chain).eth.get_block("latest")["timestamp"]

    ahead = session(tmp_path, tools, jump)
    latest, then = session(tmp_path, tools, _latest_and_next)
    assert then >= latest >= ahead > time.time() + 9_000


def _latest_and_next(chain: Chain) -> tuple[int, int]:
    w3 = web3(chain)
    latest = w3.eth.get_block("latest")["timestamp"]
    pay(chain, 1)
    return latest, w3.eth.get_block("latest")["timestamp"]


def _shift(state: Path, seconds: int) -> None:
    """Make a saved state look as if it had been written at another time."""
    record = json.loads(state.read_bytes())

    def move(holder: dict[str, Any]) -> None:
        holder["timestamp"] = hex(int(holder["timestamp"], 16) + seconds)

    move(record["block"])
    for block in record["blocks"]:
        move(block["header"])
    state.write_text(json.dumps(record))


def _python(code: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)


def _popen(code: str, *arguments: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
