"""Nothing is sent twice: a transaction is journalled before it is sent, and taken up after a kill at any point."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.steps.driven import drive
from workflows.core.failure import Failed
from workflows.core.step import Context
from workflows.iexec.connection import Receipt, Transaction
from workflows.iexec.hub import app_arguments
from workflows.iexec.poco import Poco
from workflows.iexec.records import NewApp
from workflows.steps import clients, signing, transactions

pytestmark = pytest.mark.chain
Begin = Callable[[], Context]
_serial = itertools.count()


def new_app(ctx: Context, name: str = "") -> NewApp:
    return NewApp(
        owner=signing.address(ctx),
        name=name or f"of the tests {next(_serial)} {os.getpid()}",
        multiaddr="registry.example/app:1",
        checksum="0x" + "11" * 32,
        mrenclave=b"|".join([b"00"]),
    )


def deploy(ctx: Context, new: NewApp) -> Receipt:
    chain = clients.poco(ctx)
    receipt: Receipt = drive(
        transactions.transact(
            ctx, "deploy_app", "register", chain.predict_app(new), lambda: chain.deploy_app(new)
        )
    )
    return receipt


def journalled(ctx: Context, key: str, transaction: Transaction) -> None:
    """What a run leaves that is killed right after the journal's line."""
    ctx.journal.append(
        "intent", "deploy_app", run="r", data={"key": key, "transaction": dataclasses.asdict(transaction)}
    )


def never() -> Transaction:
    raise AssertionError("a second transaction was made")


def nonce(chain: Poco) -> int:
    return int(chain.w3.eth.get_transaction_count(chain.w3.to_checksum_address(chain.sender)))


def test_killed_before_the_send_it_is_sent_once(begin: Begin) -> None:
    ctx = begin()
    chain, new = clients.poco(ctx), new_app(ctx)
    before = nonce(chain)
    journalled(ctx, chain.predict_app(new), chain.deploy_app(new))
    deploy(begin(), new)
    assert nonce(chain) == before + 1
    assert chain.is_registered("app", chain.predict_app(new))


def test_killed_after_the_send_it_is_taken_up(begin: Begin) -> None:
    ctx = begin()
    chain, new = clients.poco(ctx), new_app(ctx)
    transaction = chain.deploy_app(new)
    journalled(ctx, chain.predict_app(new), transaction)
    chain.send(transaction)
    again = begin()
    receipt = drive(transactions.transact(again, "deploy_app", "register", chain.predict_app(new), never))
    assert receipt.hash == transaction.hash


def test_an_intent_for_another_purpose_is_left_alone(begin: Begin) -> None:
    ctx = begin()
    chain, other = clients.poco(ctx), new_app(ctx)
    transaction = chain.deploy_app(other)
    journalled(ctx, chain.predict_app(other), transaction)
    chain.send(transaction)
    new = new_app(ctx)
    assert deploy(begin(), new).hash != transaction.hash


def test_a_transaction_that_the_chain_refused_does_not_block_for_ever(begin: Begin) -> None:
    """Two of the same app: the second is mined and reverts. It must not be taken up again and again."""
    ctx = begin()
    chain, new = clients.poco(ctx), new_app(ctx)
    first = chain.deploy_app(new)
    call = chain.registry("app").functions.createApp(*app_arguments(new))
    fields = {"chainId": first.chain_id, "gas": 3_000_000, "gasPrice": 0, "nonce": first.nonce + 1}
    assert chain.account is not None
    signed = chain.account.sign_transaction(call.build_transaction({**fields, "from": first.sender}))
    second = dataclasses.replace(
        first, hash="0x" + bytes(signed.hash).hex(), raw="0x" + bytes(signed.raw_transaction).hex(),
        nonce=first.nonce + 1,
    )  # fmt: skip
    journalled(ctx, "purpose", second)
    chain.send(first)
    chain.send(second)
    with pytest.raises(Failed, match="reverted"):
        chain.wait(second)
    assert chain.state(second) == "reverted"
    fresh = new_app(ctx)
    receipt = drive(
        transactions.transact(begin(), "deploy_app", "register", "purpose", lambda: chain.deploy_app(fresh))
    )
    assert receipt.hash != second.hash


def test_a_waiting_transaction_is_awaited_before_the_balance_is_asked(begin: Begin) -> None:
    """A deposit that was sent before a kill and is mined only now must not be made a second time."""
    ctx = begin()
    poco = clients.poco(ctx)
    poco.w3.provider.make_request("evm_setAutomine", [False])  # type: ignore[arg-type]
    try:
        stake = poco.account_of(poco.sender).stake
        transaction = poco.deposit(7)
        ctx.journal.append(
            "intent", "request", data={"key": "deposit 7 r", "transaction": dataclasses.asdict(transaction)}
        )
        poco.send(transaction)
        assert poco.state(transaction) == "pending"
        poco.w3.provider.make_request("evm_setIntervalMining", [1])  # type: ignore[arg-type]
        transactions.settle(begin(), "request", "deposit")
        assert poco.account_of(poco.sender).stake == stake + 7
    finally:
        poco.w3.provider.make_request("evm_setIntervalMining", [0])  # type: ignore[arg-type]
        poco.w3.provider.make_request("evm_setAutomine", [True])  # type: ignore[arg-type]


POINTS = ("chain.send", "journal.append", "chain.wait")

KILLED = """
import os, sys
from pathlib import Path
from workflows.core import journal as journals
from workflows.core.journal import Journal
from workflows.core.manifest import Manifest
from workflows.core.step import Context
from workflows.iexec.connection import Connection
from workflows.iexec.records import NewApp
from workflows.steps import clients, signing, transactions

point, when, folder, name = sys.argv[1:]
ctx = Context(Path(folder), Journal(Path(folder)), Manifest(Path(folder)), workflow="onboard", run="r")
ctx.values["network"] = "trial"
new = NewApp(
    owner=signing.address(ctx), name=name, multiaddr="registry.example/app:1", checksum="0x" + "11" * 32,
        mrenclave=b"00",
)
kinds = {"chain": Connection, "journal": Journal}
place = kinds[point.split(".")[0]], point.split(".")[1]
real = getattr(*place)
def dying(*args, **options):
    if when == "after":
        real(*args, **options)
    os.kill(os.getpid(), 9)
setattr(*place, dying)
chain = clients.poco(ctx)
for _ in transactions.transact(ctx, "deploy_app", "register", chain.predict_app(new), lambda: chain.deploy_app(new)):
    pass
"""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("point", POINTS)
def test_kill_9_at_every_point_makes_one_app(begin: Begin, tmp_path: Path, point: str, when: str) -> None:
    ctx = begin()
    chain = clients.poco(ctx)
    before = nonce(chain)
    name = f"killed {when} {point} {os.getpid()}"
    killed = subprocess.run([sys.executable, "-c", KILLED, point, when, str(tmp_path), name], check=False)
    assert killed.returncode == -9
    new = dataclasses.replace(new_app(ctx, name), mrenclave=b"00")
    deploy(begin(), new)
    assert nonce(chain) == before + 1
    assert chain.is_registered("app", chain.predict_app(new))
    journal = [json.loads(line) for line in begin().journal.path.read_text().splitlines()]
    assert len({line["data"]["transaction"]["nonce"] for line in journal if line["kind"] == "intent"}) == 1
