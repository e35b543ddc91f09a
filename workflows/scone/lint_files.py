"""Rules on what a Dockerfile brings into the image: secrets, missing files, too much, too little."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from workflows.core.text import clean
from workflows.scone import instructions, unwanted
from workflows.scone.findings import Finding, error, info, warning
from workflows.scone.instructions import Instruction, Stage
from workflows.scone.manifests import SUFFIXES

_SECRET_NAME = re.compile(r"(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY|CREDENTIALS?)", re.IGNORECASE)
_FETCHED = re.compile(r"[a-z]+://|git@")
_WILDCARD = re.compile(r"[*?\[]")
_MOST_SHOWN = 5


def check(
    all_stages: Sequence[Stage],
    context_files: Collection[str],
    left_out: Mapping[str, str],
    data: Collection[str] = (),
) -> Iterator[Finding]:
    """The findings for these stages over a build context (posix paths; empty: unknown).

    left_out: what is not sent → why. data: what of the context looks like data.
    """
    copied: set[str] = set()
    for stage in all_stages:
        for item in stage.body:
            if item.name in ("ENV", "ARG"):
                yield from _variables(item)
            elif item.name in ("COPY", "ADD") and item.stage:
                yield from _from_stage(item, all_stages)
            elif item.name in ("COPY", "ADD"):
                for source in () if item.heredoc else item.words[:-1]:
                    brought = [path for path in context_files if matches(source, path)]
                    copied.update(brought)
                    apart = {path: why for path, why in left_out.items() if _named(source, path)}
                    if apart and not brought:
                        yield from _apart(item, apart)
                        continue
                    meant = [path for path, why in apart.items() if why == unwanted.WHY["secret"]]
                    yield from _meant(item, meant)
                    rest = [path for path in brought if not any(_named(path, one) for one in meant)]
                    yield from _source(item, source, rest, bool(context_files) and not meant)
                    yield from _data(item, source, [path for path in brought if path in data])
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


def brought(all_stages: Sequence[Stage], paths: Collection[str]) -> set[str]:
    """Those of the paths that a COPY or ADD brings from the context."""
    return {path for path in paths if any(matches(source, path) for source in _sources(all_stages))}


def named(all_stages: Sequence[Stage], paths: Collection[str]) -> set[str]:
    """Those of the paths that a COPY or ADD names themselves, without wildcards and not with a folder above."""
    sources = [source for source in _sources(all_stages) if not _WILDCARD.search(source)]
    return {path for path in paths if any(_named(source, path) for source in sources)}


def _sources(all_stages: Sequence[Stage]) -> list[str]:
    """What the COPY and ADD of all stages take from the context."""
    items = [item for stage in all_stages for item in stage.body if item.name in ("COPY", "ADD")]
    return [source for item in items if not item.stage for source in item.words[:-1]]


def _named(source: str, path: str) -> bool:
    """Whether a source means this path, or something in it, and not a folder above it."""
    pure = PurePosixPath(source.lstrip("/"))
    return (
        matches(source, path) and len(pure.parts) == len(PurePosixPath(path).parts)
    ) or pure.is_relative_to(path)


def _apart(item: Instruction, apart: Mapping[str, str]) -> Iterator[Finding]:
    for path, why in apart.items():
        yield error(
            item.line,
            f"{item.name} names {clean(path)}, which is left out of the image: {why}",
            f"Take {clean(path)} out of this {item.name} line.",
        )


def _meant(item: Instruction, named: Sequence[str]) -> Iterator[Finding]:
    """What is no secret, says who names it."""
    if named:
        yield warning(
            item.line,
            f"{item.name} names what looks like a secret: {_some(named)}",
            "Who pulls the image can read it. If it is one, take it out here, and push it to the SMS.",
        )


def _data(item: Instruction, source: str, found: Sequence[str]) -> Iterator[Finding]:
    """What a person names is meant; what comes along with a folder may not be."""
    along = [path for path in found if not _named(source, path)]
    if along:
        yield warning(
            item.line,
            f"{item.name} {clean(source)} brings what looks like data: {_some(along)}",
            "Who pulls the image can read it. Name it as the dataset, and it is left out; or use .dockerignore.",
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
