"""Read and explain the fingerprint."""

from __future__ import annotations

from collections.abc import Sequence

from workflows.core.events import Noted, TaskChanged
from workflows.core.fields import Choice, Field
from workflows.core.step import Context, Done, Step, Work
from workflows.core.text import shorten
from workflows.steps import clients, records


def _forms(_: Context) -> Sequence[Choice]:
    return (
        Choice("3", note="FSPF_KEY|FSPF_TAG|MRENCLAVE; the request says the command"),
        Choice("4", note="the same with |ENTRYPOINT"),
        Choice("json", note="MRENCLAVE alone, for an SMS or SDK that knows nothing else"),
    )


class Measure(Step):
    """See what makes your app this app.

    The fingerprint has three parts. FSPF key: random, it opens the list of protected files. FSPF tag:
    the state of those files. MRENCLAVE: the measurement of the enclave itself, that is of the interpreter, its heap,
    stack and threads. Parts one and two identify your files, part three the runtime. The key hides nothing from who
    reads the chain: in the old forms it is public there.
    """

    id = "measure"
    title = "Measure"
    heading = "What the enclave is, and what it may read"
    after = ("build",)
    workflows = ("onboard", "demo", "deploy")
    fields = (
        Field(
            "form",
            "Form on the chain",
            "choice",
            default="3",
            choices=_forms,
            manifest="form",
            help="3 (key, tag and MRENCLAVE), 4 (with the entrypoint) or json (MRENCLAVE alone)",
        ),
    )

    def command(self, ctx: Context) -> str:
        image = ctx["image"] or "IMAGE"
        return f"docker run --rm -e SCONE_HASH=1 {image}; docker run --rm --entrypoint cat {image} /build/fingerprint"

    def inputs(self, ctx: Context) -> dict[str, object]:
        return {"form": ctx["form"], "image": ctx.outputs["build"].get("image_id")}

    def done(self, ctx: Context) -> Done | None:
        if ctx.previous is None or not clients.engine(ctx).exists(
            str(ctx.previous.data["outputs"]["image_id"])
        ):
            return None
        return Done(ctx.previous.data["outputs"], "this very image was measured already")

    def run(self, ctx: Context) -> Work:
        from workflows.scone import image, protection

        reference = str(ctx.outputs["build"]["image_id"])
        yield TaskChanged(task="read", title="read the fingerprint from the image", state="running")
        found = image.measure(clients.engine(ctx), reference)
        yield TaskChanged(task="read", title="read the fingerprint from the image", state="done")
        value = found.fingerprint.write(ctx["form"])
        for part in found.fingerprint.explain_parts():
            yield Noted(text=f"{part.name:<10}  {shorten(part.value, 16, 8):<26} {part.sentence}")
        for path, kind in found.regions.items():
            yield Noted(text=f"{'region':<10}  {path:<26} {protection.told(path, kind, found.regions)}")
        if "encrypted" in found.regions.values():
            yield Noted(
                level="warning",
                text="the FSPF key goes on the chain: encrypted regions hide nothing from who reads it",
            )
        number = yield from records.keep(ctx, found)
        if ctx["form"] == "json":
            yield Noted(
                level="warning", text="this form carries MRENCLAVE alone: your files are outside what is attested",
                hint="use --form 3 or 4 where the SMS takes them",
            )  # fmt: skip
        if found.simulated:
            yield Noted(text="SIMULATED runtime: this fingerprint is for simulated networks only")
        ctx.manifest.set("fingerprint", value)
        return {
            "fspf_key": found.fingerprint.fspf_key, "fspf_tag": found.fingerprint.fspf_tag,
            "mrenclave": found.fingerprint.mrenclave, "form": ctx["form"], "fingerprint": value,
            "image_id": found.image.id, "entrypoint": found.fingerprint.entrypoint,
            "heap": found.fingerprint.heap, "simulated": found.simulated, "record": number,
        }  # fmt: skip
