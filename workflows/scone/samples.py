"""The sample apps that come with creamtea: small, commented, ready to be taken into an enclave."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import as_file, files
from pathlib import Path

from workflows.core.failure import Missing
from workflows.core.text import clean

DATASET = "dataset/salaries.csv"
NAMES = {"python": "hello-sgx", "node": "hello-node"}


def unpack(target: Path, language: str = "python") -> Path:
    """The sample in a folder, its dataset at `DATASET` in it; files that are there already stay as they are.

    Missing when there is no sample for the language (`language`), or the folder has something in it and is no
    unpacked sample (`project`).
    """
    name = NAMES.get(language)
    if name is None:
        raise Missing(
            f"there is no sample for {clean(language)}",
            f"There is one for {' and '.join(NAMES)}.",
            name="language",
        )
    with as_file(files("workflows.scone").joinpath("sample").joinpath(name)) as source:
        paths = [
            path for path in sorted(source.rglob("*")) if path.is_file() and "__pycache__" not in path.parts
        ]
        if (
            target.is_dir()
            and any(target.iterdir())
            and not any((target / one.name).exists() for one in _apps(paths))
        ):
            raise Missing(
                f"{clean(str(target))} is not empty", "Give a new folder for the sample.", name="project"
            )
        for path in paths:
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists():
                place.write_bytes(path.read_bytes())
    return target


def _apps(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if path.stem == "app"]
