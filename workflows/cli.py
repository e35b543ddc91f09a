"""The headless face: arguments, plain lines, NDJSON, exit codes."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import workflows.commands
from workflows.core.command import Command, Dialogue
from workflows.core.discovery import discover
from workflows.core.failure import Cancelled, Failed, Missing
from workflows.core.text import clean, is_text

if TYPE_CHECKING:  # a command that is no run does not wait for what runs take
    from workflows.core.catalog import Catalog
    from workflows.core.events import Asked, Event
    from workflows.core.fields import Field
    from workflows.core.step import Context, Step
    from workflows.plain import PlainPrinter, Unattended

PROGRAM = "creamtea"
_HERE = Path()  # the folder when nobody names one; `--project .` is another object
_OWN = {
    "run": "run a workflow: onboard, demo, deploy",
    "resume": "go on where the last run stopped",
    "runs": "the runs of a project",
    "steps": "the catalogue of steps and their fields",
    "replay": "play a recorded run back",
}


class _Parser(argparse.ArgumentParser):
    """Usage errors are ours: exit 2, what is wrong and what to type."""

    def error(self, message: str) -> NoReturn:
        raise Missing(clean(message), f"{self.prog} --help lists what it takes", name="usage")


def catalog() -> Catalog:
    """All steps of the product."""
    import workflows.steps
    from workflows.core.catalog import Catalog
    from workflows.core.step import Step

    return Catalog(discover(workflows.steps, Step))  # type: ignore[type-abstract]


def commands() -> dict[str, Command]:
    """All commands that are not steps, by name."""
    found = discover(workflows.commands, Command)  # type: ignore[type-abstract]
    return {command.name: command for command in found}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code of contracts.md."""
    words = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in words
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, io.TextIOWrapper
        ):  # what a locale or a file's name cannot say must not end a run
            stream.reconfigure(errors="replace")
    try:
        return _dispatch(words)
    except Failed as failure:
        return explain(failure, as_json)
    except KeyboardInterrupt:
        return Cancelled.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if os.environ.get("CREAMTEA_DEBUG"):
            raise
        from workflows.core.engine import stumbled

        return explain(stumbled(error), as_json)


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0 if words else Missing.exit_code
    if words[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(f"{PROGRAM} {version(PROGRAM)}")
        return 0
    name, rest = words[0], words[1:]
    if name == "run":
        return _run(parse_run(rest))
    if name in _OWN:
        return int({"resume": _resume, "runs": _runs, "steps": _steps, "replay": _replay}[name](rest))
    command = next(iter(discover(workflows.commands, Command, name)), None)  # type: ignore[type-abstract]
    command = command or commands().get(name)
    if command is None:
        import difflib

        near = difflib.get_close_matches(name, [*_OWN, *commands()], n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise Missing(
            f"there is no command {name!r:.40}", f"{meant}{PROGRAM} --help lists them", name="usage"
        )
    return _command(command, rest)


def _overview() -> str:
    lines = [
        f"usage: {PROGRAM} [COMMAND …]     without a command: the full-screen app",
        "",
        "Takes an application into an Intel SGX enclave with SCONE and onto the iExec network.",
        "",
    ]
    table = dict(_OWN)
    table.update({name: _first(command) for name, command in commands().items()})
    lines += [f"  {name:<12} {text}" for name, text in table.items()]
    lines += ["", f"{PROGRAM} COMMAND --help tells more. All take --json."]
    return "\n".join(lines)


def _first(thing: object) -> str:
    first = (thing.__doc__ or "").strip().splitlines()[0].rstrip(".")
    return first[:1].lower() + first[1:]


def explain(failure: Failed, as_json: bool = False) -> int:
    """Tell what ended the program early, on stderr (and as a document); its exit code."""
    message, told = clean(failure.message), clean(failure.hint)
    if as_json:
        error = {"name": failure.name, "message": message, "hint": told}
        print(json.dumps({"v": 1, "error": error}, ensure_ascii=False))
    hint = f"\n  → {told}" if told else ""
    print(f"{PROGRAM}: {message}{hint}", file=sys.stderr)
    return failure.exit_code


# Runs


def run_parser(*, resume: bool = False) -> argparse.ArgumentParser:
    """The arguments of `run` (and of `resume`, which knows its workflow), and a flag for every field."""
    if resume:
        parser = _Parser(
            prog=f"{PROGRAM} resume", description="Go on where the last run stopped.", allow_abbrev=False
        )
    else:
        parser = _Parser(prog=f"{PROGRAM} run", description="Run a workflow.", allow_abbrev=False)
        parser.add_argument("workflow", metavar="WORKFLOW", help=", ".join(catalog().workflows()))
    _common(parser)
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
    for step in catalog().steps:
        for field in step.fields:
            _add_field(group, field)
    return parser


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--project", metavar="DIR", type=Path, default=_HERE, help="the app's folder [.]")


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


def parse_run(words: Sequence[str]) -> argparse.Namespace:
    """The namespace of `run WORDS`; `given` holds the values of fields, paths from where they were typed."""
    return _with_given(run_parser().parse_args(list(words)))


def _with_given(options: argparse.Namespace) -> argparse.Namespace:
    known = {field.name: field for step in catalog().steps for field in step.fields}
    options.given = {
        name: _typed(known[name], value)
        for name, value in vars(options).items()
        if name in known and value is not None
    }
    return options


def _typed(field: Field, value: Any) -> Any:
    """A path on the command line is the shell's, whatever the project; so it is the same when resumed."""
    if isinstance(value, list):
        return [_typed(field, item) for item in value]
    if field.names_file(value):
        mark, file = field.split(value)
        return mark + str(Path(file).absolute()) if file and not file.startswith("~") else value
    return value


def prepare(options: argparse.Namespace) -> tuple[list[Step], Context]:
    """The steps of a workflow and the context of a run: `options` of `parse_run`.

    Missing when the folder does not exist or holds no app, workflow or step are unknown, or the value of a flag
    cannot be used. Only then is anything written.
    """
    from workflows.core.catalog import position
    from workflows.core.journal import Journal
    from workflows.core.manifest import Manifest
    from workflows.core.record import new_run
    from workflows.core.step import Context
    from workflows.steps.world import APART

    workflow: str = options.workflow
    steps = catalog().workflow(workflow)
    for name in filter(None, (options.start, options.only)):
        position(steps, name)
    folder = demo_project(options) if workflow == "demo" else options.project.expanduser().resolve()
    if not folder.is_dir():
        raise Missing(f"{folder} is not a folder", "give the app's folder with --project")
    if not is_text(str(folder)):
        raise Missing(f"the name of {str(folder)!a} is not UTF-8", "rename the folder", name="project_name")
    ctx = Context(folder, Journal(folder), Manifest(folder), workflow=workflow)
    # Known before their own steps ask for them: where it goes, and what the image is built without.
    for name in ("network", *APART):
        if value := options.given.get(name) or os.environ.get(f"CREAMTEA_{name.upper()}"):
            ctx.values[name] = value
    _usable(steps, options.given, ctx)
    for step in steps:
        step.foresee(ctx)
    ctx.run, ctx.run_dir = new_run(ctx.state)
    return steps, ctx


def _usable(steps: Sequence[Step], given: Mapping[str, Any], ctx: Context) -> None:
    """A flag that cannot be used is told now, not when its step comes and others have already cost something."""
    for field in (field for step in steps for field in step.fields if field.name in given):
        try:
            field.parse(given[field.name], ctx)
        except ValueError as error:
            raise Missing(
                f"{field.flag}: {error}", f"{PROGRAM} run --help tells more", name="usage"
            ) from None


def demo_project(options: argparse.Namespace) -> Path:
    """The folder of the demo: the bundled sample, under the user's data unless `--project` says where."""
    from platformdirs import user_data_path

    from workflows.core.manifest import Manifest
    from workflows.scone import samples

    language = str(options.given.get("language") or "python")
    chosen: Path = options.project
    name = samples.NAMES.get(language, language)
    folder = user_data_path("creamtea") / "demo" / name if chosen == Path() else chosen.expanduser()
    folder = samples.unpack(folder.resolve(), language)
    manifest = Manifest(folder)
    if manifest.get("dataset.file") is None:
        manifest.set("dataset.file", samples.DATASET)
    return folder


def agreed(options: argparse.Namespace) -> None:
    """Stop before anything is written into a folder that is hardly a project, unless a person wants it.

    On a terminal that is asked; elsewhere the folder has to be named, and then there is a warning. `options` of
    `parse_run`. Cancelled when the person says no, Missing when nobody can be asked.
    """
    from workflows.core import folders
    from workflows.plain import interruptible

    if options.workflow == "demo" and options.project == Path():
        return  # it has a folder of its own
    folder = options.project.expanduser().resolve()
    told = folders.warning(folder)
    if told is None:
        return
    if not asks(options) and options.project is _HERE:
        raise Missing(
            told,
            f"start {PROGRAM} in your app's folder or name that with --project; --project {shlex.quote(str(folder))} "
            "goes on here all the same",
            name="unlikely_folder",
        )
    print(f"{PROGRAM}: {clean(told)}\n  → --project names another folder", file=sys.stderr)
    if asks(options):
        print("go on all the same? [y/N] ", end="", flush=True)
        with interruptible():
            reply = sys.stdin.readline()
        if reply.strip().lower() not in ("y", "yes"):
            raise Cancelled("nothing was written", f"{PROGRAM} run {options.workflow} --project DIR")


def asks(options: argparse.Namespace) -> bool:
    """Whether a person can be asked."""
    return not options.yes and not options.json and sys.stdin.isatty() and sys.stdout.isatty()


def _run(options: argparse.Namespace) -> int:
    from workflows.core.engine import Engine
    from workflows.core.record import Recorder
    from workflows.plain import JsonPrinter, PlainPrinter, Prompts, Unattended

    agreed(options)
    steps, ctx = prepare(options)
    ask = asks(options)
    if options.workflow == "demo":
        ask, options.yes = False, True
    ctx.interactive = ask
    printer = (
        JsonPrinter(sys.stdout) if options.json else PlainPrinter(sys.stdout, steps, verbose=options.verbose)
    )
    answers = Prompts(ctx, sys.stdout, yes=options.yes) if ask else Unattended(yes=options.yes)
    with ctx.journal.lock(), contextlib.closing(Recorder(ctx.run_dir)) as recorder, interrupts(ctx):

        def emit(event: Event) -> None:
            recorder(event)
            printer(event)

        engine = Engine(steps, ctx, emit, answers, given=options.given, environ=os.environ)
        return engine.run(start=options.start, only=options.only, force=options.force)


@contextlib.contextmanager
def interrupts(ctx: Context) -> Iterator[None]:
    """Ctrl-C and SIGTERM cancel the running step; a second one ends the program."""
    import _thread
    import signal

    asked = False

    def stop(number: int, _frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        # Not here: what it calls may want a lock that this very thread holds.
        _thread.start_new_thread(ctx.cancel.set, ())

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _resume(words: Sequence[str]) -> int:
    return _run(parse_resume(words))


def parse_resume(words: Sequence[str]) -> argparse.Namespace:
    """The namespace of the run that `resume WORDS` goes on with."""
    options = _with_given(run_parser(resume=True).parse_args(list(words)))
    last = last_run(options.project)
    options.workflow = str(last["workflow"])
    options.given = {**last["given"], **options.given}
    return options


def last_run(project: Path) -> Mapping[str, Any]:
    """Name, workflow and given values of the project's last run. Missing when there is none."""
    from workflows.core.journal import Journal

    entry = Journal(project.expanduser().resolve()).last("run")
    if entry is None or "workflow" not in entry.data:
        raise Missing("there is no run to resume here", f"{PROGRAM} run onboard starts one")
    return {"run": entry.run, "workflow": entry.data["workflow"], "given": dict(entry.data.get("given", {}))}


def _runs(words: Sequence[str]) -> int:
    from workflows.core.journal import FOLDER
    from workflows.core.record import runs

    parser = _Parser(prog=f"{PROGRAM} runs", description="The runs of a project, newest first.")
    _common(parser)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args(list(words))
    folder = options.project.expanduser().resolve()
    if not folder.is_dir():
        raise Missing(f"{folder} is not a folder", "give the app's folder with --project")
    found = runs(folder / FOLDER)
    if options.json:
        print(json.dumps({"v": 1, "runs": found}, ensure_ascii=False))
        return 0
    for run in found:
        seconds = "" if run["seconds"] is None else f"{run['seconds']:.1f} s"
        outcome = run["outcome"] or f"stopped at {run['step']}"
        print(f"{run['run']}  {run['workflow'] or '':<8} {run['network'] or '':<10} {outcome:<20} {seconds}")
    if not found:
        print(f"no runs yet; {PROGRAM} run onboard starts one")
    return 0


def _steps(words: Sequence[str]) -> int:
    parser = _Parser(prog=f"{PROGRAM} steps", description="The catalogue of steps.")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args(list(words))
    found = catalog().steps
    if options.json:
        document = [
            {
                "id": step.id,
                "title": step.title,
                "why": step.__doc__,
                "after": list(step.after),
                "workflows": list(step.workflows),
                "fields": [
                    {"name": field.name, "kind": field.kind, "flag": field.flag, "label": field.label}
                    for field in step.fields
                ],
            }
            for step in found
        ]
        print(json.dumps({"v": 1, "steps": document}, ensure_ascii=False))
        return 0
    for number, step in enumerate(found, start=1):
        print(f"{number:>2} {step.id:<16} {step.title:<11} {step.heading}  ({', '.join(step.workflows)})")
        for field in step.fields:
            print(f"      {field.flag:<20} {field.label}")
    return 0


def _replay(words: Sequence[str]) -> int:
    from workflows.core.record import replay
    from workflows.plain import JsonPrinter, PlainPrinter

    options = parse_replay(words)
    printer = (
        JsonPrinter(sys.stdout) if options.json else PlainPrinter(sys.stdout, catalog().steps, verbose=True)
    )
    replay(options.file, printer, options.speed)
    return 0


def parse_replay(words: Sequence[str]) -> argparse.Namespace:
    """The namespace of `replay WORDS`."""
    parser = _Parser(prog=f"{PROGRAM} replay", description="Play a recorded run back.")
    parser.add_argument("file", metavar="FILE", type=Path, help="the events.jsonl of a run")
    parser.add_argument(
        "--speed", type=float, default=1.0, metavar="X", help="so many times as fast; 0: at once"
    )
    parser.add_argument("--plain", action="store_true", help="plain lines instead of the full screen")
    parser.add_argument("--json", action="store_true", help="events as NDJSON")
    return parser.parse_args(list(words))


# Commands


def parse_command(command: Command, words: Sequence[str]) -> dict[str, Any]:
    """The options of a command's line, `json` among them; `yes` too where it asks."""
    parser = _Parser(prog=f"{PROGRAM} {command.name}", description=command.__doc__)
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


def _person(yes: bool, as_json: bool) -> Unattended:
    """Who answers a command's questions: on standard error, for standard output is for the document."""
    from workflows.core.step import Cancel
    from workflows.plain import Person, Unattended

    ask = not yes and not as_json and sys.stdin.isatty() and sys.stderr.isatty()
    return Person(sys.stderr, Cancel(), yes=False) if ask else Unattended(yes=yes)


def _command(command: Command, words: Sequence[str]) -> int:
    options_given = parse_command(command, words)
    as_json = bool(options_given.pop("json"))
    progress: PlainPrinter | None = None

    def emit(event: Event) -> None:
        """Progress of a command is for people, and standard output is for the document."""
        from workflows.core.events import harmless
        from workflows.plain import PlainPrinter

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
        print(json.dumps({"v": 1, **result.document}, ensure_ascii=False))
    else:
        for line in command.lines(result.document):
            print(clean(line))
    if result.then is None:
        return result.exit_code
    sys.stdout.flush()
    return result.then()
