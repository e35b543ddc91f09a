"""The contracts' client on the real contracts: a life cycle, refusals, transactions that go astray."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from tests.iexec.world import CHECKSUM, FINGERPRINT, World
from workflows.core.failure import Cancelled, Failed, Unavailable
from workflows.iexec import ids, signatures
from workflows.iexec.connection import Transaction
from workflows.iexec.hub import abi
from workflows.iexec.orders import AppOrder
from workflows.iexec.poco import Poco
from workflows.iexec.records import Match, NewApp, NewDataset, Resource, TaskStatus
from workflows.localnet.toolchain import Toolchain

pytestmark = pytest.mark.chain

DIGEST = ids.keccak_hex(b"result")
RESULTS = b'{"storage":"ipfs","location":"/ipfs/QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPbdG"}'
ARTIFACTS = {
    "hub": "IexecInterfaceNative.sol/IexecInterfaceNative",
    "app_registry": "registries/apps/AppRegistry.sol/AppRegistry",
    "dataset_registry": "registries/datasets/DatasetRegistry.sol/DatasetRegistry",
    "workerpool_registry": "registries/workerpools/WorkerpoolRegistry.sol/WorkerpoolRegistry",
    "app": "registries/apps/App.sol/App",
    "dataset": "registries/datasets/Dataset.sol/Dataset",
    "workerpool": "registries/workerpools/Workerpool.sol/Workerpool",
    "group": "external/interfaces/IERC734.sol/IERC734",
    "token": "IexecInterfaceToken.sol/IexecInterfaceToken",
}


def failure(call: Any, *arguments: Any, **options: Any) -> Failed:
    with pytest.raises(Failed) as caught:
        call(*arguments, **options)
    return caught.value


def shape(entry: Any) -> Any:
    """An ABI entry without the compiler's notes."""
    kept = ("name", "type", "indexed", "stateMutability", "inputs", "outputs", "components")
    return {
        key: [shape(part) for part in entry[key]] if isinstance(entry[key], list) else entry[key]
        for key in kept
        if key in entry
    }


def test_abi_is_that_of_the_package(tools: Toolchain) -> None:
    assert set(abi()) == set(ARTIFACTS)
    for name, entries in abi().items():
        path = tools.poco / "artifacts/contracts" / f"{ARTIFACTS[name]}.json"
        published = [shape(entry) for entry in json.loads(path.read_text())["abi"]]
        for entry in entries:
            assert shape(entry) in published, f"{name}: {entry['name']}"


def test_life_of_a_task(world: World) -> None:
    orders, requester = world.orders(), world.poco("requester")
    before = {role: requester.account_of(world.address(role)) for role in world.accounts}
    block = requester.block_number() + 1

    transaction = requester.match_orders(orders.app, orders.dataset, orders.workerpool, orders.request)
    requester.send(transaction)
    assert requester.matched(requester.wait(transaction)) == Match(str(transaction.predicted), 1)
    deal = requester.view_deal(str(transaction.predicted))
    assert deal is not None
    assert deal.app == Resource(world.app, world.address("owner"), 2)
    assert deal.dataset == Resource(world.dataset, world.address("owner"), 1)
    assert deal.workerpool == Resource(world.pool, world.address("workerpool"), 10)
    assert (deal.requester, deal.tag, deal.params) == (
        world.address("requester"), orders.tag, orders.request.params,
    )  # fmt: skip
    assert requester.deals_of(world.pool, block) == [deal.dealid]
    assert requester.consumed(orders.request.hash(world.domain)) == 1
    locked = requester.account_of(world.address("requester"))
    assert locked.stake == before["requester"].stake - 13
    assert locked.locked == before["requester"].locked + 13
    assert requester.account_of(world.address("workerpool")).locked == before["workerpool"].locked + 3

    assert requester.view_task(deal.tasks[0]).status is TaskStatus.UNSET
    task = world.started(deal.dealid)
    assert (task.status, task.dealid, task.index) == (TaskStatus.ACTIVE, deal.dealid, 0)
    assert task.contribution_deadline == deal.start_time + 7 * 300
    assert task.final_deadline == deal.start_time + 10 * 300

    worker = world.poco("worker")
    result = world.result(task.taskid, DIGEST)
    worker.run(lambda: worker.contribute_and_finalize(task.taskid, DIGEST, RESULTS, **result))
    done = worker.view_task(task.taskid)
    assert (done.status, done.results, done.result_digest) == (TaskStatus.COMPLETED, RESULTS, DIGEST)
    assert done.contributors == (world.address("worker"),)
    after = requester.account_of(world.address("requester"))
    assert (after.stake, after.locked) == (locked.stake, before["requester"].locked)
    assert requester.account_of(world.address("owner")).stake == before["owner"].stake + 3


