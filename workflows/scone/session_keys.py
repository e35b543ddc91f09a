"""Keys and certificates in PEM as a session gives them, and the hash by which a client is known."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

_BEGIN = "-----BEGIN "
_CERTIFICATE, _PUBLIC = "-----BEGIN CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----"


def load(kind: str, pem: str) -> Any:
    """The key or certificate of a secret's kind. ValueError: it is none, without repeating it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    readers: dict[str, tuple[str, Callable[[bytes], Any]]] = {
        "private-key": ("a PEM private key", lambda data: serialization.load_pem_private_key(data, None)),
        "public-key": ("a PEM public key", serialization.load_pem_public_key),
        "x509": ("a PEM certificate", x509.load_pem_x509_certificate),
        "x509-ca": ("a PEM certificate", x509.load_pem_x509_certificate),
    }
    what, reader = readers[kind]
    if pem.count(_BEGIN) > 1:
        raise ValueError("value holds more than one PEM")
    try:
        with warnings.catch_warnings():  # the library comments on odd certificates
            warnings.simplefilter("ignore")
            return reader(pem.encode())
    except Exception:  # the library has many ways to say that it is none
        raise ValueError(f"value is not {what}") from None


def public_hash(kind: str, pem: str) -> str:
    """`key_hash` of the public part of a secret's value. ValueError: it cannot be read."""
    loaded = load(kind, pem)
    if kind in ("x509", "x509-ca"):
        return certificate_hash(loaded)
    return key_hash(loaded.public_key() if kind == "private-key" else loaded)


def signs(pem: str) -> bool:
    """Whether a private key can sign a certificate; some are for agreeing on keys alone."""
    return hasattr(load("private-key", pem), "sign")


def client_hash(pem: str) -> str | None:
    """The hash of the key in a PEM certificate or public key; None for any other text. ValueError: damaged."""
    if pem.lstrip().startswith(_CERTIFICATE):
        return certificate_hash(load("x509", pem))
    if pem.lstrip().startswith(_PUBLIC):
        return key_hash(load("public-key", pem))
    return None


def certificate_hash(certificate: x509.Certificate) -> str:
    """`key_hash` of a certificate's key. ValueError: it cannot be read."""
    try:
        return key_hash(certificate.public_key())
    except Exception:  # as above
        raise ValueError("the certificate's key cannot be read") from None


def key_hash(public: PublicKeyTypes) -> str:
    """SHA-256 (64 hex) of a public key (SPKI, DER): the identity of a client. SCONE's own hash is in base58."""
    from cryptography.hazmat.primitives import serialization

    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(public.public_bytes(serialization.Encoding.DER, form)).hexdigest()
