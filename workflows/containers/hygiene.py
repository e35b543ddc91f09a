"""Files that must not travel with a build: keys, keystores, wallets and files with tokens in them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

# Closed for good, whatever .dockerignore says.
CLOSED = frozenset({".creamtea", ".git", ".secrets"})

_LEFT_OUT = (
    ("*.key", "a key, by its name"),
    ("id_rsa", "an SSH key"), ("id_dsa", "an SSH key"), ("id_ecdsa", "an SSH key"),
    ("id_ed25519", "an SSH key"), ("utc--*", "an Ethereum keystore"), ("*.keystore", "a key store"),
    ("*.p12", "a key store"), ("*.pfx", "a key store"), ("*.jks", "a key store"),
)  # fmt: skip
_FLAGGED = (
    (".env", "environment files hold passwords and tokens"), (".env.*", "environment files hold passwords"),
    ("wallet.json", "a wallet"), ("iapp.config.json", "iApp's settings hold the wallet's private key"),
    (".netrc", "logins"), (".pypirc", "logins"), (".git-credentials", "logins"),
)  # fmt: skip
_HARMLESS = (".env.example", ".env.sample", ".env.template", ".env.dist")
_VENDORED = {"node_modules", "site-packages"}
_PRIVATE_KEY = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")
_SCANNED = 64 << 10


@dataclass(frozen=True)
class Secret:
    """A file that must not be in a build context; `sent` tells whether it would go there all the same."""

    path: str
    why: str
    sent: bool


def judge(folder: Path, path: str) -> Secret | None:
    """What is wrong with a file of a context, None for nothing; content counts where names do not tell."""
    parts = PurePosixPath(path).parts
    if _VENDORED.intersection(parts[:-1]):  # installed packages: their test keys are nobody's secret
        return None
    file = folder / path
    if file.is_symlink() or not file.is_file():
        return None
    name = parts[-1].lower()
    for pattern, why in _LEFT_OUT:
        if fnmatchcase(name, pattern):
            return Secret(path, why, sent=False)
    for pattern, why in _FLAGGED:
        if fnmatchcase(name, pattern) and name not in _HARMLESS:
            return _content(file, path, name) or Secret(path, why, sent=True)
    if parts[-2:] == (".docker", "config.json") or parts[-2:] == (".aws", "credentials"):
        return Secret(path, "logins", sent=True)
    return _content(file, path, name)


def _content(file: Path, path: str, name: str) -> Secret | None:
    suffix = PurePosixPath(name).suffix
    if suffix not in ("", ".pem", ".json", ".asc", ".txt", ".npmrc") and name != ".npmrc":
        return None
    try:
        if file.stat().st_size > _SCANNED:
            return None
        data = file.read_bytes()
    except OSError:  # the archive will say so
        return None
    if _PRIVATE_KEY.search(data):
        return Secret(path, "a private key", sent=False)
    if name == ".npmrc" and b"_authToken" in data:
        return Secret(path, "a token for a package registry", sent=True)
    return _wallet(path, data) if suffix == ".json" else None


def _wallet(path: str, data: bytes) -> Secret | None:
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    fields = {str(name).lower().replace("_", ""): value for name, value in record.items()}
    crypto = fields.get("crypto")
    if isinstance(crypto, dict) and "ciphertext" in crypto:
        return Secret(path, "an Ethereum keystore", sent=False)
    if any(isinstance(fields.get(name), str) for name in ("privatekey", "mnemonic", "walletprivatekey")):
        return Secret(path, "a private key in JSON", sent=True)
    return None
