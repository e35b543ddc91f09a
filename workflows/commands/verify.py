"""The command `verify`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.commands import onchain
from workflows.commands.diff import causes
from workflows.commands.sides import Sides
from workflows.core.command import Argument, Command, Emit, Result
from workflows.core.events import TaskChanged
from workflows.core.failure import Failed, Unavailable
from workflows.core.text import shorten

if TYPE_CHECKING:
    from workflows.containers.engine import Engine, Image
    from workflows.iexec.records import App
    from workflows.scone.record import Record


class Verify(Command):
    """Whether a deployed app is the local image: read from the chain, compared, recomputed. No wallet.

    The image is the one that the app names, found in the engine or pulled, or another one (--image). Exit code 0
    when all matches, 1 when something does not, 3 when the chain, the engine or the image is out of reach.
    """

    name = "verify"
    arguments = (
        Argument("app", "the app's address", metavar="APP"),
        Argument("--image", "compare this local image instead of the one the app names", metavar="IMAGE"),
        Argument("--project", "the folder whose builds may explain a mismatch", metavar="DIR", default="."),
        *onchain.OPTIONS,
    )

    def run(self, options: Mapping[str, Any], emit: Emit) -> Result:
        from workflows.containers.engine import Engine
        from workflows.scone import verification

        project = Path(str(options["project"])).expanduser().resolve()
        sides = Sides(project, onchain.chosen(project, options["network"]), options["rpc"], emit)
        address = str(options["app"]).removeprefix("app:")
        with onchain.hub(sides.network, sides.rpc, emit) as (place, chain):
            app = onchain.read_app(chain, place, address)
        registered = onchain.record_of(app)
        with Engine.connect() as engine:
            reference = str(options["image"] or app.multiaddr)
            image = _image(engine, reference, app, place.simulated, bool(options["image"]), emit)
            emit(TaskChanged(task="verify", title=f"check {reference}", state="running"))
            found = verification.checks(
                engine, image, registered.fingerprint, app.checksum, simulated=place.simulated
            )
            emit(TaskChanged(task="verify", title=f"check {reference}", state="done"))
            matches = all(check.ok is not False for check in found)
            why = {} if matches else _why(engine, sides, registered, image, reference)
        document = {
            "app": app.address,
            "network": place.name,
            "owner": app.owner,
            "name": app.name,
            "image": reference,
            "image_id": image.id,
            "matches": matches,
            "checks": [dataclasses.asdict(check) for check in found],
            "causes": why.get("causes", []),
            "warnings": why.get("warnings", []),
        }
        return Result(document, 0 if matches else 1)

    def lines(self, document: Mapping[str, Any]) -> Iterable[str]:
        yield f"app    {document['app']} on {document['network']}, owned by {document['owner']}"
        yield f"image  {document['image']}  {shorten(document['image_id'], 19, 0)}"
        for check in document["checks"]:
            mark = {True: "✓", False: "✗", None: "·"}[check["ok"]]
            if check["ok"]:
                yield f"{mark} {check['name']:<11} {_short(check['actual'])}"
            else:
                yield f"{mark} {check['name']:<11} registered  {check['expected']}"
                yield f"  {'':<11} the image   {check['actual']}"
        yield (
            "the image is the registered app"
            if document["matches"]
            else "the image is NOT the registered app"
        )
        yield from causes(document["causes"])
        yield from (f"! {warning}" for warning in document["warnings"])


def _image(engine: Engine, reference: str, app: App, simulated: bool, chosen: bool, emit: Emit) -> Image:
    """The image: local, or pulled as a worker would. Unavailable when it cannot be had."""
    found = engine.image(reference)
    if found is not None:
        return found
    if chosen:
        return engine.require(reference)
    host = reference.partition("/")[0]
    if simulated and not ("/" in reference and ("." in host or ":" in host or host == "localhost")):
        raise Unavailable(
            f"the engine has no image {reference}, and on this network it is in no registry",
            "build it again, or give a local one with --image",
            name="no_image",
        )
    try:
        pulled: Image = _run(engine.pull(reference, platform="linux/amd64", task="pull"), emit)
        return pulled
    except Failed as failure:
        raise Unavailable(
            f"{reference} cannot be had: {failure.message}",
            failure.hint or "give a local image with --image",
            name=failure.name,
        ) from None


def _run(work: Iterator[Any], emit: Emit) -> Any:
    while True:
        try:
            emit(next(work))
        except StopIteration as end:
            return end.value


def _why(engine: Engine, sides: Sides, registered: Record, image: Image, reference: str) -> dict[str, Any]:
    """The difference between what was registered and this image, with all that is known here of the former."""
    from workflows.scone import difference

    known = sides.more(registered)
    if known is registered and (deployed := engine.image(registered.image.digest or "")) is not None:
        known = sides.of_image(engine, deployed, "of the deployed app")
    return difference.compare(known, sides.of_image(engine, image, reference)).document()


def _short(value: str) -> str:
    return value if " " in value else shorten(value, 18, 8)
