"""From a YAML text to a session, each refusal with its line (used by `session.parse`)."""

from __future__ import annotations

import re
from typing import Any

import yaml

from workflows.scone import session_model as s
from workflows.scone import session_secrets, session_sharing
from workflows.scone.session_fields import (
    HEX32,
    HEX64,
    Fields,
    hex_digits,
    no_placeholder,
    one_of,
    path,
    refuse,
    scalar,
    shown,
    unique,
)
from workflows.scone.session_yaml import compose

_VERSION = re.compile(r"0\.3(?:\.(?:[0-9]|1[0-2]))?")
_ADVISORY = re.compile(r"INTEL-SA-\d{5}|\*")
_HTTPS = re.compile(r"https://[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?(?:/[!-~]*)?")
_TRACKED = "CAS keeps no volume's tag here, so a roll-back is not seen"

# What SCONE documents and this CAS does not serve, by the place where it would stand.
_NOT_SERVED = {
    "the session": {
        "creator": "CAS knows the creator by the client certificate",
        "secret_config": "secrets stay in the database of this CAS",
    },
    "a service": {
        "platforms": "there are no platforms to tell apart here",
        "one_time_password_shared_secret": "there are no one-time passwords here",
    },
    "a volume": {
        "fspf_tag": _TRACKED,
    },
    "a volume of an image": {},
    "security": {"service_access_token": "there are no service access tokens here"},
    "attestation": {
        "trusted_scone_qe_pubkeys": "a quote must chain to the development root, and no other key is trusted",
        "must_be_sgx_local": "there is no SGX local attestation here",
        "one_time_password_shared_secret": "there are no one-time passwords here",
        "certificates": "Azure is never asked here",
        "min_rsa_signing_key_size": "Azure is never asked here",
    },
}


def read(text: str) -> s.Session:
    """The session of a YAML text."""
    top = _fields(compose(text), "the session")
    version = top.text("version", required=True, why="without it 0.1 is meant, which this CAS does not read")
    if not _VERSION.fullmatch(version):
        refuse(top.node("version"), f"version {shown(version)} is not between 0.3 and 0.3.12")
    if top.text("name") == "/":
        refuse(top.node("name"), "the root namespace is not served: sessions without one belong to nobody")
    name = top.name("name", s.NAME)
    secrets = tuple(session_secrets.read(item, name) for item in top.items("secrets"))
    security = (
        Fields(top.node("security"), "security", _NOT_SERVED["security"]) if top.has("security") else None
    )
    attestation = _attestation(security)
    session = s.Session(
        name=name,
        version=version,
        predecessor=_predecessor(top),
        namespace_hash=top.hex("namespace_hash", HEX64),
        salt=top.hex("salt", HEX32),
        services=tuple(_service(item, attestation, secrets) for item in top.items("services")),
        images=tuple(_image(item, secrets) for item in top.items("images")),
        volumes=tuple(_volume(item, name) for item in top.items("volumes")),
        secrets=secrets,
        attestation=attestation,
        **_policies(top),
    )
    if session.namespace_hash and (session.predecessor or "/" not in session.name):
        refuse(top.node("namespace_hash"), "namespace_hash belongs to a new session in a namespace")
    top.end()
    _consistent(session, top)
    return session


def _predecessor(top: Fields) -> str | None:
    """The hash of the session that this one follows; `null`, as SCONE's command line prints it, is none."""
    return top.hex("predecessor", HEX64) if top.text("predecessor") else None


