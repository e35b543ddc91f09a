"""A Dockerfile that was written for another base, made to protect the file system."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from workflows.core.failure import Missing
from workflows.scone import catalogue, instructions, protection, shell
from workflows.scone import heap as sizes
from workflows.scone.catalogue import Entry
from workflows.scone.instructions import Instruction, Stage
from workflows.scone.project import Project
from workflows.scone.regions import APP, Kind, plan

_ROOT = ("", "root", "0", "0:0", "root:root")


def protect(
    text: str,
    project: Project,
    *,
    entry: Entry | None = None,
    heap: int | None = None,
    regions: Mapping[str, Kind] | None = None,
) -> str:
    """The Dockerfile with what it lacks: SCONE's base, sim mode for the build, a heap, the fingerprint step.

    entry: takes the place of a base that is none of SCONE's. heap: bytes; None keeps what is there, else 1 GiB.
    regions: as in `regions.plan`, but for encrypted ones, which need stages of their own. ENTRYPOINT gets exec
    form and whole paths. A Dockerfile that protects already comes back as it was. NoEntrypoint and Missing say
    what is in the way.
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
    line = instructions.lineage(all_stages[-1], all_stages)
    body = [item for stage in line for item in stage.body]
    words = _words(body, project)
    command = instructions.join(words)
    step = protection.step(plan(regions or {}, project.folders, _home(words, project)), command)
    lines = text.rstrip("\n").split("\n")
    user = next((item.value.strip() for item in reversed(body) if item.name == "USER"), "")
    ending = ["", step, "", "# From here on the enclave is real, where there is one.", "ENV SCONE_MODE=auto"]
    if user not in _ROOT:
        ending = ["", "USER root", *ending[1:], f"USER {user}"]
    edits = [(_started(body, all_stages[-1]), f"ENTRYPOINT {json.dumps(words, ensure_ascii=False)}")]
    edits += [(item, "") for item in body if heap is not None and _sets_heap(item)]
    edits.append((_from(read, line[0]), "\n".join(_base(line[0], entry, body, heap))))
    for item, new in sorted(edits, key=lambda edit: edit[0].line, reverse=True):
        if " ".join(new.split()) != " ".join(f"{item.name} {item.value}".split()):
            lines[item.line - 1 : item.last] = new.split("\n") if new else []
    return "\n".join([*lines, *ending]) + "\n"


def _words(body: Sequence[Instruction], project: Project) -> list[str]:
    """What the image starts, the project's files by their whole paths: a session starts in `/`."""
    words = instructions.started(body)
    if words is None:
        raise instructions.NoEntrypoint(
            "the Dockerfile starts nothing that can run without a shell",
            'Give it an ENTRYPOINT in exec form, for example ENTRYPOINT ["python3", "/app/app.py"].',
        )
    folder = PurePosixPath("/")
    for item in body:
        if item.name == "WORKDIR" and "$" not in item.value:
            folder /= item.value.strip().strip("\"'")
    return [words[0], *(str(folder / word) if _file(word, project) else word for word in words[1:])]


def _file(word: str, project: Project) -> bool:
    return str(PurePosixPath(word)) in project.files and not word.startswith("/")


def _home(words: Sequence[str], project: Project) -> str:
    """Where the image has the project: the path of the started file without its path in the project."""
    for word in words[1:]:
        path = PurePosixPath(word)
        for parent in path.parents if path.is_absolute() else ():
            if str(path.relative_to(parent)) in project.files:
                return str(parent)
    return APP


def _started(body: Sequence[Instruction], final: Stage) -> Instruction:
    """The instruction that ENTRYPOINT takes the place of; it must be the image's own."""
    for name in ("ENTRYPOINT", "CMD"):
        found = [item for item in body if item.name == name]
        if found:
            if found[-1] not in final.body:
                raise instructions.NoEntrypoint(f"the last stage has no {name} of its own", "Move it there.")
            return found[-1]
    raise AssertionError("unreachable: `_words` found one")


def _from(read: Sequence[Instruction], stage: Stage) -> Instruction:
    return next(item for item in read if item.name == "FROM" and item.line == stage.line)


def _base(stage: Stage, entry: Entry | None, body: Sequence[Instruction], heap: int | None) -> list[str]:
    """The FROM line, and what must follow it."""
    known = catalogue.find(stage.base)
    reference = stage.base if entry is None or (known and known.role == "runtime") else entry.reference
    lines = [f"# was: FROM {stage.base}"] if reference != stage.base else []
    lines += [f"FROM {reference}" + (f" AS {stage.name}" if stage.name else "")]
    lines += ["# There is no enclave while an image is built.", "ENV SCONE_MODE=sim"]
    if heap is not None or not any(_sets_heap(item) for item in body):
        lines += [
            "# The memory of the enclave. It is measured: another size is another MRENCLAVE.",
            f"ENV SCONE_HEAP={sizes.show(heap or sizes.DEFAULT)}",
        ]
    return lines


def _sets_heap(item: Instruction) -> bool:
    return item.name == "ENV" and list(instructions.assignments(item.value)) == ["SCONE_HEAP"]
