"""What a client of the SMS signs (EIP-191): Keccak over a domain, the object, and hashes of name and value.

There is no nonce, time, chain or endpoint in it (iexec-sms `AuthorizationService`): whoever sees one such
request can send it again, to another SMS too, and a signature for a named secret is good for a new value of it
and for a requester's secret. Clients of the real service depend on it. Hence TLS or loopback only.
"""

from __future__ import annotations

import re

from workflows.iexec.ids import keccak

_HEX = re.compile(r"(?:0[xX])?([0-9a-fA-F]*)\Z")


def web3(address: str, value: str) -> str:
    """For the key of a dataset. All challenges are 0x-hex of 32 bytes."""
    return _challenge(address, value)


def web2(owner: str, name: str, value: str) -> str:
    """For a named secret of a wallet."""
    return _challenge(owner, name, value)


def requester(owner: str, key: str, value: str) -> str:
    """For a secret of a requester; the same as for a named secret."""
    return _challenge(owner, key, value)


def app(address: str, value: str) -> str:
    """For the secret of an app's developer, whose index is always 1."""
    return _challenge(address, "1", value)


def joined(*parts: str) -> str:
    """Keccak over the bytes of hex texts, one after the other: worker, task, enclave. ValueError: not hex."""
    return "0x" + keccak(b"".join(_raw(part) for part in parts)).hex()


def _raw(text: str) -> bytes:
    """The bytes of hex with or without 0x; an odd digit is padded on the left, nothing is no bytes."""
    match = _HEX.match(text)
    if match is None:
        raise ValueError(f"not hex: {text[:80]!r}")
    digits = match[1]
    return bytes.fromhex("0" * (len(digits) % 2) + digits)


def _challenge(address: str, *texts: str) -> str:
    hashes = b"".join(keccak(text.encode()) for text in texts)
    return "0x" + keccak(keccak(b"IEXEC_SMS_DOMAIN") + _raw(address) + hashes).hex()
