"""Rules on what a Dockerfile brings into the image: secrets, missing files, too much, too little."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from workflows.core.text import clean
from workflows.scone import instructions, unwanted
from workflows.scone.findings import Finding, error, info, warning
from workflows.scone.instructions import Instruction, Stage
from workflows.scone.manifests import SUFFIXES

_SECRET_NAME = re.compile(r"(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY|CREDENTIALS?)", re.IGNORECASE)
_FETCHED = re.compile(r"[a-z]+://|git@")
_MOST_SHOWN = 5


def check(all_stages: Sequence[Stage], context_files: Collection[str]) -> Iterator[Finding]:
    """The findings for these stages over a build context (posix paths; empty: unknown)."""
    copied: set[str] = set()
    for stage in all_stages:
        for item in stage.body:
            if item.name in ("ENV", "ARG"):
                yield from _variables(item)
            elif item.name in ("COPY", "ADD") and item.stage:
                yield from _from_stage(item, all_stages)
            elif item.name in ("COPY", "ADD"):
                for source in item.words[:-1]:
                    brought = [path for path in context_files if matches(source, path)]
                    copied.update(brought)
                    yield from _source(item, source, brought, bool(context_files))
    forgotten = [path for path in context_files if path not in copied and _is_code(path)]
    if forgotten and copied:
        yield info(
            0, f"not copied into the image: {_some(forgotten)}", "Add a COPY line if the app needs it."
        )


def matches(source: str, path: str) -> bool:
    """Whether a COPY source (a file, a folder, wildcards within a name) brings a file of the context."""
    wanted = [part for part in PurePosixPath(source.lstrip("/")).parts if part != "."]
    parts = PurePosixPath(path).parts
    return len(parts) >= len(wanted) and all(
        fnmatchcase(part, one) for part, one in zip(parts, wanted, strict=False)
    )


def _variables(item: Instruction) -> Iterator[Finding]:
    for name, value in instructions.assignments(item.value).items():
        if value and _SECRET_NAME.search(name) and not name.startswith("SCONE_"):
            yield error(
                item.line,
                f"{clean(name)} is in the image for everyone to read",
                "Push it as a secret: the app gets it from its session, in the enclave.",
            )


def _source(item: Instruction, source: str, brought: Sequence[str], known: bool) -> Iterator[Finding]:
    if _FETCHED.match(source):
        yield warning(
            item.line,
            f"{clean(source)} is fetched at build time: it can change",
            "Keep the file in the project.",
        )
        return
    if known and not brought and "$" not in source:
        yield error(
            item.line, f"{clean(source)} is not in the build context", "Check the name, and .dockerignore."
        )
    kinds = {path: kind for path in brought if (kind := unwanted.kind(path)) is not None}
    secret = [path for path, kind in kinds.items() if kind in unwanted.DANGEROUS]
    named = source.removeprefix("./")
    rest = [path for path in kinds if path not in secret and path != named]
    if secret:
        yield error(
            item.line,
            f"{item.name} {clean(source)} brings what looks like a secret: {_some(secret)}",
            "Every layer of a pushed image can be read: name what the app needs, or use .dockerignore.",
        )
    if rest:
        yield warning(
            item.line,
            f"{item.name} {clean(source)} brings what the app does not need: {_some(rest)}",
            "Name what the app needs, or use .dockerignore.",
        )


def _from_stage(item: Instruction, all_stages: Sequence[Stage]) -> Iterator[Finding]:
    reference = item.stage
    if instructions.named(reference, all_stages) is None and not any(mark in reference for mark in "/:$"):
        yield error(
            item.line,
            f"there is no stage {clean(reference)}",
            "Name one with FROM … AS, or give an image with its tag.",
        )


def _is_code(path: str) -> bool:
    return PurePosixPath(path).suffix in SUFFIXES and unwanted.kind(path) is None


def _some(paths: Sequence[str]) -> str:
    shown = ", ".join(clean(path) for path in sorted(paths)[:_MOST_SHOWN])
    return shown if len(paths) <= _MOST_SHOWN else f"{shown} and {len(paths) - _MOST_SHOWN} more"
