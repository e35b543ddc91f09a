"""Looking for secrets where they must not be: as they are, in hex, and in base64 at any alignment."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path


def spellings(secret: bytes) -> set[bytes]:
    """How a secret may be written down. Base64 depends on what stands before it, so three of them."""
    assert len(secret) >= 12, "too short: it could be found by chance"
    found = {secret, secret.hex().encode(), secret.hex().upper().encode()}
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + secret)
        first = -(-before * 8 // 6)  # characters that depend on what stands before
        last = len(secret + b"\0" * before) * 8 // 6  # and those that depend on what comes after
        found |= {encoded[first:last], encoded[first:last].translate(bytes.maketrans(b"+/", b"-_"))}
    return found


class Needles:
    """Named secrets. `found_in` says which are in some bytes."""

    def __init__(self, **secrets: bytes) -> None:
        self._spellings = {name: spellings(secret) for name, secret in secrets.items()}

    def found_in(self, data: bytes) -> list[str]:
        """The names of the secrets that are there, in any spelling."""
        return [name for name, ways in self._spellings.items() if any(way in data for way in ways)]

    def found_under(self, folder: Path, skip: Iterable[Path] = ()) -> list[str]:
        """`secret in file` for every file under a folder; each file and folder of `skip` is left out."""
        apart = list(skip)
        found, looked = [], 0
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not any(path.is_relative_to(other) for other in apart):
                looked += 1
                found += [f"{name} in {path}" for name in self.found_in(path.read_bytes())]
        assert looked, f"there is no file under {folder}"
        return found
