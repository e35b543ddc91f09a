"""From the nodes of a YAML text to a session, each refusal with its line (used by `session.parse`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NoReturn

import yaml

from workflows.scone import session as s

_HEX64, _HEX32 = re.compile(r"[0-9a-fA-F]{64}"), re.compile(r"[0-9a-fA-F]{32}")
_VERSION = re.compile(r"0\.3(?:\.(?:[0-9]|10|11))?")
_ADVISORY = re.compile(r"INTEL-SA-\d{5}|\*")


def read(node: yaml.Node) -> s.Session:
    """The session of the document's root node."""
    top = _Map(node, "the session")
    version = top.text("version", required=True, why="without it 0.1 is meant, which this CAS does not read")
    if not _VERSION.fullmatch(version):
        _refuse(top.node("version"), f"version {version!r} is not between 0.3 and 0.3.11")
    name = top.name("name", s.NAME)
    policy = _Map(top.node("access_policy"), "access_policy") if top.has("access_policy") else None
    session = s.Session(
        name=name,
        version=version,
        predecessor=top.hex("predecessor", _HEX64),
        services=tuple(_service(item) for item in top.items("services", required=True)),
        images=tuple(_image(item) for item in top.items("images")),
        volumes=tuple(_volume(item) for item in top.items("volumes")),
        read=_policy(policy, "read"),
        update=_policy(policy, "update"),
        attestation=_security(top.node("security")) if top.has("security") else s.Attestation(),
    )
    top.hex("salt", _HEX32)
    if policy:
        policy.end()
    top.end()
    _consistent(session, top)
    return session


def _service(node: yaml.Node) -> s.Service:
    fields = _Map(node, "a service")
    mrenclaves = tuple(_hex(item, "an MRENCLAVE", _HEX64) for item in fields.items("mrenclaves"))
    signers: list[s.Signer] = []
    for item in fields.items("attestation"):
        rule = _Map(item, "an attestation rule")
        mrenclaves += tuple(_hex(value, "an MRENCLAVE", _HEX64) for value in rule.items("mrenclave"))
        if rule.has("signer"):
            signer = _Map(rule.node("signer"), "a signer")
            signers.append(
                s.Signer(
                    signer.hex("mrsigner", _HEX64) or _refuse(signer.self, "a signer needs mrsigner"),
                    signer.number("isvprodid", 0xFFFF),
                    signer.number("isvsvn", 0xFFFF),
                )
            )
            signer.end()
        rule.end()
    if not mrenclaves and not signers:
        _refuse(node, "a service needs mrenclaves or attestation: else any enclave would be served")
    service = s.Service(
        name=fields.name("name", s.LOCAL_NAME),
        image_name=fields.text("image_name"),
        mrenclaves=mrenclaves,
        signers=tuple(signers),
        command=fields.command("command"),
        environment=fields.environment("environment"),
        pwd=fields.path("pwd") or "/",
        fspf_path=fields.path("fspf_path"),
        fspf_key=fields.hex("fspf_key", _HEX64),
        fspf_tag=fields.hex("fspf_tag", _HEX32),
    )
    if len({service.fspf_path is None, service.fspf_key is None, service.fspf_tag is None}) > 1:
        _refuse(node, "fspf_path, fspf_key and fspf_tag belong together")
    fields.end()
    return service


def _image(node: yaml.Node) -> s.Image:
    fields = _Map(node, "an image")
    mounts = []
    for item in fields.items("volumes"):
        mount = _Map(item, "a volume of an image")
        path = mount.path("path") or _refuse(item, "a volume of an image needs a path")
        mounts.append(s.Mount(mount.name("name", s.LOCAL_NAME), path))
        mount.end()
    image = s.Image(fields.name("name", s.LOCAL_NAME), tuple(mounts))
    fields.end()
    return image


