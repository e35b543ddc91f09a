"""The checks of a quote that need no network, each alone; they raise BadQuote with the check's name.

They are steps 1 to 4 of Intel's list, without CRLs: the attestation key's signature, the QE report's by the
PCK leaf, the QE report's data, the PCK chain.
"""

from __future__ import annotations

import hashlib
import warnings
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from workflows.core.text import clean
from workflows.sgx.quote_format import PCK_CHAIN, Quote, bad
from workflows.sgx.report import SIMULATED, Report


def certificates(quote: Quote) -> list[x509.Certificate]:
    """The PCK leaf, the intermediate and the root that the quote brings; BadQuote `certification` or `chain`."""
    if quote.certification_type != PCK_CHAIN:
        raise bad("certification", f"it brings no certificate chain (type {quote.certification_type})")
    text = quote.certification[:-1] if quote.certification.endswith(b"\0") else quote.certification
    try:
        with warnings.catch_warnings():  # the library comments on odd certificates
            warnings.simplefilter("ignore")
            chain = x509.load_pem_x509_certificates(text)
            again = b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain)
            for each in chain:  # what is read later must be readable
                _ = each.serial_number, each.not_valid_before_utc, each.not_valid_after_utc
                name(each.subject), name(each.issuer)
    except Exception:  # the library has many ways to say that a certificate is nonsense
        raise bad("chain", "its certificates cannot be read") from None
    if _joined(again) != _joined(text) or not all(map(_strict, chain)):
        raise bad("chain", "something other than certificates is in its chain")
    if len(chain) != 3:
        raise bad("chain", f"a PCK chain has three certificates, this one {len(chain)}")
    # Intel's older chains have the root in the middle.
    return [chain[0], *sorted(chain[1:], key=lambda each: each.subject == each.issuer)]


def name(some: x509.Name) -> str:
    """A name as it may be shown."""
    return clean(some.rfc4514_string())


def says_simulated(quote: Quote, chain: list[x509.Certificate]) -> bool:
    """Whether the quote or a certificate in it says that no processor made it."""
    return quote.simulated or any(SIMULATED in each.subject.rfc4514_string() for each in chain)


def check_chain(quote: Quote, chain: list[x509.Certificate], root: x509.Certificate, now: datetime) -> None:
    """Leaf, intermediate and root are whole, valid now, and end in `root`."""
    if says_simulated(quote, chain) and SIMULATED not in root.subject.rfc4514_string():
        raise bad("simulated", "the quote is SIMULATED: it chains to a development root")
    if not _same_anchor(chain[2], root):
        raise bad("root", "the quote's chain does not end in the expected root")
    for subject, issuer, below in ((chain[0], chain[1], 0), (chain[1], chain[2], 1), (chain[2], chain[2], 1)):
        _issued(subject, issuer, below, now)


def check_qe_report_data(quote: Quote) -> None:
    """The quoting enclave vouches for the attestation key."""
    expected = hashlib.sha256(quote.attestation_key + quote.auth_data).digest() + bytes(32)
    if Report.unpack(quote.qe_report).report_data != expected:
        raise bad("qe_report_data", "the quoting enclave does not vouch for this attestation key")


def check_qe_report(quote: Quote, chain: list[x509.Certificate]) -> None:
    """The PCK leaf signed the quoting enclave's report."""
    try:
        key = chain[0].public_key()
    except Exception:  # see `certificates`
        raise bad("chain", "the PCK certificate's key cannot be read") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise bad("chain", "the PCK certificate has no P-256 key")
    _check(key, quote.qe_signature, quote.qe_report, "qe_report")


def check_signature(quote: Quote) -> None:
    """The attestation key signed header and body."""
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + quote.attestation_key)
    except ValueError:
        raise bad("attestation_key", "its attestation key is no point of P-256") from None
    _check(key, quote.signature, quote.signed, "signature")


def _same_anchor(given: x509.Certificate, root: x509.Certificate) -> bool:
    """Name and key make a root: Intel's was issued twice, the first time to the year 2033."""
    try:
        return given.subject == root.subject and given.public_key() == root.public_key()
    except Exception:  # see `certificates`
        return False


def _joined(pem: bytes) -> bytes:
    """PEM without its line ends: how long its lines are is its writer's affair."""
    return pem.translate(None, b"\r\n")


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
        raise bad("chain", f"{name(subject.subject)} was not issued by the next in its chain") from None
    depth = constraints.path_length
    if not constraints.ca or (depth is not None and depth < below):
        raise bad("chain", f"{name(issuer.subject)} may not issue certificates")
    if not subject.not_valid_before_utc <= now <= subject.not_valid_after_utc:
        raise bad("expired", f"{name(subject.subject)} is not valid now")


def _check(key: ec.EllipticCurvePublicKey, signature: bytes, data: bytes, part: str) -> None:
    numbers = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        key.verify(encode_dss_signature(*numbers), data, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        what = {"signature": "header and body", "qe_report": "the QE report"}[part]
        raise bad(part, f"the signature over {what} is wrong") from None
