"""Logins as iExec's market and result proxy have them: typed data (EIP-712) to sign, good once, for ten minutes.

The SDK answers a challenge with `<hash>_<signature>_<address>` (8.24.0, `getAuthorization`).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from typing import Any

from workflows.iexec.ids import keccak

_LIFETIME = 600.0
_MOST = 10_000


class Logins:
    """`name` is the domain that is signed for; `text` goes before the random part of every challenge."""

    def __init__(self, name: str, chain_id: int, text: str = "") -> None:
        self._name = name
        self._chain_id = chain_id
        self._text = text
        self._open: OrderedDict[str, tuple[float, dict[str, Any]]] = OrderedDict()

    async def challenge(self) -> dict[str, Any]:
        """New typed data to sign."""
        data = _typed_data(self._name, self._chain_id, self._text + secrets.token_hex(32))
        digest, _ = await asyncio.to_thread(_digest, data)
        now = time.monotonic()
        self._open[digest] = (now + _LIFETIME, data)
        while len(self._open) > _MOST or next(iter(self._open.values()))[0] < now:
            self._open.popitem(last=False)
        return data

    async def redeem(self, authorization: str) -> str | None:
        """The checksummed address that answered an open challenge, which is used up; None for anything else."""
        digest, _, rest = authorization.partition("_")
        signature, _, wallet = rest.partition("_")
        expires, data = self._open.pop(digest.lower(), (0.0, {}))
        if expires < time.monotonic():
            return None
        signer = await asyncio.to_thread(_signer, data, signature)
        return signer if signer is not None and signer.lower() == wallet.lower() else None


def _typed_data(name: str, chain_id: int, challenge: str) -> dict[str, Any]:
    return {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
            ],
            "Challenge": [{"name": "challenge", "type": "string"}],
        },
        "domain": {"name": name, "version": "1", "chainId": chain_id},
        "primaryType": "Challenge",
        "message": {"challenge": challenge},
    }


def _digest(data: dict[str, Any]) -> tuple[str, Any]:
    """The EIP-712 hash of typed data, and what the library recovers a signer from."""
    from eth_account.messages import encode_typed_data

    message = encode_typed_data(full_message=data)
    return "0x" + keccak(b"\x19" + message.version + message.header + message.body).hex(), message


def _signer(data: dict[str, Any], signature: str) -> str | None:
    from eth_account import Account

    try:
        return str(Account.recover_message(_digest(data)[1], signature=signature))
    except Exception:  # the library raises many kinds; whatever it is, nobody signed this
        return None
