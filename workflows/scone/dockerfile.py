"""The Dockerfile of an enclave app: drafted from a project, as a person would write and keep it.

It protects the file system as iExec's protect-fs.sh did, in one RUN that leaves the parts of the fingerprint
in `/build`, where they are read from the image: the layer cache hides what a build prints. With encrypted
folders there are three stages, so that no layer of the last one ever held their plain text.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from workflows.core.failure import Failed, Missing
from workflows.core.text import clean
from workflows.scone import heap as sizes
from workflows.scone import instructions, lint_files, protection
from workflows.scone import packages as os_packages
from workflows.scone.catalogue import Entry
from workflows.scone.findings import Finding
from workflows.scone.instructions import entrypoint, join
from workflows.scone.lint import check
from workflows.scone.manifests import INTERPRETERS, SUFFIXES, Language
from workflows.scone.project import Project
from workflows.scone.regions import APP, Kind, Region, plan
from workflows.scone.retrofit import changes, protect

__all__ = [
    "Finding", "brings", "changes", "check", "default_entrypoint", "draft", "entrypoint", "excludes",
    "heap_of", "protect",
]  # fmt: skip

RUNTIME, PROTECT = "runtime", "protect"
_NPM = ("bash", "nodejs-npm")  # what iExec's Node base lacked
_WIDTH = 100
_EPOCH = 315619200  # 1980-01-02: the earliest day that a zip archive can hold in every time zone


def default_entrypoint(project: Project) -> str:
    """The command for the likeliest entry file, such as `python3 /app/app.py`; Missing when there is none."""
    if project.language is None or not project.entries:
        raise Missing(
            f"what to start is not clear: {project.why}", "Say it with --entrypoint.", name="entrypoint"
        )
    return join([INTERPRETERS[project.language], f"{APP}/{project.entries[0]}"])


def heap_of(text: str) -> int | None:
    """The heap that a Dockerfile sets for its image, in bytes; None when it sets none that can be read."""
    every = instructions.stages(instructions.read(text))
    body = [item for stage in instructions.lineage(every[-1], every) for item in stage.body] if every else []
    try:
        return sizes.parse(instructions.environment(body)["SCONE_HEAP"])
    except (KeyError, Failed):
        return None


def brings(text: str, project: Project) -> set[str]:
    """What the Dockerfile copies of that which a draft leaves out: data, and guessed secrets that it names."""
    every = instructions.stages(instructions.read(text))
    guessed = [one.path for one in project.left_out if one.guessed]
    return lint_files.brought(every, project.data) | lint_files.named(every, guessed)


def excludes(text: str, project: Project) -> tuple[str, ...]:
    """What to keep out of the context of a build of this Dockerfile: not what it names itself and is no secret for
    sure, such as the protect-fs.sh of iExec's examples."""
    every = instructions.stages(instructions.read(text))
    secret = {one.path for one in project.left_out if one.dangerous and not one.guessed}
    wanted = lint_files.named(every, [path for path in project.excludes if clean(path) not in secret])
    return tuple(path for path in project.excludes if path not in wanted)


def draftable(project: Project) -> None:
    """Missing when a Dockerfile can be drafted for no base: nothing in the project is known to start."""
    if project.language is None:
        raise Missing(
            f"no Dockerfile can be drafted: {project.why}",
            "Write one on a base for its language; creamtea protects and checks it. Compiled programs start in an "
            "enclave only when SCONE's cross compilers made them.",
            name="language",
        )