def _volume(node: yaml.Node) -> s.Volume:
    fields = _Map(node, "a volume")
    volume = s.Volume(
        fields.name("name", s.LOCAL_NAME), fields.hex("fspf_key", _HEX64), fields.hex("fspf_tag", _HEX32)
    )
    fields.end()
    return volume


def _security(node: yaml.Node) -> s.Attestation:
    fields = _Map(node, "security")
    if not fields.has("attestation"):
        fields.end()
        return s.Attestation()
    rules = _Map(fields.node("attestation"), "attestation")
    advisories = (
        (_scalar(rules.node("ignore_advisories"), "ignore_advisories"),)
        if rules.has("ignore_advisories") and isinstance(rules.node("ignore_advisories"), yaml.ScalarNode)
        else tuple(_scalar(item, "an advisory") for item in rules.items("ignore_advisories"))
    )
    result = s.Attestation(
        mode=rules.text("mode") or "hardware",
        tolerate=tuple(_scalar(item, "a toleration") for item in rules.items("tolerate")),
        ignore_advisories=advisories,
        url=rules.text("url") or None,
    )
    if result.mode not in s.MODES:
        _refuse(rules.node("mode"), f"mode {result.mode!r} is none of {', '.join(s.MODES)}")
    for item in rules.items("tolerate"):
        if _scalar(item, "a toleration") not in s.TOLERATIONS:
            _refuse(
                item, f"{_scalar(item, '')!r} cannot be tolerated: it is none of {', '.join(s.TOLERATIONS)}"
            )
    for advisory in advisories:
        if not _ADVISORY.fullmatch(advisory):
            _refuse(rules.node("ignore_advisories"), f"{advisory!r} is not an Intel advisory")
    if "*" in advisories and "debug-mode" not in result.tolerate:
        _refuse(rules.node("ignore_advisories"), "'*' is allowed with debug-mode only")
    rules.end()
    fields.end()
    return result


def _policy(fields: _Map | None, name: str) -> tuple[str, ...]:
    if fields is None or not fields.has(name):
        return (s.CREATOR,)
    values = []
    for item in fields.items(name):
        value = _scalar(item, f"access_policy.{name}")
        if value not in (s.CREATOR, s.ANY, s.NONE) and not _HEX64.fullmatch(value):
            _refuse(item, f"{value!r} is none of CREATOR, ANY, NONE or the hash of a key (64 hex)")
        values.append(value)
    return tuple(values)


def _consistent(session: s.Session, top: _Map) -> None:
    """Names are unique, and every name that is used exists."""
    names = {
        "services": [service.name for service in session.services],
        "images": [image.name for image in session.images],
        "volumes": [volume.name for volume in session.volumes],
    }
    for key, given in names.items():
        for index, node in enumerate(top.items(key)):
            if given[index] in given[:index]:
                _refuse(node, f"{given[index]!r} is there twice in {key}")
    images, volumes = {i.name for i in session.images}, {v.name for v in session.volumes}
    for node, service in zip(top.items("services"), session.services, strict=True):
        if service.image_name and service.image_name not in images:
            _refuse(node, f"service {service.name!r} names image {service.image_name!r}, which is not there")
    for node, image in zip(top.items("images"), session.images, strict=True):
        for mount in image.volumes:
            if mount.name not in volumes:
                _refuse(node, f"image {image.name!r} mounts volume {mount.name!r}, which is not there")


