"""What is wrong, or may be, with a Dockerfile that is to become an enclave app."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from workflows.containers.dockerfile import directives
from workflows.core.failure import Failed
from workflows.core.text import clean
from workflows.scone import catalogue, instructions, lint_files, lint_protection, packages, shell
from workflows.scone import heap as sizes
from workflows.scone.findings import LEVELS, Finding, error, info, warning
from workflows.scone.instructions import Instruction, Stage
from workflows.scone.manifests import INTERPRETERS

_PROGRAMS = re.compile(r"(pip3?|python3?(?:\.\d+)?|node|npm|npx|yarn)")
_INTERPRETER = re.compile(r"(python|pypy)[\d.]*|node(js)?")
_NATIVE = re.compile(r"nodejs(-npm|-current)?|npm|python[23]?(\.\d+)?")
_SHELLS = ("sh", "bash", "ash", "dash", "env")
_VENV = re.compile(r"\bpython3?(\.\d+)? -m venv\b|\bvirtualenv /")
_GUARD = re.compile(r"command -v \w+ \|\|")
KNOWN = (
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD",
    "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
)  # fmt: skip
_APT = re.compile(r"\bapt(-get)?\s+(-\S+\s+)*(install|update)")


def check(
    text: str,
    context_files: Collection[str] = (),
    *,
    stand_in: bool = False,
    local: Collection[str] = (),
    left_out: Mapping[str, str] | None = None,
    data: Collection[str] = (),
) -> list[Finding]:
    """The findings, errors first. A Dockerfile with an error does not become an app that runs.

    context_files: what the build context holds (posix, relative); without it, rules about files do not apply.
    left_out: what stays out of the context → why. data: what of the context looks like data.
    stand_in: the base will be the localnet's. local: image names that the engine has.
    """
    found = [*_directives(text), *unknown(text)]
    all_stages = instructions.stages(instructions.read(text))
    if not all_stages:
        nothing = error(0, "no FROM: there is no base image", "Start with FROM and a curated image.")
        return found if any(one.level == "error" for one in found) else [*found, nothing]
    lineage = instructions.lineage(all_stages[-1], all_stages)
    whole = [item for stage in lineage for item in stage.body]
    found += _entrypoint(text, whole, catalogue.find(lineage[0].base), context_files)
    found += _bases(all_stages, lineage[0], local)
    found += lint_protection.check(all_stages)
    for stage in all_stages:
        found += _runs(stage, all_stages, stand_in)
    found += _environment(whole)
    found += _user(whole)
    found += lint_files.check(all_stages, context_files, left_out or {}, data)
    return sorted(dict.fromkeys(found), key=lambda item: (LEVELS.index(item.level), item.line))


def unknown(text: str) -> Iterator[Finding]:
    """Words where an instruction has to stand: the engine refuses them, but only when it builds."""
    for item in instructions.read(text):
        if item.name not in KNOWN:
            shown = clean(item.name)[:40]
            shown = shown if shown.isprintable() else ascii(shown)
            near = difflib.get_close_matches(item.name, KNOWN, n=1, cutoff=0.5)
            yield error(
                item.line,
                f"unknown instruction {shown}" + (f"; did you mean {near[0]}?" if near else ""),
                f"Write {near[0]}, or make the line a comment with #."
                if near
                else "Make it a comment with #.",
            )


def _directives(text: str) -> Iterator[Finding]:
    if "syntax" in directives(text):
        yield warning(
            1,
            "a # syntax= line makes the engine fetch that frontend first, without a login",
            "Leave it out: the engine's own builder does.",
        )


def _entrypoint(
    text: str, whole: Sequence[Instruction], entry: catalogue.Entry | None, context_files: Collection[str]
) -> Iterator[Finding]:
    last = next((item for item in reversed(whole) if item.name == "ENTRYPOINT"), None)
    try:
        command = instructions.entrypoint(text)
    except Failed as refused:
        yield error(last.line if last else 0, refused.message, refused.hint)
        return
    if last is None:
        yield error(
            0,
            "the last stage has no ENTRYPOINT",
            "That of another stage does not get into the image: move it.",
        )
        return
    first, *rest = command.split()
    program = PurePosixPath(first)
    if program.name in _SHELLS:
        yield error(
            last.line,
            f"ENTRYPOINT starts {program.name}, which is no SCONE program",
            "Start the interpreter itself: the enclave begins with it.",
        )
    elif entry is not None and entry.language in INTERPRETERS and not _INTERPRETER.fullmatch(program.name):
        own = INTERPRETERS[entry.language]
        yield error(
            last.line,
            f"ENTRYPOINT starts {clean(first)}, and the enclave of this base is {own}",
            f'Start the interpreter itself, as in ["{own}", "/app/…"]. A compiled program needs SCONE\'s cross '
            "compilers instead, and a base without an interpreter.",
        )
    elif program.is_absolute() and program.parent != PurePosixPath("/usr/local/bin"):
        yield warning(
            last.line,
            f"{program} may not be SCONE's: its interpreters are in /usr/local/bin",
            f"Write {program.name}, or /usr/local/bin/{program.name}.",
        )
    module = rest[rest.index("-m") + 1] if "-m" in rest[:-1] else ""
    own_module = module.replace(".", "/")
    inside = {f"{own_module}.py", f"{own_module}/__init__.py", f"{own_module}/__main__.py"}
    if module and (file := next((path for path in context_files if path in inside), None)):
        yield error(
            last.line,
            f"python -m {clean(module)} finds nothing: a session starts in /, not in WORKDIR",
            f"Start the file by its whole path, as in /app/{clean(file)}.",
        )
    elif rest and not any(word.startswith("/") for word in rest):
        yield warning(
            last.line,
            "ENTRYPOINT names no file with its whole path",
            "A session starts in /, not in WORKDIR, and with its own environment.",
        )
    for item in whole:
        if item.name == "CMD" and instructions.exec_form(item.value) != []:
            yield warning(
                item.line,
                "CMD has no effect: the session starts the ENTRYPOINT, with the arguments of the request",
                "Leave it out.",
            )


def _bases(all_stages: Sequence[Stage], first: Stage, local: Collection[str]) -> Iterator[Finding]:
    for stage in all_stages:
        if stage.platform and stage.platform != "linux/amd64" and not stage.platform.startswith("$"):
            yield error(
                stage.line,
                f"platform {clean(stage.platform)}: SGX needs linux/amd64",
                "Leave --platform out; the build asks for linux/amd64.",
            )
    shown = clean(first.base)
    entry = catalogue.find(first.base)
    if entry is not None and entry.role != "runtime":
        yield error(first.line, f"{shown} is no base for an app: {entry.note}", "Choose a runtime image.")
    elif entry is not None and not entry.pinned:
        yield info(
            first.line,
            f"the tag leaves SCONE's exact version open ({entry.scone})",
            "A newer image may change the MRENCLAVE; the measurement record tells.",
        )
    if entry is not None:
        return
    name = first.base.rsplit("/", 1)[-1]
    if "@" not in name and name.partition(":")[2] in ("", "latest"):
        yield warning(
            first.line, f"{shown} is not pinned: every build may start from another image", "Add a tag."
        )
    if first.base not in local:
        yield warning(
            first.line,
            f"{shown} is not in the catalogue of SCONE's images: on a native base there is no enclave",
            "Choose a curated base, or make sure that this one is made from one.",
        )


def _runs(stage: Stage, all_stages: Sequence[Stage], stand_in: bool) -> Iterator[Finding]:
    lineage = instructions.lineage(stage, all_stages)
    entry = catalogue.find(lineage[0].base)
    mode = instructions.environment([item for other in lineage for item in other.body]).get("SCONE_MODE")
    for item in stage.body:
        if item.heredoc:
            yield warning(
                item.line,
                "a heredoc: engines before Docker 23 do not know it",
                "Join the commands with && and \\, or COPY a file.",
            )
        if item.name != "RUN":
            continue
        if "type=secret" in (mount := item.flags.get("mount", "")) or "type=ssh" in mount:
            yield error(
                item.line,
                "RUN --mount of a secret: the engine's API gives a build no session for it",
                "Fetch the private parts before the build, into the project.",
            )
        added = packages.added_by_apk(item.value)
        if added and not _GUARD.search(item.value):
            yield from _apk(item, added, stand_in)
        if not stand_in and entry is not None and entry.family == "alpine" and _APT.search(item.value):
            yield error(item.line, "apt on an Alpine base, which has none", "RUN apk add --no-cache …")
        if _VENV.search(item.value):
            yield Finding(
                "error" if stand_in else "warning",
                item.line,
                "a virtual environment lies outside the folders that are protected"
                + (", and the stand-in base cannot make one" if stand_in else ""),
                "Install into the base itself, which holds nothing else: RUN pip3 install …, without the environment.",
            )
        started = [words[0] for words in shell.commands(item.value) if _PROGRAMS.fullmatch(words[0])]
        if started and entry is not None and not mode and "SCONE_MODE" not in item.value:
            yield warning(
                item.line,
                f"{started[0]} runs without SCONE_MODE=sim",
                "There is no enclave while an image is built: RUN SCONE_MODE=sim …",
            )


def _apk(item: Instruction, added: Sequence[str], stand_in: bool) -> Iterator[Finding]:
    if stand_in:
        try:
            line = packages.install(added, "debian")
            hint = f"RUN {line}" if line else "Leave the line out: the stand-in base has these already."
        except Failed as refused:
            hint = f"{refused.message}. {refused.hint}"
        yield error(item.line, "apk on the stand-in base: it is Debian and has none", hint)
        return
    for name in added:
        if _NATIVE.fullmatch(name):
            yield warning(
                item.line,
                f"apk add {name} brings a native program beside SCONE's, or in its place",
                "ENTRYPOINT must start SCONE's: the fingerprint step refuses another.",
            )


def _user(whole: Sequence[Instruction]) -> Iterator[Finding]:
    last = next((item for item in reversed(whole) if item.name == "USER"), None)
    if last is None or last.value.strip().partition(":")[0] in ("", "root", "0"):
        return
    if not any("/iexec_in" in item.value and "/iexec_out" in item.value for item in whole):
        yield warning(
            last.line,
            f"USER {clean(last.value)} cannot make /iexec_in and /iexec_out when a task starts",
            "Make them before the fingerprint is taken, as root, for this user; creamtea does it in what it drafts.",
        )


def _environment(whole: Sequence[Instruction]) -> Iterator[Finding]:
    settings = [(item, instructions.assignments(item.value)) for item in whole if item.name == "ENV"]
    lines = {name: item.line for item, names in settings for name in names}
    values = instructions.environment(whole)
    mode = values.get("SCONE_MODE", "auto")
    if mode.lower() == "sim":
        yield warning(
            lines["SCONE_MODE"],
            "SCONE_MODE=sim stays in the image: started like that, it cannot be attested",
            "Give it to each RUN instead, or end with ENV SCONE_MODE=auto.",
        )
    elif mode.lower() not in ("auto", "hw"):
        yield error(lines["SCONE_MODE"], f"SCONE_MODE={clean(mode)} is no mode", "Modes: hw, sim, auto.")
    if "SCONE_HEAP" not in values:
        yield warning(
            0,
            "SCONE_HEAP is not set: SCONE starts with 64M, too little for most apps",
            "ENV SCONE_HEAP=1G, before the fingerprint is taken.",
        )
    else:
        try:
            sizes.parse(values["SCONE_HEAP"])
        except Failed as refused:
            yield error(lines["SCONE_HEAP"], refused.message, refused.hint)
    if values.get("SCONE_ALLOW_DLOPEN") == "2":
        yield warning(
            lines["SCONE_ALLOW_DLOPEN"],
            "SCONE_ALLOW_DLOPEN=2 loads libraries that nobody checked",
            "1 loads authenticated and encrypted ones only.",
        )
