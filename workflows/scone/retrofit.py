"""A Dockerfile that was written for another base, made to protect the file system."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from workflows.core.failure import Missing
from workflows.scone import heap as sizes
from workflows.scone import instructions, protection, shell
from workflows.scone.catalogue import Entry
from workflows.scone.project import Project
from workflows.scone.regions import APP, SYSTEM, Kind, Region, plan, trap


def protect(
    text: str,
    project: Project,
    *,
    entry: Entry | None = None,
    heap: int | None = None,
    regions: Mapping[str, Kind] | None = None,
) -> str:
    """The Dockerfile with what it lacks: SCONE's base, sim mode for the build, a heap, the fingerprint step.

    entry: replaces the base of the last stage. heap: bytes; None keeps what is there, else 1 GiB. regions: as
    in `regions.plan`, without encrypted ones: they need stages of their own. A Dockerfile that protects already
    comes back as it was. NoEntrypoint and Missing say what it cannot do without.
    """
    read = instructions.read(text)
    all_stages = instructions.stages(read)
    if not all_stages:
        raise Missing("the Dockerfile has no FROM", "Let creamtea draft one.", name="dockerfile")
    if any(item.name == "RUN" and shell.protects(item.value) for item in read):
        return text
    if regions and "encrypted" in regions.values():
        raise Missing(
            "encrypted folders need a Dockerfile with stages of their own",
            "Let creamtea draft it, or authenticate the folder.",
            name="regions",
        )
    command = instructions.entrypoint(text)
    line = instructions.lineage(all_stages[-1], all_stages)
    body = [item for stage in line for item in stage.body]
    if not any(item.name == "ENTRYPOINT" for item in all_stages[-1].body + body):
        raise instructions.NoEntrypoint("the last stage has no ENTRYPOINT", "Move it there.")
    env = instructions.environment(body)
    lines = text.rstrip("\n").split("\n")
    first = line[0]
    number = next(item.last for item in read if item.name == "FROM" and item.line == first.line)
    added = ["", "# There is no enclave while an image is built.", "ENV SCONE_MODE=sim"]
    if heap is not None or "SCONE_HEAP" not in env:
        size = sizes.show(heap or sizes.DEFAULT)
        added += [
            "# The memory of the enclave. It is measured: another size is another MRENCLAVE.",
            f"ENV SCONE_HEAP={size}",
        ]
    if entry is not None:
        alias = f" AS {first.name}" if first.name else ""
        lines[first.line - 1 : number] = [f"# was: FROM {first.base}", f"FROM {entry.reference}{alias}"]
        number = first.line + 1
    lines[number:number] = added
    if heap is not None:
        lines = _without_heap(lines, keep=f"ENV SCONE_HEAP={sizes.show(heap)}")
    chosen = _regions(command, project, regions or {})
    lines += [
        "",
        protection.step(chosen, command),
        "",
        "# From here on the enclave is real, where there is one.",
        "ENV SCONE_MODE=auto",
    ]
    return "\n".join(lines) + "\n"


def _regions(command: str, project: Project, choices: Mapping[str, Kind]) -> list[Region]:
    """What was chosen, and the folder of every file that the command names."""
    chosen = plan(choices, project.folders)
    named = [PurePosixPath(word).parent for word in command.split()[1:] if word.startswith("/")]
    for folder in named:
        path = str(folder)
        if any(folder.is_relative_to(region.path) for region in chosen) or any(
            folder.is_relative_to(one) for one in SYSTEM
        ):
            continue
        if (why := trap(path)) is not None:
            raise Missing(
                f"the file to start is in {path}, which must not be protected: {why}",
                f"Copy the app to a folder of its own, such as {APP}.",
                name="regions",
            )
        chosen.append(Region(path, "authenticated"))
    if named and not any(folder.is_relative_to(APP) for folder in named) and "." not in choices:
        chosen = [region for region in chosen if region.path != APP]
    return sorted(chosen, key=lambda region: PurePosixPath(region.path).parts)


def _without_heap(lines: list[str], keep: str) -> list[str]:
    """Later settings of the heap would win over the one that was asked for."""
    return [line for line in lines if line == keep or not line.strip().upper().startswith("ENV SCONE_HEAP")]