def test_unfinished_task_is_claimed(world: World) -> None:
    task = world.started(world.match())
    requester = world.poco("requester")
    early = failure(requester.claim, task.taskid)
    assert early.name == "before_final_deadline"
    held = requester.account_of(world.address("requester"))
    world.later(3001)
    late = failure(world.poco("worker").contribute_and_finalize, task.taskid, DIGEST, b"")
    assert late.name == "contribution_deadline"
    requester.run(lambda: requester.claim(task.taskid))
    assert requester.view_task(task.taskid).status is TaskStatus.FAILED
    back = requester.account_of(world.address("requester"))
    assert (back.stake, back.locked) == (held.stake + 13, held.locked - 13)


def test_registered_objects(world: World) -> None:
    poco = world.poco()
    app, dataset, pool = poco.app(world.app), poco.dataset(world.dataset), poco.workerpool(world.pool)
    assert app is not None and dataset is not None and pool is not None
    assert (app.owner, app.name, app.type, app.multiaddr, app.checksum, app.mrenclave) == (
        world.address("owner"), "hello", "DOCKER", "docker.io/creamtea/hello:1", CHECKSUM, FINGERPRINT,
    )  # fmt: skip
    assert dataset.multiaddr == "/ipfs/QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPbdG"
    assert (pool.owner, pool.worker_stake_ratio, pool.scheduler_reward_ratio) == (
        world.address("workerpool"), 30, 1,
    )  # fmt: skip
    assert poco.app(world.dataset) is None
    assert poco.dataset(world.app) is None
    assert poco.workerpool(world.app) is None
    assert poco.view_deal(ids.ZERO_HASH) is None
    assert poco.category(5) is None
    assert [category.seconds for category in map(poco.category, range(5)) if category] == [
        300, 1200, 3600, 10800, 36000,
    ]  # fmt: skip


def test_the_same_object_is_not_deployed_twice(world: World) -> None:
    owner = world.poco("owner")
    app = NewApp(owner.sender, "hello", "docker.io/creamtea/hello:1", CHECKSUM, FINGERPRINT)
    assert owner.predict_app(app) == world.app
    found = failure(owner.deploy_app, app)
    assert found.name == "already_deployed"
    assert world.app in found.message
    found = failure(owner.prepare, owner.registry("app").functions.createApp(
        app.owner, app.name, app.type, app.multiaddr.encode(), ids.unhex(CHECKSUM), FINGERPRINT
    ), "deploy")  # fmt: skip
    assert found.name == "already_deployed"


def test_another_address_than_predicted_stops(world: World) -> None:
    owner = world.poco("owner")
    transaction = owner.deploy_dataset(NewDataset(owner.sender, "other", "https://example.org/d", CHECKSUM))
    owner.send(transaction)
    receipt = owner.wait(transaction)
    assert owner.deployed_address("dataset", receipt, transaction) == transaction.predicted
    wrong = replace(transaction, predicted=world.dataset)
    assert failure(owner.deployed_address, "dataset", receipt, wrong).name == "address_mismatch"
    assert failure(owner.deployed_address, "app", receipt, transaction).name == "address_mismatch"
    assert failure(owner.matched, receipt).name == "no_match"


