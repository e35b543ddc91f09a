"""Transactions of steps, in the journal before the chain has them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

from workflows.core.events import Event, TaskChanged
from workflows.core.failure import Failed
from workflows.core.step import Context
from workflows.steps import clients

if TYPE_CHECKING:
    from workflows.iexec.connection import Receipt, Transaction


def transact(
    ctx: Context, step: str, title: str, key: str, make: Callable[[], Transaction]
) -> Generator[Event, Any, Receipt]:
    """Sign, journal, send and await one transaction. One that was journalled before a crash is taken up again.

    The journal holds it before the chain does, so nothing is ever sent twice. `key` says what the
    transaction is for (an address, a deal): only one for the same purpose is taken up.
    """
    chain = clients.poco(ctx)
    yield TaskChanged(task="tx", title=title, state="running")
    transaction = next((one for name, one in sent(ctx, step) if name == key), None)
    if transaction is None:
        transaction = make()
        ctx.journal.append(
            "intent", step, run=ctx.run, data={"key": key, "transaction": dataclasses.asdict(transaction)}
        )
        chain.send(transaction)
    receipt = chain.wait(transaction, cancel=ctx.cancel.event)
    yield TaskChanged(task="tx", title=title, state="done", detail=f"block {receipt.block}")
    return receipt


def sent(ctx: Context, step: str) -> Iterator[tuple[str, Transaction]]:
    """Purpose and transaction of what a step journalled since it last ended well, newest first.

    Only what the chain has, mined or waiting: one that was refused or dropped did nothing.
    """
    from workflows.iexec.connection import Transaction

    chain = clients.poco(ctx, sign=False)
    for intent in reversed(ctx.journal.pending(step)):
        if "transaction" not in intent.data:
            continue
        transaction = Transaction(**intent.data["transaction"])
        if transaction.chain_id == chain.chain_id() and chain.state(transaction) in ("mined", "pending"):
            yield str(intent.data.get("key")), transaction


def settle(ctx: Context, step: str, purpose: str) -> None:
    """Wait for what was sent before a crash, under a key that begins so, and is not mined yet."""
    chain = clients.poco(ctx, sign=False)
    for key, transaction in sent(ctx, step):
        if key.startswith(purpose):
            with contextlib.suppress(Failed):  # whatever became of it, the chain's state is asked next
                chain.wait(transaction, cancel=ctx.cancel.event)
    ctx.cancel.check()
