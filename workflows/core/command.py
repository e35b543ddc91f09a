"""What is not a step: a command takes options and returns one document, which both faces render."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from workflows.core.events import Asked, Event

Emit = Callable[["Event"], None]
Ask = Callable[["Asked"], Any]
"""Given by the face: puts a question to the person, or raises Missing where nobody can be asked."""


@dataclass(frozen=True)
class Argument:
    """An option (`--name`) or, without dashes, a positional argument, as argparse knows them."""

    name: str
    help: str
    metavar: str | None = None
    choices: tuple[str, ...] | None = None
    default: Any = None
    optional: bool = False
    many: bool = False
    flag: bool = False


@dataclass(frozen=True)
class Result:
    """The document (without `v`, which the face adds) and the exit code.

    `then` is what goes on once the document is shown, such as serving until interrupted; it returns the exit code.
    """

    document: Mapping[str, Any]
    exit_code: int = 0
    then: Callable[[], int] | None = None


class Command(ABC):
    """One command. The class docstring is its help."""

    name: ClassVar[str]
    arguments: ClassVar[tuple[Argument, ...]] = ()

    @abstractmethod
    def run(self, options: Mapping[str, Any], emit: Emit) -> Result:
        """Do it; progress goes to `emit`, the outcome into the document."""

    @abstractmethod
    def lines(self, document: Mapping[str, Any]) -> Iterable[str]:
        """The document as plain lines for a person."""


class Dialogue(Command):
    """A command that asks while it works, as a step does."""

    @abstractmethod
    def work(self, options: Mapping[str, Any]) -> Generator[Event, Any, Result]:
        """Do it: yield events, return the result. `answer = yield Asked(...)` asks."""

    def run(self, options: Mapping[str, Any], emit: Emit, ask: Ask | None = None) -> Result:
        """Do the work; what it asks goes to `ask`, everything else to `emit`."""
        from workflows.core.events import Asked

        work, answer = self.work(options), None
        try:
            while True:
                event = work.send(answer)
                answer = None
                if isinstance(event, Asked) and ask is not None:
                    answer = ask(event)
                else:
                    emit(event)
        except StopIteration as end:
            result: Result = end.value
            return result
        finally:
            work.close()
