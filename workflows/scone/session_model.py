"""The parts of a CAS session, as the session language names them; `session` reads and writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

CREATOR, ANY, NONE = "CREATOR", "ANY", "NONE"
TOLERATIONS = (
    "debug-mode",
    "hyperthreading",
    "insecure-igpu",
    "outdated-tcb",
    "software-hardening-needed",
    "insecure-configuration",
    "aepic-leak",
    "maa-managed-tcb",
)
MODES = ("hardware", "none", "maa")
MAX_SIZE = 1 << 20
MAX_COMMAND = 1 << 17
MAX_IMAGE_NAME = 256
HIGHEST = 0xFFFF  # product ids and security versions are 16 bits
INJECTED_MODE = 0o700

# `.` and `..` mean a place among sessions, not one of them
LOCAL_NAME = re.compile(r"(?!\.\.?(?:/|$))[A-Za-z0-9_\-.~]{1,128}")
NAME = re.compile(rf"(?!.{{301}}){LOCAL_NAME.pattern}(?:/{LOCAL_NAME.pattern}){{0,31}}")
HOST_WORD = re.compile(r"@@\d+")  # in a command: an argument that the host gives
VARIABLE = re.compile(r"[^=\x00]{1,256}")


class SessionError(ValueError):
    """A session text is refused: `line` (from 1) and `reason`."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


@dataclass(frozen=True)
class Signer:
    """Who signed an enclave: MRSIGNER (64 hex), product id, and security versions from `least` to `most`."""

    mrsigner: str
    isvprodid: int
    least: int = 0
    most: int = HIGHEST


@dataclass(frozen=True)
class Rule:
    """One way to be a service's enclave: one of `mrenclaves` (when there are any) and signed so (when given)."""

    mrenclaves: tuple[str, ...] = ()
    signer: Signer | None = None


@dataclass(frozen=True)
class Service:
    """One enclave of a session: who it must be, and what it receives.

    `mrenclaves` (64 hex each) is the old form of `attestation`, of which one rule must hold; see `rules`.
    `command` is as it was written; `words` is what starts. `fspf_key` 64 hex, `fspf_tag` 32 hex, both or
    neither, with `fspf_path` absolute.
    """

    name: str
    image_name: str = ""
    mrenclaves: tuple[str, ...] = ()
    attestation: tuple[Rule, ...] = ()
    command: str | tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    pwd: str = "/"  # noqa: S105 - the working directory
    fspf_path: str | None = None
    fspf_key: str | None = field(default=None, repr=False)
    fspf_tag: str | None = None

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The alternatives of which an enclave must fulfil one."""
        return self.attestation or ((Rule(self.mrenclaves),) if self.mrenclaves else ())

    @property
    def words(self) -> tuple[str, ...]:
        """Program and arguments."""
        return split(self.command) if isinstance(self.command, str) else self.command


@dataclass(frozen=True)
class Mount:
    """A volume at an absolute path of an image."""

    name: str
    path: str


@dataclass(frozen=True)
class Injected:
    """A file that the enclave finds at `path`, placeholders replaced; without content, the image's own file."""

    path: str
    content: str | None = field(default=None, repr=False)
    permission: int = INJECTED_MODE


@dataclass(frozen=True)
class Image:
    """What a service's file system has beside its own files.

    `provide_secrets` limits which secrets may go into files that come from the image; None is all of them.
    """

    name: str
    volumes: tuple[Mount, ...] = ()
    injection_files: tuple[Injected, ...] = ()
    provide_secrets: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Export:
    """Who gets a secret or a volume: one session, at `session_hash` only when given, or all of a namespace.

    A volume may go by another name: `alias`.
    """

    session: str
    session_hash: str | None = None
    namespace: bool = False
    alias: str | None = None


@dataclass(frozen=True)
class Import:
    """Where a secret or a volume comes from: its session, at `session_hash` only when given, and its name there."""

    session: str
    name: str
    session_hash: str | None = None


@dataclass(frozen=True)
class Volume:
    """An encrypted volume; without a key CAS makes one, unless it is another session's (`source`)."""

    name: str
    fspf_key: str | None = field(default=None, repr=False)
    export: tuple[Export, ...] = ()
    source: Import | None = None


@dataclass(frozen=True)
class Secret:
    """A secret that is given, that CAS makes, or (`source`) another session's; its kind says which fields count.

    `value` as it is written: text, hex or PEM. `private_key` and `issuer` name other secrets. `san` holds
    `dns:NAME` and `ip:ADDRESS`. Of an imported secret the kind may be left empty.
    """

    name: str
    kind: str
    value: str | None = field(default=None, repr=False)
    size: int = 20
    key_type: str = "P-256"
    migrate: bool = False
    private_key: str | None = None
    issuer: str | None = None
    common_name: str | None = None
    endpoint: str | None = None
    san: tuple[str, ...] = ()
    export_public: bool = False
    export: tuple[Export, ...] = ()
    source: Import | None = None


@dataclass(frozen=True)
class Attestation:
    """What CAS tolerates in a quote."""

    mode: str = "hardware"
    tolerate: tuple[str, ...] = ()
    ignore_advisories: tuple[str, ...] = ()
    url: str | None = None


@dataclass(frozen=True)
class Session:
    """A whole session.

    Policies hold CREATOR, ANY, NONE or hashes of clients' public keys (64 hex); `create_sessions` and
    `list_sessions` are None where they follow `update` and `read`.
    """

    name: str
    services: tuple[Service, ...] = ()
    version: str = "0.3"
    images: tuple[Image, ...] = ()
    volumes: tuple[Volume, ...] = ()
    secrets: tuple[Secret, ...] = ()
    read: tuple[str, ...] = (CREATOR,)
    update: tuple[str, ...] = (CREATOR,)
    create_sessions: tuple[str, ...] | None = None
    list_sessions: tuple[str, ...] | None = None
    attestation: Attestation = Attestation()
    predecessor: str | None = None
    namespace_hash: str | None = None
    salt: str | None = None

    def service(self, name: str) -> Service | None:
        """The service of that name, or None."""
        return next((service for service in self.services if service.name == name), None)

    def volume(self, name: str) -> Volume | None:
        """The volume of that name, or None."""
        return next((volume for volume in self.volumes if volume.name == name), None)

    def image(self, service: Service) -> Image:
        """The image of a service; an empty one when it names none."""
        return next((image for image in self.images if image.name == service.image_name), Image(""))


def split(command: str) -> tuple[str, ...]:
    """The words of a command line: at whitespace, but not inside of '…' or "…". ValueError: an open quote.

    SCONE documents no escape characters, so a backslash is one like any other.
    """
    import shlex

    lexer = shlex.shlex(command, posix=True)
    lexer.whitespace_split, lexer.commenters, lexer.escape = True, "", ""
    return tuple(lexer)
