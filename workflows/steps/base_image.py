"""Choose the curated base image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workflows.core.events import Asked, Noted
from workflows.core.failure import Cancelled, Failed
from workflows.core.fields import Choice, Field
from workflows.core.listen import listen
from workflows.core.step import Context, Step, Work
from workflows.steps import chosen_network, clients


def _detected(ctx: Context) -> Any:
    from workflows.scone import project

    return project.look(ctx.project, cancel=ctx.cancel).language or "python"


def _languages(_: Context) -> Sequence[Choice]:
    from workflows.scone import catalogue

    return [Choice(language) for language in catalogue.languages()]


def _bases(_: Context) -> Sequence[Choice]:
    from workflows.scone import catalogue

    return [
        Choice(
            found.reference,
            f"{'★ ' if found.iexec else ''}{found.tag}",
            f"{found.access} · {found.repository} · {found.os or 'OS not told'} · {found.language} {found.version}"
            f" · SCONE {found.scone} · {found.needs}",
            found.language,
        )
        for found in catalogue.load()
        if found.role == "runtime"
    ]


def _default(ctx: Context) -> Any:
    from workflows.scone import catalogue

    language = str(ctx["language"] or _detected(ctx))
    known = [found for found in catalogue.load() if found.language == language and found.role == "runtime"]
    return next((found.reference for found in known if found.iexec), known[0].reference if known else None)


def _checked(value: str) -> str:
    from workflows.containers.reference import Reference

    try:
        Reference.parse(value)
    except Failed as failure:
        raise ValueError(failure.message) from None
    return value


class BaseImage(Step):
    """Choose the image that brings SCONE's runtime.

    SCONE runs unmodified programs inside enclaves: its curated images hold an interpreter (Python, Node, Java …)
    that starts itself in one. The interpreter, its heap and its threads are what MRENCLAVE measures, so the
    choice of base decides a part of your app's fingerprint. Most of these images need an account with Scontain.
    """

    id = "base_image"
    title = "Base image"
    heading = "Choose the base image"
    after = ("network",)
    workflows = ("onboard", "demo", "deploy")
    fields = (
        Field(
            "language", "Language", "choice", default=_detected, choices=_languages, filters="base_image",
            manifest="language",
        ),
        Field(
            "base_image", "Base image", "choice", default=_default, choices=_bases, strict=False,
            check=_checked, manifest="base_image", tried=True,
            help="★ iExec's reference; any other reference may be typed",
        ),
    )  # fmt: skip

    def command(self, ctx: Context) -> str:
        return f"docker pull --platform linux/amd64 {ctx['base_image']}"

    def run(self, ctx: Context) -> Work:
        from workflows.scone import catalogue

        reference, language = str(ctx["base_image"]), str(ctx["language"])
        found = catalogue.find(reference)
        if found is not None:
            yield Noted(text=f"{reference}: {found.note or found.role}; {found.needs}")
        else:
            yield Noted(level="warning", text=f"{reference} is not in the catalogue of curated images")
        if chosen_network.entry(ctx).simulated:
            return (yield from self._stand_in(ctx, reference, found.language if found else language))
        return (yield from self._real(ctx, reference))

    def _stand_in(self, ctx: Context, reference: str, language: str) -> Work:
        from workflows.localnet import images

        network = yield from chosen_network.join(ctx)
        engine = clients.engine(ctx)
        root = chosen_network.development_root(ctx)
        made = yield from listen(
            lambda emit: images.stand_in(engine, language, emit, root_pem=root, cancel=ctx.cancel), ctx.cancel
        )
        yield Noted(text=f"{network.name}: {made.told(reference)}")
        yield Noted(
            text=f"the real image is not pulled and its name is not touched; builds use {made.image}",
            hint=f"OS packages in your Dockerfile are those of {made.os} here",
        )
        return {"reference": reference, "used": made.image, "stand_in": made.told(reference)}

    def _real(self, ctx: Context, reference: str) -> Work:
        from workflows.containers.access import access

        engine = clients.engine(ctx)
        if engine.exists(reference):
            yield Noted(text="the engine has it already")
            return {"reference": reference, "used": reference, "stand_in": None}
        seen = access(engine, reference)
        if seen.state != "available":
            raise Failed(seen.reason, seen.hint, name=f"base_{seen.state}")
        agreed = yield Asked(field="pull", question=f"Pull {reference}?", kind="confirm")
        if not agreed:
            raise Cancelled("the base image was not pulled", "choose another one, or pull it later")
        yield from engine.pull(reference, platform="linux/amd64", cancel=ctx.cancel)
        return {"reference": reference, "used": reference, "stand_in": None}