class _Map:
    """A mapping node whose fields are taken one by one; `end` refuses what nobody took."""

    def __init__(self, node: yaml.Node, what: str) -> None:
        if not isinstance(node, yaml.MappingNode):
            _refuse(node, f"{what} is not a mapping")
        self.self = node
        self._what = what
        self._fields: dict[str, yaml.Node] = {}
        self._keys: dict[str, yaml.Node] = {}
        self._taken: set[str] = set()
        for key, value in node.value:
            name = _scalar(key, f"a field name of {what}")
            if name in self._fields:
                _refuse(key, f"{name!r} is there twice in {what}")
            self._fields[name], self._keys[name] = value, key

    def has(self, name: str) -> bool:
        self._taken.add(name)
        return name in self._fields

    def node(self, name: str) -> yaml.Node:
        self._taken.add(name)
        return self._fields[name]

    def text(self, name: str, *, required: bool = False, why: str = "") -> str:
        if self.has(name):
            return _scalar(self.node(name), name)
        if required:
            _refuse(self.self, f"{self._what} needs {name}" + (f": {why}" if why else ""))
        return ""

    def name(self, name: str, pattern: re.Pattern[str]) -> str:
        value = self.text(name, required=True)
        if not pattern.fullmatch(value):
            _refuse(self.node(name), f"{value[:140]!r} is not a name (1 to 128 of A-Z a-z 0-9 _ - . ~)")
        return value

    def hex(self, name: str, pattern: re.Pattern[str]) -> str | None:
        return _hex(self.node(name), name, pattern) if self.has(name) else None

    def path(self, name: str) -> str | None:
        if not self.has(name):
            return None
        value = self.text(name)
        if not value.startswith("/") or "\0" in value or ".." in value.split("/"):
            _refuse(self.node(name), f"{name} is not an absolute path")
        return value

    def number(self, name: str, most: int) -> int:
        value = self.text(name, required=True)
        if not value.isascii() or not value.isdigit() or int(value[:9]) > most or len(value) > 8:
            _refuse(self.node(name), f"{name} is not a number from 0 to {most}")
        return int(value)

    def items(self, name: str, *, required: bool = False) -> Iterator[yaml.Node]:
        if not self.has(name):
            if required:
                _refuse(self.self, f"{self._what} needs {name}")
            return iter(())
        node = self.node(name)
        if not isinstance(node, yaml.SequenceNode):
            _refuse(node, f"{name} is not a list")
        if required and not node.value:
            _refuse(node, f"{name} is empty")
        return iter(node.value)

    def command(self, name: str) -> tuple[str, ...]:
        """SCONE splits a string on whitespace and knows no quotes; a list is taken as it is."""
        if not self.has(name):
            return ()
        node = self.node(name)
        if isinstance(node, yaml.SequenceNode):
            words = tuple(_scalar(item, "a word of the command") for item in node.value)
        else:
            words = tuple(_scalar(node, name).split())
        if sum(map(len, words)) > s.MAX_COMMAND or any("\0" in word for word in words):
            _refuse(node, "the command is too long or holds a NUL")
        return words

    def environment(self, name: str) -> dict[str, str]:
        if not self.has(name):
            return {}
        fields = _Map(self.node(name), name)
        values = {}
        for key, node in fields._fields.items():
            value = _scalar(node, key)
            if not s.VARIABLE.fullmatch(key) or "\0" in value:
                _refuse(fields._keys[key], f"{key[:140]!r} cannot be an environment variable")
            values[key] = value
        return values

    def end(self) -> None:
        for name, key in self._keys.items():
            if name not in self._taken:
                _refuse(key, f"{name[:140]!r} is not a field of {self._what}")


def _scalar(node: yaml.Node, what: str) -> str:
    """The text as it is written: no `yes` that became True, no `1e5` that became a number."""
    if not isinstance(node, yaml.ScalarNode):
        _refuse(node, f"{what} is not a single value")
    if node.tag == "tag:yaml.org,2002:null" and node.style is None:
        return ""
    return str(node.value)


def _hex(node: yaml.Node, what: str, pattern: re.Pattern[str]) -> str:
    value = _scalar(node, what)
    if not pattern.fullmatch(value):
        digits = 64 if pattern is _HEX64 else 32
        _refuse(node, f"{what} must be {digits} hex digits, this has {len(value)} characters")
    return value.lower()


def _refuse(node: yaml.Node, reason: str) -> NoReturn:
    raise s.SessionError(node.start_mark.line + 1, reason)
