"""Names on the iExec chain: addresses, hashes and the ids derived from them (reference: PoCo v5/v6).

Addresses are checksummed text, hashes 0x-hex text of 32 bytes in lower case.
"""

from __future__ import annotations

import hashlib
import re

ZERO_ADDRESS = "0x" + "00" * 20
ZERO_HASH = "0x" + "00" * 32

_ADDRESS = re.compile(r"0[xX][0-9a-fA-F]{40}\Z")
_HASH = re.compile(r"0[xX][0-9a-fA-F]{64}\Z")
_HEX = re.compile(r"0[xX](?:[0-9a-fA-F]{2})*\Z")


def keccak(data: bytes) -> bytes:
    """Keccak-256, 32 bytes."""
    from eth_hash.auto import keccak as digest

    return bytes(digest(data))


def keccak_hex(*parts: str | bytes) -> str:
    """0x-hex Keccak-256 of the parts joined; text parts are 0x-hex."""
    return "0x" + keccak(b"".join(part if isinstance(part, bytes) else unhex(part) for part in parts)).hex()


def unhex(text: str) -> bytes:
    """The bytes of 0x-hex text; ValueError when it is something else."""
    if not _HEX.match(text):
        raise ValueError(f"not 0x-hex: {text[:80]!r}")
    return bytes.fromhex(text[2:])


def address(text: str) -> str:
    """A checksummed address (EIP-55). ValueError: not an address, or mixed case with a wrong checksum."""
    if not isinstance(text, str) or not _ADDRESS.match(text):
        raise ValueError(f"not an address: {str(text)[:80]!r}")
    plain = text[2:].lower()
    digest = keccak(plain.encode()).hex()
    checksummed = "0x" + "".join(
        c.upper() if int(d, 16) > 7 else c for c, d in zip(plain, digest, strict=False)
    )
    if text[2:] not in (plain, plain.upper(), checksummed[2:]):
        raise ValueError(f"address with a wrong checksum, a digit may be mistyped: {text}")
    return checksummed


def hash32(text: str) -> str:
    """A 32-byte hash in lower case; ValueError when it is something else."""
    if not isinstance(text, str) or not _HASH.match(text):
        raise ValueError(f"not 32 bytes of 0x-hex: {str(text)[:80]!r}")
    return "0x" + text[2:].lower()


def dealid(request_order_hash: str, consumed: int = 0) -> str:
    """The id of the deal that a match of this request order makes; `consumed` is its volume used before."""
    return keccak_hex(hash32(request_order_hash), consumed.to_bytes(32, "big"))


def taskid(deal: str, index: int) -> str:
    """The id of task `index` of a deal, `botFirst <= index < botFirst + botSize`."""
    return keccak_hex(hash32(deal), index.to_bytes(32, "big"))


def result_hash(task: str, digest: str) -> str:
    """What a contribution commits to: keccak(taskid ‖ digest)."""
    return keccak_hex(hash32(task), hash32(digest))


def result_seal(worker: str, task: str, digest: str) -> str:
    """The same bound to the worker: keccak(worker ‖ taskid ‖ digest)."""
    return keccak_hex(address(worker), hash32(task), hash32(digest))


def authorization_hash(worker: str, task: str, enclave: str) -> str:
    """What the workerpool's owner signs (EIP-191) so that a worker may run a task in an enclave."""
    return keccak_hex(address(worker), hash32(task), address(enclave))


def enclave_hash(worker: str, task: str, digest: str) -> str:
    """What the enclave key signs (EIP-191): keccak(resultHash ‖ resultSeal)."""
    return keccak_hex(result_hash(task, digest), result_seal(worker, task, digest))


def sha256_hex(data: bytes) -> str:
    """0x-hex SHA-256: checksums of datasets, names of input files."""
    return "0x" + hashlib.sha256(data).hexdigest()
