"""What makes a build differ from the next one of the same Dockerfile: told before it is built."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import PurePosixPath

from workflows.core.text import clean
from workflows.scone import catalogue, instructions, lint_files, shell, unwanted
from workflows.scone.changes import some
from workflows.scone.findings import LEVELS, Finding, info, warning
from workflows.scone.instructions import Instruction, Stage

Read = Callable[[str], str | None]

_FETCHED = re.compile(r"(?:https?|ftp)://|git@|git\+|.*\.git(?:#.*)?$")
_CHECKED = re.compile(
    r"\b(?:sha(?:256|384|512)sum|shasum|gpg|cosign|minisign)\b|\b[0-9a-f]{40}\b|\b[0-9a-f]{64}\b"
)
_PIP = re.compile(r"pip(?:3(?:\.\d+)?)?")
_PYTHON = re.compile(r"python(?:3(?:\.\d+)?)?")
_CHANCE = re.compile(r"\$RANDOM\b|/dev/u?random\b|\$\(\s*date\b|`\s*date\b")
_DRAWN = {
    "date": "the time",
    "uuidgen": "a random number",
    "ssh-keygen": "a random key",
    "mcookie": "a random number",
}
_PIP_VALUES = {
    "-c", "--constraint", "-i", "--index-url", "--extra-index-url", "-t", "--target", "-f", "--find-links",
    "--prefix", "--root", "--timeout", "--retries", "--trusted-host", "--platform", "--python-version",
    "--no-binary", "--only-binary", "--progress-bar", "--cache-dir", "--src", "--proxy", "--cert",
}  # fmt: skip
_APK_VALUES = {"-t", "--virtual", "-X", "--repository"}


def check(text: str, files: Collection[str] = (), *, read: Read = lambda _: None) -> list[Finding]:
    """The findings for a Dockerfile, worst first.

    files: what goes into the build context (posix, relative). read: the text of one of them, None if there is none.
    """
    all_stages = instructions.stages(instructions.read(text))
    found: list[Finding] = []
    for stage in all_stages:
        found += _base(stage, all_stages)
        lineage = instructions.lineage(stage, all_stages)
        epoch = "SOURCE_DATE_EPOCH" in instructions.environment(
            [one for other in lineage for one in other.body]
        )
        for item in stage.body:
            if item.name == "RUN":
                found += _run(item, files, read, epoch)
            elif item.name in ("COPY", "ADD") and item.stage:
                found += _from_image(item, all_stages)
            elif item.name in ("COPY", "ADD"):
                found += _copy(item, files)
    return sorted(dict.fromkeys(found), key=lambda one: (LEVELS.index(one.level), one.line))


def _base(stage: Stage, all_stages: Sequence[Stage]) -> Iterator[Finding]:
    if stage.base and stage.base != "scratch" and instructions.parent(stage, all_stages) is None:
        yield from _image(stage.line, stage.base)


def _from_image(item: Instruction, all_stages: Sequence[Stage]) -> Iterator[Finding]:
    if instructions.named(item.stage, all_stages) is None and any(mark in item.stage for mark in "/:"):
        yield from _image(item.line, item.stage)


def _image(line: int, reference: str) -> Iterator[Finding]:
    if "@sha256:" in reference:
        return
    shown, entry = clean(reference), catalogue.find(reference)
    tag = reference.rsplit("/", 1)[-1].partition(":")[2]
    hint = f"Pin what you tested: {shown}@sha256:…, docker inspect shows the digest."
    if tag in ("", "latest") or (entry is not None and entry.scone == "newest"):
        yield warning(line, f"{shown} floats: the next build may start from another image", hint)
    else:
        yield info(line, f"the tag {shown} can be moved to another image, a digest cannot", hint)


def _copy(item: Instruction, files: Collection[str]) -> Iterator[Finding]:
    for source in item.words[:-1]:
        if _FETCHED.match(source):
            if "checksum" not in item.flags:
                yield warning(
                    item.line,
                    f"{item.name} {clean(source)} takes what the server gives that day",
                    "ADD --checksum=sha256:…, or keep the file in the project.",
                )
        elif source.rstrip("/") in (".", "", "*"):
            brought = [path for path in files if lint_files.matches(source, path)]
            extra = [path for path in brought if unwanted.kind(path) is not None]
            told = f", now {some(sorted(extra))}" if extra else ""
            yield (warning if extra else info)(
                item.line,
                f"{item.name} {clean(source)} takes whatever lies in the folder{told}: each changes the FSPF tag",
                "Name what the app needs, or use .dockerignore.",
            )


def _run(item: Instruction, files: Collection[str], read: Read, epoch: bool) -> Iterator[Finding]:
    if _CHANCE.search(item.value):
        yield warning(item.line, "a time or a random number gets into the image", "Write a fixed value.")
    checked = _CHECKED.search(item.value) is not None
    for words in shell.commands(item.value):
        name, rest = PurePosixPath(words[0]).name, words[1:]
        if name == "env":
            rest = [word for word in rest if "=" not in word]
            name, rest = (PurePosixPath(rest[0]).name, rest[1:]) if rest else (name, rest)
        if _PYTHON.fullmatch(name) and rest[:2] == ["-m", "pip"]:
            name, rest = "pip", rest[2:]
        if name in _DRAWN:
            yield warning(item.line, f"{name} puts {_DRAWN[name]} into the build", "Write a fixed value.")
        elif name in ("curl", "wget") or (name == "git" and "clone" in rest):
            if not checked:
                yield warning(
                    item.line,
                    f"{name} fetches, and nothing compares what comes",
                    "Check a hash in the same RUN (sha256sum -c), for git a commit, or keep the files.",
                )
        elif name in ("apk", "apt", "apt-get"):
            yield from _system(item, name, rest)
        elif _PIP.fullmatch(name) and "install" in rest:
            yield from _pip(item, rest[rest.index("install") + 1 :], files, read)
            if not (epoch or "SOURCE_DATE_EPOCH=" in item.value or "--no-compile" in rest):
                yield info(
                    item.line,
                    "pip compiles with the time of each file in it: these .pyc files are others in every build",
                    "RUN SOURCE_DATE_EPOCH=315619200 pip3 install …, or pip3 install --no-compile.",
                )
        elif name in ("npm", "yarn", "pnpm"):
            yield from _node(item, name, rest, files)


def _system(item: Instruction, name: str, words: Sequence[str]) -> Iterator[Finding]:
    verb = next((word for word in words if not word.startswith("-")), "")
    if verb in ("upgrade", "dist-upgrade", "full-upgrade"):
        yield warning(
            item.line,
            f"{name} {verb} takes the packages of the day",
            "Take a newer base by its digest instead.",
        )
    elif verb in ("add", "install"):
        given = _names(words[words.index(verb) + 1 :], _APK_VALUES if name == "apk" else {"-t", "-o"})
        loose = [
            word for word in given if not re.search("[=~]", word) and not word.endswith((".deb", ".apk"))
        ]
        if loose:
            yield warning(
                item.line,
                f"{name} {verb} without versions: {some(loose)}",
                f"{name} {verb} {clean(loose[0])}=VERSION, or a base that has them already.",
            )


def _pip(item: Instruction, words: Sequence[str], files: Collection[str], read: Read) -> Iterator[Finding]:
    lists = [after for word, after in itertools.pairwise(words) if word in ("-r", "--requirement")]
    lists += [word.partition("=")[2] for word in words if word.startswith("--requirement=")]
    given = _names(words, {*_PIP_VALUES, "-r", "--requirement", "-e", "--editable"})
    loose = [
        word
        for word in given
        if "==" not in word and not word.startswith((".", "/")) and not word.endswith(".whl")
    ]
    if loose:
        yield warning(
            item.line,
            f"pip install without versions: {some(loose)}",
            "NAME==VERSION, best with --require-hashes.",
        )
    for name in lists:
        path = _in_context(name, files)
        text = read(path) if path is not None else None
        if text is None:
            continue
        wanted = requirements(text)
        open_ones = [one for one, pinned, _ in wanted if not pinned]
        unhashed = [one for one, pinned, hashed in wanted if pinned and not hashed]
        if open_ones:
            yield warning(
                item.line,
                f"{clean(str(path))} leaves the version open: {some(open_ones)}",
                "NAME==VERSION for all, also for what they need: pip freeze, or pip-compile --generate-hashes.",
            )
        elif unhashed:
            yield info(
                item.line,
                f"{clean(str(path))} has versions and no hashes: {some(unhashed)}",
                "pip-compile --generate-hashes: then only the very same files are installed.",
            )


def requirements(text: str) -> list[tuple[str, bool, bool]]:
    """(name, has one version, has a hash) of each requirement in a requirements file."""
    found = []
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        words = re.sub(r"(?:^|\s)#.*", "", line).split()
        if not words or words[0].startswith("-"):
            continue
        name = re.split(r"[=<>!~\[;@ ]", words[0])[0]
        pinned = (
            "===" in line or re.search(r"==\s*[^\s*;]+(?:[\s;]|$)", line) is not None or "@ file:" in line
        )
        found.append((name, bool(pinned), "--hash=" in line))
    return found


def _node(item: Instruction, name: str, words: Sequence[str], files: Collection[str]) -> Iterator[Finding]:
    verb = next((word for word in words if not word.startswith("-")), "install" if name == "yarn" else "")
    if verb not in ("install", "i", "add"):
        return
    given = _names(
        words[words.index(verb) + 1 :] if verb in words else [], {"--prefix", "--cache", "--registry"}
    )
    loose = [word for word in given if "@" not in word[1:]]
    if loose:
        yield warning(
            item.line, f"{name} {verb} without versions: {some(loose)}", f"{name} {verb} NAME@VERSION."
        )
    elif not given and name == "npm":
        locked = any(
            PurePosixPath(path).name in ("package-lock.json", "npm-shrinkwrap.json") for path in files
        )
        hint = (
            "npm ci"
            if locked
            else "npm install once in the project, keep package-lock.json, and use npm ci here."
        )
        yield warning(item.line, "npm install may take newer packages than the last time", hint)
    elif not given and "--frozen-lockfile" not in words and "--immutable" not in words:
        yield warning(
            item.line,
            f"{name} {verb} may take newer packages than the last time",
            f"{name} {verb} --frozen-lockfile",
        )


def _names(words: Sequence[str], with_value: Collection[str]) -> list[str]:
    found, rest = [], iter(words)
    for word in rest:
        if word in with_value:
            next(rest, None)
        elif not word.startswith(("-", "$", ">", "<", "2>")):
            found.append(word)
    return found


def _in_context(name: str, files: Collection[str]) -> str | None:
    """The file of the context that a path in the image most likely is."""
    wanted = PurePosixPath(name).name
    same = [path for path in files if PurePosixPath(path).name == wanted]
    return next((path for path in same if name.endswith(path)), same[0] if same else None)
