"""Which folders of an image the file shield covers, and how.

A file belongs to the region with the longest path before it. As soon as there is one region more, `/` needs
one too: it is not protected, because the engine writes into it at run time. Sources: SCONE's file shield page
and iExec's protect-fs.sh.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Literal, NamedTuple, get_args

from workflows.core.failure import Missing
from workflows.core.text import clean

Kind = Literal["authenticated", "encrypted", "not-protected"]
KINDS: tuple[Kind, ...] = get_args(Kind)

APP = "/app"
# What an interpreter reads: authenticated in every image. Folders that a base lacks are passed over.
SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/sbin", "/etc/ssl")

_REWRITTEN = "the engine rewrites /etc/hosts and others when it starts a container"
_TRAPS: dict[str, str] = {
    "/": "the engine writes into it when it starts a container",
    "/etc": _REWRITTEN,
    "/etc/hosts": _REWRITTEN,
    "/etc/hostname": _REWRITTEN,
    "/etc/resolv.conf": _REWRITTEN,
    "/proc": "the kernel changes it all the time",
    "/sys": "the kernel changes it all the time",
    "/dev": "the engine fills it when it starts a container",
    "/run": "it is filled at run time",
    "/tmp": "it is filled at run time",  # noqa: S108 - a name, not a file that we make
    "/build": "the fingerprint itself is written there",
    "/iexec_in": "the session mounts an encrypted volume there",
    "/iexec_out": "the session mounts an encrypted volume there",
    "/scone": "the session mounts an encrypted volume there",
}


class Region(NamedTuple):
    """A folder of the image and its kind; `source` is the project's folder that fills it, if one does."""

    path: str
    kind: Kind
    source: str | None = None


def trap(path: str) -> str | None:
    """Why a folder of the image must not be protected; None when it may be."""
    return _TRAPS.get(str(PurePosixPath(path)))


def plan(choices: Mapping[str, Kind], folders: Sequence[str], home: str = APP) -> list[Region]:
    """The app's regions, a parent before its children; `.` is the whole app and always one of them.

    `choices` maps a folder of the project (one of `folders`) or of the image (absolute) to its kind. `home` is
    where the image has the project. Missing when a choice cannot work.
    """
    if (why := trap(home)) is not None:
        raise _refused(
            f"the app is in {home}, which must not be protected: {why}",
            f"Copy it to a folder of its own, such as {APP}.",
        )
    found = [Region(home, choices.get(".", "authenticated"), ".")]
    for name, kind in choices.items():
        if kind not in KINDS:
            raise _refused(
                f"{clean(name)}: there is no kind of region {kind!r}", f"Kinds: {', '.join(KINDS)}."
            )
        if name == ".":
            continue
        if name.startswith("/"):
            found.append(_of_image(name, kind))
        elif name.strip("/") in folders:
            found.append(Region(f"{home}/{name.strip('/')}", kind, name.strip("/")))
        else:
            raise _refused(
                f"the project has no folder {clean(name)}",
                f"Folders: {', '.join(folders) or 'none'}; `.` is the whole app.",
            )
    found.sort(key=lambda region: PurePosixPath(region.path).parts)
    for outer in found:
        for inner in found:
            inside = PurePosixPath(inner.path).is_relative_to(outer.path) and inner != outer
            if inside and outer.kind == "encrypted":
                raise _refused(
                    f"{inner.path} lies in {outer.path}, which is encrypted as a whole",
                    "Encrypt the folders beside it instead, or move it out.",
                )
    if not any(region.kind != "not-protected" for region in found):
        raise _refused(
            "no folder of the app would be protected",
            "Anyone who starts the image could change your code: authenticate at least the entry's folder.",
        )
    return found


def _of_image(name: str, kind: Kind) -> Region:
    path = PurePosixPath(name)
    if (
        ".." in path.parts
        or name != clean(name)
        or any(letter.isspace() or letter in "\"'`$\\;&|<>*?" for letter in name)
    ):
        raise _refused(f"{clean(name)} is no plain path", "Write a folder such as /opt/model.")
    if (why := trap(str(path))) is not None:
        raise _refused(f"{path} must not be a region: {why}", "Protect the folders with your files in them.")
    if kind == "encrypted":
        raise _refused(
            f"{path} cannot be encrypted: it is a folder of the image, not of the project",
            "Bring the files in a folder of the project, and encrypt that.",
        )
    if str(path) in SYSTEM and kind != "authenticated":
        raise _refused(f"{path} is authenticated in every image", "The interpreter is read from there.")
    return Region(str(path), kind)


def _refused(message: str, hint: str) -> Missing:
    return Missing(message, hint, name="regions")
