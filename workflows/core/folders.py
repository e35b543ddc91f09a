"""The folder of an app: whether it is there, and whether it is hardly anybody's project."""

from __future__ import annotations

import tempfile
from pathlib import Path

from workflows.core.failure import Missing
from workflows.core.journal import FOLDER

_SYSTEM = (
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys", "/usr/bin",
    "/usr/lib", "/usr/sbin", "/var/lib",
)  # fmt: skip
_SHARED = ("/media", "/mnt", "/opt", "/srv", "/tmp", "/usr", "/usr/local", "/var", "/var/tmp")  # noqa: S108
_GENERAL = ("Desktop", "Documents", "Downloads", "Music", "Pictures", "Public", "Templates", "Videos")


def existing(given: Path | str) -> Path:
    """The whole path of a project's folder, `~` and links resolved. Missing when it is no folder."""
    folder = Path(given).expanduser().resolve()
    if not folder.is_dir():
        raise Missing(f"{folder} is not a folder", "give the app's folder with --project")
    return folder


def unlikely(folder: Path) -> str | None:
    """Why a folder is hardly an app's own: `your home folder`. None where nothing speaks against it.

    Nothing does where creamtea has worked before.
    """
    if (folder / FOLDER).exists():
        return None
    if folder == Path(folder.anchor):
        return "the root of the file system"
    try:
        home = Path.home().resolve()
    except RuntimeError:
        home = Path("/nonexistent")
    if folder == home:
        return "your home folder"
    if folder in home.parents:
        return "the folder of the home folders"
    if folder.is_relative_to(home):
        return "a folder for everything" if folder.parent == home and folder.name in _GENERAL else None
    if str(folder) in _SHARED or folder == Path(tempfile.gettempdir()).resolve():
        return "a folder that everything shares"
    if any(folder.is_relative_to(place) for place in _SYSTEM):
        return "a folder of the system"
    return None


def warning(folder: Path) -> str | None:
    """The same as a sentence, with what would be written there."""
    why = unlikely(folder)
    return why and f"{folder} is {why}: {FOLDER}, creamtea.toml and a Dockerfile would be written there"
