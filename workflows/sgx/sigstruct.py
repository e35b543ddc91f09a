"""SIGSTRUCT: what a signer says about an enclave, 1808 bytes. Source: Intel SDM vol. 3D, table of SIGSTRUCT."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from workflows.sgx.source import Malformed, Source

SIZE = 1808
HEADER = bytes.fromhex("06000000e10000000000010000000000")
_PRE_PRODUCTION = bytes.fromhex("06000000e10000000000010000000080")
HEADER2 = bytes.fromhex("01010000600000006000000001000000")
_FORM = struct.Struct("<16sI4s16sI84s384sI384sII4s16s16s16s32s16s16sHH12s384s384s")
_PKCS1 = b"\0\1" + b"\xff" * (384 - 51 - 3) + b"\0" + bytes.fromhex("3031300d060960864801650304020105000420")
_PIECE = 1 << 22

# Intel's own signers, as its published enclaves have them (psw/ae/data/prebuilt of its SDK, DCAP).
INTEL = {
    "acb77012053e05a63d413b8bbae8fb6c5d73b3f2996d91c43bbbf90959c0f8d4": "launch",
    "494a7e7138d5985fe6c8b126c7914718f895b6622f04eef8ae8fd2d3d332c6d4": "launch, before production",
    "ec15b10787d2f84667ceb0b598ffc44a1f1cb80f670aae5df9e8fa9f6376e1f8": "EPID quoting, provisioning, platform services",
    "c54a62f2be9ef76efb1f3930ad81ea7f60defc1f5f25e09b7c067a815ae0c6cb": "certification of PCKs",
    "8c4f5775d796503e96137f77c68a829a0056ac8ded70140b081b094490c57bff": "quoting and verifying with ECDSA",
    "dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5": "quoting for TDX",
}
# Signers whose private keys anybody can download with Intel's SDK.
PUBLIC_KEYS = {
    "83d719e77deaca1470f6baf62a4d774303c899db69020f9c70ee1dfc08c7ce9e": "the sample key of Intel's SDK",
    "5e70caf3b3bb3b5dfaacfeaea8c2170d94e2f8c347b896f38640692b770e223f": "the template key of Intel's SDK plug-in",
    "9664d90755bd901069d4725cdd428038473d726f1cec0edf0d78e18a596b1d4e": "a test key of Intel's launch enclave",
    "fbbf17d6b0700e63ad55520f17ed6d2e06c2832217cd992bad243b5022ee83bc": "a test key of Intel's launch enclave",
}
ATTRIBUTES = {
    0x1: "INIT", 0x2: "DEBUG", 0x4: "MODE64BIT", 0x10: "PROVISIONKEY", 0x20: "EINITTOKENKEY", 0x40: "CET",
    0x80: "KSS", 0x400: "AEXNOTIFY",
}  # fmt: skip


@dataclass(frozen=True)
class Sigstruct:
    """The fields; nothing in them is to be believed while `checks` names a fault."""

    raw: bytes
    header: bytes
    vendor: int
    raw_date: bytes
    header2: bytes
    swdefined: int
    modulus: bytes
    exponent: int
    signature: bytes
    misc_select: int
    misc_mask: int
    isv_family_id: bytes
    attributes: bytes
    attribute_mask: bytes
    mrenclave: str
    isv_ext_prod_id: bytes
    isv_prod_id: int
    isv_svn: int
    q1: bytes
    q2: bytes

    @property
    def mrsigner(self) -> str:
        """SHA-256 of the modulus as it is stored, 64 hex digits."""
        return hashlib.sha256(self.modulus).hexdigest()

    @property
    def date(self) -> str | None:
        """ISO date; None when its digits are none."""
        digits = self.raw_date[::-1].hex()
        return f"{digits[:4]}-{digits[4:6]}-{digits[6:]}" if digits.isdigit() else None

    @property
    def debug(self) -> bool:
        """Whether the enclave only runs with a debugger let in."""
        return bool(self.attributes[0] & 0x2)

    @property
    def debug_allowed(self) -> bool:
        """Whether the mask leaves DEBUG to who starts the enclave."""
        return not self.attribute_mask[0] & 0x2

    @property
    def pre_production(self) -> bool:
        """Whether its type is a debug release (Intel's arch.h), which processors in production refuse."""
        return self.header == _PRE_PRODUCTION

    def checks(self) -> dict[str, bool]:
        """What EINIT checks, each alone: constants, zeros, the RSA signature, and its two quotients."""
        number, value = int.from_bytes(self.modulus, "little"), int.from_bytes(self.signature, "little")
        sound = number.bit_length() == 3072 and value < number
        square = value * value
        padded = pow(value, 3, number).to_bytes(384, "big") if sound else b""
        signed = hashlib.sha256(self.raw[:128] + self.raw[900:1028]).digest()
        zeros = (self.raw[44:128], self.raw[908:912], self.raw[992:1008], self.raw[1028:1040])
        return {
            "header": self.header in (HEADER, _PRE_PRODUCTION) and self.header2 == HEADER2,
            "reserved": not any(any(some) for some in zeros),
            "exponent": self.exponent == 3,
            "signature": padded == _PKCS1 + signed,
            "q1": sound and square // number == int.from_bytes(self.q1, "little"),
            "q2": sound and square % number * value // number == int.from_bytes(self.q2, "little"),
        }

    @property
    def valid(self) -> bool:
        """Whether the processor would take it."""
        return all(self.checks().values())


def parse(data: bytes) -> Sigstruct:
    """The SIGSTRUCT in 1808 bytes; Malformed for another length."""
    if len(data) != SIZE:
        raise Malformed(f"a SIGSTRUCT has {SIZE} bytes, not {len(data):,}")
    (
        header, vendor, date, header2, swdefined, _, modulus, exponent, signature, misc, misc_mask, _, family,
        attributes, mask, mrenclave, _, ext_prod, prod, svn, _, q1, q2,
    ) = _FORM.unpack(data)  # fmt: skip
    return Sigstruct(
        data, header, vendor, date, header2, swdefined, modulus, exponent, signature, misc, misc_mask, family,
        attributes, mask, mrenclave.hex(), ext_prod, prod, svn, q1, q2,
    )  # fmt: skip


def looks_like(data: bytes) -> bool:
    """Whether these first bytes are those of a SIGSTRUCT, perhaps a damaged one."""
    return data[:16] == HEADER or data[24:40] == HEADER2


def scan(source: Source) -> Iterator[tuple[int, Sigstruct]]:
    """The SIGSTRUCTs anywhere in a file, with their offsets: both headers must be whole."""
    start = 0
    while start < source.size:
        piece = source.read(start, min(_PIECE + SIZE, source.size - start), original=True)
        at = piece.find(HEADER)
        while 0 <= at < _PIECE:
            if piece[at + 24 : at + 40] == HEADER2 and at + SIZE <= len(piece):
                yield start + at, parse(piece[at : at + SIZE])
            at = piece.find(HEADER, at + 1)
        start += _PIECE


def flag_names(flags: int, names: dict[int, str]) -> list[str]:
    """The names of the bits that are set; unknown ones as hex."""
    return [names.get(1 << bit, hex(1 << bit)) for bit in range(64) if flags >> bit & 1]