def draft(
    project: Project,
    entry: Entry,
    *,
    heap: int = sizes.DEFAULT,
    entrypoint: str | None = None,
    regions: Mapping[str, Kind] | None = None,
    packages: Sequence[str] = (),
    stand_in: bool = False,
) -> str:
    """The Dockerfile for a project on a base.

    heap: bytes. entrypoint: the command; None takes the likeliest. regions: folder → kind (`regions.plan`).
    packages: by Alpine's names. stand_in: the base will be the localnet's Debian; only OS packages differ.
    Missing when a choice cannot work.
    """
    draftable(project)
    if entry.language != project.language or entry.role != "runtime":
        raise Missing(
            f"{entry.reference} is no base for {project.language}",
            f"Choose a runtime image for {project.language}.",
            name="base_image",
        )
    words = project.command((entrypoint or default_entrypoint(project)).split(), APP)
    command = join(words)
    _there(words, project)
    chosen = plan(regions or {}, project.folders)
    encrypted = [region for region in chosen if region.kind == "encrypted"]
    home = "/" if any(region.source == "." for region in encrypted) else APP
    modules = [Region("/node_modules", "authenticated")] if home == "/" and project.dependencies else []
    step = protection.step(
        [*chosen, *(modules if project.language == "node" else [])], command, sealed=bool(encrypted)
    )
    base = f"FROM {entry.reference}"
    parts = [
        _head(project, entry),
        _base(base + (f" AS {RUNTIME}" if encrypted else ""), project.language, heap),
        *_os_packages(project, entry, packages, stand_in),
        *_dependencies(project, home),
        *_code(project, encrypted),
    ]
    if encrypted:
        parts += _sealed(project, encrypted, step)
    else:
        parts.append(step)
    parts.append(
        "# Exec form: no shell between the session and the enclave. It is the last part of the fingerprint.\n"
        f"ENTRYPOINT {json.dumps(words, ensure_ascii=False)}"
    )
    return "\n\n".join(parts) + "\n"


def _there(words: Sequence[str], project: Project) -> None:
    """Missing when the command names code of the app that is not in the folder."""
    for word in words:
        path = PurePosixPath(word)
        inside = path.is_relative_to(APP) and path.suffix in SUFFIXES
        if inside and str(path.relative_to(APP)) not in (*project.files, *project.data):
            raise Missing(
                f"the entrypoint starts {word}, and there is no {path.relative_to(APP)} to go into the image",
                "The project's folder becomes /app: name a file that is in it. Quotes have no meaning here.",
                name="entrypoint",
            )


def _head(project: Project, entry: Entry) -> str:
    lines = [
        f"# {project.name}, for an SGX enclave with SCONE.",
        f"# By hand: docker build --platform linux/amd64 -f Dockerfile.scone -t {project.name}:0.1 .",
    ]
    if not entry.pinned:
        lines.append("# The tag leaves SCONE's exact version open: a newer image may change the MRENCLAVE.")
    return "\n".join(lines)


def _base(line: str, language: Language, heap: int) -> str:
    return (
        f"# A base that SCONE prepared: its {INTERPRETERS[language]} starts inside an enclave.\n{line}\n\n"
        "# The memory of the enclave. It is measured: another size is another MRENCLAVE.\n"
        f"ENV SCONE_HEAP={sizes.show(heap)}"
    )


def _os_packages(project: Project, entry: Entry, names: Sequence[str], stand_in: bool) -> Iterator[str]:
    family = "debian" if stand_in else entry.family or "alpine"
    if names and (line := os_packages.install(names, family)):
        yield f"# What the app needs from the operating system.\nRUN {line}"
    if project.language == "node" and project.dependencies and family == "alpine":
        line = os_packages.install(_NPM, family)
        yield (
            "# npm, where the base lacks it. A node that comes along is not SCONE's: the last step looks.\n"
            f"RUN command -v npm || {line}"
        )


def _dependencies(project: Project, home: str) -> Iterator[str]:
    why = (
        "# Dependencies before the code, so that a change of the code does not install them again.\n"
        "# SCONE_MODE=sim: there is no enclave while an image is built.\n"
    )
    pip = f"RUN SCONE_MODE=sim SOURCE_DATE_EPOCH={_EPOCH} pip3 install --no-cache-dir"
    if project.language == "python":
        why += "# SOURCE_DATE_EPOCH: or each file that pip compiles has the time of this build in it.\n"
    if project.language == "python" and project.dependencies:
        copies = [copy([path], _folder("/build", path)) for path in project.dependencies]
        install = f"{pip} -r /build/{project.dependencies[0]}"
        yield why + "\n".join([*copies, install])
    elif project.language == "python" and project.requirements:
        wanted = " \\\n    ".join(shlex.quote(item) for item in project.requirements)
        yield why + f"{pip} \\\n    {wanted}"
    elif project.language == "node" and project.dependencies:
        verb = "ci" if len(project.dependencies) > 1 else "install"
        target = "/" if home == "/" else f"{home}/"
        yield (
            f"{why}{copy(project.dependencies, target)}\n"
            f"RUN cd {home} && SCONE_MODE=sim NODE_ENV=production npm {verb}"
        )


