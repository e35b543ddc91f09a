"""Build the image."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.core.events import Event, Noted
from workflows.core.failure import Failed
from workflows.core.fields import Choice, Field
from workflows.core.step import Context, Done, Step, Work
from workflows.core.text import plural
from workflows.steps import clients, project_files

if TYPE_CHECKING:
    from workflows.containers.build import Built
    from workflows.containers.context import Context as BuildContext

INPUTS = "creamtea.inputs"
OURS = ("creamtea.toml", "creamtea-results")  # they change with every run and belong in no image
_MOST_FINDINGS = 8


def _image(ctx: Context) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", ctx.project.name.lower()).strip("-") or "app"
    return f"{name}:0.1"


def _reference(value: Any) -> str:
    from workflows.containers.reference import Reference

    try:
        parsed = Reference.parse(str(value))
    except Failed as failure:
        raise ValueError(f"{failure.message}. {failure.hint}") from None
    if parsed.digest:
        raise ValueError("an image to build has a tag, not a digest")
    return str(value)


def _builders(_: Context) -> Sequence[Choice]:
    return (
        Choice("auto", note="BuildKit where the engine has it"),
        Choice("buildkit", note="parallel stages"),
        Choice("classic", note="the old builder, one step after the other"),
    )


class Build(Step):
    """Turn the Dockerfile into an image.

    The build runs in your container engine, stage by stage. Its last step takes the fingerprint: a snapshot of the
    protected folders and the MRENCLAVE of the interpreter with its heap. No enclave is needed to build, so the
    commands of the build run in SCONE's simulation mode.
    """

    id = "build"
    title = "Build"
    heading = "Build the image"
    after = ("dockerfile",)
    workflows = ("onboard", "demo", "deploy")
    fields = (
        Field(
            "image", "Image name", default=_image, check=_reference, manifest="image",
            help="with a registry's name in front (registry.example/app:1) it is pushed there on deploy",
        ),
        Field("builder", "Builder", "choice", default="auto", choices=_builders, manifest="builder"),
        Field(
            "twice", "Build twice", "confirm", default=False,
            help="build again from nothing and name the first layer and file that differ",
        ),
    )  # fmt: skip

    def command(self, ctx: Context) -> str:
        file = Path(str(ctx.outputs.get("dockerfile", {}).get("path", "Dockerfile"))).name
        option = "" if file == "Dockerfile" else f" -f {file}"
        return f"docker build --platform linux/amd64{option} -t {ctx['image']} ."

    def inputs(self, ctx: Context) -> dict[str, object]:
        twice = {"twice": True} if ctx["twice"] else {}
        return {"image": ctx["image"], "builder": ctx["builder"], "context": self._digest(ctx), **twice}

    def done(self, ctx: Context) -> Done | None:
        engine, name = clients.engine(ctx), str(ctx["image"])
        if ctx.previous is not None:
            before = dict(ctx.previous.data["outputs"])
            if engine.image(str(before.get("image_id"))) is not None:
                return Done(before, f"{name} was built from these very inputs")
        found = engine.image(name)
        if found is None or found.labels.get(INPUTS) != self._digest(ctx) or ctx["twice"]:
            return None
        log = str(ctx.run_dir / "steps" / "build.log")
        outputs = {"image": name, "image_id": found.id, "seconds": 0.0, "log": log}
        return Done(outputs, f"{name} was built from these very inputs")

    def mend(self, ctx: Context, done: Done) -> Iterator[Event]:
        """Give the image its name back when another one got it meanwhile: equal inputs have another random key."""
        engine, name, image_id = clients.engine(ctx), str(ctx["image"]), str(done.outputs["image_id"])
        if (now := engine.image(name)) is None or now.id != image_id:
            engine.tag(image_id, name)
            yield Noted(text=f"{name} is that image again; the name had gone to another one, or was removed")

    def run(self, ctx: Context) -> Work:
        from workflows.containers.build import build
        from workflows.containers.buildlog import BuildFailed

        context, changes = self.context(ctx)
        base = ctx.outputs["base_image"]
        for secret in context.secrets():
            fate = (
                "GOES to the builder: name it in .dockerignore"
                if secret.sent
                else "is not sent to the builder"
            )
            yield Noted(level="warning", text=f"{secret.path} {fate}: {secret.why}")
        for change in changes:
            told = f"line {change.line}: {change.before} is built from {change.after}"
            yield Noted(text=told, hint=f"{base['stand_in']}; only in what is sent, not on disk")
        yield from _lint(ctx, context)
        log = ctx.run_dir / "steps" / "build.log"
        try:
            built = yield from build(
                clients.engine(ctx), context, tag=str(ctx["image"]), builder=ctx["builder"],
                labels={INPUTS: self._digest(ctx)}, cancel=ctx.cancel,
            )  # fmt: skip
        except BuildFailed as failure:
            failure.hint = f"{_place(ctx, failure.instruction)}: {failure.hint}"
            raise
        yield Noted(text=f"{ctx['image']} is {built.image_id[:19]}…, built by {built.builder}")
        again = None
        if ctx["twice"]:
            again = yield from self._again(ctx, context, built)
        return {
            "image": ctx["image"], "image_id": built.image_id, "seconds": round(built.seconds, 3), "log": str(log),
            "builder": built.builder, "twice": again,
        }  # fmt: skip

    def _again(
        self, ctx: Context, context: BuildContext, built: Built
    ) -> Generator[Event, Any, dict[str, Any]]:
        """Build from nothing and compare; Failed when something that is measured differs."""
        from workflows.scone import reproduce

        found = yield from reproduce.again(
            clients.engine(ctx), context, built.image_id, builder=built.builder,
            labels={INPUTS: self._digest(ctx)}, cancel=ctx.cancel,
        )  # fmt: skip
        yield from reproduce.told(found)
        reproduce.refuse(found)
        return found.document()

    def context(self, ctx: Context) -> Any:
        """What is sent to the builder, and the lines of the Dockerfile that were changed for it."""
        path = Path(str(ctx.outputs["dockerfile"]["path"]))
        base = ctx.outputs["base_image"]
        context = sent(ctx, path.name, project_files.text_of(path))
        if base["reference"] == base["used"]:
            return context, []
        return context.rewritten({str(base["reference"]): str(base["used"])})

    def _digest(self, ctx: Context) -> str:
        """The hash of all that the build reads: the archive, base included by its name."""
        context, _ = self.context(ctx)
        return str(context.digest())


def sent(ctx: Context, name: str, text: str) -> BuildContext:
    """What a build of this Dockerfile sends; the checks of the Dockerfile look at the same."""
    from workflows.containers.context import Context as BuildContext
    from workflows.scone import dockerfile

    apart = dockerfile.excludes(text, project_files.look(ctx))
    return BuildContext(ctx.project, text, name=name, apart=(*OURS, *apart), cancel=ctx.cancel)


def _place(ctx: Context, failed: str) -> str:
    """Where in which Dockerfile the instruction stands that a build failed at."""
    from workflows.containers.dockerfile import instructions

    path, title = Path(str(ctx.outputs["dockerfile"]["path"])), " ".join(failed.split())
    for one in instructions(project_files.text_of(path)):
        if title.endswith(" ".join(one.text.split())):
            return f"{path.name} line {one.line}"
    return path.name


def _lint(ctx: Context, context: BuildContext) -> Iterator[Event]:
    """What will make the next build differ from this one."""
    from workflows.scone import lint_reproducible

    text = Path(str(ctx.outputs["dockerfile"]["path"])).read_text()
    found = lint_reproducible.check(text, context.paths(), read=lambda path: _text(context.folder / path))
    for finding in found[:_MOST_FINDINGS]:
        yield Noted(level=finding.level, text=f"line {finding.line}: {finding.text}", hint=finding.hint)
    if (rest := len(found) - _MOST_FINDINGS) > 0:
        yield Noted(text=f"and {plural(rest, 'more finding')} on what is not reproducible")


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None
