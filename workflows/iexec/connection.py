"""A connection to one chain: its state, and transactions in two halves, so that a caller can journal between.

Synchronous. `prepare` signs and sends nothing; `send` may be repeated with the same transaction; `wait` tells
a mined, a pending, a dropped and a replaced transaction apart.
"""

from __future__ import annotations

import ipaddress
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from workflows.core.failure import Cancelled, Failed, Unavailable
from workflows.core.text import clean, shorten
from workflows.iexec import reverts, trust

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount
    from requests.adapters import HTTPAdapter
    from web3 import Web3

State = Literal["mined", "reverted", "pending", "replaced", "absent"]


@dataclass(frozen=True)
class Transaction:
    """A signed transaction, plain enough for a journal (`dataclasses.asdict`); `raw` holds no secret.

    `predicted` is the address or deal id that it will make, where one can be told before.
    """

    hash: str
    raw: str
    sender: str
    nonce: int
    chain_id: int
    purpose: str
    predicted: str | None = None


@dataclass(frozen=True)
class Receipt:
    """A transaction that was mined and did not revert."""

    hash: str
    block: int
    gas_used: int
    raw: Any = field(repr=False, compare=False)


class Connection:
    """An RPC end point. `chain_id` is what the caller expects; nothing is signed for another chain.

    `gas_free`: transactions carry gas price 0; by default they do where the node quotes 0.
    """

    def __init__(
        self,
        url: str,
        account: LocalAccount | None = None,
        *,
        chain_id: int | None = None,
        gas_free: bool | None = None,
        timeout: float = 20.0,
    ) -> None:
        self.url = url
        self.account = account
        self.expected_chain_id = chain_id
        self.gas_free = gas_free
        self.timeout = timeout
        self.lock = threading.RLock()  # one nonce at a time

    @cached_property
    def w3(self) -> Web3:
        """The web3 client; nothing is sent when it is made."""
        import requests
        from web3 import Web3
        from web3.providers.rpc.utils import ExceptionRetryConfiguration

        session = None
        if trust.learned(self.url):
            session = requests.Session()
            session.mount(self.url, _verifying(trust.context(self.url)))
        retry = ExceptionRetryConfiguration(
            errors=(requests.ConnectionError, requests.Timeout), retries=1 if self.local else 4
        )
        return Web3(
            Web3.HTTPProvider(
                self.url,
                request_kwargs={"timeout": self.timeout},
                session=session,
                exception_retry_configuration=retry,
            )
        )

    @cached_property
    def local(self) -> bool:
        """Whether the node is on this machine, so that asking it often costs nothing."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @cached_property
    def place(self) -> str:
        """The end point as it may be shown: no path, query or user name, which can hold a key."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")

    @property
    def sender(self) -> str:
        """The address that signs; Failed without an account."""
        if self.account is None:
            raise Failed(
                "nothing can be signed without a wallet", "Choose one with --wallet.", name="no_wallet"
            )
        return str(self.account.address)

    @contextmanager
    def answers(self, why: Callable[[], Failed] | None = None) -> Iterator[None]:
        """What the client raises, as Failed or Unavailable; `why` explains a revert without a reason."""
        import requests
        from web3.exceptions import ContractLogicError, Web3Exception

        try:
            yield
        except ContractLogicError as error:
            raise reverts.explained(error, why) from None
        except (requests.RequestException, OSError) as error:
            raise Unavailable(
                f"the chain does not answer at {self.place} ({type(error).__name__})",
                "Try again: a localnet starts a chain that stopped again. creamtea localnet status tells more."
                if self.local
                else "Check the network and the rpc of its entry, then try again.",
                name="chain_unreachable",
            ) from None
        except Web3Exception as error:
            raise reverts.explained(error, why) from None

    def chain_id(self) -> int:
        """The chain's id; Failed when the node is on another chain than expected."""
        with self.answers():
            found = self.w3.eth.chain_id
        if self.expected_chain_id is not None and found != self.expected_chain_id:
            raise Failed(
                f"{self.place} is chain {found}, expected {self.expected_chain_id}: nothing was signed",
                "Check the rpc and chain_id of the network.",
                name="wrong_chain",
            )
        return int(found)

    def block_number(self) -> int:
        """The number of the latest block."""
        with self.answers():
            return int(self.w3.eth.block_number)

    def block_hash(self, number: int) -> str:
        """The hash of a block, 0x hex."""
        with self.answers():
            return "0x" + bytes(self.w3.eth.get_block(number)["hash"]).hex()

    def block_time(self) -> int:
        """The time of the latest block: the clock that deadlines are measured with."""
        with self.answers():
            return int(self.w3.eth.get_block("latest")["timestamp"])

    def wei(self, address: str) -> int:
        """The native balance of an address, in wei."""
        with self.answers():
            return int(self.w3.eth.get_balance(self.w3.to_checksum_address(address)))

    def has_code(self, address: str) -> bool:
        """Whether a contract lives there."""
        with self.answers():
            return len(self.w3.eth.get_code(self.w3.to_checksum_address(address))) > 0

    def prepare(
        self,
        call: Any,
        purpose: str,
        *,
        value: int = 0,
        predicted: str | None = None,
        why: Callable[[], Failed] | None = None,
    ) -> Transaction:
        """Sign a contract call after a dry run; nothing is sent. Failed says why it would revert."""
        sender, chain_id = self.sender, self.chain_id()
        assert self.account is not None  # noqa: S101 - `sender` has checked it
        with self.answers(why):
            gas = call.estimate_gas({"from": sender, "value": value})
            fields = {
                "from": sender,
                "value": value,
                "chainId": chain_id,
                "nonce": self.w3.eth.get_transaction_count(self.w3.to_checksum_address(sender), "pending"),
                "gas": gas * 5 // 4 + 30_000,  # what an estimate misses: refunds and the 63/64 rule
                **self._fees(),
            }
            signed = self.account.sign_transaction(call.build_transaction(fields))
        return Transaction(
            hash="0x" + bytes(signed.hash).hex(),
            raw="0x" + bytes(signed.raw_transaction).hex(),
            sender=sender,
            nonce=int(fields["nonce"]),
            chain_id=chain_id,
            purpose=purpose,
            predicted=predicted,
        )

    def send(self, transaction: Transaction) -> None:
        """Hand a signed transaction to the node; no error when it is known or mined already."""
        if self.chain_id() != transaction.chain_id:
            raise Failed(
                f"the transaction ({transaction.purpose}) was signed for chain {transaction.chain_id}",
                "Go back to that network to finish it.",
                name="wrong_chain",
            )
        from web3.exceptions import Web3Exception

        with self.answers():
            try:
                self.w3.eth.send_raw_transaction(bytes.fromhex(transaction.raw[2:]))
            except Web3Exception:
                state = self.state(transaction)
                if state == "replaced":
                    raise _replaced(transaction) from None
                if state == "absent":
                    raise

    def state(self, transaction: Transaction) -> State:
        """Mined, mined and reverted, pending, replaced by another of its nonce, or absent (never sent, or dropped)."""
        from eth_typing import HexStr
        from web3.exceptions import TransactionNotFound

        with self.answers():
            # Read the nonce first: a transaction mined in between is then found by its hash.
            used = self.w3.eth.get_transaction_count(
                self.w3.to_checksum_address(transaction.sender), "latest"
            )
            try:
                found = self.w3.eth.get_transaction(HexStr(transaction.hash))
            except TransactionNotFound:
                return "replaced" if used > transaction.nonce else "absent"
            if found.get("blockNumber") is None or (receipt := self._receipt(transaction)) is None:
                return "pending"
            return "mined" if receipt["status"] == 1 else "reverted"

    def wait(
        self,
        transaction: Transaction,
        *,
        timeout: float = 180.0,
        cancel: threading.Event | None = None,
        confirmations: int = 1,
    ) -> Receipt:
        """The receipt, once the transaction is under `confirmations` blocks, its own included.

        Failed `transaction_reverted` (explained), `transaction_replaced`, `transaction_dropped` (send it
        again), `transaction_slow` (still pending at the time-out). Cancelled when `cancel` is set.
        """
        pause = threading.Event() if cancel is None else cancel
        poll = 0.005 if self.local else 1.0
        start = time.monotonic()
        while True:
            if (receipt := self._receipt(transaction)) is not None:
                if receipt["status"] != 1:
                    raise self._reverted(transaction, receipt)
                if confirmations <= 1 or self.block_number() - receipt["blockNumber"] + 1 >= confirmations:
                    return Receipt(
                        transaction.hash, int(receipt["blockNumber"]), int(receipt["gasUsed"]), receipt
                    )
            waited = time.monotonic() - start
            if receipt is None and waited > (0.2 if self.local else 30.0):  # nodes behind one URL may lag
                self._check_alive(transaction)
            if waited > timeout:
                raise Failed(
                    f"{_title(transaction)} is not mined after {timeout:.0f} s",
                    "It may still be mined: creamtea resume looks for it first.",
                    name="transaction_slow",
                )
            if pause.wait(poll):
                raise Cancelled(
                    f"{transaction.purpose}: stopped waiting; the transaction is sent and may be mined",
                    "creamtea resume looks for it first.",
                )

    def run(self, make: Callable[[], Transaction], *, cancel: threading.Event | None = None) -> Receipt:
        """Prepare, send and wait, for a caller without a journal; threads with one account take turns."""
        with self.lock:
            transaction = make()
            self.send(transaction)
        return self.wait(transaction, cancel=cancel)

    def _fees(self) -> dict[str, int]:
        price = self.w3.eth.gas_price if self.gas_free is None else 0 if self.gas_free else -1
        if price == 0:
            return {"gasPrice": 0}
        base = self.w3.eth.get_block("latest").get("baseFeePerGas")
        if base is None:
            return {"gasPrice": int(self.w3.eth.gas_price)}
        tip = int(self.w3.eth.max_priority_fee)
        return {"maxPriorityFeePerGas": tip, "maxFeePerGas": 2 * int(base) + tip}

    def _receipt(self, transaction: Transaction) -> Any:
        from eth_typing import HexStr
        from web3.exceptions import TransactionNotFound

        with self.answers():
            try:
                return self.w3.eth.get_transaction_receipt(HexStr(transaction.hash))
            except TransactionNotFound:
                return None

    def _check_alive(self, transaction: Transaction) -> None:
        state = self.state(transaction)
        if state == "replaced":
            raise _replaced(transaction)
        if state == "absent":
            raise Failed(
                f"{_title(transaction)} is no longer known to the node",
                "It was dropped and can be sent again as it is: creamtea resume.",
                name="transaction_dropped",
            )

    def _reverted(self, transaction: Transaction, receipt: Any) -> Failed:
        """Why a mined transaction failed: the same call on the state before its block."""
        from eth_typing import HexStr

        detail = "no reason given"
        try:
            with self.answers():
                sent = self.w3.eth.get_transaction(HexStr(transaction.hash))
                self.w3.eth.call(
                    {"from": sent["from"], "to": sent["to"], "value": sent["value"], "data": sent["input"]},
                    receipt["blockNumber"] - 1,
                )
        except Failed as error:
            detail = error.message
        return Failed(
            f"{_title(transaction)} was mined and reverted: {clean(detail)}",
            "The state changed between the check and the block; start the step again.",
            name="transaction_reverted",
        )


def _verifying(context: ssl.SSLContext) -> HTTPAdapter:
    """What sends the requests of a session and verifies with this context."""
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *given: Any, **named: Any) -> None:
            super().init_poolmanager(*given, ssl_context=context, **named)

    return Adapter()


def _title(transaction: Transaction) -> str:
    return f"{transaction.purpose}: transaction {shorten(transaction.hash)}"


def _replaced(transaction: Transaction) -> Failed:
    return Failed(
        f"{_title(transaction)} was replaced: another one of "
        f"{shorten(transaction.sender, 6)} took its nonce {transaction.nonce}",
        "The wallet is in use elsewhere: see what that transaction did before a new one is signed.",
        name="transaction_replaced",
    )
