"""ECDSA quotes of version 3: parsed, built for the localnet, verified up to a given root.

Layout: Intel's sgx_quote_3.h. 48 bytes of header, 384 of report, signature data of a length given at 432.
Verification is steps 1 to 4 of Intel's list, without CRLs: signature over bytes 0 to 431 by the attestation
key, QE report by the PCK leaf, QE report data, PCK chain. TCB status and CRLs need a network's collateral.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from datetime import datetime, timezone

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from workflows.core.failure import Failed
from workflows.sgx.pki import SIMULATED, Pki

VERSION, ECDSA_P256, SGX, PCK_CHAIN = 3, 2, 0, 5
INTEL_QE = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
SIMULATED_QE = hashlib.sha256(b"SIMULATED quoting enclave").digest()[:16]
DEBUG_ENCLAVE = bytes.fromhex("07000000000000000300000000000000")  # INIT, DEBUG, 64 bit: nothing is protected
_HEADER = struct.Struct("<HHIHH16s20s")
_REPORT = struct.Struct("<16sI12x16s16s32s32x32s32x64sHHH42x16s64s")
_SIGNED = _HEADER.size + _REPORT.size  # 432


class BadQuote(Failed):
    """The bytes are no quote of this kind, or it does not verify; `name` says which check failed."""


@dataclass(frozen=True)
class Report:
    """What the processor says about an enclave; `report_data` is what the enclave says (64 bytes)."""

    mrenclave: bytes
    mrsigner: bytes
    report_data: bytes
    cpu_svn: bytes = bytes(16)
    misc_select: int = 0
    isv_ext_prod_id: bytes = bytes(16)
    attributes: bytes = DEBUG_ENCLAVE
    config_id: bytes = bytes(64)
    isv_prod_id: int = 0
    isv_svn: int = 0
    config_svn: int = 0
    isv_family_id: bytes = bytes(16)

    @property
    def debug(self) -> bool:
        """Whether a debugger may read the enclave."""
        return bool(self.attributes[0] & 0x2)

    def pack(self) -> bytes:
        """384 bytes."""
        for size, field in ((32, self.mrenclave), (32, self.mrsigner), (64, self.report_data)):
            if len(field) != size:
                raise ValueError(f"a report takes {size} bytes, not {len(field)}")
        return _REPORT.pack(
            self.cpu_svn,
            self.misc_select,
            self.isv_ext_prod_id,
            self.attributes,
            self.mrenclave,
            self.mrsigner,
            self.config_id,
            self.isv_prod_id,
            self.isv_svn,
            self.config_svn,
            self.isv_family_id,
            self.report_data,
        )

    @classmethod
    def unpack(cls, data: bytes) -> Report:
        """The report in 384 bytes."""
        cpu, misc, ext, attributes, enclave, signer, config, product, svn, config_svn, family, own = (
            _REPORT.unpack(data)
        )
        return cls(enclave, signer, own, cpu, misc, ext, attributes, config, product, svn, config_svn, family)


@dataclass(frozen=True)
class Quote:
    """A parsed quote; nothing in it is to be believed before `verify` returned it."""

    version: int
    key_type: int
    tee_type: int
    qe_svn: int
    pce_svn: int
    qe_vendor: bytes
    user_data: bytes
    report: Report
    signed: bytes
    signature: bytes
    attestation_key: bytes
    qe_report: bytes
    qe_signature: bytes
    auth_data: bytes
    certification_type: int
    certification: bytes

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
        return self.report.report_data

    @property
    def simulated(self) -> bool:
        """Whether it says itself that no processor made it; a live verifier rejects it by its root anyway."""
        return self.qe_vendor == SIMULATED_QE or SIMULATED.encode() in self.user_data


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, size: int) -> bytes:
        if self._at + size > len(self._data):
            raise _bad("malformed", "the quote ends in the middle of a field")
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def end(self) -> None:
        if self._at != len(self._data):
            raise _bad("malformed", f"{len(self._data) - self._at} bytes follow the quote")


def parse(data: bytes) -> Quote:
    """The fields of a quote; BadQuote `malformed` or `unsupported`."""
    reader = _Reader(data)
    header = reader.take(_HEADER.size)
    version, key_type, tee_type, qe_svn, pce_svn, qe_vendor, user_data = _HEADER.unpack(header)
    if (version, key_type, tee_type) != (VERSION, ECDSA_P256, SGX):
        kind = f"version {version}, key type {key_type}, TEE type {tee_type:#x}"
        raise _bad("unsupported", f"this is not an SGX quote of version 3 with an ECDSA-P256 key ({kind})")
    report = Report.unpack(reader.take(_REPORT.size))
    body = _Reader(reader.take(reader.number(4)))
    reader.end()
    signature, key, qe_report, qe_signature = (body.take(size) for size in (64, 64, _REPORT.size, 64))
    auth_data = body.take(body.number(2))
    kind_of_data = body.number(2)
    certification = body.take(body.number(4))
    body.end()
    return Quote(
        version=version,
        key_type=key_type,
        tee_type=tee_type,
        qe_svn=qe_svn,
        pce_svn=pce_svn,
        qe_vendor=qe_vendor,
        user_data=user_data,
        report=report,
        signed=data[:_SIGNED],
        signature=signature,
        attestation_key=key,
        qe_report=qe_report,
        qe_signature=qe_signature,
        auth_data=auth_data,
        certification_type=kind_of_data,
        certification=certification,
    )


def verify(data: bytes, root: x509.Certificate, now: datetime | None = None) -> Quote:
    """The quote, when every signature in it leads to exactly this root; else BadQuote, its name saying why.

    What says SIMULATED is accepted under a root that says so too, and under no other.
    """
    quote = parse(data)
    leaf = _chain(quote, root, now or datetime.now(timezone.utc))
    expected = hashlib.sha256(quote.attestation_key + quote.auth_data).digest() + bytes(32)
    if Report.unpack(quote.qe_report).report_data != expected:
        raise _bad("qe_report_data", "the quoting enclave does not vouch for this attestation key")
    _check(leaf, quote.qe_signature, quote.qe_report, "qe_report")
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + quote.attestation_key)
    except ValueError:
        raise _bad("attestation_key", "its attestation key is no point of P-256") from None
    _check(key, quote.signature, quote.signed, "signature")
    return quote


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
        report = Report(bytes.fromhex(mrenclave), signer, report_data)
        user_data = SIMULATED.encode().ljust(20, b"\0")
        header = _HEADER.pack(VERSION, ECDSA_P256, SGX, 0, 0, SIMULATED_QE, user_data)
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


def _chain(quote: Quote, root: x509.Certificate, now: datetime) -> ec.EllipticCurvePublicKey:
    """The PCK leaf's key, when leaf, intermediate and root are whole, valid now, and end in `root`."""
    if quote.certification_type != PCK_CHAIN:
        raise _bad("certification", f"it brings no certificate chain (type {quote.certification_type})")
    text = quote.certification[:-1] if quote.certification.endswith(b"\0") else quote.certification
    try:
        chain = x509.load_pem_x509_certificates(text)
        names = [each.subject.rfc4514_string() for each in chain]
        again = b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain)
    except Exception:  # the library has many ways to say that a certificate is nonsense
        raise _bad("chain", "its certificates cannot be read") from None
    if again.rstrip(b"\n") != text.rstrip(b"\n") or not all(map(_strict, chain)):
        raise _bad("chain", "something other than certificates is in its chain")
    if len(chain) != 3:
        raise _bad("chain", f"a PCK chain has three certificates, this one {len(chain)}")
    simulated = quote.simulated or any(SIMULATED in name for name in names)
    if simulated and SIMULATED not in root.subject.rfc4514_string():
        raise _bad("simulated", "the quote is SIMULATED: it chains to a development root")
    if chain[2] != root:
        raise _bad("root", "the quote's chain does not end in the expected root")
    for subject, issuer, below in ((chain[0], chain[1], 0), (chain[1], chain[2], 1), (chain[2], chain[2], 1)):
        _issued(subject, issuer, below, now)
    key = chain[0].public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _bad("chain", "the PCK certificate has no P-256 key")
    return key


