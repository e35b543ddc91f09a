"""Which files of a project look like data, so that a draft leaves them out: an image is read by everyone.

The rule: tables, databases, archives and pickled objects always; JSON above 4 kB unless the app's own code names
the file, or it belongs to a package manager.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from workflows.scone.manifests import SUFFIXES, head

WHY = "looks like data"
SMALL = 4096  # bytes: a JSON file up to here is taken for settings

_ALWAYS = frozenset({
    "csv", "tsv", "parquet", "feather", "arrow", "orc", "avro", "xls", "xlsx", "ods",
    "sqlite", "sqlite3", "db", "db3", "mdb", "dbf",
    "npy", "npz", "h5", "hdf5", "mat", "rds", "sav", "pkl", "pickle", "joblib",
    "zip", "tar", "tgz", "gz", "bz2", "xz", "zst", "7z", "rar",
})  # fmt: skip
_MAYBE = frozenset({"json", "jsonl", "ndjson", "geojson"})
_MANIFESTS = frozenset({"package.json", "package-lock.json", "npm-shrinkwrap.json", "tsconfig.json"})
_CODE_READ = 1 << 18  # bytes of a code file that are searched for names
_MOST_CODE = 2000  # files


def find(root: Path, paths: Sequence[str]) -> list[str]:
    """Those of the paths (posix, relative) that look like data, in their order; contents of code are read."""
    texts: list[bytes] = []

    def code() -> Sequence[bytes]:
        if not texts:
            own = [path for path in paths if PurePosixPath(path).suffix in SUFFIXES][:_MOST_CODE]
            texts.extend([b"", *(head(root / path, _CODE_READ) for path in own)])
        return texts

    return [path for path in paths if _is_data(root, path, code)]


def _is_data(root: Path, path: str, code: Callable[[], Sequence[bytes]]) -> bool:
    pure = PurePosixPath(path)
    kind = pure.suffix[1:].lower()
    if kind in _ALWAYS:
        return True
    if kind not in _MAYBE or pure.name.lower() in _MANIFESTS:
        return False
    if len(head(root / path, SMALL + 1)) <= SMALL:
        return False
    # Node leaves `.json` out: require("./settings").
    named = re.compile(
        rb"[/'\"](?:%b|%b)['\"]" % (re.escape(pure.name.encode()), re.escape(pure.stem.encode()))
    )
    return not any(named.search(text) for text in code())
