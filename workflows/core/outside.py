"""Files outside of a project: used when the person named them, never because the project alone does.

A project may come from anybody, and its manifest names files that are encrypted and sent. What a person named
himself is remembered in his own data: `named.jsonl`, mode 0600, a line for each project and file, links resolved.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workflows.core.fields import Field
from workflows.core.files import append_line, private_dir


def kept() -> Path:
    """Where the named files are remembered."""
    from platformdirs import user_data_path

    return user_data_path("creamtea") / "named.jsonl"


def unnamed(field: Field, value: Any, project: Path) -> list[Path]:
    """The files of a field's value, in its normal form, that are outside of the project and that nobody named."""
    found = list(_outside(field, value, project))
    named = _named() if found else set()
    return [file for file in found if (str(project.resolve()), str(file)) not in named]


def without(field: Field, value: Any, project: Path) -> Any:
    """The value less those files; None where it is one of them."""
    if isinstance(value, list):
        return [item for item in value if not unnamed(field, item, project)]
    return None if unnamed(field, value, project) else value


def remember(field: Field, value: Any, project: Path) -> None:
    """The person named these files. Where that cannot be written, he is asked to name them again."""
    for file in unnamed(field, value, project):
        line = json.dumps({"v": 1, "project": str(project.resolve()), "file": str(file)})
        with contextlib.suppress(OSError):
            private_dir(kept().parent)
            append_line(kept(), line.encode())


def _outside(field: Field, value: Any, project: Path) -> Iterator[Path]:
    for item in value if isinstance(value, list) else [value]:
        if field.names_file(item):
            file = Path(field.split(str(item))[1]).resolve()
            if not file.is_relative_to(project.resolve()):
                yield file


def _named() -> set[tuple[str, str]]:
    try:
        lines = kept().read_bytes().splitlines()
    except OSError:
        return set()
    found = set()
    for line in lines:
        with contextlib.suppress(ValueError, TypeError, KeyError):  # a damaged line allows nothing
            record = json.loads(line)
            found.add((str(record["project"]), str(record["file"])))
    return found