def _service(node: yaml.Node, attestation: s.Attestation, secrets: tuple[s.Secret, ...]) -> s.Service:
    fields = _fields(node, "a service")
    mrenclaves = tuple(hex_digits(item, "an MRENCLAVE", HEX64) for item in fields.items("mrenclaves"))
    rules = tuple(_rule(item) for item in fields.one_or_more("attestation"))
    if fields.has("mrenclaves") and fields.has("attestation"):
        refuse(node, "mrenclaves is the old form of attestation: give one of them")
    if not mrenclaves and not rules and attestation.mode != "none":
        refuse(node, "a service needs mrenclaves or attestation: else any enclave would be served")
    service = s.Service(
        name=fields.name("name", s.LOCAL_NAME),
        image_name=_image_name(fields, "image_name") if fields.has("image_name") else "",
        mrenclaves=mrenclaves,
        attestation=rules,
        command=_command(fields, secrets),
        environment=_environment(fields, secrets),
        pwd=fields.path("pwd") or "/",
        fspf_path=fields.path("fspf_path"),
        fspf_key=fields.hex("fspf_key", HEX64),
        fspf_tag=fields.hex("fspf_tag", HEX32),
    )
    if len({service.fspf_path is None, service.fspf_key is None, service.fspf_tag is None}) > 1:
        refuse(node, "fspf_path, fspf_key and fspf_tag belong together")
    fields.served("fspf_update_policy", "rollback_protected_reinitializable")
    fields.end()
    return service


def _rule(node: yaml.Node) -> s.Rule:
    """One alternative: what it names must hold together."""
    fields = Fields(node, "an attestation rule")
    mrenclaves = tuple(hex_digits(item, "an MRENCLAVE", HEX64) for item in fields.one_or_more("mrenclave"))
    if fields.has("mrenclave") and not mrenclaves:
        refuse(fields.node("mrenclave"), "mrenclave is empty")
    signer = _signer(fields.node("signer")) if fields.has("signer") else None
    if not mrenclaves and signer is None:
        refuse(node, "an attestation rule needs mrenclave or signer: else any enclave would be served")
    fields.end()
    return s.Rule(mrenclaves, signer)


def _signer(node: yaml.Node) -> s.Signer:
    """`isvsvn` is one version; `isvsvn_min` and `isvsvn_max` are a range, both inclusive."""
    fields = Fields(node, "a signer")
    mrsigner = fields.hex("mrsigner", HEX64) or refuse(node, "a signer needs mrsigner")
    product = fields.number("isvprodid", s.HIGHEST)
    least, most = 0, s.HIGHEST
    if fields.has("isvsvn"):
        if fields.has("isvsvn_min") or fields.has("isvsvn_max"):
            refuse(node, "isvsvn is one version: it does not go with isvsvn_min or isvsvn_max")
        least = most = fields.number("isvsvn", s.HIGHEST)
    if fields.has("isvsvn_min"):
        least = fields.number("isvsvn_min", s.HIGHEST)
    if fields.has("isvsvn_max"):
        most = fields.number("isvsvn_max", s.HIGHEST)
    if least > most:
        refuse(node, "isvsvn_min is above isvsvn_max: no enclave would be served")
    fields.end()
    return s.Signer(mrsigner, product, least, most)


def _command(fields: Fields, secrets: tuple[s.Secret, ...]) -> str | tuple[str, ...]:
    if not fields.has("command"):
        return ()
    node = fields.node("command")
    command: str | tuple[str, ...]
    if isinstance(node, yaml.SequenceNode):
        command = words = tuple(scalar(item, "a word of the command") for item in node.value)
    else:
        command = scalar(node, "command")
        if len(command) > s.MAX_COMMAND:
            refuse(node, "the command is too long")
        try:
            words = s.split(command)
        except ValueError:
            refuse(node, "a quote in the command is not closed")
    if sum(map(len, words)) > s.MAX_COMMAND or any("\0" in word for word in words):
        refuse(node, "the command is too long or holds a NUL")
    for word in words:
        session_secrets.placeholders(node, word, secrets)
        if s.HOST_WORD.fullmatch(word):
            refuse(node, f"{word} is not served: the host has no say in the arguments here")
    return command


