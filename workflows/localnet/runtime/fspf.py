"""The file system protection file (FSPF) of the stand-in: the files an enclave accepts, keys to the others.

A file is one magic line, a nonce of 12 bytes, an AES-256-GCM body over sorted JSON with the magic line as
associated data, and its tag of 16 bytes: the tag that SCONE prints and that goes on chain. Until `encrypt`
draws a random key, the key is all zeros. SCONE's own schema is not public; this one says SIMULATED.
"""

import json
import posixpath
from typing import Any, NamedTuple

from workflows.localnet.runtime import libcrypto
from workflows.localnet.runtime.refusals import Altered, BadFiles

MAGIC = b"SIMULATED SCONE file system protection file, version 1\n"
NO_KEY = bytes(32)
NOT_PROTECTED, AUTHENTICATED, ENCRYPTED = "not-protected", "authenticated", "encrypted"


class Region(NamedTuple):
    """Files under one path that share a protection; a path belongs to the longest region that holds it.

    `root` is what `path` was, symlinks resolved, when the region was added: /usr/bin for /bin on Debian.
    `source` is the folder on disk (kernel), empty for an ephemeral region; `key` opens encrypted files.
    An entry of `files`, by path relative to `root`: `type` is `file` (with `mode`, and `sha256`, or `nonce`
    and `tag` when it is encrypted), `link` (with `target`) or `dir` (with `mode`).
    """

    path: str
    root: str
    source: str
    protection: str
    key: str
    chunk: int
    files: "dict[str, dict[str, Any]]"


class Fspf:
    """Regions, and what belongs to which."""

    def __init__(self, regions: "list[Region] | None" = None) -> None:
        self.regions = regions or []

    def region(self, path: str) -> "Region | None":
        """The region with this path, as it was given to `scone fspf addr`."""
        return next((region for region in self.regions if region.path == path), None)

    def owner(self, path: str) -> "Region | None":
        """The region that a resolved path belongs to: the longest root that is a prefix of it."""
        holding = [region for region in self.regions if within(path, region.root)]
        return max(holding, key=lambda region: len(region.root)) if holding else None

    def owned(self, region: Region) -> "dict[str, dict[str, Any]]":
        """The entries of this region that no longer region took over."""
        return {
            name: entry
            for name, entry in region.files.items()
            if self.owner(posixpath.join(region.root, name)) is region
        }

    def complaint(self) -> str:
        """Why these regions are no complete FSPF; empty when they are."""
        if not self.regions:
            return "there is no region in it"
        if len(self.regions) > 1 and self.region("/") is None:
            return "with more than one region, a root region / is required"
        for outer in self.regions:
            for inner in self.regions:
                if outer.protection == ENCRYPTED and inner is not outer and within(inner.root, outer.root):
                    return f"region {inner.path} lies inside the encrypted region {outer.path}"
        return ""

    def pack(self, key: bytes = NO_KEY) -> bytes:
        """The bytes of the file; the last 16 are the tag."""
        body = {"version": 1, "regions": [region._asdict() for region in self.regions]}
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        return MAGIC + libcrypto.seal(key, text.encode("ascii"), MAGIC)


def within(path: str, root: str) -> bool:
    """Whether an absolute path is `root` or below it."""
    return root == "/" or path == root or path.startswith(root + "/")


def tag_of(data: bytes) -> str:
    """The tag of an FSPF file's bytes, 32 hex digits. BadFiles when it is none."""
    if not data.startswith(MAGIC) or len(data) < len(MAGIC) + libcrypto.NONCE + libcrypto.TAG:
        raise BadFiles("this is not a file system protection file of the SIMULATED runtime")
    return data[-libcrypto.TAG :].hex()


def unpack(data: bytes, key: bytes = NO_KEY) -> Fspf:
    """The FSPF in these bytes. BadFiles when it is none, was altered, or has another key."""
    tag_of(data)
    try:
        body = json.loads(libcrypto.unseal(key, data[len(MAGIC) :], MAGIC).decode("ascii"))
        return Fspf([Region(**region) for region in body["regions"]])
    except Altered:
        if key == NO_KEY:
            raise BadFiles("the file system protection file is encrypted: its key is needed") from None
        raise BadFiles("the file system protection file was altered, or this is not its key") from None
    except (ValueError, KeyError, TypeError):
        raise BadFiles("the file system protection file holds no regions") from None
