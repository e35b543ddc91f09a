"""Whether a dataset lies in the app's image in the clear, in any layer of it and under any name."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from workflows.core.failure import Failed
from workflows.core.step import Context
from workflows.core.text import clean, shorten
from workflows.steps import clients, project_files

_TELLING = 32  # bytes: what is shorter may be equal by chance, so its name has to be equal too


def refuse_dataset(ctx: Context, file: Path, sha256: str) -> None:
    """Failed `dataset_in_image` when the image that was measured holds these very bytes. sha256: 64 hex digits.

    Layers under the last one count: what a later instruction removed is still pulled. An image that is not here
    any more cannot be looked at.
    """
    from workflows.scone import layers

    image = str(ctx.outputs.get("measure", {}).get("image_id") or "")
    size = file.stat().st_size
    if not size or not image or not clients.engine(ctx).exists(image):
        return
    held = [
        path
        for layer in layers.read(clients.engine(ctx), image, ctx.cancel)
        for path, entry in layer.entries.items()
        if entry.content == sha256 and (size >= _TELLING or PurePosixPath(path).name == file.name)
    ]
    if not held:
        return
    again = f"creamtea run {ctx.workflow or 'onboard'} --from dockerfile"
    others = _copies(ctx, file, sha256)
    inside = _inside(ctx, file)
    move = f"move {', '.join(others)} out of the project (the same bytes), then " if others else ""
    left = f" leaves {inside} out now that it is named, and the app is another one then" if inside else ""
    raise Failed(
        f"{clean(file.name)} is in the app's image already, as {shorten(clean(held[0]), 60, 20)}: who can pull the "
        "image reads it in the clear, so encrypting it would hide nothing",
        f"nothing was encrypted, sent or registered; {move}{again}{left or ' builds the image without it'}",
        name="dataset_in_image",
        mends="dockerfile",
    )


def _inside(ctx: Context, file: Path) -> str | None:
    path = Path(os.path.normpath(file.expanduser().absolute()))
    return clean(str(path.relative_to(ctx.project))) if path.is_relative_to(ctx.project) else None


def _copies(ctx: Context, file: Path, sha256: str) -> list[str]:
    """Files of the project with the same bytes that would still go into the next image."""
    from workflows.iexec import dataset

    found = project_files.look(ctx)
    size = file.stat().st_size
    return [
        clean(path)
        for path in (*found.files, *found.data)
        if (there := ctx.project / path).is_file()
        and there.stat().st_size == size
        and not there.samefile(file)
        and dataset.checksum(there, cancel=ctx.cancel) == f"0x{sha256}"
    ]
