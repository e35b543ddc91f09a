"""What `run`, `resume` and `replay` take: their options, and a flag for every field of a step."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.cli import program
from workflows.cli.parser import PROGRAM, Parser, takes_project
from workflows.core.failure import Missing

if TYPE_CHECKING:
    from workflows.core.fields import Field


def parse_run(words: Sequence[str]) -> argparse.Namespace:
    """The namespace of `run WORDS`; `given` holds the values of fields, paths from where they were typed."""
    return _with_given(run_parser().parse_args(list(words)))


def parse_resume(words: Sequence[str]) -> argparse.Namespace:
    """The namespace of the run that `resume WORDS` goes on with."""
    options = _with_given(run_parser(resume=True).parse_args(list(words)))
    last = last_run(options.project)
    options.workflow = str(last["workflow"])
    options.given = {**last["given"], **options.given}
    return options


def parse_replay(words: Sequence[str]) -> argparse.Namespace:
    """The namespace of `replay WORDS`."""
    parser = Parser(prog=f"{PROGRAM} replay", description="Play a recorded run back.")
    parser.add_argument("file", metavar="FILE", type=Path, help="the events.jsonl of a run")
    parser.add_argument(
        "--speed", type=float, default=1.0, metavar="X", help="so many times as fast; 0: at once"
    )
    parser.add_argument("--plain", action="store_true", help="plain lines instead of the full screen")
    parser.add_argument("--json", action="store_true", help="events as NDJSON")
    return parser.parse_args(list(words))


def run_parser(*, resume: bool = False) -> argparse.ArgumentParser:
    """The arguments of `run` (and of `resume`, which knows its workflow), and a flag for every field."""
    if resume:
        parser = Parser(
            prog=f"{PROGRAM} resume", description="Go on where the last run stopped.", allow_abbrev=False
        )
    else:
        parser = Parser(prog=f"{PROGRAM} run", description="Run a workflow.", allow_abbrev=False)
        parser.add_argument("workflow", metavar="WORKFLOW", help=", ".join(program.catalog().workflows()))
    takes_project(parser)
    parser.add_argument("--plain", action="store_true", help="plain lines instead of the full screen")
    parser.add_argument("--json", action="store_true", help="events as NDJSON on standard output")
    parser.add_argument("--yes", "-y", action="store_true", help="confirm everything and ask nothing")
    parser.add_argument("--verbose", "-v", action="store_true", help="show every line of output")
    part = parser.add_mutually_exclusive_group()
    part.add_argument(
        "--from", dest="start", metavar="STEP", default="", help="begin at this step, by its id or its title"
    )
    part.add_argument("--only", metavar="STEP", default="", help="run this step alone")
    parser.add_argument("--force", action="store_true", help="do again what is done")
    group = parser.add_argument_group("fields of the steps")
    for step in program.catalog().steps:
        for field in step.fields:
            _add_field(group, field)
    return parser


def _add_field(group: Any, field: Field) -> None:
    if field.kind == "confirm":
        group.add_argument(field.flag, action=argparse.BooleanOptionalAction, default=None, help=_told(field))
    else:
        group.add_argument(
            field.flag,
            metavar=field.metavar or ("FILE" if field.kind == "path" else field.name.upper()),
            action="append" if field.many else "store",
            default=None,
            help=_told(field),
        )


def _told(field: Field) -> str:
    text = f"{field.label}: {field.help}" if field.help else field.label
    return text.replace("%", "%%")


def _with_given(options: argparse.Namespace) -> argparse.Namespace:
    known = {field.name: field for step in program.catalog().steps for field in step.fields}
    options.given = {
        name: _typed(known[name], value)
        for name, value in vars(options).items()
        if name in known and value is not None
    }
    options.typed = frozenset(options.given)
    return options


def _typed(field: Field, value: Any) -> Any:
    """A path on the command line is the shell's, whatever the project; so it is the same when resumed."""
    if isinstance(value, list):
        return [_typed(field, item) for item in value]
    if field.names_file(value):
        mark, file = field.split(value)
        return mark + str(Path(file).absolute()) if file and not file.startswith("~") else value
    return value


def last_run(project: Path) -> Mapping[str, Any]:
    """Name, workflow and given values of the project's last run. Missing when there is none."""
    from workflows.core.journal import Journal

    entry = Journal(project.expanduser().resolve()).last("run")
    if entry is None or "workflow" not in entry.data:
        raise Missing("there is no run to resume here", f"{PROGRAM} run onboard starts one")
    return {"run": entry.run, "workflow": entry.data["workflow"], "given": dict(entry.data.get("given", {}))}
