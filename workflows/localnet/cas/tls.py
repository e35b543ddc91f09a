"""TLS of CAS: server certificates under the development root, and client certificates that CAS knows.

The hash of a client's public key is who it is: any certificate is taken, self-signed ones too, as SCONE's CAS
takes them. What a client proves is that it has the key.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from workflows.core.files import private_dir, write_atomic
from workflows.scone import session_keys
from workflows.sgx.pki import Pki

NAMES = ("cas", "localhost", "127.0.0.1")
_CERTIFICATE_MESSAGE = 11  # of the handshake
# X509_V_FLAG_NO_CHECK_TIME: who comes with an expired certificate is told so in an answer (`untimely`), not by a
# connection that ends
_NO_CHECK_TIME = ssl.VerifyFlags(0x200000)
_YEARS = datetime.timedelta(days=3650)


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key as PEM files (0600)."""

    certificate: Path
    key: Path

    def exists(self) -> bool:
        """Whether both are there."""
        return self.certificate.is_file() and self.key.is_file()

    def der(self) -> bytes:
        """The certificate itself."""
        return ssl.PEM_cert_to_DER_cert(self.certificate.read_text())


def server_pair(directory: Path, pki: Pki, title: str = "creamtea CAS", hosts: Sequence[str] = NAMES) -> Pair:
    """A server's certificate for these names and addresses, made when absent, of other names or another root."""
    pair = Pair(directory / "server.crt", directory / "server.key")
    if pair.exists():
        try:
            x509.load_pem_x509_certificate(pair.certificate.read_bytes()).verify_directly_issued_by(pki.root)
            if not lacking(pair, hosts):
                return pair
        except Exception:  # damaged, or the state directory got a new root: make another
            pair.certificate.unlink()
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(f"{title} SIMULATED", key, pki.root.subject)
    for extension in (
        x509.SubjectAlternativeName([_general(host) for host in hosts]),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(pki.root_key.public_key()),
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
    ):
        builder = builder.add_extension(extension, critical=False)
    return _write(pair, builder.sign(pki.root_key, hashes.SHA256()), key)


def lacking(pair: Pair, hosts: Sequence[str]) -> str:
    """What a server's certificate is not good for, in words; empty when it serves all these hosts today."""
    certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
    now = datetime.datetime.now(datetime.timezone.utc)
    if certificate.not_valid_after_utc < now:
        return f"since {certificate.not_valid_after_utc:%Y-%m-%d}: it has expired"
    if certificate.not_valid_before_utc > now:
        return f"before {certificate.not_valid_before_utc:%Y-%m-%d}"
    try:
        named = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "for any host: it names none in subjectAltName"
    dns = {name.lower() for name in named.get_values_for_type(x509.DNSName)}
    known = {*dns, *map(str, named.get_values_for_type(x509.IPAddress))}
    unknown = [host for host in hosts if not {host.strip("[]"), f"*.{host.partition('.')[2]}"} & known]
    return f"for {', '.join(unknown)}" if unknown else ""


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return x509.DNSName(host)


def client_pair(directory: Path, name: str) -> Pair:
    """A self-signed client certificate of this name, made when absent."""
    private_dir(directory)
    pair = Pair(directory / f"{name}.crt", directory / f"{name}.key")
    if pair.exists():
        return pair
    key = ec.generate_private_key(ec.SECP256R1())
    subject = f"creamtea {name}"
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    builder = _builder(subject, key, _name(subject)).add_extension(usage, critical=False)
    return _write(pair, builder.sign(key, hashes.SHA256()), key)


def client_context(pair: Pair | None, root_pem: str) -> ssl.SSLContext:
    """For a client of CAS: trusts the development root and nothing else, shows its certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=root_pem)
    if pair:
        context.load_cert_chain(pair.certificate, pair.key)
    return context


def server_context(pair: Pair, *, clients: bool) -> ssl.SSLContext:
    """For a port of CAS; with `clients`, a client may show a certificate, whoever signed it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pair.certificate, pair.key, password="")  # never ask for one
    if clients:
        _welcome(context)
        # Each connection gets a context of its own: what one client shows is kept no longer than it stays.
        context.sni_callback = lambda connection, _name, _context: _move(connection, pair)
    return context


def _move(connection: Any, pair: Pair) -> None:
    own = server_context(pair, clients=False)
    _welcome(own)  # first: a connection takes over what its new context calls
    connection.context = own


def _welcome(context: ssl.SSLContext) -> None:
    """Ask for a client's certificate. `ssl` has no option for one of anybody: see `_introduce`."""
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    setattr(context, "_msg_callback", _introduce)  # noqa: B010 - not in the stubs


def _introduce(
    connection: Any, direction: str, version: int, content: int, message: int, data: bytes
) -> None:
    """Make a client's certificate known, while its message is read, to the context that is about to verify it.

    Its key still has to sign the handshake (RFC 5246 and 8446).
    """
    if direction != "read" or message != _CERTIFICATE_MESSAGE:
        return
    leaf = _leaf(data, named=version == ssl.TLSVersion.TLSv1_3)
    if leaf:
        with suppress(ssl.SSLError):  # no certificate: the handshake fails by itself
            connection.context.load_verify_locations(cadata=leaf)


def _leaf(message: bytes, *, named: bool) -> bytes:
    """The first certificate (DER) of a Certificate message; empty when there is none."""
    context = 1 + message[4] if named and len(message) > 4 else 0  # of the request, before the list; 1.3 only
    at = 4 + context
    length = int.from_bytes(message[at + 3 : at + 6], "big")
    return message[at + 6 : at + 6 + length]


def key_hash(certificate: bytes) -> str:
    """`session_keys.key_hash` of a DER certificate: the identity of a creator. ValueError: an odd key."""
    return session_keys.certificate_hash(x509.load_der_x509_certificate(certificate))


def untimely(certificate: bytes) -> str:
    """What is wrong with the time of a DER certificate, in words; empty when it is valid now."""
    known = x509.load_der_x509_certificate(certificate)
    now = datetime.datetime.now(datetime.timezone.utc)
    if known.not_valid_after_utc < now:
        return f"has expired on {known.not_valid_after_utc:%Y-%m-%d}"
    if known.not_valid_before_utc > now:
        return f"is not valid before {known.not_valid_before_utc:%Y-%m-%d}"
    return ""


def _builder(subject: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Name) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + _YEARS)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _write(pair: Pair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    private_dir(pair.key.parent)
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    write_atomic(pair.key, key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    write_atomic(pair.certificate, certificate.public_bytes(pem))
    return pair