def test_workerpool(world: World) -> None:
    owner = world.poco("owner")
    transaction = owner.deploy_workerpool(owner.sender, "mine")
    owner.send(transaction)
    pool = owner.deployed_address("workerpool", owner.wait(transaction), transaction)
    found = owner.workerpool(pool)
    assert found is not None
    assert (found.owner, found.description) == (owner.sender, "mine")


def test_escrow(world: World) -> None:
    poco = world.poco("spare-1")
    me = poco.sender
    assert poco.native and poco.rlc is None
    before, outside = poco.account_of(me), poco.wallet_balance(me)
    poco.run(lambda: poco.deposit(50))
    assert poco.account_of(me).stake == before.stake + 50
    assert poco.wallet_balance(me) == outside - 50
    assert failure(poco.withdraw, before.stake + 51).name == "escrow_balance"
    poco.run(lambda: poco.withdraw(50))
    assert poco.account_of(me) == before
    assert failure(poco.deposit, 10**30).name == "wallet_balance"


def test_cancelled_order_is_used_up(world: World) -> None:
    orders, owner = world.orders(), world.poco("owner")
    assert failure(world.poco("requester").cancel_order, orders.app).name == "invalid_sender"
    owner.run(lambda: owner.cancel_order(orders.app))
    assert owner.consumed(orders.app.hash(world.domain)) == orders.app.volume
    requester = world.poco("requester")
    refused = failure(requester.match_orders, orders.app, orders.dataset, orders.workerpool, orders.request)
    assert refused.name == "iExecV5-matchOrders-0x60"


class TestSilentReverts:
    """PoCo2 gives no reason: the client finds it by comparing with the chain."""

    def test_initialize(self, world: World) -> None:
        poco, deal = world.poco("workerpool"), world.match()
        assert failure(poco.initialize, ids.ZERO_HASH, 0).name == "no_deal"
        assert failure(poco.initialize, deal, 1).name == "no_task"
        world.started(deal)
        assert failure(poco.initialize, deal, 0).name == "task_not_unset"

    def test_result(self, world: World) -> None:
        deal = world.match()
        poco = world.poco("worker")
        unset = ids.taskid(deal, 0)
        assert failure(poco.contribute_and_finalize, unset, DIGEST, b"").name == "task_not_active"
        task = world.started(deal).taskid
        good = world.result(task, DIGEST)
        for change, name in (
            ({"enclave": ids.ZERO_ADDRESS}, "no_enclave_challenge"),
            ({"authorization": good["enclave_sign"]}, "not_authorized"),
            ({"enclave_sign": good["authorization"]}, "wrong_enclave_signature"),
            ({"callback": b"data"}, "callback_unexpected"),
        ):
            assert failure(poco.contribute_and_finalize, task, DIGEST, b"", **{**good, **change}).name == name
        other = world.poco("spare-1")
        assert failure(other.contribute_and_finalize, task, DIGEST, b"", **good).name == "not_authorized"
        poco.run(lambda: poco.contribute_and_finalize(task, DIGEST, b"", **good))
        assert failure(poco.contribute_and_finalize, task, DIGEST, b"", **good).name == "task_not_active"
        assert failure(poco.claim, task).name == "task_not_active"

    def test_trust_above_one(self, world: World) -> None:
        orders = world.orders(pool={"trust": 3}, request={"trust": 3})
        task = world.started(world.match(orders)).taskid
        good = world.result(task, DIGEST)
        found = failure(world.poco("worker").contribute_and_finalize, task, DIGEST, b"", **good)
        assert found.name == "trust_not_1"

    def test_callback_digest(self, world: World) -> None:
        orders = world.orders(request={"callback": world.address("spare-2")})
        task = world.started(world.match(orders)).taskid
        digest, poco = ids.keccak_hex(b"answer"), world.poco("worker")
        good = world.result(task, digest)
        found = failure(poco.contribute_and_finalize, task, digest, b"", callback=b"other", **good)
        assert found.name == "callback_digest"
        poco.run(lambda: poco.contribute_and_finalize(task, digest, b"", callback=b"answer", **good))
        assert poco.view_task(task).results_callback == b"answer"


