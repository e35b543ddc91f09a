"""Rules on the fingerprint step: that there is one, what it covers, and that nothing comes after it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from workflows.core.text import clean
from workflows.scone import instructions, protection, shell
from workflows.scone.findings import Finding, error
from workflows.scone.instructions import Instruction, Stage
from workflows.scone.regions import SYSTEM, Kind, trap

_ADDING = ("COPY", "ADD", "RUN")
_MEASURED = (
    "SCONE_HEAP", "SCONE_STACK", "SCONE_ALLOW_DLOPEN", "SCONE_FORK", "SCONE_TCS", "SCONE_MPROTECT",
    "SCONE_SYSLIBS", "SCONE_EXTENSIONS_PATH", "SCONE_EDMM_MODE",
)  # fmt: skip


def check(all_stages: Sequence[Stage]) -> Iterator[Finding]:
    """The findings for these stages; the last is the image."""
    taken = [(stage, item) for stage in all_stages for item in stage.body if _protects(item)]
    final = all_stages[-1]
    lineage = instructions.lineage(final, all_stages)
    taken = [(stage, run) for stage, run in taken if stage in lineage or _copied_from(stage, final)]
    if not taken:
        yield error(
            0,
            "nothing protects the file system: the image has no fingerprint",
            "creamtea can append the step that takes it.",
        )
        return
    stage, run = taken[-1]
    if stage in lineage:
        after = [item for other in lineage[lineage.index(stage) :] for item in other.body]
        yield from _later(after[after.index(run) + 1 :], run)
    else:
        yield from _sealed(stage, run, lineage, all_stages)
    declared: dict[str, Kind] = {}
    for item in stage.body:
        if item.name == "RUN":
            declared |= shell.regions(item.value)
    started = next((item for item in reversed(final.body) if item.name == "ENTRYPOINT"), None)
    words = (instructions.exec_form(started.value) if started else None) or []
    if declared:
        yield from _regions(declared, run, started, words)
    if "protect-fs.sh" in run.value and not any(_brings_dockerfile(item) for item in stage.body):
        yield error(
            run.line,
            "protect-fs.sh reads the ENTRYPOINT from /build/Dockerfile, and nothing copies that",
            "COPY ./Dockerfile /build/ before it.",
        )
    if started is not None and words:
        yield from _recorded(run, started, words)


def _protects(item: Instruction) -> bool:
    return item.name == "RUN" and shell.protects(item.value)


def _copied_from(stage: Stage, final: Stage) -> bool:
    return any(item.name == "COPY" and item.stage in _names(stage) for item in final.body)


def _names(stage: Stage) -> tuple[str, ...]:
    return (stage.name, str(stage.number)) if stage.name else (str(stage.number),)


def _brings_dockerfile(item: Instruction) -> bool:
    return item.name in ("COPY", "ADD") and any("dockerfile" in word.lower() for word in item.words)


def _later(
    after: Iterable[Instruction], run: Instruction, allowed: Collection[str] = ()
) -> Iterator[Finding]:
    """Whatever comes after the fingerprint and makes it untrue."""
    for item in after:
        if item.name in _ADDING and item.stage not in allowed:
            yield error(
                item.line,
                f"{item.name} after the fingerprint was taken: not covered, or the enclave refuses to start",
                f"Move it before line {run.line}.",
            )
        for name in instructions.assignments(item.value) if item.name == "ENV" else ():
            if name in _MEASURED:
                yield error(
                    item.line,
                    f"{name} is set after the MRENCLAVE was taken, and changes it",
                    f"Move it before line {run.line}.",
                )


def _sealed(
    stage: Stage, run: Instruction, lineage: Sequence[Stage], all_stages: Sequence[Stage]
) -> Iterator[Finding]:
    """The fingerprint was taken in a stage beside the image's."""
    final = lineage[-1]
    if lineage[:-1] != instructions.lineage(stage, all_stages)[:-1] or len(lineage) == 1:
        yield error(
            final.line,
            "the last stage is not FROM the one whose files were fingerprinted",
            f"Both it and the stage of line {stage.line} must start from the same stage.",
        )
    copies = [item for item in final.body if item.name == "COPY" and item.stage in _names(stage)]
    if not any(protection.FSPF in item.words[:-1] for item in copies):
        yield error(
            final.line,
            f"{protection.FSPF} is not copied from the stage that made it",
            f"COPY --from={_names(stage)[0]} {protection.FSPF} {protection.FSPF}",
        )
    yield from _later(final.body, run, _names(stage))


def _regions(
    declared: Mapping[str, Kind], run: Instruction, started: Instruction | None, words: Sequence[str]
) -> Iterator[Finding]:
    for path, kind in declared.items():
        if kind != "not-protected" and (why := trap(path)) is not None:
            yield error(
                run.line,
                f"{clean(path)} is {kind}, and the enclave will refuse to start: {why}",
                "Of /etc protect /etc/ssl only; of / the folders in it.",
            )
    if "/" not in declared:
        yield error(
            run.line, "there is no region / beside the others", "Add it: / --not-protected --kernel /."
        )
    if not any(kind != "not-protected" and path not in SYSTEM for path, kind in declared.items()):
        yield error(run.line, "no folder of the app is protected", "Authenticate the folder of your code.")
        return
    for word in words[1:]:
        if started is not None and word.startswith("/") and _kind(word, declared) == "not-protected":
            yield error(
                started.line,
                f"{clean(word)} is in no protected region: anyone can change what the enclave runs",
                "Authenticate its folder.",
            )


def _kind(path: str, declared: Mapping[str, Kind]) -> Kind:
    covering = [region for region in declared if PurePosixPath(path).is_relative_to(region)]
    return declared[max(covering, key=len)] if covering else "not-protected"


def _recorded(run: Instruction, started: Instruction, words: Sequence[str]) -> Iterator[Finding]:
    """The step and the ENTRYPOINT, which a person may edit one without the other."""
    command, program = shell.recorded(run.value), shell.measured(run.value)
    if command is not None and command != " ".join(words):
        yield error(
            run.line,
            f"the fingerprint is taken for {clean(command)!r}, and ENTRYPOINT is another",
            f"Write what line {started.line} says in both places.",
        )
    elif program is not None and program != words[0]:
        yield error(
            run.line,
            f"the MRENCLAVE is that of {clean(program)}, and the image starts {clean(words[0])}",
            "Measure the program that ENTRYPOINT names.",
        )
