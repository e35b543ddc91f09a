"""What a step is."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

# Who writes a step finds all that it takes here.
from workflows.core.context import Cancel as Cancel
from workflows.core.context import Context as Context
from workflows.core.context import Outputs as Outputs
from workflows.core.events import Event
from workflows.core.fields import Field

Work = Generator[Event, Any, Outputs]


@dataclass(frozen=True)
class Done:
    """A probe found the work done: what the step leaves, the sentence that says why, and what to show again."""

    outputs: Outputs
    because: str = ""
    notes: tuple[Event, ...] = ()


class Step(ABC):
    """One unit of a workflow. The class docstring says why it exists: it is the help on the screen.

    `title` is the short name in the rail, `after` the steps whose outputs it reads.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    heading: ClassVar[str]
    after: ClassVar[tuple[str, ...]] = ()
    workflows: ClassVar[tuple[str, ...]] = ("onboard", "demo")
    fields: ClassVar[tuple[Field, ...]] = ()

    def foresee(self, ctx: Context) -> None:  # noqa: B027 - most steps foresee nothing
        """Refuse, before anything is written, what no later step can mend. Missing says what."""

    def inputs(self, ctx: Context) -> Mapping[str, Any]:
        """What decides whether the work must be done again: by default own fields and outputs of `after`."""
        return {
            "values": {field.name: ctx[field.name] for field in self.fields},
            "after": {name: ctx.outputs.get(name) for name in self.after},
        }

    def done(self, ctx: Context) -> Done | None:
        """Probe the world: is the work done already? The journal alone is no proof. A probe changes nothing."""
        return None

    def mend(self, ctx: Context, done: Done) -> Iterator[Event]:
        """The work is done already: put right what stands beside it, such as a name that was given away meanwhile."""
        return iter(())

    @abstractmethod
    def command(self, ctx: Context) -> str:
        """What a person would type to do this by hand."""

    @abstractmethod
    def run(self, ctx: Context) -> Work:
        """Do the work: yield events, return the outputs. `answer = yield Asked(...)` asks."""


def digest(inputs: Mapping[str, Any]) -> str:
    """A short stable hash of JSON-able inputs."""
    text = json.dumps(inputs, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def visible(fields: Sequence[Field], ctx: Context) -> list[Field]:
    """The fields that mean something in this context."""
    return [field for field in fields if field.when(ctx)]