def _code(project: Project, encrypted: Sequence[Region]) -> Iterator[str]:
    """The app's plain files, named one by one: what is not named here cannot get in by accident."""
    if any(region.source == "." for region in encrypted):
        return
    lines = copies(project, skip=[region.source or "" for region in encrypted])
    yield "# The app. Only what is named here gets in: add a line for a new file.\n" + "\n".join(lines)


def _sealed(project: Project, encrypted: Sequence[Region], step: str) -> Iterator[str]:
    folders = " ".join(shlex.quote(region.path) for region in encrypted)
    yield f"# Filled with cipher text at the end.\nRUN mkdir -p {folders}"
    plain = []
    for region in encrypted:
        plain += copies(project, only=region.source or ".", target=protection.PLAIN)
    yield (
        "# Sees the plain text, and is thrown away: no layer of the image that is pushed ever held it.\n"
        f"FROM {RUNTIME} AS {PROTECT}\n" + "\n".join(plain)
    )
    yield step
    sealed = [copy([protection.SEALED + one.path], one.path, PROTECT) for one in encrypted]
    kept = [copy([path], path, PROTECT) for path in (protection.FSPF, protection.FOLDER)]
    yield (
        "# The image: the runtime as it was fingerprinted, the cipher text, and what opens and names it.\n"
        "# The key is a part of the fingerprint: in forms 3 and 4 everyone can read it on the chain.\n"
        f"FROM {RUNTIME}\n" + "\n".join([*sealed, *kept])
    )


def copies(project: Project, *, skip: Sequence[str] = (), only: str = ".", target: str = "") -> list[str]:
    """COPY lines that bring a folder's files to `target`/app/…, whole folders if nothing in them stays out.

    skip: folders to leave out. only: the folder to bring. Paths are the project's.
    """
    apart = {*skip, *project.data, *(item.path for item in project.left_out if item.dangerous)}
    lines: list[str] = []

    def whole(folder: str) -> bool:
        return folder != "." and not any(PurePosixPath(path).is_relative_to(folder) for path in apart)

    def bring(folder: str) -> None:
        if folder in skip:
            return
        where = f"{target}{APP}" if folder == "." else f"{target}{APP}/{folder}"
        if whole(folder):
            lines.append(copy([folder], where))
            return
        inside = [path for path in project.files if str(PurePosixPath(path).parent) == folder]
        links = [path for path in inside if (project.root / path).is_dir()]  # COPY follows a link to a folder
        if files := [path for path in inside if path not in links]:
            lines.append(copy(files, f"{where}/"))
        lines.extend(copy([path], f"{where}/{PurePosixPath(path).name}") for path in links)
        for inner in project.folders:
            if str(PurePosixPath(inner).parent) == folder:
                bring(inner)

    bring(only)
    return lines


def copy(sources: Sequence[str], target: str, stage: str = "") -> str:
    """One COPY line; JSON form where a name has blanks, several lines where it gets long."""
    verb = f"COPY --from={stage}" if stage else "COPY"
    words = [*sources, target]
    if any(word.split() != [word] or word.startswith(("-", "#", "<")) for word in words):
        return f"{verb} {json.dumps(words, ensure_ascii=False)}"
    line = f"{verb} {' '.join(words)}"
    return line if len(line) <= _WIDTH else f"{verb} " + " \\\n    ".join(words)


def _folder(root: str, path: str) -> str:
    parent = PurePosixPath(path).parent
    return f"{root}/" if str(parent) == "." else f"{root}/{parent}/"
