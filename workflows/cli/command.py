"""One command: from its line to its document on standard output; questions and progress go to standard error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workflows.cli.document import show
from workflows.cli.parser import PROGRAM, Parser
from workflows.core.command import Command, Dialogue
from workflows.core.text import clean

if TYPE_CHECKING:
    from workflows.cli.person import Unattended
    from workflows.cli.printers import PlainPrinter
    from workflows.core.events import Asked, Event


def parse(command: Command, words: Sequence[str]) -> dict[str, Any]:
    """The options of a command's line, `json` among them; `yes` too where it asks."""
    parser = Parser(prog=f"{PROGRAM} {command.name}", description=command.__doc__)
    for argument in command.arguments:
        options: dict[str, Any] = {"help": argument.help}
        if argument.flag:
            options.update(action="store_true")
        else:
            options.update(metavar=argument.metavar, choices=argument.choices, default=argument.default)
            if argument.many:
                options["nargs" if not argument.name.startswith("-") else "action"] = (
                    "*" if not argument.name.startswith("-") else "append"
                )
            elif argument.optional and not argument.name.startswith("-"):
                options["nargs"] = "?"
        parser.add_argument(argument.name, **options)
    if isinstance(command, Dialogue):
        parser.add_argument("--yes", "-y", action="store_true", help="confirm everything and ask nothing")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    return vars(parser.parse_args(list(words)))


def run(command: Command, words: Sequence[str]) -> int:
    """Do what this line asks of the command, and show its document; the exit code."""
    options_given = parse(command, words)
    as_json = bool(options_given.pop("json"))
    progress: PlainPrinter | None = None

    def emit(event: Event) -> None:
        """Progress of a command is for people, and standard output is for the document."""
        from workflows.cli.printers import PlainPrinter
        from workflows.core.events import harmless

        nonlocal progress
        progress = progress or PlainPrinter(sys.stderr, [])
        progress(harmless(event))

    def asked(event: Asked) -> Any:
        from workflows.core.events import harmless

        if progress is not None:
            progress.clear()
        return person.answer(harmless(event))

    try:
        if isinstance(command, Dialogue):
            person = _person(bool(options_given.pop("yes")), as_json)
            result = command.run(options_given, emit, asked)
        else:
            result = command.run(options_given, emit)
    finally:
        if progress is not None:
            progress.clear()
    if as_json:
        show(result.document)
    else:
        for line in command.lines(result.document):
            print(clean(line))
    if result.then is None:
        return result.exit_code
    sys.stdout.flush()
    return result.then()


def _person(yes: bool, as_json: bool) -> Unattended:
    """Who answers a command's questions: on standard error, for standard output is for the document."""
    from workflows.cli.person import Person, Unattended
    from workflows.core.step import Cancel

    ask = not yes and not as_json and sys.stdin.isatty() and sys.stderr.isatty()
    return Person(sys.stderr, Cancel(), yes=False) if ask else Unattended(yes=yes)
