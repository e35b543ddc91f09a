"""From the options of a run to its steps and its context, checked before anything is written."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workflows.cli import program
from workflows.cli.parser import PROGRAM
from workflows.core.failure import Missing
from workflows.core.text import is_text

if TYPE_CHECKING:
    from workflows.core.step import Context, Step


def prepare(options: argparse.Namespace, *, interactive: bool = False) -> tuple[list[Step], Context]:
    """The steps of a workflow and the context of a run: `options` of `parse_run`. `interactive`: a person is asked.

    Missing when the folder does not exist or holds no app, workflow or step are unknown, or a value or file cannot
    be used. Only then is anything written.
    """
    from workflows.cli.person import Unattended
    from workflows.core import folders
    from workflows.core.catalog import position
    from workflows.core.engine import Engine
    from workflows.core.journal import Journal
    from workflows.core.manifest import Manifest
    from workflows.core.record import new_run
    from workflows.core.step import Context
    from workflows.steps.project_files import APART

    workflow: str = options.workflow
    steps = program.catalog().workflow(workflow)
    for name in filter(None, (options.start, options.only)):
        position(steps, name)
    folder = demo_project(options) if workflow == "demo" else folders.existing(options.project)
    if not is_text(str(folder)):
        raise Missing(f"the name of {str(folder)!a} is not UTF-8", "rename the folder", name="project_name")
    ctx = Context(folder, Journal(folder), Manifest(folder), workflow=workflow, interactive=interactive)
    # Known before their own steps ask for them: where it goes, what the image is built without, what locks its results.
    for name in ("network", "passphrase_file", *APART):
        if value := options.given.get(name) or os.environ.get(f"CREAMTEA_{name.upper()}"):
            ctx.values[name] = value
    _usable(steps, options, ctx)
    for step in steps:
        step.foresee(ctx)
    engine = Engine(
        steps, ctx, lambda _: None, Unattended(yes=False), given=options.given, environ=os.environ
    )
    engine.foresee(start=options.start, only=options.only)
    ctx.run, ctx.run_dir = new_run(ctx.state)
    return steps, ctx


def _usable(steps: Sequence[Step], options: argparse.Namespace, ctx: Context) -> None:
    """A flag that cannot be used is told now, not when its step comes and others have already cost something."""
    from workflows.core import outside

    given = options.given
    for field in (field for step in steps for field in step.fields if field.name in given):
        try:
            value = field.parse(given[field.name], ctx)
        except ValueError as error:
            raise Missing(
                f"{field.flag}: {error}", f"{PROGRAM} run --help tells more", name="usage"
            ) from None
        # What the last run was given is told by a file of the project, which may come from anybody.
        if field.name not in options.typed and (strange := outside.unnamed(field, value, ctx.project)):
            raise Missing(
                f"{field.flag}: {strange[0]} is outside of this project, and only its journal names it",
                f"give {field.flag} yourself if it is to be used",
                name="missing",
            )


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
