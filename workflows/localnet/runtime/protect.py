"""What `scone fspf` does: an FSPF made, regions and files added to it, encrypted, shown."""

import os
from typing import Any

from workflows.localnet.runtime import libcrypto, tree
from workflows.localnet.runtime.fspf import (
    ENCRYPTED,
    NO_KEY,
    NOT_PROTECTED,
    Fspf,
    Region,
    tag_of,
    unpack,
    within,
)
from workflows.localnet.runtime.refusals import Refused


def create(file: str) -> str:
    """A new FSPF without regions; the line that SCONE prints."""
    return f"Created empty file system protection file in {file}. AES-GCM tag: {_save(file, Fspf())}"


def add_region(file: str, path: str, source: str, protection: str, key_length: int, chunk: int) -> str:
    """One region, without its files; `source` is empty for an ephemeral one. The line that SCONE prints."""
    fspf = _open(file)
    name = _absolute(path, "EMBEDPOINT")
    if fspf.region(name) is not None:
        raise Refused(f"region {name} is in {file} already")
    parent, last = os.path.split(name)
    # An encrypted or ephemeral region becomes a link into memory, perhaps made already: it is not followed.
    follow = source and protection != ENCRYPTED
    root = os.path.realpath(name) if follow else os.path.join(os.path.realpath(parent), last)
    twin = next((region for region in fspf.regions if region.root == root), None)
    if twin is not None and twin.protection != protection:
        raise Refused(
            f"{name} and {twin.path} are the same folder, and cannot be {protection} and {twin.protection}"
        )
    key = libcrypto.fresh(key_length).hex() if protection == ENCRYPTED else ""
    kernel = os.path.realpath(_absolute(source, "SOURCE_DIR")) if source else ""
    fspf.regions.append(Region(name, root, kernel, protection, key, chunk, {}))
    fspf.regions = [region._replace(files=fspf.owned(region)) for region in fspf.regions]
    return f"Added region {path} to file system protection file {file} new AES-GCM tag: {_save(file, fspf)}"


def add_files(file: str, path: str, source: str, output: str = "") -> str:
    """The files of a folder, added to a region; encrypted ones go to `output`. The line that SCONE prints."""
    fspf = _open(file)
    region = fspf.region(_absolute(path, "EMBEDPOINT"))
    if region is None:
        raise Refused(f"there is no region {path} in {file}: add it first with scone fspf addr")
    if region.protection == NOT_PROTECTED or not region.source:
        kind = NOT_PROTECTED if region.source else "ephemeral"
        raise Refused(f"region {path} is {kind}: there are no files to add")
    if not os.path.isdir(source):
        raise Refused(f"{source} is not a folder")
    if region.protection == ENCRYPTED and not output:
        raise Refused(
            f"region {path} is encrypted: OUTPUT_DIR is required, the folder for the encrypted files"
        )
    folder, target = os.path.realpath(source), os.path.realpath(output) if output else ""
    if target and (within(target, folder) or within(folder, target)):
        raise Refused(f"OUTPUT_DIR {output} and SOURCE_DIR {source} overlap")
    owner = fspf.owner(region.root) or region
    owner.files.update(_collect(fspf, owner, folder, target, os.path.realpath(file)))
    return f"Added files to file system protection file {file} new AES-GCM tag: {_save(file, fspf)}"


def encrypt(file: str) -> str:
    """The FSPF under a fresh random key; the line that SCONE prints, with tag and key."""
    fspf = _open(file)
    complaint = fspf.complaint()
    if complaint:
        raise Refused(f"{file} cannot be used: {complaint}")
    key = libcrypto.fresh(32)
    tag = _save(file, fspf, key)
    return f"Encrypted file system protection file {file} AES-GCM tag: {tag} key: {key.hex()}"


def show(file: str, key: str = "", tag_only: bool = False) -> str:
    """The tag alone (32 hex digits), or regions and files, one a line."""
    data = _read(file)
    if tag_only:
        return tag_of(data)
    fspf = unpack(data, bytes.fromhex(key) if key else NO_KEY)
    lines = [f"SIMULATED file system protection file {file} AES-GCM tag: {tag_of(data)}"]
    for region in fspf.regions:
        kind = f"kernel {region.source}" if region.source else "ephemeral"
        files = fspf.owned(region)
        lines.append(f"region {region.path} {region.protection} {kind} entries: {len(files)}")
        lines += [_line(os.path.join(region.root, name), files[name]) for name in sorted(files)]
    return "\n".join(lines)


def _line(path: str, entry: "dict[str, Any]") -> str:
    if entry["type"] == "link":
        return f"  link {path} -> {entry['target']}"
    what = entry.get("sha256") or entry.get("tag", "")
    return f"  {entry['type']} {entry['mode']:04o} {path}" + (f" {what}" if what else "")


def _collect(fspf: Fspf, region: Region, source: str, target: str, own: str) -> "dict[str, dict[str, Any]]":
    encrypted = region.protection == ENCRYPTED
    entries = {}
    for name, path, status in tree.walk(
        source, lambda name: fspf.owner(os.path.join(region.root, name)) is region
    ):
        if path != own:
            entries[name] = tree.describe(path, status, content=not encrypted)
    if encrypted:
        key = bytes.fromhex(region.key)
        for name, entry in entries.items():
            if entry["type"] == "file":
                place = os.path.join(target, name)
                os.makedirs(os.path.dirname(place), exist_ok=True)
                entry.update(tree.encrypt(os.path.join(source, name), place, key))
    elif target:
        os.makedirs(target, exist_ok=True)
        tree.restore(
            entries, target, lambda name, place, entry: tree.copy(os.path.join(source, name), place, entry)
        )
    return entries


def _absolute(path: str, what: str) -> str:
    if not path.startswith("/"):
        raise Refused(f"{what} {path!r} is not an absolute path")
    return os.path.normpath(path).replace("//", "/")


def _open(file: str) -> Fspf:
    return unpack(_read(file))


def _read(file: str) -> bytes:
    try:
        with open(file, "rb") as handle:
            return handle.read()
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror}") from None


def _save(file: str, fspf: Fspf, key: bytes = NO_KEY) -> str:
    data = fspf.pack(key)
    temporary = file + ".new"
    try:
        with open(temporary, "wb") as handle:
            handle.write(data)
        os.replace(temporary, file)
    except OSError as error:
        raise Refused(f"{file} cannot be written: {error.strerror}") from None
    return tag_of(data)
