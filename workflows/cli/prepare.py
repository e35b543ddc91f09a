"""From the options of a run to its steps and its context, checked before anything is written."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.cli import program
from workflows.cli.parser import PROGRAM
from workflows.core.failure import Missing
from workflows.core.text import is_text

if TYPE_CHECKING:
    from workflows.core.step import Context, Step


def prepare(options: argparse.Namespace) -> tuple[list[Step], Context]:
    """The steps of a workflow and the context of a run: `options` of `parse_run`.

    Missing when the folder does not exist or holds no app, workflow or step are unknown, or the value of a flag
    cannot be used. Only then is anything written.
    """
    from workflows.core import folders
    from workflows.core.catalog import position
    from workflows.core.journal import Journal
    from workflows.core.manifest import Manifest
    from workflows.core.record import new_run
    from workflows.core.step import Context
    from workflows.steps.world import APART

    workflow: str = options.workflow
    steps = program.catalog().workflow(workflow)
    for name in filter(None, (options.start, options.only)):
        position(steps, name)
    folder = demo_project(options) if workflow == "demo" else folders.existing(options.project)
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
