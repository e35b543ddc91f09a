"""What a CAS session is: the session language that iExec used and a SCONE user meets first.

A session is YAML (language 0.3 to 0.3.11, sconedocs `CAS_session_lang_0_3`). `parse` is strict: a field
that is not known, twice there or of the wrong form is refused with its line, because a session that is
half understood would be half enforced. `render` writes what `parse` reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CREATOR, ANY, NONE = "CREATOR", "ANY", "NONE"
TOLERATIONS = (
    "debug-mode",
    "hyperthreading",
    "insecure-igpu",
    "outdated-tcb",
    "software-hardening-needed",
    "insecure-configuration",
    "aepic-leak",
)
MODES = ("hardware", "none", "maa")
MAX_SIZE = 1 << 20
MAX_COMMAND = 1 << 17

NAME = re.compile(r"[A-Za-z0-9_\-.~]{1,128}(?:/[A-Za-z0-9_\-.~]{1,128})*")
LOCAL_NAME = re.compile(r"[A-Za-z0-9_\-.~]{1,128}")
VARIABLE = re.compile(r"[^=\x00]{1,256}")


class SessionError(ValueError):
    """A session text is refused: `line` (from 1) and `reason`."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


@dataclass(frozen=True)
class Signer:
    """Who signed an enclave: MRSIGNER (64 hex), product id, least security version."""

    mrsigner: str
    isvprodid: int
    isvsvn: int


@dataclass(frozen=True)
class Service:
    """One enclave of a session: who it must be, and what it receives.

    `mrenclaves` 64 hex each; `signers` are the alternative to them. `fspf_key` 64 hex, `fspf_tag` 32 hex,
    both or neither, with `fspf_path` absolute.
    """

    name: str
    image_name: str = ""
    mrenclaves: tuple[str, ...] = ()
    signers: tuple[Signer, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    pwd: str = "/"  # noqa: S105 - the working directory
    fspf_path: str | None = None
    fspf_key: str | None = field(default=None, repr=False)
    fspf_tag: str | None = None


@dataclass(frozen=True)
class Mount:
    """A volume at an absolute path of an image."""

    name: str
    path: str


@dataclass(frozen=True)
class Image:
    """What a service's file system has beside its own files."""

    name: str
    volumes: tuple[Mount, ...] = ()


@dataclass(frozen=True)
class Volume:
    """An encrypted volume; without key and tag CAS makes the key."""

    name: str
    fspf_key: str | None = field(default=None, repr=False)
    fspf_tag: str | None = None


@dataclass(frozen=True)
class Attestation:
    """What CAS tolerates in a quote."""

    mode: str = "hardware"
    tolerate: tuple[str, ...] = ()
    ignore_advisories: tuple[str, ...] = ()
    url: str | None = None


@dataclass(frozen=True)
class Session:
    """A whole session; `read` and `update` hold CREATOR, ANY, NONE or hashes of creators' keys (64 hex)."""

    name: str
    services: tuple[Service, ...]
    version: str = "0.3"
    images: tuple[Image, ...] = ()
    volumes: tuple[Volume, ...] = ()
    read: tuple[str, ...] = (CREATOR,)
    update: tuple[str, ...] = (CREATOR,)
    attestation: Attestation = Attestation()
    predecessor: str | None = None

    def service(self, name: str) -> Service | None:
        """The service of that name, or None."""
        return next((service for service in self.services if service.name == name), None)

    def mounts(self, service: Service) -> tuple[Mount, ...]:
        """The volumes that a service's image mounts."""
        return next((image.volumes for image in self.images if image.name == service.image_name), ())


def parse(text: str | bytes) -> Session:
    """The session of a YAML text. Raises SessionError with the line and the reason."""
    import yaml

    from workflows.scone.session_reader import read

    if isinstance(text, bytes):
        text = _decode(text)
    if len(text) > MAX_SIZE:
        raise SessionError(1, f"the session is larger than {MAX_SIZE} characters")
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise SessionError(mark.line + 1 if mark else 1, f"not YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SessionError(1, f"not YAML: {type(error).__name__}") from None
    if node is None:
        raise SessionError(1, "the session is empty")
    return read(node)


def _decode(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise SessionError(data[: error.start].count(b"\n") + 1, "the session is not UTF-8") from None


def to_document(session: Session) -> dict[str, Any]:
    """The session as plain dictionaries and lists, in the order in which iExec's SMS wrote them."""
    document: dict[str, Any] = {
        "name": session.name,
        "version": session.version,
        "access_policy": {"read": list(session.read), "update": list(session.update)},
    }
    if session.predecessor:
        document["predecessor"] = session.predecessor
    document["services"] = [_service(service) for service in session.services]
    document["images"] = [
        {"name": image.name, "volumes": [{"name": v.name, "path": v.path} for v in image.volumes]}
        for image in session.images
    ]
    document["volumes"] = [
        _present({"name": v.name, "fspf_key": v.fspf_key, "fspf_tag": v.fspf_tag}) for v in session.volumes
    ]
    rules = session.attestation
    document["security"] = {
        "attestation": _present(
            {
                "tolerate": list(rules.tolerate),
                "ignore_advisories": list(rules.ignore_advisories),
                "mode": rules.mode,
                "url": rules.url,
            }
        )
    }
    return document


def render(session: Session) -> str:
    """The YAML text of a session; `parse(render(s)) == s` for a valid one."""
    import yaml

    return str(
        yaml.dump(to_document(session), Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=1 << 20)
    )


def _service(service: Service) -> dict[str, Any]:
    document: dict[str, Any] = {"name": service.name}
    if service.image_name:
        document["image_name"] = service.image_name
    if service.signers:
        signers = [vars(signer) for signer in service.signers]
        document["attestation"] = [
            *([{"mrenclave": list(service.mrenclaves)}] if service.mrenclaves else []),
            *({"signer": dict(signer)} for signer in signers),
        ]
    else:
        document["mrenclaves"] = list(service.mrenclaves)
    document["pwd"] = service.pwd
    if service.command:
        document["command"] = _command(service.command)
    document["environment"] = dict(service.environment)
    for name in ("fspf_path", "fspf_key", "fspf_tag"):
        if getattr(service, name) is not None:
            document[name] = getattr(service, name)
    return document


def _command(command: tuple[str, ...]) -> str | list[str]:
    """One string where splitting it on whitespace gives the command again, else a list."""
    line = " ".join(command)
    return line if tuple(line.split()) == command else list(command)


def _present(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value is not None}


def _dumper() -> type:
    """A dumper that quotes every string, so that `1e10`, `no` or digits stay text; it writes no aliases."""
    import yaml

    class Quoting(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    Quoting.add_representer(
        str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
    )
    return Quoting
