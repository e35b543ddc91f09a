"""What the chain says, asked with web3 and the contracts' own events, not with the product's client."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


def rpc(url: str, method: str, *params: Any) -> Any:
    """One JSON-RPC call."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        document = json.load(answer)
    assert "error" not in document, document
    return document["result"]


def topic(signature: str) -> str:
    """The first topic of an event."""
    from eth_utils.crypto import keccak

    return "0x" + keccak(text=signature).hex()


ZERO = "0x" + "0" * 64
TRANSFER = "Transfer(address,address,uint256)"
MATCHED = "OrdersMatched(bytes32,bytes32,bytes32,bytes32,bytes32,uint256)"


@dataclass(frozen=True)
class Tally:
    """What has happened on a localnet: objects registered, deals matched, transactions that the requester sent."""

    apps: int
    datasets: int
    deals: int
    sent: int
    block: int

    @classmethod
    def of(cls, status: Mapping[str, Any]) -> Tally:
        """Count now."""
        url = str(status["rpc"])
        [requester] = [it["address"] for it in status["accounts"] if it["role"] == "requester"]

        def logs(address: str, *topics: str) -> int:
            wanted = {"address": address, "fromBlock": "0x0", "toBlock": "latest", "topics": list(topics)}
            return len(rpc(url, "eth_getLogs", wanted))

        minted = (topic(TRANSFER), ZERO)
        return cls(
            apps=logs(status["registries"]["app"], *minted),
            datasets=logs(status["registries"]["dataset"], *minted),
            deals=logs(status["hub"], topic(MATCHED)),
            sent=int(rpc(url, "eth_getTransactionCount", requester, "latest"), 16),
            block=int(rpc(url, "eth_blockNumber"), 16),
        )

    def less(self, before: Tally) -> dict[str, int]:
        """What came since `before`, blocks apart: the worker mines too."""
        earlier = asdict(before)
        return {name: value - earlier[name] for name, value in asdict(self).items() if name != "block"}
