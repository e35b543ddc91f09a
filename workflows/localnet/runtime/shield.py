"""The file shield at start: protected files compared with the FSPF, encrypted ones opened into memory."""

import os
import stat
from collections.abc import Callable
from typing import Any

from workflows.localnet.runtime import tree
from workflows.localnet.runtime.fspf import AUTHENTICATED, ENCRYPTED, Fspf, Region, tag_of, unpack
from workflows.localnet.runtime.places import MOVED, Places, cover, fresh, link, memory_for
from workflows.localnet.runtime.refusals import BadFiles


def raise_shield(file: str, key: bytes, tag: str, places: Places) -> Fspf:
    """The FSPF, checked with all that it protects, its regions in place. BadFiles names the path."""
    fspf = check(file, key, tag)
    for region in fspf.regions:
        _mount(fspf, region, places)
    return fspf


def check(file: str, key: bytes, tag: str) -> Fspf:
    """The FSPF, when its tag is `tag` (32 hex digits) and nothing was added, changed or taken away."""
    try:
        with open(file, "rb") as handle:
            data = handle.read()
    except OSError as error:
        raise BadFiles(f"{file} cannot be read: {error.strerror}") from None
    if tag_of(data) != tag:
        raise BadFiles(f"{file} has the tag {tag_of(data)}, not {tag}: it was made again, or changed")
    fspf = unpack(data, key)
    if fspf.complaint():
        raise BadFiles(f"{file} cannot be used: {fspf.complaint()}")
    faults: list[tuple[str, str]] = []
    for region in fspf.regions:
        if region.source and region.protection == AUTHENTICATED:
            faults += _compare(fspf, region, os.path.realpath(file))
        elif region.source and region.protection == ENCRYPTED:
            faults += _compare_encrypted(fspf, region)
    if faults:
        path, what = min(faults)
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise BadFiles(f"{path} {what}{more}: the file system is not the one that was fingerprinted")
    return fspf


def _compare(fspf: Fspf, region: Region, own: str) -> "list[tuple[str, str]]":
    if region.root == region.source and os.path.realpath(region.path) != region.root:
        return [
            (
                region.path,
                f"was changed: it leads to {os.path.realpath(region.path)} instead of {region.root}",
            )
        ]
    if not os.path.isdir(region.source):
        return [(region.source, "is missing")]
    expected = fspf.owned(region)
    faults = []
    forbidden: list[str] = []  # what this user may not read, its program may not read either
    for name, path, status in tree.walk(region.source, _owner(fspf, region), forbidden):
        entry = expected.pop(name, None)
        if path == own:
            continue
        if entry is None:
            faults.append((path, "was added"))
        elif not _same(path, status, entry):
            faults.append((path, "was changed"))
    missing = [name for name in expected if not name.startswith(tuple(forbidden))]
    return faults + [(os.path.join(region.source, name), "is missing") for name in missing]


def _same(path: str, status: os.stat_result, entry: "dict[str, Any]") -> bool:
    if stat.S_ISREG(status.st_mode):
        if not os.access(path, os.R_OK):
            return {**tree.describe(path, status, content=False), "sha256": entry.get("sha256")} == entry
    elif not stat.S_ISDIR(status.st_mode) and not stat.S_ISLNK(status.st_mode):
        return False
    return tree.describe(path, status) == entry


def _compare_encrypted(fspf: Fspf, region: Region) -> "list[tuple[str, str]]":
    source = _ciphertext(region)
    if not os.path.isdir(source):
        return [(region.source, "is missing")]
    expected = {name for name, entry in fspf.owned(region).items() if entry["type"] == "file"}
    found = {
        name: status
        for name, _, status in tree.walk(source, _owner(fspf, region))
        if not stat.S_ISDIR(status.st_mode)
    }
    added = [(os.path.join(source, name), "was added") for name in set(found) - expected]
    missing = [(os.path.join(source, name), "is missing") for name in expected - set(found)]
    changed = [
        (os.path.join(source, name), "was changed")
        for name in expected & set(found)
        if not stat.S_ISREG(found[name].st_mode)
    ]
    return added + missing + changed


def _owner(fspf: Fspf, region: Region) -> "Callable[[str], bool]":
    return lambda name: fspf.owner(os.path.join(region.root, name)) is region


def _ciphertext(region: Region) -> str:
    """The folder of encrypted files: where it was built, or moved aside by an earlier start."""
    if os.path.islink(region.path) and os.path.isdir(region.source + MOVED):
        return region.source + MOVED
    return region.source


def _mount(fspf: Fspf, region: Region, places: Places) -> None:
    if not region.source:
        if not os.path.ismount(region.path):
            link(region.path, fresh(places, memory_for(places, region.path)))
    elif region.protection == ENCRYPTED:
        source, key = _ciphertext(region), bytes.fromhex(region.key)
        target = fresh(places, memory_for(places, region.path))
        tree.restore(
            fspf.owned(region),
            target,
            lambda name, path, entry: tree.decrypt(os.path.join(source, name), path, key, entry),
        )
        cover(region.path, target)
    elif region.root != region.source:
        link(region.path, region.source)
