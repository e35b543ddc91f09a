"""How the SDK answers the login challenge of the market and of the result proxy."""

from __future__ import annotations

from typing import Any

from eth_account.messages import encode_typed_data

from workflows.iexec import ids


def authorization(data: Any, wallet: Any, claimed: str = "") -> str:
    """`<hash>_<signature>_<address>`, as `getAuthorization` of the SDK puts it together."""
    message = encode_typed_data(full_message=data)
    digest = ids.keccak(b"\x19" + message.version + message.header + message.body).hex()
    signature = bytes(wallet.sign_message(message).signature).hex()
    return f"0x{digest}_0x{signature}_{claimed or wallet.address}"