def _environment(fields: Fields, secrets: tuple[s.Secret, ...]) -> dict[str, str]:
    if not fields.has("environment"):
        return {}
    values = {}
    for name, key, node in Fields(fields.node("environment"), "environment").pairs():
        value = scalar(node, shown(name))
        if not s.VARIABLE.fullmatch(name) or "\0" in value:
            refuse(key, f"{shown(name)} cannot be an environment variable")
        if name.startswith("\\@\\@"):
            refuse(key, f"{shown(name)} is not served: the host has no say in the environment here")
        session_secrets.placeholders(node, value, secrets)
        values[name] = value
    return values


def _image(node: yaml.Node, secrets: tuple[s.Secret, ...]) -> s.Image:
    fields = _fields(node, "an image")
    mounts = []
    for item in fields.items("volumes"):
        mount = _fields(item, "a volume of an image")
        where = mount.path("path") or refuse(item, "a volume of an image needs a path")
        mounts.append(s.Mount(mount.name("name", s.LOCAL_NAME), where))
        mount.served("update_policy", "no_rollback_protection")
        mount.end()
    provided = tuple(scalar(item, "provide_secrets") for item in fields.items("provide_secrets"))
    for name in provided:
        if name not in {secret.name for secret in secrets}:
            refuse(fields.node("provide_secrets"), f"{shown(name)} is no secret of this session")
    image = s.Image(
        _image_name(fields, "name"),
        tuple(mounts),
        tuple(_injected(item, secrets) for item in fields.items("injection_files")),
        provided if fields.has("provide_secrets") else None,
    )
    unique(fields.items("injection_files"), (file.path for file in image.injection_files), "injection_files")
    unique(fields.items("volumes"), (mount.path for mount in image.volumes), "the paths of volumes")
    fields.end()
    return image


def _image_name(fields: Fields, name: str) -> str:
    """Any name; often it is that of a container image."""
    value = fields.text(name, required=True)
    if not 1 <= len(value) <= s.MAX_IMAGE_NAME or not value.isprintable():
        refuse(fields.node(name), f"{shown(value)} is not the name of an image")
    return value


def _injected(node: yaml.Node, secrets: tuple[s.Secret, ...]) -> s.Injected:
    if isinstance(node, yaml.ScalarNode):
        return s.Injected(_file_path(node))
    fields = Fields(node, "an injection file")
    if not fields.has("path"):
        refuse(node, "an injection file needs a path")
    where = _file_path(fields.node("path"))
    content = fields.text("content") if fields.has("content") else None
    if content is not None:
        session_secrets.placeholders(fields.node("content"), content, secrets, only_text=False)
    permission = fields.text("permission")
    if permission and not re.fullmatch("0o?[0-7]{1,3}", permission):
        refuse(fields.node("permission"), "permission is not an octal number from 0o000 to 0o777")
    fields.end()
    mode = int(permission.removeprefix("0o"), 8) if permission else s.INJECTED_MODE
    return s.Injected(where, content, mode)


def _file_path(node: yaml.Node) -> str:
    where = path(node, "path")
    if where.endswith("/"):
        refuse(node, f"path of an injection file names a folder: {shown(where)}")
    return where


def _volume(node: yaml.Node, own: str) -> s.Volume:
    fields = _fields(node, "a volume")
    name = fields.name("name", s.LOCAL_NAME)
    source = session_sharing.source(fields, own, "volume")
    if source:
        fields.end(what="an imported volume", more={"export": session_sharing.NOT_PASSED_ON})
        return s.Volume(name, source=source)
    volume = s.Volume(name, fields.hex("fspf_key", HEX64), session_sharing.volume_exports(fields, own))
    if fields.has("files") and fields.text("files") != "encrypted":
        refuse(fields.node("files"), "files: every volume is encrypted here")
    fields.end()
    return volume


