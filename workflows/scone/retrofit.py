"""A Dockerfile that was written for another base, made to protect the file system."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from workflows.containers.dockerfile import directives, expand
from workflows.containers.reference import Reference
from workflows.core.failure import Failed, Missing
from workflows.core.text import clean
from workflows.scone import catalogue, instructions, protection, shell
from workflows.scone import heap as sizes
from workflows.scone.catalogue import Entry
from workflows.scone.instructions import Instruction, Stage
from workflows.scone.lint import unknown
from workflows.scone.project import Project
from workflows.scone.regions import APP, Kind, plan

_FRONTEND = re.compile(r"#\s*syntax\s*=\s*(?:docker\.io/)?docker/dockerfile(?::\S+)?", re.IGNORECASE)
_SCRIPT_HEAP = "SCONE_HEAP=1G"
_ROOT = ("", "root", "0", "0:0", "root:root")
_NAME = re.compile(r"[a-z_][a-z0-9_-]*")
_MADE = re.compile(r"\b(?:adduser|useradd|addgroup|groupadd|usermod)\b")
VOLUMES = ("iexec_in", "iexec_out")  # what a session lays over folders of `/`
_STAND_IN = "/.scone-simulated"  # in every stand-in base, and in no other
_MEMORY = "/dev/shm/scone"  # noqa: S108 - where the stand-in's volumes are


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
    for finding in unknown(text):
        raise Missing(f"line {finding.line}: {finding.text}", finding.hint, name="dockerfile")
    read = instructions.read(text)
    all_stages = instructions.stages(read)
    if not all_stages:
        raise Missing("the Dockerfile has no FROM", "Remove it, and creamtea drafts one.", name="dockerfile")
    line = instructions.lineage(all_stages[-1], all_stages)
    body = [item for stage in line for item in stage.body]
    if taken := [item for item in read if item.name == "RUN" and shell.protects(item.value)]:
        return _with_heap(text, line[0], body) if "protect-fs.sh" in taken[-1].value else text
    if regions and "encrypted" in regions.values():
        raise Missing(
            "encrypted folders need a Dockerfile with stages of their own",
            "Let creamtea draft it, or authenticate the folder.",
            name="regions",
        )
    words = _words(body, project)
    command = instructions.join(words)
    step = protection.step(plan(regions or {}, project.folders, _home(words, project)), command)
    lines = text.rstrip("\n").split("\n")
    user = next((item.value.strip() for item in reversed(body) if item.name == "USER"), "")
    ending = ["", step, "", "# From here on the enclave is real, where there is one.", "ENV SCONE_MODE=auto"]
    if user not in _ROOT:
        ending = ["", "USER root", volumes(user), *ending[1:], f"USER {user}"]
    edits = [(_started(body, all_stages[-1]), f"ENTRYPOINT {json.dumps(words, ensure_ascii=False)}")]
    edits += [(item, "") for item in body if heap is not None and _sets_heap(item)]
    edits.append((_from(read, line[0]), "\n".join(_base(line[0], entry, body, heap))))
    others = [stage for stage in all_stages if stage not in line and _same_language(stage, entry)]
    edits += [(_from(read, stage), "\n".join(_head(stage, entry))) for stage in others]
    for item, new in sorted(edits, key=lambda edit: edit[0].line, reverse=True):
        if " ".join(new.split()) != " ".join(f"{item.name} {item.value}".split()):
            lines[item.line - 1 : item.last] = new.split("\n") if new else []
    if not any(item.heredoc for item in read):
        lines = [one for one in lines[: read[0].line - 1] if not _FRONTEND.fullmatch(one.strip())] + lines[
            read[0].line - 1 :
        ]
    if directives(text).get("escape") == "`":
        ending = [part.replace("\\\n", "`\n") for part in ending]
    return "\n".join([*lines, *ending]) + "\n"


def _with_heap(text: str, stage: Stage, body: Sequence[Instruction]) -> str:
    """protect-fs.sh measures with a heap of its own; iExec's workers had it in their settings, an image says it."""
    if "SCONE_HEAP" in instructions.environment(body):
        return text
    lines = text.split("\n")
    lines[stage.line : stage.line] = ["# The heap that protect-fs.sh measures with.", f"ENV {_SCRIPT_HEAP}"]
    return "\n".join(lines)


def changes(before: str, after: str) -> Iterator[tuple[str, str]]:
    """(what, what it means) of the changes that `protect` made and a person may not expect."""
    old, new = (instructions.stages(instructions.read(text)) for text in (before, after))
    if not old or len(old) != len(new):
        return
    if (syntax := directives(before).get("syntax")) and "syntax" not in directives(after):
        yield (
            f"# syntax={clean(syntax)} is left out",
            "the engine would fetch that frontend first; its own reads all there is here",
        )
    if f"ENV {_SCRIPT_HEAP}" in after and "protect-fs.sh" in before:
        yield (
            f"ENV {_SCRIPT_HEAP} is added",
            "protect-fs.sh measures the enclave with it, and it must start so",
        )
    replaced = {one.base: two.base for one, two in zip(old, new, strict=True) if one.base != two.base}
    for base, other in replaced.items():
        entry = catalogue.find(other)
        what = f" ({entry.language.capitalize()} {entry.version})" if entry else ""
        yield (
            f"FROM {clean(base)} is replaced by {clean(other)}{what}",
            "only SCONE's own interpreters start in an enclave: see that your code runs on this version",
        )
    was, now = (instructions.lineage(every[-1], every) for every in (old, new))
    made = _accounts([item for stage in was for item in stage.body])
    if made and was[0].base != now[0].base:
        users = ", ".join(dict.fromkeys(name for _, name in made))
        yield f"{users} is made where the new base lacks it", "your USER stays as it is"
    for stage in was:
        for item in stage.body:
            if item.name in ("ENTRYPOINT", "CMD") and stage is was[-1]:
                started = f"ENTRYPOINT {json.dumps(_final(now), ensure_ascii=False)}"
                if _final(was) != _final(now) and item is _last(was):
                    yield (
                        f"{item.name} {clean(item.value)} becomes {started}",
                        "no shell may start first, and a session starts in /, not in WORKDIR",
                    )


