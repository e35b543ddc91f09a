"""A Dockerfile as instructions and stages, and the ENTRYPOINT that goes into a fingerprint."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from workflows.containers import dockerfile as lexer
from workflows.core.failure import Failed
from workflows.core.text import clean

_PLAIN = re.compile(r"[\w./=@%+,: -]+")


class NoEntrypoint(Failed):
    """The Dockerfile has no ENTRYPOINT that a fingerprint can hold."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message, hint, name="entrypoint")


class Instruction(NamedTuple):
    """One instruction, continuation lines joined; `line` and `last` count from 1. `heredoc`: it opens one."""

    name: str
    value: str
    line: int
    last: int
    heredoc: bool = False

    @property
    def stage(self) -> str:
        """What `--from=` names; empty when the files come from the context."""
        return self.flags.get("from", "").lower()

    @property
    def flags(self) -> Mapping[str, str]:
        """`--from=x` and the like before the arguments."""
        found = {}
        for word in self.value.split():
            if not word.startswith("--"):
                break
            name, _, value = word[2:].partition("=")
            found[name] = value
        return found

    @property
    def arguments(self) -> str:
        """The value without the flags before it."""
        rest = self.value.strip()
        while rest.startswith("--"):
            rest = rest.partition(" ")[2].lstrip()
        return rest

    @property
    def words(self) -> list[str]:
        """The arguments of COPY and the like, in shell or JSON form."""
        listed = exec_form(self.arguments)
        return listed if listed is not None else self.arguments.split()


@dataclass
class Stage:
    """One build stage. base: as written, with the defaults of ARG filled in."""

    base: str
    name: str
    number: int
    line: int
    platform: str
    body: list[Instruction] = field(default_factory=list)


def read(text: str) -> list[Instruction]:
    """The instructions of a Dockerfile, without comments."""
    return [
        Instruction(
            item.keyword,
            "".join(item.text.split(None, 1)[1:]),
            item.line,
            text.count("\n", 0, item.offsets[-1] + 1) + 1,
            bool(item.heredocs),
        )
        for item in lexer.instructions(text)
    ]


def stages(instructions: Sequence[Instruction]) -> list[Stage]:
    """The stages in their order; what stands before the first FROM only fills in variables."""
    found: list[Stage] = []
    defaults: dict[str, str] = {}
    for item in instructions:
        if item.name == "FROM":
            words = item.arguments.split()
            named = len(words) == 3 and words[1].lower() == "as"
            found.append(
                Stage(
                    base=lexer.expand(words[0] if words else "", defaults),
                    name=words[2].lower() if named else "",
                    number=len(found),
                    line=item.line,
                    platform=lexer.expand(item.flags.get("platform", ""), defaults),
                )
            )
        elif found:
            found[-1].body.append(item)
        elif item.name == "ARG":
            defaults.update(assignments(item.value) if "=" in item.value else {})
    return found


def parent(stage: Stage, all_stages: Sequence[Stage]) -> Stage | None:
    """The earlier stage that this one is FROM; None when it starts from an image."""
    earlier = all_stages[: stage.number]
    return next(
        (other for other in reversed(earlier) if other.name and other.name == stage.base.lower()), None
    )


def lineage(stage: Stage, all_stages: Sequence[Stage]) -> list[Stage]:
    """The stages whose layers are in this one, first to last."""
    above = parent(stage, all_stages)
    return [*(lineage(above, all_stages) if above else []), stage]


def named(reference: str, all_stages: Sequence[Stage]) -> Stage | None:
    """The stage that `--from=` means, by name or number."""
    for stage in all_stages:
        if reference.lower() == stage.name or reference == str(stage.number):
            return stage
    return None


def environment(body: Sequence[Instruction]) -> dict[str, str]:
    """The variables that ENV sets, the last value of each."""
    found: dict[str, str] = {}
    for item in body:
        if item.name == "ENV":
            found.update(assignments(item.value))
    return found


def assignments(value: str) -> dict[str, str]:
    """The variables of one ENV, in its `A=1 B=2` or its old `A 1` form."""
    first = value.split(maxsplit=1)
    if first and "=" not in first[0]:
        return {first[0]: first[1].strip() if len(first) > 1 else ""}
    try:
        words = shlex.split(value)
    except ValueError:
        words = value.split()
    return {name: content for name, found, content in (word.partition("=") for word in words) if found}


def exec_form(value: str) -> list[str] | None:
    """The words of `["a", "b"]`; None when the value is not such a list."""
    if not value.lstrip().startswith("["):
        return None
    try:
        words = json.loads(value)
    except ValueError:
        return None
    if isinstance(words, list) and all(isinstance(word, str) for word in words):
        return words
    return None


def entrypoint(text: str) -> str:
    """The command of the last ENTRYPOINT with its words joined by blanks, as protect-fs.sh took it.

    NoEntrypoint when there is none, it is in shell form, or its words cannot be joined and split again.
    """
    found = [item for item in read(text) if item.name == "ENTRYPOINT"]
    if not found:
        raise NoEntrypoint(
            "the Dockerfile has no ENTRYPOINT",
            'Add one in exec form, for example ENTRYPOINT ["python3", "/app/app.py"].',
        )
    words = exec_form(found[-1].value)
    if words is None:
        raise NoEntrypoint(
            f"line {found[-1].line}: ENTRYPOINT is in shell form",
            "A shell would start first, outside the enclave, and only the exec form can go into the session: "
            'ENTRYPOINT ["python3", "/app/app.py"].',
        )
    return join(words, f"line {found[-1].line}: ")


def started(body: Sequence[Instruction]) -> list[str] | None:
    """The words that an image starts, in exec form or as plain words; None when a shell is needed for them.

    An ENTRYPOINT, else a CMD: what a Dockerfile for another base most often has.
    """
    for name in ("ENTRYPOINT", "CMD"):
        last = next((item for item in reversed(body) if item.name == name), None)
        if last is not None:
            words = exec_form(last.value)
            if words is None:
                words = last.value.split() if _PLAIN.fullmatch(last.value) else []
            return words or None
    return None


def join(words: Sequence[str], where: str = "") -> str:
    """Words as one command; NoEntrypoint when splitting it at blanks would not give them back."""
    if not words or not words[0]:
        raise NoEntrypoint(
            f"{where}ENTRYPOINT is empty", 'For example ENTRYPOINT ["python3", "/app/app.py"].'
        )
    for word in words:
        if not word or word != clean(word) or word.split() != [word] or "|" in word:
            raise NoEntrypoint(
                f"{where}ENTRYPOINT has a word that a session cannot hold: {clean(word)!r}",
                "The session splits the command at blanks, and | parts the fields of the fingerprint: "
                "put such a command into a script, and start that.",
            )
    return " ".join(words)
