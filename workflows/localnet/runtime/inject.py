"""Injection files: what stands in the session, or in a file of the image, with secrets in their places.

They are in memory only: the path leads there while the program runs, and what the image had is put back.
"""

import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Optional

from workflows.localnet.runtime.places import Places, fresh, link, memory_for
from workflows.localnet.runtime.refusals import BadFiles

_PLACEHOLDER = re.compile(rb"\$\$SCONE::(.{1,300}?)\$\$", re.DOTALL)
ASIDE = ".scone-injected"  # added to the name of the image's own file


class Injected(NamedTuple):
    """A file that the program finds at `path`; without content it is the image's, secrets put in."""

    path: str
    mode: int
    content: "Optional[bytes]"


def replace(text: bytes, value: "Callable[[str], bytes]") -> bytes:
    """The text with each placeholder replaced, once; `value` may raise LookupError."""
    return _PLACEHOLDER.sub(lambda match: value(match.group(1).decode("utf-8", "replace")), text)


def inject(files: "Sequence[Injected]", secrets: "Mapping[str, bytes]", places: Places) -> None:
    """Put every file in its place. BadFiles names the path."""
    for file in files:
        content = _filled(file.path, secrets) if file.content is None else file.content
        folder = fresh(places, memory_for(places, file.path) + ".file")
        memory = os.path.join(folder, "content")
        try:
            with open(os.open(memory, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as output:
                output.write(content)
            os.chmod(memory, file.mode)
            if os.path.isfile(file.path) and not os.path.islink(file.path):
                shutil.move(file.path, file.path + ASIDE)
        except OSError as error:
            raise BadFiles(f"{file.path} cannot be put in place: {error.strerror}") from None
        link(file.path, memory)


def withdraw(files: "Sequence[Injected]", places: Places) -> None:
    """Take every file away again, so that the image's files are the ones that were fingerprinted."""
    for file in files:
        if os.path.islink(file.path) and os.readlink(file.path).startswith(places.memory + "/"):
            os.unlink(file.path)
        if os.path.lexists(file.path + ASIDE):
            os.replace(file.path + ASIDE, file.path)


def _filled(path: str, secrets: "Mapping[str, bytes]") -> bytes:
    try:
        with open(path, "rb") as handle:
            return replace(handle.read(), secrets.__getitem__)
    except OSError as error:
        raise BadFiles(f"{path} cannot be read: {error.strerror}") from None
    except LookupError as error:
        raise BadFiles(f"{path} asks for {error.args[0]!r}, which this image is not given") from None
