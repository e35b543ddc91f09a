"""Quotes of every kind, parsed: SGX and TDX with ECDSA (versions 3, 4, 5) and EPID (versions 1, 2).

Source: Intel's sgx_quote_3.h, sgx_quote_4.h, sgx_quote_5.h, sgx_quote.h. A header of 48 bytes, a body, a
length, and signature data of that length.
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass

from workflows.core.failure import Failed
from workflows.sgx import report as reports
from workflows.sgx.report import SIMULATED, Report, TdReport

VERSION, ECDSA_P256, SGX, TDX, PCK_CHAIN, NESTED = 3, 2, 0, 0x81, 5, 6
INTEL_QE = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
SIMULATED_QE = hashlib.sha256(b"SIMULATED quoting enclave").digest()[:16]
HEADER = struct.Struct("<HHIHH16s20s")
_VENDOR_AT = 12
_EPID_HEADER = struct.Struct("<HH4sHHI32s")
_BODIES = {1: reports.SIZE, 2: reports.TD_SIZE, 3: reports.TD_1_5_SIZE}  # of version 5


class BadQuote(Failed):
    """The bytes are no quote of this kind, or it does not verify; `name` says which check failed."""


@dataclass(frozen=True)
class Quote:
    """A quote with an ECDSA key; nothing in it is to be believed before it was verified."""

    version: int
    key_type: int
    tee_type: int
    qe_svn: int
    pce_svn: int
    qe_vendor: bytes
    user_data: bytes
    body: Report | TdReport
    signed: bytes
    signature: bytes
    attestation_key: bytes
    qe_report: bytes
    qe_signature: bytes
    auth_data: bytes
    certification_type: int
    certification: bytes

    @property
    def report(self) -> Report:
        """The enclave's report; ValueError for a trust domain's quote."""
        if not isinstance(self.body, Report):
            raise ValueError("a trust domain's quote has no enclave report")
        return self.body

    @property
    def mrenclave(self) -> str:
        """64 hex digits, as SGX tools print it."""
        return self.report.mrenclave.hex()

    @property
    def mrsigner(self) -> str:
        """64 hex digits."""
        return self.report.mrsigner.hex()

    @property
    def report_data(self) -> bytes:
        """64 bytes."""
        return self.body.report_data

    @property
    def simulated(self) -> bool:
        """Whether it says itself that no processor made it; a live verifier rejects it by its root anyway."""
        return self.qe_vendor == SIMULATED_QE or SIMULATED.encode() in self.user_data


@dataclass(frozen=True)
class EpidQuote:
    """A quote with an anonymous EPID signature: only Intel's attestation service could verify it."""

    version: int
    sign_type: int
    group_id: bytes
    qe_svn: int
    pce_svn: int
    extended_group_id: int
    basename: bytes
    report: Report
    signature: bytes


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def take(self, size: int) -> bytes:
        if self.at + size > len(self._data):
            raise bad("malformed", "the quote ends in the middle of a field")
        self.at += size
        return self._data[self.at - size : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def end(self) -> None:
        if self.at != len(self._data):
            raise bad("malformed", f"{len(self._data) - self.at:,} bytes follow the quote")


def parse(data: bytes) -> Quote:
    """An SGX quote of version 3 and nothing behind it; BadQuote `malformed` or `unsupported`."""
    if len(data) < HEADER.size:
        raise bad("malformed", "the quote ends in the middle of a field")
    version, key_type, tee_type, *_ = HEADER.unpack_from(data)
    if (version, key_type, tee_type) != (VERSION, ECDSA_P256, SGX):
        kind = f"version {version}, key type {key_type}, TEE type {tee_type:#x}"
        raise bad("unsupported", f"this is not an SGX quote of version 3 with an ECDSA-P256 key ({kind})")
    quote, size = _ecdsa(data)
    if size != len(data):
        raise bad("malformed", f"{len(data) - size:,} bytes follow the quote")
    return quote


def read(data: bytes) -> tuple[Quote | EpidQuote, int]:
    """A quote of any kind, and how many bytes it takes; others may follow. BadQuote as `parse` raises it."""
    if len(data) < HEADER.size:
        raise bad("malformed", "the quote ends in the middle of a field")
    version, key_type = struct.unpack_from("<HH", data)
    found: Quote | EpidQuote
    if version in (1, 2) and key_type in (0, 1):
        found, size = _epid(data)
    elif version in (3, 4, 5) and key_type == ECDSA_P256:
        found, size = _ecdsa(data)
    else:
        raise bad("unsupported", f"quotes of version {version} with key type {key_type} are not known")
    return found, size


def looks_like(data: bytes) -> bool:
    """Whether these first bytes (432 are enough) begin a quote of any kind."""
    if len(data) < HEADER.size:
        return False
    version, key_type, tee_type, _, _, vendor, _ = HEADER.unpack_from(data)
    if version in (1, 2):  # nothing else marks it: a report's reserved bytes are zero
        body = data[HEADER.size :]
        return key_type in (0, 1) and len(body) >= reports.SIZE and not any(body[20:32] + body[96:128])
    return version in (3, 4, 5) and key_type in (2, 3) and (tee_type in (SGX, TDX) or vendor == INTEL_QE)


def find(data: bytes) -> list[int]:
    """Where quotes from Intel's quoting enclaves begin inside of something else."""
    places = (match.start() - _VENDOR_AT for match in re.finditer(re.escape(INTEL_QE), data))
    return [at for at in places if at >= 0 and looks_like(data[at : at + HEADER.size])]


def _ecdsa(data: bytes) -> tuple[Quote, int]:
    reader = _Reader(data)
    version, key_type, tee_type, qe_svn, pce_svn, vendor, user_data = HEADER.unpack(reader.take(HEADER.size))
    if version == 5:
        kind, size = reader.number(2), reader.number(4)
        if _BODIES.get(kind) != size:
            raise bad("unsupported", f"a body of kind {kind} with {size:,} bytes is not known")
    else:
        if tee_type not in (SGX, TDX) or (version == 3 and tee_type != SGX):
            raise bad("unsupported", f"quotes of version {version} for TEE type {tee_type:#x} are not known")
        size = reports.SIZE if tee_type == SGX else reports.TD_SIZE
    raw = reader.take(size)
    body = Report.unpack(raw) if size == reports.SIZE else TdReport.unpack(raw)
    signed = data[: reader.at]
    rest = _Reader(reader.take(reader.number(4)))
    signature, key = rest.take(64), rest.take(64)
    if version > 3:
        kind = rest.number(2)
        if kind != NESTED:
            raise bad("unsupported", f"certification data of type {kind} is not known in version {version}")
        nested = _Reader(rest.take(rest.number(4)))
        rest.end()
        rest = nested
    qe_report, qe_signature, auth_data = rest.take(reports.SIZE), rest.take(64), rest.take(rest.number(2))
    certification_type = rest.number(2)
    certification = rest.take(rest.number(4))
    rest.end()
    quote = Quote(
        version, key_type, tee_type, qe_svn, pce_svn, vendor, user_data, body, signed, signature, key, qe_report,
        qe_signature, auth_data, certification_type, certification,
    )  # fmt: skip
    return quote, reader.at


def _epid(data: bytes) -> tuple[EpidQuote, int]:
    reader = _Reader(data)
    version, sign_type, group, qe_svn, pce_svn, extended, basename = _EPID_HEADER.unpack(reader.take(48))
    body = Report.unpack(reader.take(reports.SIZE))
    signature = reader.take(reader.number(4)) if len(data) > reader.at else b""
    quote = EpidQuote(version, sign_type, group, qe_svn, pce_svn, extended, basename, body, signature)
    return quote, reader.at


def bad(name: str, message: str) -> BadQuote:
    """What a check raises."""
    return BadQuote(message, "Get the quote again from its source; do not trust what it says.", name=name)
