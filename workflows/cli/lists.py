"""What there is: the runs of a project, the steps and their fields."""

from __future__ import annotations

from collections.abc import Sequence

from workflows.cli import program
from workflows.cli.document import show
from workflows.cli.parser import PROGRAM, Parser, takes_project


def runs(words: Sequence[str]) -> int:
    """`creamtea runs`: the runs of a project, newest first. Missing when it is no folder."""
    from workflows.core import folders, record
    from workflows.core.journal import FOLDER

    parser = Parser(prog=f"{PROGRAM} runs", description="The runs of a project, newest first.")
    takes_project(parser)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args(list(words))
    found = record.runs(folders.existing(options.project) / FOLDER)
    if options.json:
        show({"runs": found})
        return 0
    for run in found:
        seconds = "" if run["seconds"] is None else f"{run['seconds']:.1f} s"
        outcome = run["outcome"] or f"stopped at {run['step']}"
        print(f"{run['run']}  {run['workflow'] or '':<8} {run['network'] or '':<10} {outcome:<20} {seconds}")
    if not found:
        print(f"no runs yet; {PROGRAM} run onboard starts one")
    return 0


def steps(words: Sequence[str]) -> int:
    """`creamtea steps`: the catalogue of steps and their fields."""
    parser = Parser(prog=f"{PROGRAM} steps", description="The catalogue of steps.")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args(list(words))
    found = program.catalog().steps
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
        show({"steps": document})
        return 0
    for number, step in enumerate(found, start=1):
        print(f"{number:>2} {step.id:<16} {step.title:<11} {step.heading}  ({', '.join(step.workflows)})")
        for field in step.fields:
            print(f"      {field.flag:<20} {field.label}")
    return 0