def _last(lineage: Sequence[Stage]) -> Instruction | None:
    body = [item for stage in lineage for item in stage.body]
    for name in ("ENTRYPOINT", "CMD"):
        found = [item for item in body if item.name == name]
        if found:
            return found[-1]
    return None


def _final(lineage: Sequence[Stage]) -> list[str] | None:
    """The ENTRYPOINT's words in exec form; None for a CMD or a shell form."""
    item = _last(lineage)
    return instructions.exec_form(item.value) if item is not None and item.name == "ENTRYPOINT" else None


def volumes(user: str) -> str:
    """The RUN that makes the mount points of a task for a user who may not make folders in `/` later.

    On the stand-in they are links into memory, as its runtime wants them; elsewhere empty folders.
    """
    paths = " ".join(f"/{name}" for name in VOLUMES)
    return (
        "# Where a task's volumes come; another user than root cannot make them when it starts.\n"
        f"RUN mkdir -p {paths} && chown {user} {paths}; \\\n"
        f"    if [ -e {_STAND_IN} ]; then for name in {' '.join(VOLUMES)}; do \\\n"
        f"        rmdir /$name && ln -s {_MEMORY}/$name /$name; done; fi"
    )


def _accounts(body: Sequence[Instruction]) -> list[tuple[str, str]]:
    """(user or group, name) of the accounts that the Dockerfile uses and makes nowhere."""
    own = [item.value for item in body if item.name == "RUN" and _MADE.search(item.value)]
    found = []
    for item in body:
        value = item.value.strip() if item.name == "USER" else item.flags.get("chown", "")
        user, _, group = value.partition(":") if item.name in ("USER", "COPY", "ADD") else ("", "", "")
        found += [("user", user)] + ([("group", group)] if group != user else [])
    return [
        (kind, name)
        for kind, name in dict.fromkeys(found)
        if _NAME.fullmatch(name) and name != "root" and not any(re.search(rf"\b{name}\b", run) for run in own)
    ]


def _make(kind: str, name: str) -> str:
    """An account where the base lacks it, in busybox's words or in Debian's."""
    if kind == "group":
        return f"grep -q '^{name}:' /etc/group || addgroup {name} 2> /dev/null || groupadd {name}"
    return f"grep -q '^{name}:' /etc/passwd || adduser -D {name} 2> /dev/null || useradd -m {name}"


def _words(body: Sequence[Instruction], project: Project) -> list[str]:
    """What the image starts, the project's files by their whole paths: a session starts in `/`."""
    words = instructions.started(body)
    if words is None:
        raise instructions.NoEntrypoint(
            "the Dockerfile starts nothing that can run without a shell",
            'Give it an ENTRYPOINT in exec form, for example ENTRYPOINT ["python3", "/app/app.py"].',
        )
    folder, values = PurePosixPath("/"), dict[str, str]()
    for item in body:
        if item.name in ("ARG", "ENV"):
            set_here = instructions.assignments(item.value) if item.name == "ENV" or "=" in item.value else {}
            values |= {name: expand(value, values) for name, value in set_here.items()}
        elif item.name == "WORKDIR":
            folder /= expand(item.value.strip(), values)
    return project.command(words, str(folder))


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
    lines = _head(stage, entry)
    if _reference(stage, entry) != stage.base and (accounts := _accounts(body)):
        lines += ["# Who the old base had, and this one may lack."]
        lines += [f"RUN {_make(kind, name)}" for kind, name in accounts]
    if heap is not None or not any(_sets_heap(item) for item in body):
        lines += [
            "# The memory of the enclave. It is measured: another size is another MRENCLAVE.",
            f"ENV SCONE_HEAP={sizes.show(heap or sizes.DEFAULT)}",
        ]
    return lines


def _head(stage: Stage, entry: Entry | None) -> list[str]:
    """The FROM line of a stage that runs SCONE's interpreter while the image is built."""
    reference = _reference(stage, entry)
    return [
        *([f"# was: FROM {stage.base}"] if reference != stage.base else []),
        f"FROM {reference}" + (f" AS {stage.name}" if stage.name else ""),
        "# There is no enclave while an image is built.",
        "ENV SCONE_MODE=sim",
    ]


def _reference(stage: Stage, entry: Entry | None) -> str:
    known = catalogue.find(stage.base)
    return stage.base if entry is None or (known and known.role == "runtime") else entry.reference


def _same_language(stage: Stage, entry: Entry | None) -> bool:
    """Whether a stage beside the image's starts from the language's own image: what it makes for the app has to
    be made with the interpreter that will run it."""
    try:
        name = Reference.parse(stage.base).name
    except Failed:
        return False
    return entry is not None and name.rpartition("/")[2] == entry.language


def _sets_heap(item: Instruction) -> bool:
    return item.name == "ENV" and list(instructions.assignments(item.value)) == ["SCONE_HEAP"]