def _attestation(security: Fields | None) -> s.Attestation:
    if security is None:
        return s.Attestation()
    if security.flag("singleton_enclaves"):
        refuse(
            security.node("singleton_enclaves"),
            "singleton_enclaves is not served: a simulated enclave cannot prove that it is fresh",
        )
    attestation = s.Attestation()
    if security.has("attestation"):
        rules = _fields(security.node("attestation"), "attestation")
        advisories = rules.one_or_more("ignore_advisories")
        attestation = s.Attestation(
            mode=one_of(rules.node("mode"), "mode", s.MODES) if rules.has("mode") else "hardware",
            tolerate=tuple(one_of(item, "a toleration", s.TOLERATIONS) for item in rules.items("tolerate")),
            ignore_advisories=tuple(scalar(item, "an advisory") for item in advisories),
            url=rules.text("url") or None,
        )
        for node, advisory in zip(advisories, attestation.ignore_advisories, strict=True):
            if not _ADVISORY.fullmatch(advisory):
                refuse(node, f"{shown(advisory)} is not an Intel advisory")
        if "*" in attestation.ignore_advisories and "debug-mode" not in attestation.tolerate:
            refuse(rules.node("ignore_advisories"), "'*' is allowed with debug-mode only")
        _azure(rules, attestation)
        rules.end()
    security.end()
    return attestation


def _azure(rules: Fields, attestation: s.Attestation) -> None:
    """Where Azure would be asked; this CAS takes it as it is and asks nobody."""
    if attestation.mode == "maa" and attestation.url is None:
        refuse(rules.self, "mode maa needs url")
    if attestation.url is None:
        return
    if attestation.mode != "maa":
        refuse(rules.node("url"), "url belongs to mode maa")
    if not _HTTPS.fullmatch(attestation.url):
        refuse(rules.node("url"), "url is not an https address")


def _policies(top: Fields) -> dict[str, Any]:
    if not top.has("access_policy"):
        return {}
    fields = Fields(top.node("access_policy"), "access_policy")
    names = ("read", "update", "create_sessions", "list_sessions")
    policies = {name: _policy(fields, name) for name in names if fields.has(name)}
    fields.end()
    return policies


def _policy(fields: Fields, name: str) -> tuple[str, ...]:
    values = tuple(_client(item, f"access_policy.{name}") for item in fields.one_or_more(name))
    for keyword in (s.ANY, s.NONE):
        if keyword in values and len(values) > 1:
            refuse(fields.node(name), f"{keyword} stands alone: access_policy.{name} has more")
    return values


def _client(node: yaml.Node, what: str) -> str:
    """CREATOR, ANY, NONE, or whose key it is: its hash, or a PEM certificate or public key."""
    if isinstance(node, yaml.MappingNode):
        refuse(node, f"{what}: signers and governance rules are not served; name client certificates")
    value = scalar(node, what)
    if value in (s.CREATOR, s.ANY, s.NONE):
        return value
    if HEX64.fullmatch(value):
        return value.lower()
    from workflows.scone.session_keys import client_hash

    try:
        digest = client_hash(value)
    except ValueError as error:
        refuse(node, f"{what}: {error}")
    if digest is None:
        no_placeholder(node, value)
        refuse(
            node,
            f"{shown(value)} is none of CREATOR, ANY, NONE, the hash of a key (64 hex: SHA-256 of its "
            "SPKI, not SCONE's base58) or a PEM certificate",
        )
    return digest


def _consistent(session: s.Session, top: Fields) -> None:
    """Names are unique, and every name that is used exists."""
    for key in ("services", "images", "volumes", "secrets"):
        unique(top.items(key), (entry.name for entry in getattr(session, key)), key)
    session_secrets.check(top.items("secrets"), session.secrets)
    images, volumes = {i.name for i in session.images}, {v.name for v in session.volumes}
    for node, service in zip(top.items("services"), session.services, strict=True):
        if service.image_name and service.image_name not in images:
            refuse(
                node, f"service {service.name!r} names image {shown(service.image_name)}, which is not there"
            )
    for node, image in zip(top.items("images"), session.images, strict=True):
        for mount in image.volumes:
            if mount.name not in volumes:
                refuse(node, f"image {image.name!r} mounts volume {mount.name!r}, which is not there")


def _fields(node: yaml.Node, what: str) -> Fields:
    return Fields(node, what, _NOT_SERVED.get(what))
