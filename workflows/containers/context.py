"""What goes to the engine with a build: the folder less what must stay home, as a reproducible tar stream."""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from workflows.containers import ignore
from workflows.containers.dockerfile import Change, bases, rewrite_from
from workflows.containers.hygiene import CLOSED, Secret, judge
from workflows.core.failure import Failed
from workflows.core.step import Cancel

_BLOCK = 256 << 10
_RECORD = 10240
_IN_MEMORY = 315_619_200  # 1980-01-02: the same for every build, and late enough for zip archives


@dataclass(frozen=True)
class Context:
    """A build context: `folder`, the Dockerfile's text (may differ from the disk), files only in memory.

    `extra` maps paths in the context to bytes and wins over the disk; those that start with `#!` are
    executable. `name` is the Dockerfile's path in the archive; `apart` are further lines for .dockerignore.
    What looks at the folder ends with Cancelled once `cancel` is set.
    """

    folder: Path
    dockerfile: str
    extra: Mapping[str, bytes] = field(default_factory=dict)
    name: str = "Dockerfile"
    apart: tuple[str, ...] = ()
    cancel: Cancel = field(default_factory=Cancel, compare=False)

    def rewritten(
        self, mapping: Mapping[str, str], args: Mapping[str, str] | None = None
    ) -> tuple[Context, list[Change]]:
        """The same context with other base images in the archive's Dockerfile; the one on disk stays."""
        text, changes = rewrite_from(self.dockerfile, mapping, args)
        return replace(self, dockerfile=text), changes

    def paths(self) -> list[str]:
        """The paths of the folder that are sent, sorted: without what .dockerignore or `judge` leaves out.

        .dockerignore itself stays too: podman would apply it again, to the files in memory as well.
        """
        told = (path for path, secret in self._judged() if secret is None or secret.sent)
        return [path for path in told if path not in self._rules()]

    def secrets(self) -> list[Secret]:
        """The files that .dockerignore lets pass and that must not be sent; most are left out anyway."""
        return [secret for _, secret in self._judged() if secret is not None]

    def digest(self) -> str:
        """SHA-256 (hex) of all that is sent but for the times: equal inputs, equal digest."""
        memory = {**self.extra, self.name: self.dockerfile.encode()}
        whole = hashlib.sha256()
        for path in sorted({*self.paths(), *memory}):
            blocks = (
                _held(path, memory[path]) if path in memory else _stored(self.folder, path, timeless=True)
            )
            for block in blocks:
                self.cancel.check()
                whole.update(block)
        return whole.hexdigest()

    def archive(self) -> Iterator[bytes]:
        """The tar in blocks: GNU format, sorted, owner 0, whole-second times; Failed for an unreadable file.

        GNU, because the PAX headers of fractional times make BuildKit of Docker 20.10 take the archive for
        a Dockerfile (moby#41496).
        """
        memory = {**self.extra, self.name: self.dockerfile.encode()}
        sent = 0
        for path in sorted({*self.paths(), *memory}):
            for block in _held(path, memory[path]) if path in memory else _stored(self.folder, path):
                sent += len(block)
                yield block
        sent += 1024
        yield b"\0" * (1024 + -sent % _RECORD)

    def _judged(self) -> Iterator[tuple[str, Secret | None]]:
        lines = (
            *ignore.rules(self.folder, self._rules()),
            *self.apart,
            *CLOSED,
            *(f"**/{name}" for name in CLOSED),
        )
        try:
            found = ignore.walk(self.folder, lines, CLOSED, self.cancel)
        except OSError as error:
            raise _unreadable(error.filename or str(self.folder), error) from None
        for path in found:
            self.cancel.check()  # judging reads
            yield path, judge(self.folder, path)

    def _rules(self) -> tuple[str, str]:
        return f"{self.name}{ignore.NAME}", ignore.NAME


def secrets_in(context: Context) -> list[Secret]:
    """The files of a context that must not be in it; those with `sent` would travel unless ignored."""
    return context.secrets()


def _held(path: str, content: bytes) -> Iterator[bytes]:
    info = tarfile.TarInfo(path)
    info.size, info.mtime = len(content), _IN_MEMORY
    info.mode = 0o755 if content.startswith(b"#!") else 0o644
    yield _header(info)
    yield content
    yield b"\0" * (-info.size % 512)


def _stored(folder: Path, path: str, *, timeless: bool = False) -> Iterator[bytes]:
    file = folder / path
    try:
        status = file.lstat()
        info = tarfile.TarInfo(path)
        info.mode, info.mtime = stat.S_IMODE(status.st_mode), 0 if timeless else max(0, int(status.st_mtime))
        if stat.S_ISDIR(status.st_mode):
            info.type = tarfile.DIRTYPE
            yield _header(info)
        elif stat.S_ISLNK(status.st_mode):
            info.type, info.linkname = tarfile.SYMTYPE, os.readlink(file)  # noqa: PTH115 - bytes as they are
            yield _header(info)
        elif stat.S_ISREG(status.st_mode):  # sockets, pipes and devices have no content to send
            yield from _content(file, info)
    except OSError as error:
        raise _unreadable(path, error) from None


def _content(file: Path, info: tarfile.TarInfo) -> Iterator[bytes]:
    with open(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as opened:  # noqa: PTH123
        info.size = left = os.fstat(opened.fileno()).st_size
        yield _header(info)
        while left:
            block = opened.read(min(left, _BLOCK))
            if not block:
                raise Failed(
                    f"{info.name} became shorter while it was read",
                    "let the program that writes it finish, or name the file in .dockerignore",
                    name="context_changed",
                )
            left -= len(block)
            yield block
    yield b"\0" * (-info.size % 512)


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _unreadable(path: str, error: OSError) -> Failed:
    return Failed(
        f"{path} cannot be read: {error.strerror}",
        "make it readable, or name it in .dockerignore",
        name="context_unreadable",
    )


__all__ = ["Change", "Context", "Secret", "bases", "rewrite_from", "secrets_in"]