def _strict(certificate: x509.Certificate) -> bool:
    """Whether it ends in its signature as DER writes it: the library ignores the count of unused bits."""
    signature = certificate.signature
    ending = bytes((0x03, len(signature) + 1, 0)) + signature if len(signature) < 0x7F else b""
    return bool(ending) and certificate.public_bytes(serialization.Encoding.DER).endswith(ending)


def _issued(subject: x509.Certificate, issuer: x509.Certificate, below: int, now: datetime) -> None:
    try:
        subject.verify_directly_issued_by(issuer)
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
    except Exception:  # see `_chain`
        raise _bad(
            "chain", f"{subject.subject.rfc4514_string()} was not issued by the next in its chain"
        ) from None
    depth = constraints.path_length
    if not constraints.ca or (depth is not None and depth < below):
        raise _bad("chain", f"{issuer.subject.rfc4514_string()} may not issue certificates")
    if not subject.not_valid_before_utc <= now <= subject.not_valid_after_utc:
        raise _bad("expired", f"{subject.subject.rfc4514_string()} is not valid now")


def _sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _check(key: ec.EllipticCurvePublicKey, signature: bytes, data: bytes, name: str) -> None:
    encoded = encode_dss_signature(
        int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    )
    try:
        key.verify(encoded, data, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise _bad(name, f"the signature of the {name.replace('_', ' ')} is wrong") from None


def _bad(name: str, message: str) -> BadQuote:
    return BadQuote(message, "Get the quote again from its source; do not trust what it says.", name=name)
