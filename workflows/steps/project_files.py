"""The project as a run sees it: what may go into an image, and what may not."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.core.failure import Failed, Missing
from workflows.core.step import Context
from workflows.steps import clients

if TYPE_CHECKING:
    from workflows.scone.project import Project


APART = {  # fields that name files which no image may hold, and their keys in the manifest
    "dataset": "dataset.file",
    "app_secret_file": "app_secret_file",
    "requester_secret": "requester_secret",
}


def look(ctx: Context) -> Project:
    """The project as it may go into an image: without results, and the data and secrets that are named."""
    from workflows.scone import project

    chosen = ctx["language"] if ctx["language"] in ("python", "node") else None
    return project.without(project.look(ctx.project, chosen, ctx.cancel), private_files(ctx))


def text_of(path: Path) -> str:
    """The text of a Dockerfile; Missing when it is not UTF-8 or is gone."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Missing(f"{path} is not UTF-8 text", "save it as UTF-8", name="dockerfile") from None
    except FileNotFoundError:
        raise Missing(
            f"there is no {path}", "run the step again: --from dockerfile", name="dockerfile"
        ) from None


def private_files(ctx: Context) -> list[str]:
    """What belongs in no image: the data and secrets of the run, else of the manifest; what held a secret before; and
    folders of results. Paths in the project."""
    files = [
        item.partition("=")[2] if name == "requester_secret" else item
        for name, key in APART.items()
        for item in _listed(ctx[name]) or _listed(ctx.manifest.get(key))
    ]
    results = [str(done.data["outputs"]["folder"]) for done in ctx.journal.every("done", "result")]
    return inside(ctx, [*files, *secret_before(ctx), *results])


def inside(ctx: Context, files: Iterable[str]) -> list[str]:
    """Those that are in the project, each once, as paths in it."""
    named = [ctx.project / Path(file).expanduser() for file in files if file]
    paths = [Path(os.path.normpath(path)) for path in named]
    return list(
        dict.fromkeys(
            str(path.relative_to(ctx.project)) for path in paths if path.is_relative_to(ctx.project)
        )
    )


def secret_before(ctx: Context) -> list[str]:
    """The files of the project that were named as secrets in any run of it."""
    entries = ctx.journal.every("intent", "push_secrets")
    return [str(file) for entry in entries for file in _listed(entry.data.get("files"))]


def keep_out(ctx: Context, file: Path) -> None:
    """Failed when the image holds this file of the project in the clear: it was built before anybody named it."""
    path = Path(os.path.normpath(file.expanduser().absolute()))
    image = str(ctx.outputs["measure"]["image_id"])
    if not path.is_relative_to(ctx.project) or not clients.engine(ctx).exists(image):
        return
    name = path.relative_to(ctx.project)
    with clients.engine(ctx).create(image, ["-"], entrypoint=[]) as container:
        try:
            content = container.get(f"/app/{name}")
        except FileNotFoundError:
            return
        next(content, b"")
        content.close()
    raise Failed(
        f"{name} is in the app's image, where everyone who can pull it reads it",
        "nothing was pushed; begin again at Dockerfile, which leaves it out now that it is named: Build, Measure and "
        f"Deploy make another app then; or by hand: creamtea run {ctx.workflow or 'onboard'} --from dockerfile",
        name="in_image",
        mends="dockerfile",
    )


def _listed(value: Any) -> list[str]:
    return [str(item) for item in (value if isinstance(value, list | tuple) else [value]) if item]