class TestTransactions:
    """What a journal relies on."""

    def test_survives_a_journal_and_may_be_sent_again(self, world: World) -> None:
        poco = world.poco("requester")
        before = poco.account_of(poco.sender).stake
        kept = json.loads(json.dumps(asdict(poco.deposit(7))))
        transaction = Transaction(**kept)
        assert poco.state(transaction) == "absent"
        again = world.poco("requester")
        again.send(transaction)
        again.send(transaction)
        receipt = again.wait(transaction)
        again.send(transaction)
        assert again.state(transaction) == "mined"
        assert again.wait(transaction) == receipt
        assert poco.account_of(poco.sender).stake == before + 7

    def test_pending_replaced_dropped(self, world: World) -> None:
        poco = world.poco("requester")
        first, second = poco.deposit(1), poco.deposit(2)
        assert first.nonce == second.nonce
        world.rpc_call("evm_setAutomine", False)
        try:
            poco.send(first)
            assert poco.state(first) == "pending"
            poco.send(first)
            assert failure(poco.wait, first, timeout=0.3).name == "transaction_slow"
            stop = threading.Event()
            stop.set()
            with pytest.raises(Cancelled):
                poco.wait(first, cancel=stop)
            world.rpc_call("anvil_dropTransaction", first.hash)
            assert failure(poco.wait, first).name == "transaction_dropped"
            poco.send(second)
        finally:
            world.rpc_call("evm_setAutomine", True)
            world.rpc_call("evm_mine")
        poco.wait(second)
        assert poco.state(first) == "replaced"
        assert failure(poco.wait, first).name == "transaction_replaced"
        assert failure(poco.send, first).name == "transaction_replaced"

    def test_mined_revert_is_explained(self, world: World) -> None:
        task = world.started(world.match()).taskid
        world.later(3001)
        poco = world.poco("requester")
        one, other = poco.claim(task), world.poco("spare-1").claim(task)
        world.rpc_call("evm_setAutomine", False)
        try:
            poco.send(one)
            poco.send(other)
        finally:
            world.rpc_call("evm_mine")
            world.rpc_call("evm_setAutomine", True)
        outcomes = []
        for transaction in (one, other):
            try:
                poco.wait(transaction)
                outcomes.append("mined")
            except Failed as found:
                outcomes.append(found.name)
        assert sorted(outcomes) == ["mined", "transaction_reverted"]

    def test_confirmations(self, world: World) -> None:
        poco = world.poco("requester")
        transaction = poco.deposit(1)
        poco.send(transaction)
        assert failure(poco.wait, transaction, confirmations=2, timeout=0.1).name == "transaction_slow"
        world.rpc_call("evm_mine")
        assert poco.wait(transaction, confirmations=2).block == poco.block_number() - 1

    def test_threads_with_one_account_take_turns(self, world: World) -> None:
        poco = world.poco("requester")
        before = poco.account_of(poco.sender).stake
        threads = [threading.Thread(target=poco.run, args=(lambda: poco.deposit(1),)) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert poco.account_of(poco.sender).stake == before + 5


class TestRefusals:
    """Nothing is signed where it should not be."""

    def test_wrong_chain(self, world: World) -> None:
        poco = Poco(world.rpc, world.hub, world.accounts["requester"], chain_id=134)
        assert failure(poco.deposit, 1).name == "wrong_chain"
        assert failure(poco.domain).name == "wrong_chain"
        elsewhere = replace(world.poco("requester").deposit(1), chain_id=134)
        assert failure(world.poco("requester").send, elsewhere).name == "wrong_chain"

    def test_wrong_hub(self, world: World) -> None:
        poco = Poco(world.rpc, world.app, chain_id=world.chain_id)
        assert failure(poco.domain).name == "no_hub"
        nowhere = Poco(world.rpc, Account.create().address, chain_id=world.chain_id)
        assert failure(nowhere.domain).name == "no_hub"

    def test_no_wallet(self, world: World) -> None:
        assert failure(world.poco().deposit, 1).name == "no_wallet"

    def test_no_chain(self) -> None:
        poco = Poco("http://user:secret@127.0.0.1:9/path?key=secret", ids.ZERO_ADDRESS)
        with pytest.raises(Unavailable) as caught:
            poco.block_number()
        assert caught.value.exit_code == 3
        assert "secret" not in caught.value.message

    def test_gas_price_zero_where_the_chain_says_so(self, world: World) -> None:
        transaction = world.poco("requester").deposit(1)
        sent = Account.recover_transaction(transaction.raw)
        assert sent == world.address("requester")
        world.poco("requester").send(transaction)
        found = world.poco().w3.eth.get_transaction(transaction.hash)  # type: ignore[arg-type]
        assert found["gasPrice"] == 0


def test_signatures_over_digests() -> None:
    account = Account.create()
    digest = ids.keccak_hex(b"x")
    signature = signatures.sign_digest(account, digest)
    assert signatures.signer_of(digest, signature) == account.address
    assert signatures.signer_of(ids.keccak_hex(b"y"), signature) != account.address
    for junk in ("", "0x", "0x00", "0x" + "ff" * 65, "junk"):
        assert signatures.signer_of(digest, junk) is None


def test_an_order_of_a_contract_and_a_presigned_one(world: World, tools: Toolchain) -> None:
    poco = world.poco("owner")
    order = AppOrder(app=world.app, salt="0x" + "77" * 32)
    assert not poco.signed(order, poco.sender)
    assert poco.signed(order.sign_with(world.accounts["owner"], world.domain), poco.sender)
    call = poco.hub.functions.manageAppOrder((order.as_tuple(), 0, b""))
    poco.run(lambda: poco.prepare(call, "presign"))
    assert poco.signed(order, poco.sender)
    path = Path("artifacts/contracts/tools/testing/ERC1271Mock.sol/ERC1271Mock.json")
    contract = deploy(poco, tools.poco / path)
    assert not poco.signed(order, contract)


def deploy(poco: Poco, artifact: Path) -> str:
    record = json.loads(artifact.read_text())
    factory = poco.w3.eth.contract(abi=record["abi"], bytecode=record["bytecode"])
    receipt = poco.run(lambda: poco.prepare(factory.constructor(), "deploy"))
    return str(receipt.raw["contractAddress"])


def test_group_restriction(world: World, tools: Toolchain) -> None:
    poco = world.poco("owner")
    artifact = tools.poco / "artifacts/contracts/tools/testing/ERC734Mock.sol/ERC734Mock.json"
    group = deploy(poco, artifact)
    member, stranger = world.address("requester"), world.address("spare-1")
    assert poco.allowed(ids.ZERO_ADDRESS, stranger)
    assert poco.allowed(stranger, stranger)
    assert not poco.allowed(member, stranger)
    assert not poco.allowed(world.app, stranger)
    contract = poco.w3.eth.contract(address=group, abi=json.loads(artifact.read_text())["abi"])  # type: ignore[arg-type]
    assert not poco.allowed(group, member)
    call = contract.functions.setKeyHasPurpose(ids.unhex(member).rjust(32, b"\0"), 4)
    poco.run(lambda: poco.prepare(call, "join"))
    assert poco.allowed(group, member)
    assert not poco.allowed(group, stranger)
