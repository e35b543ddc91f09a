"""Secrets of a session: their kinds, and the placeholders `$$SCONE::name:format|escape(json)$$` that use them.

https://sconedocs.github.io/CAS_session_lang_0_3/#secrets lists kinds, parameters and formats. A placeholder
that names no secret, or a form that its secret does not have, is refused when the session is posted.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any

import yaml

from workflows.scone import session_model as s
from workflows.scone import session_sharing
from workflows.scone.session_fields import Fields, one_of, refuse, scalar, shown

PLACEHOLDER = re.compile(r"\$\$SCONE::(.{1,300}?)\$\$", re.DOTALL)
ESCAPE = "|escape(json)"
KEY_TYPES = ("P-256", "P-384", "Ed25519", "RSA-2048", "RSA-3072")
MOST_BYTES = 1 << 16
MOST = 64  # of a session: CAS makes them all while the client waits

# The fields of each kind that is served, beside name, kind, export and export_public; dns becomes san.
FIELDS = {
    "ascii": ("value", "size"),
    "binary": ("value", "size"),
    "private-key": ("value", "key_type", "migrate"),
    "public-key": ("value", "private_key"),
    "x509": ("value", "private_key", "issuer", "common_name", "endpoint", "san"),
    "x509-ca": ("value", "private_key", "issuer", "common_name"),
}
_KEY = ("", "pem", "pkcs8:pem", "der", "pkcs8:der")
_CERTIFICATE = ("", "crt", "crt:pem", "crt:der", "chain")
_CERTIFIED_KEY = ("privatekey", *(f"privatekey:{form}" for form in _KEY[1:]))
FORMATS = {
    "ascii": ("",),
    "binary": ("", "bin", "hex", "base64", "base64url", "base32", "base32nopad"),
    "private-key": _KEY,
    "public-key": ("", "spki:pem", "spki:der"),
    "x509": _CERTIFICATE + _CERTIFIED_KEY,
    "x509-ca": _CERTIFICATE + _CERTIFIED_KEY,
}
OLD_FORMATS = {
    "hex": ("binary",),
    "crt": ("x509", "x509-ca"),
    "key": ("x509", "x509-ca"),
    "chain": ("x509", "x509-ca"),
}
_DNS = re.compile(r"(?:\*\.)?[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*")
_BYTES = re.compile(r"bin|(?:.+:)?der")

_REFUSED_KINDS = ("aad-token", "config-fragment", "pgp-key", "jwt")
_REFUSED = {
    "import_akv": "there is no Azure Key Vault here",
    "valid_for": "certificates are not made again here, so they do not expire",
}


def read(node: yaml.Node, own: str) -> s.Secret:
    """One secret of the list of session `own`."""
    fields = Fields(node, "a secret", _REFUSED)
    name = fields.name("name", s.LOCAL_NAME)
    source = session_sharing.source(fields, own, "secret")
    if not source:
        fields.text("kind", required=True, why="a kind is left out of imported secrets only")
    if fields.text("kind") in _REFUSED_KINDS:
        refuse(fields.node("kind"), f"kind {fields.text('kind')} is not served here")
    kind = one_of(fields.node("kind"), "kind", FIELDS) if fields.has("kind") else ""
    if source:
        kept = dict.fromkeys(("export", "export_public"), session_sharing.NOT_PASSED_ON)
        fields.end(what="an imported secret", more=kept)
        return s.Secret(name, kind, source=source)
    readers: dict[str, Callable[[], Any]] = {
        "value": lambda: _value(fields, kind),
        "size": lambda: fields.number("size", MOST_BYTES, 1),
        "key_type": lambda: one_of(fields.node("key_type"), "key_type", KEY_TYPES),
        "migrate": lambda: fields.flag("migrate"),
        "private_key": lambda: fields.name("private_key", s.LOCAL_NAME),
        "issuer": lambda: fields.name("issuer", s.LOCAL_NAME),
        "common_name": lambda: _common_name(fields),
        "endpoint": lambda: one_of(fields.node("endpoint"), "endpoint", ("server", "client")),
        "san": lambda: tuple(_san(item) for item in fields.one_or_more("san")),
    }
    given: dict[str, Any] = {key: readers[key]() for key in FIELDS[kind] if fields.has(key)}
    if kind == "x509" and fields.has("dns"):
        given["san"] = _dns(fields)
    given["export"] = session_sharing.exports(fields, own)
    secret = s.Secret(name, kind, export_public=fields.flag("export_public"), **given)
    fields.end()
    if kind in ("public-key", "x509", "x509-ca") and not secret.private_key and secret.value is None:
        refuse(node, f"a {kind} needs a value, or the private_key that it is made for")
    return secret


def check(nodes: list[yaml.Node], secrets: tuple[s.Secret, ...]) -> None:
    """Not too many; what one names is there and of the right kind, and nobody issues itself."""
    if len(secrets) > MOST:
        refuse(nodes[MOST], f"a session has at most {MOST} secrets here")
    known = {secret.name: secret for secret in secrets}
    for node, secret in zip(nodes, secrets, strict=True):
        for field, kind in (("private_key", "private-key"), ("issuer", "x509-ca")):
            name = getattr(secret, field)
            if name in known and known[name].source:
                refuse(node, f"{field} {name!r} is imported: what is made for it needs one of this session")
            if name is not None and (name not in known or known[name].kind != kind):
                refuse(node, f"{field} {name!r} of secret {secret.name!r} is no {kind} of this session")
        seen, issuer = {secret.name}, secret.issuer
        while issuer is not None:
            if issuer in seen:
                refuse(node, f"secret {secret.name!r} is its own issuer")
            seen.add(issuer)
            issuer = known[issuer].issuer if issuer in known else None
        if secret.value is not None and secret.private_key and not _fits(secret, known[secret.private_key]):
            refuse(
                node,
                f"private_key {secret.private_key!r} is not the key of the value of secret {secret.name!r}",
            )
        if secret.kind in ("x509", "x509-ca") and secret.value is None and not secret.source:
            signer = known[secret.issuer] if secret.issuer else secret
            if signer.private_key is None:
                refuse(node, f"issuer {secret.issuer!r} has no private key here, so it cannot sign")
            if signer.private_key in known and not _signs(known[signer.private_key]):
                refuse(node, f"private_key {signer.private_key!r} of secret {signer.name!r} cannot sign")


def _fits(secret: s.Secret, private: s.Secret) -> bool:
    """Whether a given certificate or public key is that of a private key; one that CAS makes never is."""
    from workflows.scone.session_keys import public_hash

    try:
        return private.value is not None and (
            public_hash(secret.kind, secret.value or "") == public_hash(private.kind, private.value)
        )
    except ValueError:
        return False


def _signs(private: s.Secret) -> bool:
    from workflows.scone.session_keys import signs

    return private.value is None or signs(private.value)


def placeholders(
    node: yaml.Node, text: str, secrets: tuple[s.Secret, ...], *, only_text: bool = True
) -> None:
    """Refuse a text with a placeholder that cannot be replaced; `only_text` for what cannot hold bytes."""
    for match in PLACEHOLDER.finditer(text):
        try:
            secret, form, _ = named(match[1], {secret.name: secret for secret in secrets})
        except LookupError as error:
            refuse(node, str(error.args[0]))
        if only_text and is_bytes(secret.kind, form):
            refuse(
                node,
                f"secret {secret.name!r} holds bytes: give a format, as in $$SCONE::{secret.name}:hex$$",
            )


def named(inner: str, secrets: dict[str, s.Secret]) -> tuple[s.Secret, str, bool]:
    """What a placeholder means: secret, format, and whether to escape it for JSON. LookupError says why not."""
    escape = inner.endswith(ESCAPE)
    name, _, form = inner.removesuffix(ESCAPE).partition(":")
    if name not in secrets and "." in name and not form:
        name, _, old = name.rpartition(".")
        if name not in secrets or secrets[name].kind not in ("", *OLD_FORMATS.get(old, ())):
            raise LookupError(f"{shown(inner)} names no secret of this session")
        form = f".{old}"
    if name not in secrets:
        raise LookupError(f"{shown(inner)} names no secret of this session")
    secret = secrets[name]
    if form not in forms(secret):
        raise LookupError(f"secret {name!r} has no format {shown(form)}")
    if escape and is_bytes(secret.kind, form):
        raise LookupError(f"secret {name!r} holds bytes, which cannot be escaped for JSON")
    return secret, form, escape


def forms(secret: s.Secret) -> tuple[str, ...]:
    """The formats that a secret has; a certificate that was given without its key has no key to give.

    Of an imported secret the kind may be open, and whether its key comes with it.
    """
    if not secret.kind:
        return tuple({form: None for kind in FORMATS for form in forms(s.Secret("", kind, private_key=""))})
    old = tuple(f".{name}" for name, kinds in OLD_FORMATS.items() if secret.kind in kinds)
    keyless = secret.kind in ("x509", "x509-ca") and secret.private_key is None and not secret.source
    return tuple(
        form
        for form in FORMATS[secret.kind] + old
        if not keyless or (form not in _CERTIFIED_KEY and form != ".key")
    )


def is_bytes(kind: str, form: str) -> bool:
    """Whether a secret in this format is bytes that are no text."""
    return bool(_BYTES.fullmatch(form)) or (kind == "binary" and form == "")


def _value(fields: Fields, kind: str) -> str:
    """A given value of the right form. A refusal never repeats it."""
    node = fields.node("value")
    value = scalar(node, "value")
    if isinstance(node, yaml.ScalarNode) and node.style is None and value == "":
        refuse(node, 'value is left empty: "" is an empty text, and without the field CAS makes one')
    if fields.has("size"):
        refuse(node, "a value that is given has its own size")
    if len(value) > MOST_BYTES:
        refuse(node, f"value is longer than {MOST_BYTES} characters")
    if kind == "ascii" and (not value.isascii() or "\0" in value):
        refuse(node, "value is not ASCII")
    if kind == "binary" and not re.fullmatch("(?:[0-9a-fA-F]{2})*", value):
        refuse(node, "value of a binary secret is not in hex digits, two a byte")
    if kind not in ("ascii", "binary"):
        from workflows.scone.session_keys import load

        try:
            load(kind, value)
        except ValueError as error:
            refuse(node, str(error))
    return value


def _common_name(fields: Fields) -> str:
    value = fields.text("common_name")
    if not 1 <= len(value) <= 64 or not value.isprintable():  # X.520's upper bound
        refuse(fields.node("common_name"), "common_name is not 1 to 64 printable characters")
    return value


def _dns(fields: Fields) -> tuple[str, ...]:
    """`dns`, which `san` superseded in 0.3.10, as `san` has it."""
    node = fields.node("dns")
    if fields.has("san"):
        refuse(node, "dns is the old form of san: give one of them")
    if fields.text("endpoint") == "client":
        refuse(node, "dns does not go with endpoint client")
    names = [(item, scalar(item, "dns")) for item in fields.one_or_more("dns")]
    for item, name in names:
        if not _DNS.fullmatch(name):
            refuse(item, f"{shown(name)} is not a DNS name")
    return tuple(f"dns:{name}" for _, name in names)


def _san(node: yaml.Node) -> str:
    value = scalar(node, "san")
    kind, _, name = value.partition(":")
    if kind == "ip":
        try:
            ipaddress.ip_address(name)
        except ValueError:
            refuse(node, f"{shown(name)} is not an IP address")
    elif kind != "dns" or not _DNS.fullmatch(name):
        refuse(node, f"{shown(value)} is neither dns:NAME nor ip:ADDRESS")
    return value
