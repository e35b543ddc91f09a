"""Secrets by their names and contents: the one list of what must not travel with a build, nor lie in an image."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Literal

# Closed for good, whatever .dockerignore says.
CLOSED = frozenset({".creamtea", ".git", ".secrets"})

# closed: never sent. known: stays out of images. guess: it stays out too, unless a Dockerfile names it.
Sure = Literal["closed", "known", "guess"]
_FOLDERS = frozenset({".ssh", ".aws", ".gnupg", ".docker", ".kube", ".azure", ".gcloud"})
_WALLETS: tuple[tuple[str, Sure, str], ...] = (
    ("utc--*", "closed", "an Ethereum keystore"), ("wallet.json", "known", "a wallet"),
    ("encrypted-wallet.json", "known", "a wallet"), ("*.scone.secret", "known", "a key of a dataset"),
    ("iapp.config.json", "known", "iApp's settings hold the wallet's private key"),
)  # fmt: skip
_NAMES: tuple[tuple[str, Sure, str], ...] = (
    *_WALLETS,
    ("*.key", "closed", "a key, by its name"),
    ("id_rsa", "closed", "an SSH key"), ("id_dsa", "closed", "an SSH key"), ("id_ecdsa", "closed", "an SSH key"),
    ("id_ed25519", "closed", "an SSH key"),
    ("*.keystore", "closed", "a key store"), ("*.p12", "closed", "a key store"), ("*.pfx", "closed", "a key store"),
    ("*.jks", "closed", "a key store"),
    (".env", "known", "environment files hold passwords and tokens"),
    (".env.*", "known", "environment files hold passwords"), ("*.env", "known", "environment files hold passwords"),
    ("id_rsa*", "known", "an SSH key"), ("id_dsa*", "known", "an SSH key"), ("id_ecdsa*", "known", "an SSH key"),
    ("id_ed25519*", "known", "an SSH key"), ("*.ppk", "known", "an SSH key"), ("*.kdbx", "known", "passwords"),
    ("*.gpg", "known", "keys of GnuPG"), (".htpasswd", "known", "logins"), ("*password*.txt", "known", "passwords"),
    (".netrc", "known", "logins"), ("_netrc", "known", "logins"), (".git-credentials", "known", "logins"),
    (".pypirc", "known", "logins"), (".npmrc", "known", "a token for a package registry"),
    (".yarnrc.yml", "known", "a token for a package registry"), (".dockercfg", "known", "logins"),
    (".dockerconfigjson", "known", "logins"), ("credentials", "known", "logins"),
    ("credentials.json", "known", "logins"), ("service-account*.json", "known", "a key of a cloud"),
    ("client_secret_*.json", "guess", "a key of a cloud"),
    ("secrets.y*ml", "known", "secrets"), ("secrets.json", "known", "secrets"), ("secrets.toml", "known", "secrets"),
    ("*.tfstate*", "known", "Terraform's state holds secrets"),
)  # fmt: skip
_HARMLESS = (".env.example", ".env.sample", ".env.template", ".env.dist", "*.pub")
# Names end with such a word, or with one and a suffix of plain text. Code is never meant: token.py, secrets.js. Nor are
# vocabularies: tokenizer.json, tokens.txt.
_TELLING = re.compile(
    r"(?:^|_)(?:secrets?|(?:api|access|auth|bot)_?tokens|token|api_?keys?|(?:secret|access|private)_?keys?"
    r"|privkey|pass(?:words?|wd|phrases?)|credentials?|mnemonic)(?:_?[0-9]+)?"
    r"(?:_(?:txt|json|ya?ml|toml|ini|cfg|conf|properties|b64|hex))?$"
)
_PUBLIC = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]+ )*(?:CERTIFICATE|PUBLIC KEY|PARAMETERS|CRL|CERTIFICATE REQUEST)-----"
)
_VENDORED = {"node_modules", "site-packages"}
_PRIVATE_KEY = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")
_SCANNED = 64 << 10


@dataclass(frozen=True)
class Secret:
    """A file that must not be in a build context; `sent` tells whether it would go there all the same."""

    path: str
    why: str
    sent: bool


@dataclass(frozen=True)
class Named:
    """A file or folder that a name on its path tells to be a secret."""

    why: str
    sure: Sure
    wallet: bool = False


def named(path: str) -> Named | None:
    """What the names on a path (posix, relative) tell; None for nothing. A folder's guess says nothing of its files."""
    parts = PurePosixPath(path).parts
    if any(part.lower() in _FOLDERS for part in parts):
        return Named("logins and keys", "known")
    name = parts[-1].lower() if parts else ""
    if any(fnmatchcase(name, pattern) for pattern in _HARMLESS):
        return None
    for entry in _NAMES:
        if fnmatchcase(name, entry[0]):
            return Named(entry[2], entry[1], entry in _WALLETS)
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]", "_", parts[-1]).lower() if parts else ""
    return Named("a secret, by its name", "guess") if _TELLING.search(words) else None


def holds_private_key(data: bytes) -> bool:
    """Whether there is a private key in text form in what a file begins with."""
    return _PRIVATE_KEY.search(data) is not None


def opaque(name: str, data: bytes) -> bool:
    """Whether a file is named like a certificate or key, and what it begins with is nothing that is public."""
    return PurePosixPath(name).suffix.lower() == ".pem" and bool(data.strip()) and not _PUBLIC.search(data)


def judge(folder: Path, path: str) -> Secret | None:
    """What is wrong with a file of a context, None for nothing; content counts where names do not tell."""
    parts = PurePosixPath(path).parts
    if _VENDORED.intersection(parts[:-1]):  # installed packages: their test keys are nobody's secret
        return None
    file = folder / path
    if file.is_symlink() or not file.is_file():
        return None
    found = named(path)
    if found is not None and found.sure == "closed":
        return Secret(path, found.why, sent=False)
    return _content(file, path, parts[-1].lower()) or (
        Secret(path, found.why, sent=True) if found is not None else None
    )


def _content(file: Path, path: str, name: str) -> Secret | None:
    suffix = PurePosixPath(name).suffix
    if suffix not in ("", ".pem", ".json", ".asc", ".txt"):
        return None
    try:
        if file.stat().st_size > _SCANNED:
            return None
        data = file.read_bytes()
    except OSError:  # the archive will say so
        return None
    if holds_private_key(data):
        return Secret(path, "a private key", sent=False)
    if opaque(name, data):
        return Secret(path, "a key, by its name", sent=True)
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
