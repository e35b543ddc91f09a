"""What a client of the SMS signs: EIP-191 over keccak(domain ‖ object ‖ hashes of name and value).

There is no nonce, time, chain id or endpoint in it, as in the real service: a signature made for web2 POST is
good for web2 PUT and for requester POST too, and on every other SMS. Clients depend on it.
"""

from __future__ import annotations

import re

from workflows.iexec.ids import keccak
from workflows.iexec.signatures import signer_of

_HEX = re.compile(r"(?:0[xX])?([0-9a-fA-F]*)\Z")
_DOMAIN = "IEXEC_SMS_DOMAIN"


def web3(address: str, value: str) -> str:
    """For the secret of an on-chain object (dataset)."""
    return _challenge(address, value)


def web2(owner: str, name: str, value: str) -> str:
    """For a named secret."""
    return _challenge(owner, name, value)


def requester(owner: str, key: str, value: str) -> str:
    """For a requester secret; equal to the web2 challenge."""
    return _challenge(owner, key, value)


def app(address: str, value: str) -> str:
    """For the one secret of an app's developer; its index is always "1"."""
    return _challenge(address, "1", value)


def concatenation(*parts: str) -> str:
    """keccak of the bytes of hex texts joined: worker ‖ task ‖ enclave challenge. ValueError: not hex."""
    return "0x" + keccak(b"".join(_bytes(part) for part in parts)).hex()


def signed_by(digest: str, signature: str, address: str) -> bool:
    """Whether the key of `address` made the signature (65 bytes r‖s‖v); ERC-1271 wallets cannot."""
    signer = signer_of(digest, signature)
    return signer is not None and signer.lower() == address.lower()


def _challenge(address: str, *texts: str) -> str:
    hashes = b"".join(keccak(text.encode()) for text in texts)
    return "0x" + keccak(keccak(_DOMAIN.encode()) + _bytes(address) + hashes).hex()


def _bytes(text: str) -> bytes:
    """Hex to bytes as the real service does: an odd digit is padded on the left, nothing is no bytes."""
    match = _HEX.match(text)
    if not match:
        raise ValueError(f"not hex: {text[:80]!r}")
    digits = match[1]
    return bytes.fromhex("0" + digits if len(digits) % 2 else digits)
