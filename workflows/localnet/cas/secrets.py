"""The values of a session's secrets: made or taken as given, and in every format that a placeholder names.

A value is kept as bytes: an ascii secret's text, a binary secret's bytes, a key's or certificate's PEM.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import ipaddress
import json
import secrets
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from workflows.localnet.runtime.inject import replace
from workflows.scone.session_keys import load
from workflows.scone.session_model import Secret, Session
from workflows.scone.session_secrets import ESCAPE, forms, is_bytes, named

_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
_PEM, _DER = serialization.Encoding.PEM, serialization.Encoding.DER
_SPKI, _PKCS8 = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PrivateFormat.PKCS8
_FOREVER = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.timezone.utc)
_ENDPOINTS = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}
_SIGNS = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
_KINDS = {"ascii": "string"}  # as the value of that kind is called at /v1/values


def make(wanted: Iterable[Secret], kept: Mapping[str, bytes]) -> dict[str, bytes]:
    """The value of each secret: the given one, else the one that is kept, else a new one."""
    known = {secret.name: secret for secret in wanted}
    values: dict[str, bytes] = {}

    def value(secret: Secret) -> bytes:
        if secret.name not in values:
            for other in (secret.private_key, secret.issuer):
                if other is not None:
                    value(known[other])
            given = _given(secret) if secret.value is not None else kept.get(secret.name)
            values[secret.name] = _new(secret, known, values) if given is None else given
        return values[secret.name]

    for secret in known.values():
        value(secret)
    return values


def migrates(old: Secret, new: Secret) -> bool:
    """Whether a value that CAS made stays when the session is updated; certificates are made again."""
    if old.value is not None or new.value is not None or old.kind != new.kind:
        return False
    if new.kind == "private-key":
        return old.migrate and new.migrate and old.key_type == new.key_type
    return new.kind in ("ascii", "binary") and old.size == new.size


class Values:
    """The secrets of one session with their values, ready to be put into texts.

    `shared` is what others export to it; without them its own secrets alone are there.
    """

    def __init__(
        self, session: Session, values: Mapping[str, bytes], shared: Mapping[str, Shared] | None = None
    ) -> None:
        self._shared = shared or {}
        self._secrets = {secret.name: secret for secret in session.secrets if not secret.source}
        for name, (secret, _) in self._shared.items():
            self._secrets[name] = dataclasses.replace(secret, name=name)
        self._values = values

    def text(self, text: str) -> str:
        """A text with its placeholders replaced. LookupError: as `of`, or it would hold bytes."""
        return replace(text.encode(), partial(self.of, only_text=True)).decode()

    def content(self, text: str) -> bytes:
        """The content of an injection file."""
        return replace(text.encode(), self.of)

    def of(self, inner: str, *, only_text: bool = False) -> bytes:
        """What stands for a placeholder. LookupError: no such secret or format."""
        secret, form, escape = named(inner, self._secrets)
        if only_text and is_bytes(secret.kind, form):  # of what is imported only CAS knows the kind
            raise LookupError(f"secret {secret.name!r} holds bytes, and a text cannot")
        data = self._format(secret, form)
        return json.dumps(data.decode())[1:-1].encode() if escape else data

    def every(self, provided: Iterable[str] | None) -> dict[str, bytes]:
        """Every placeholder that a file of the image may hold; `provided` limits the secrets."""
        allowed = self._secrets if provided is None else set(provided)
        return {
            placeholder: self.of(placeholder)
            for secret in self._secrets.values()
            if secret.name in allowed
            for form in forms(secret)
            for placeholder in _spellings(secret, form)
        }

    def public(self) -> dict[str, dict[str, Any]]:
        """What `export_public` lets anybody read, as /v1/values shows it; bytes are in hex."""
        return {
            secret.name: {
                "kind": _KINDS.get(secret.kind, secret.kind),
                "value": self._format(secret, "hex" if secret.kind == "binary" else "").decode(),
                "expires": None,
                "renew": None,
            }
            for secret in self._secrets.values()
            if secret.export_public and secret.name not in self._shared
        }

    def _format(self, secret: Secret, form: str) -> bytes:
        if secret.name in self._shared:
            original, exporter = self._shared[secret.name]
            return exporter._format(original, form)
        value = self._values[secret.name]
        if secret.kind == "ascii":
            return value
        if secret.kind == "binary":
            return _encoded(value, form.removeprefix("."))
        if secret.kind == "private-key":
            return _private(value, der=form.endswith("der"))
        if secret.kind == "public-key":
            public: ec.EllipticCurvePublicKey = load("public-key", value.decode())
            return public.public_bytes(_DER if form.endswith("der") else _PEM, _SPKI)
        return self._certificate(secret, form)

    def _certificate(self, secret: Secret, form: str) -> bytes:
        own, chain = self._load(secret), self._chain(secret)
        if form == ".chain":  # the old format: root first, the certificate itself last
            return b"".join(each.public_bytes(_PEM) for each in (*reversed(chain), own))
        if form == "chain":
            return b"".join(each.public_bytes(_PEM) for each in chain)
        if form in ("", "crt", "crt:pem", ".crt", "crt:der"):
            return own.public_bytes(_DER if form == "crt:der" else _PEM)
        return _private(self._values[str(secret.private_key)], der=form.endswith("der"))

    def _load(self, secret: Secret) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self._values[secret.name])

    def _chain(self, secret: Secret) -> list[x509.Certificate]:
        """The issuers, from the next one to the root."""
        chain = []
        while secret.issuer is not None:
            secret = self._secrets[secret.issuer]
            chain.append(self._load(secret))
        return chain


class Shared(NamedTuple):
    """A secret as its exporter has it, without a private_key that is not exported as well, and with its values."""

    secret: Secret
    values: Values


def _spellings(secret: Secret, form: str) -> list[str]:
    plain = secret.name + (form if form.startswith(".") else f":{form}" if form else "")
    return [plain] if is_bytes(secret.kind, form) else [plain, plain + ESCAPE]


def _given(secret: Secret) -> bytes:
    value = secret.value or ""
    return bytes.fromhex(value) if secret.kind == "binary" else value.encode()


def _new(secret: Secret, known: Mapping[str, Secret], values: Mapping[str, bytes]) -> bytes:
    if secret.kind == "ascii":
        return "".join(secrets.choice(_PRINTABLE) for _ in range(secret.size)).encode()
    if secret.kind == "binary":
        return secrets.token_bytes(secret.size)
    if secret.kind == "private-key":
        made = _generate(secret.key_type)
        return made.private_bytes(_PEM, _PKCS8, serialization.NoEncryption())
    key = serialization.load_pem_private_key(values[str(secret.private_key)], None)
    if secret.kind == "public-key":
        return key.public_key().public_bytes(_PEM, _SPKI)
    return _issue(secret, key, known, values).public_bytes(_PEM)


def _generate(
    key_type: str,
) -> rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey:
    if key_type.startswith("RSA-"):
        return rsa.generate_private_key(65537, int(key_type.removeprefix("RSA-")))
    if key_type == "Ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP256R1() if key_type == "P-256" else ec.SECP384R1())


def _issue(
    secret: Secret, key: Any, known: Mapping[str, Secret], values: Mapping[str, bytes]
) -> x509.Certificate:
    """A certificate for `key`, signed by its issuer or by itself, without an end."""
    names = [name.removeprefix("dns:") for name in secret.san if name.startswith("dns:")]
    subject = _name(secret.common_name or (names[0][:64] if names else secret.name[:64]))
    issuer, signing = subject, key
    if secret.issuer is not None:
        above = known[secret.issuer]
        issuer = x509.load_pem_x509_certificate(values[above.name]).subject
        signing = serialization.load_pem_private_key(values[str(above.private_key)], None)
    authority = secret.kind == "x509-ca"
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1))
        .not_valid_after(_FOREVER)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False
        )
    )
    if authority:
        builder = builder.add_extension(_SIGNS, critical=True)
    if secret.san:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_alternative(each) for each in secret.san]), critical=False
        )
    if secret.endpoint:
        usage = x509.ExtendedKeyUsage([_ENDPOINTS[secret.endpoint]])
        builder = builder.add_extension(usage, critical=False)
    edwards = isinstance(signing, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey))
    digest = None if edwards else hashes.SHA256()
    return builder.sign(signing, digest)


def _alternative(name: str) -> x509.GeneralName:
    kind, _, value = name.partition(":")
    return x509.DNSName(value) if kind == "dns" else x509.IPAddress(ipaddress.ip_address(value))


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _private(pem: bytes, *, der: bool) -> bytes:
    key = serialization.load_pem_private_key(pem, None)
    return key.private_bytes(_DER if der else _PEM, _PKCS8, serialization.NoEncryption())


def _encoded(value: bytes, form: str) -> bytes:
    if form == "hex":
        return value.hex().encode()
    if form == "base64":
        return base64.b64encode(value)
    if form == "base64url":
        return base64.urlsafe_b64encode(value)
    if form in ("base32", "base32nopad"):
        return base64.b32encode(value).rstrip(b"=" if form == "base32nopad" else b"")
    return value
