"""The development certificates that SIMULATED quotes chain to: root, intermediate, PCK leaf.

Named like Intel's (SGX Root CA, PCK Platform CA, PCK Certificate), with SIMULATED in every subject: what
verifies live quotes must never meet one that it could take for real.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from workflows.core.failure import Failed
from workflows.core.files import private_dir, write_atomic
from workflows.sgx.report import SIMULATED

_VALID = datetime.timedelta(days=3650)


@dataclass(frozen=True)
class Pki:
    """`root` with its key (it issues CAS's server certificate too), `pck` with the key for QE reports."""

    root: x509.Certificate
    root_key: ec.EllipticCurvePrivateKey
    intermediate: x509.Certificate
    pck: x509.Certificate
    pck_key: ec.EllipticCurvePrivateKey

    @property
    def root_pem(self) -> str:
        """What a stand-in base image trusts."""
        return self.root.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def chain(self) -> bytes:
        """PEM of leaf, intermediate and root: certification data of type 5."""
        certificates = (self.pck, self.intermediate, self.root)
        return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def development_pki(directory: Path) -> Pki:
    """The certificates and keys in a private directory (0700, files 0600), made when there is no root.

    Failed when a file of an existing set is missing or damaged: base images would not know a new root.
    """
    private_dir(directory)
    if not (directory / "root.pem").exists():
        _make(directory)
    try:
        return Pki(
            root=x509.load_pem_x509_certificate((directory / "root.pem").read_bytes()),
            root_key=_load_key(directory / "root.key"),
            intermediate=x509.load_pem_x509_certificate((directory / "intermediate.pem").read_bytes()),
            pck=x509.load_pem_x509_certificate((directory / "pck.pem").read_bytes()),
            pck_key=_load_key(directory / "pck.key"),
        )
    except (OSError, ValueError) as error:
        raise Failed(
            f"the development certificates in {directory} are damaged: {type(error).__name__}",
            "Move that folder away: a new set is made, and stand-in base images are built again for it.",
            name="damaged_pki",
        ) from None


def _make(directory: Path) -> None:
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    titles = ("SGX Root CA", "SGX PCK Platform CA", "SGX PCK Certificate")
    certificates: list[x509.Certificate] = []
    for level, (key, title) in enumerate(zip(keys, titles, strict=True)):
        issuer = certificates[-1].subject if certificates else _name(title)
        issuer_key = keys[max(0, level - 1)]
        certificates.append(_certificate(title, key, issuer, issuer_key, level))
    _write_key(directory / "root.key", keys[0])
    _write_key(directory / "pck.key", keys[2])
    for name, certificate in reversed(list(zip(("root", "intermediate", "pck"), certificates, strict=True))):
        write_atomic(directory / f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM))


def _certificate(
    title: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    level: int,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    leaf = level == 2
    usage = x509.KeyUsage(
        digital_signature=leaf,
        content_commitment=leaf,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=not leaf,
        crl_sign=not leaf,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(_name(title))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.BasicConstraints(ca=not leaf, path_length=(1, 0, None)[level]), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
        .sign(issuer_key, hashes.SHA256())
    )


def _name(title: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, f"{title} {SIMULATED}"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"creamtea {SIMULATED}"),
        ]
    )


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not an elliptic-curve key")
    return key


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    write_atomic(path, key.private_bytes(serialization.Encoding.PEM, form, plain))
