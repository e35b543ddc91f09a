"""Quotes that tests build: a machine with certificates of its own, and a quoting enclave."""

import datetime
import hashlib
import struct

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

from workflows.sgx.report import Report

QE_SIGNER = bytes.fromhex("8c4f5775d796503e96137f77c68a829a0056ac8ded70140b081b094490c57bff")
PRODUCTION = bytes.fromhex("05000000000000000300000000000000")
SGX_OID = "2a864886f84d010d01"


def name(title: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])


class Platform:
    """What a machine with SGX has: a root, an intermediate, a PCK certificate and a quoting enclave."""

    def __init__(self) -> None:
        self.keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(4)]
        root, middle, leaf, _ = self.keys
        titles = [name("Test Root CA"), name("Test Platform CA"), name("Test PCK")]
        self.root = self._issue(titles[0], root, titles[0], root, True)
        self.middle = self._issue(titles[1], middle, titles[0], root, True)
        facts = b"".join(
            bytes.fromhex("060a" + SGX_OID) + bytes((arc, 4, len(value))) + value
            for arc, value in ((1, b"p" * 16), (3, b"\0\1"), (4, bytes.fromhex("00906ea10000")))
        )
        self.leaf = self._issue(titles[2], leaf, titles[1], middle, False, facts)

    @staticmethod
    def _issue(subject, key, issuer, issuer_key, ca, facts=None) -> x509.Certificate:
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(7)
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if facts:
            oid = x509.ObjectIdentifier("1.2.840.113741.1.13.1")
            builder = builder.add_extension(x509.UnrecognizedExtension(oid, facts), critical=False)
        return builder.sign(issuer_key, hashes.SHA256())

    def chain(self, *order: x509.Certificate) -> bytes:
        order = order or (self.leaf, self.middle, self.root)
        return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in order)

    def quote(
        self, version: int = 3, tee: int = 0, body: bytes = b"", kind: int = 5, certification: bytes | None = None,
        qe: Report | None = None, user_data: bytes = bytes(20),
    ) -> bytes:  # fmt: skip
        """A quote, signed throughout."""
        key = self.keys[3].public_key().public_numbers()
        public = key.x.to_bytes(32, "big") + key.y.to_bytes(32, "big")
        vendor = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
        head = struct.pack("<HHIHH16s20s", version, 2, tee, 5, 6, vendor, user_data)
        if version == 5:
            head += struct.pack("<HI", {384: 1, 584: 2, 648: 3}[len(body)], len(body))
        bound = hashlib.sha256(public + b"auth").digest() + bytes(32)
        qe = qe or Report(b"q" * 32, QE_SIGNER, bound, attributes=PRODUCTION, isv_prod_id=1)
        qe_body = Report(**{**vars(qe), "report_data": bound}).pack()
        certification = self.chain() if certification is None else certification
        inner = qe_body + sign(self.keys[2], qe_body) + struct.pack("<H", 4) + b"auth"
        inner += struct.pack("<HI", kind, len(certification)) + certification
        if version > 3:
            inner = struct.pack("<HI", 6, len(inner)) + inner
        data = sign(self.keys[3], head + body) + public + inner
        return head + body + struct.pack("<I", len(data)) + data


def sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


BODY = Report(
    b"e" * 32, b"s" * 32, bytes(range(64)), b"c" * 16, 1, b"x" * 16, PRODUCTION, b"i" * 64, 2, 3, 4, b"f" * 16
)
TD_BODY = b"".join(bytes([value]) * 48 for value in range(1, 13)) + bytes([13]) * 8
