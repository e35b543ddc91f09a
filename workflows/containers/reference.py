"""Image references, strictly parsed by the grammar of the OCI distribution reference."""

from __future__ import annotations

import re
from dataclasses import dataclass

from workflows.core.failure import Missing

HUB = "docker.io"

_HOST = (
    r"(?:(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])"
    r"(?:\.(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9]))*|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?"
)
_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_WHOLE = re.compile(
    rf"(?:(?P<host>{_HOST})/)?(?P<path>{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,}))?"
)
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Reference:
    """A parsed reference; `repository` is the full path at `host` (`library/python` at docker.io)."""

    host: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """The parts of `[host[:port]/]path[:tag][@digest]`; Missing when it is not one."""
        match = _WHOLE.fullmatch(text)
        if match is None:
            raise _wrong(text, "names are lower case; tags and digests follow ':' and '@'")
        host, path, tag, digest = match.group("host", "path", "tag", "digest")
        if host is not None and not _is_host(host):
            host, path = None, f"{host}/{path}"
            if re.fullmatch(rf"{_PART}(?:/{_PART})*", path) is None:
                raise _wrong(text, "the repository path is lower case")
        if host is None:
            host = HUB
            if _ID.fullmatch(path):
                raise _wrong(text, "64 hex digits are an image id, not a name")
        if host in ("index.docker.io", "registry-1.docker.io"):
            host = HUB
        if host == HUB and "/" not in path:
            path = f"library/{path}"
        if len(host) + len(path) + 1 > 255:
            raise _wrong(text, "the name is longer than 255 characters")
        port = host.rpartition(":")[2] if ":" in host.rpartition("]")[2] else ""
        if port and not 0 < int(port) < 65536:
            raise _wrong(text, "the port is not between 1 and 65535")
        if digest is not None and digest.startswith("sha256:") and not _SHA256.fullmatch(digest):
            raise _wrong(text, "a sha256 digest is 64 lower-case hex digits")
        return cls(host, path, tag, digest)

    @property
    def name(self) -> str:
        """The name as people write it, without tag and digest: `python`, `host:5000/app`."""
        if self.host != HUB:
            return f"{self.host}/{self.repository}"
        return self.repository.removeprefix("library/")

    @property
    def canonical(self) -> str:
        """The full form with the implied host and tag; equal for references that mean the same image."""
        tag = self.tag or ("" if self.digest else "latest")
        return f"{self.host}/{self.repository}{':' + tag if tag else ''}{self._at}"

    @property
    def version(self) -> str:
        """What selects the image in its repository: the digest, else the tag, else `latest`."""
        return self.digest or self.tag or "latest"

    @property
    def _at(self) -> str:
        return f"@{self.digest}" if self.digest else ""

    def __str__(self) -> str:
        return f"{self.name}{':' + self.tag if self.tag else ''}{self._at}"


def same_image(one: str, other: str) -> bool:
    """Whether two references mean the same image: `python` and `docker.io/library/python:latest` do."""
    try:
        return Reference.parse(one).canonical == Reference.parse(other).canonical
    except Missing:
        return one == other


def _is_host(first: str) -> bool:
    return "." in first or ":" in first or first == "localhost" or first != first.lower()


def _wrong(text: str, why: str) -> Missing:
    return Missing(
        f"{text[:200]!r} is not an image reference: {why}",
        "write it as [host[:port]/]name[:tag], for example registry.example.com:5000/team/app:1.0",
        name="bad_reference",
    )
