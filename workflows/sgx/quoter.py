"""Quotes that the localnet makes: SIMULATED, in the layout of the real ones."""

from __future__ import annotations

import hashlib
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from workflows.sgx.pki import Pki
from workflows.sgx.quote_format import ECDSA_P256, HEADER, PCK_CHAIN, SGX, SIMULATED_QE, VERSION
from workflows.sgx.report import SIMULATED, Report


class Quoter:
    """What LAS quotes with: a fresh attestation key, vouched for by a simulated quoting enclave."""

    def __init__(self, pki: Pki) -> None:
        self._chain = pki.chain
        self._key = ec.generate_private_key(ec.SECP256R1())
        numbers = self._key.public_key().public_numbers()
        self._public = numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
        self._auth_data = SIMULATED.encode()
        self._qe_report = Report(
            mrenclave=hashlib.sha256(b"SIMULATED quoting enclave").digest(),
            mrsigner=hashlib.sha256(b"SIMULATED quoting enclave signer").digest(),
            report_data=hashlib.sha256(self._public + self._auth_data).digest() + bytes(32),
        ).pack()
        self._qe_signature = _sign(pki.pck_key, self._qe_report)

    def quote(self, mrenclave: str, report_data: bytes) -> bytes:
        """A quote for a measured enclave: `mrenclave` 64 hex digits, `report_data` 64 bytes."""
        signer = hashlib.sha256(b"SIMULATED enclave signer").digest()
        return self.attest(Report(bytes.fromhex(mrenclave), signer, report_data))

    def attest(self, report: Report) -> bytes:
        """A quote for any report."""
        user_data = SIMULATED.encode().ljust(20, b"\0")
        header = HEADER.pack(VERSION, ECDSA_P256, SGX, 0, 0, SIMULATED_QE, user_data)
        signed = header + report.pack()
        body = b"".join(
            (
                _sign(self._key, signed),
                self._public,
                self._qe_report,
                self._qe_signature,
                struct.pack("<H", len(self._auth_data)) + self._auth_data,
                struct.pack("<HI", PCK_CHAIN, len(self._chain)) + self._chain,
            )
        )
        return signed + struct.pack("<I", len(body)) + body


def _sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")
