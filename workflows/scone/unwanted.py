"""What must not, or need not, go into an image: secrets, this project's own notes, caches.

An image is pushed to a public registry; whatever a layer once held can be read by anyone.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Literal

from workflows.containers import hygiene

Kind = Literal["secret", "wallet", "state", "cache", "build"]

WHY: dict[Kind, str] = {
    "secret": "looks like a secret",
    "wallet": "holds keys of iExec accounts, datasets or results",
    "state": "notes of the tools, not part of the app",
    "cache": "made anew where it is needed",
    "build": "only used to build the image",
}
DANGEROUS: frozenset[Kind] = frozenset({"secret", "wallet"})

_FOLDERS: dict[str, Kind] = {
    ".secrets": "wallet", ".ethereum": "wallet",
    ".creamtea": "state", "creamtea-results": "state", ".git": "state", ".hg": "state", ".svn": "state",
    ".idea": "state", ".vscode": "state",
    "node_modules": "cache", "__pycache__": "cache", ".venv": "cache", "venv": "cache", ".tox": "cache",
    ".nox": "cache", ".mypy_cache": "cache", ".pytest_cache": "cache", ".ruff_cache": "cache",
    ".eggs": "cache", ".npm": "cache", ".cache": "cache", ".pnpm-store": "cache",
    ".local": "cache", ".nvm": "cache", ".pyenv": "cache", ".rustup": "cache", ".gradle": "cache", ".m2": "cache",
}  # fmt: skip
_FILES: tuple[tuple[str, Kind], ...] = (
    (".env.example", "build"), (".env.sample", "build"), (".env.template", "build"), (".env.dist", "build"),
    ("creamtea.toml", "state"), ("iexec.json", "state"), ("chain.json", "state"), ("deployed.json", "state"),
    ("orders.json", "state"), (".gitignore", "state"), (".gitattributes", "state"), (".gitmodules", "state"),
    (".editorconfig", "state"), (".ds_store", "state"), ("thumbs.db", "state"),
    ("*.pyc", "cache"), ("*.pyo", "cache"), ("*.swp", "cache"), ("*~", "cache"), ("npm-debug.log*", "cache"),
    ("dockerfile", "build"), ("dockerfile.*", "build"), ("*.dockerfile", "build"), (".dockerignore", "build"),
    ("docker-compose*.y*ml", "build"), ("compose.y*ml", "build"),
    ("protect-fs.sh", "build"), ("sconify.sh", "build"),
)  # fmt: skip


def kind(path: str) -> Kind | None:
    """Why a file or folder stays out, by the names on its path (posix, relative); None when it may go in."""
    parts = PurePosixPath(path).parts
    for part in parts:
        if (found := _FOLDERS.get(part.lower())) is not None:
            return found
    name = parts[-1].lower() if parts else ""
    own = next((found for pattern, found in _FILES if fnmatchcase(name, pattern)), None)
    if own is not None or (secret := hygiene.named(path)) is None:
        return own
    return "wallet" if secret.wallet else "secret"
