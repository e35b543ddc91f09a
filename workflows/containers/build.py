"""Build an image: BuildKit where the engine has it, the classic builder where not or on request."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import IO, Literal

from workflows.containers.buildlog import BuildFailed, BuildLog, batched
from workflows.containers.context import Context
from workflows.containers.dockerfile import bases, directives
from workflows.containers.engine import Engine
from workflows.containers.limits import check
from workflows.containers.logfile import LogFile
from workflows.containers.reference import Reference
from workflows.containers.stream import Refused, post
from workflows.core.events import Event, Noted, TaskChanged, now
from workflows.core.failure import Cancelled, Failed
from workflows.core.step import Cancel

Kind = Literal["buildkit", "classic"]
PLATFORM = "linux/amd64"  # SCONE and SGX know no other


@dataclass(frozen=True)
class Built:
    """A finished build: the image's id, how long it took, and which builder made it."""

    image_id: str
    seconds: float
    builder: Kind


@dataclass(frozen=True)
class _Order:
    """What is asked of a builder."""

    engine: Engine
    context: Context
    target: str | None
    args: Mapping[str, str]
    labels: Mapping[str, str]
    platform: str
    fresh: bool
    cancel: Cancel | None


class _NoBuilder(Exception):  # noqa: N818 - never leaves this module
    """The engine does not have this builder, in its own words."""


def build(
    engine: Engine,
    context: Context,
    *,
    tag: str | None,
    target: str | None = None,
    args: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    builder: Literal["auto", "buildkit", "classic"] = "auto",
    platform: str = PLATFORM,
    fresh: bool = False,
    cancel: Cancel | None = None,
    log: IO[str] | None = None,
) -> Generator[Event, None, Built]:
    """Build and tag an image; yields what happens, returns Built.

    Bases that are not local are pulled first, with the user's credentials. `fresh`: no step comes from the
    builder's cache. `log` gets every line. Raises
    BuildFailed with the failing instruction and its last lines; Failed, before the build starts, for what
    the engine's interface cannot do; Cancelled within a second of `cancel`: then no process, container or
    tag is left, only the builder's cache.
    """
    name = str(Reference.parse(tag)) if tag else None
    begun = time.monotonic()
    work = _work(_Order(engine, context, target, args or {}, labels or {}, platform, fresh, cancel), builder)
    write = LogFile(log)
    try:
        while True:
            event = next(work)
            write(event)
            yield event
    except StopIteration as end:
        image_id, used = end.value
    finally:
        work.close()
        write.flush()
    if cancel:
        cancel.check()
    if name is not None:  # by a call of its own, so that a cancelled build cannot leave a tag
        engine.tag(image_id, name)
    return Built(image_id, time.monotonic() - begun, used)


def _work(order: _Order, builder: str) -> Generator[Event, None, tuple[str, Kind]]:
    kinds = _kinds(order.engine, builder)
    text = order.context.dockerfile
    check(text, kinds[0], order.engine)
    kept = [secret for secret in order.context.secrets() if not secret.sent]
    for secret in kept[:5]:
        yield Noted(text=f"{secret.path} stays out of the build context: {secret.why}")
    if len(kept) > 5:
        yield Noted(text=f"{len(kept) - 5} more files like these stay out of the build context")
    refused = yield from _fetch(order, kinds[0])
    for kind in kinds:
        try:
            return (yield from _attempt(order, kind)), kind
        except _NoBuilder as error:
            if kind == kinds[-1]:
                raise BuildFailed(str(error), "correct the Dockerfile, then build again") from None
            check(text, "classic", order.engine)
            yield Noted(
                level="warning",
                text=f"the engine does not build with BuildKit ({error}); the classic builder takes over",
            )
        except BuildFailed as error:
            for image, cause in refused.items():
                if image in f"{error.instruction} {error.reason}":
                    raise cause from None
            raise
    raise AssertionError("unreachable")


def _kinds(engine: Engine, builder: str) -> list[Kind]:
    if builder == "classic":
        return ["classic"]
    if builder == "buildkit":
        if not engine.buildkit:
            raise Failed(
                f"this engine ({engine.kind} {engine.version}) has no BuildKit in its API",
                "use --builder auto or classic",
                name="no_buildkit",
            )
        return ["buildkit"]
    return ["buildkit", "classic"] if engine.buildkit else ["classic"]


def _fetch(order: _Order, kind: Kind) -> Generator[Event, None, dict[str, Failed]]:
    """Pull the bases that are not local: no credentials reach BuildKit without a session.

    A base that cannot be had is told only if the build turns out to need it: an unused stage may name it.
    """
    refused: dict[str, Failed] = {}
    syntax = directives(order.context.dockerfile).get("syntax") if kind == "buildkit" else None
    images = [base.image for base in bases(order.context.dockerfile, order.args)]
    for image in dict.fromkeys([syntax, *images] if syntax else images):
        name = Reference.parse(image)
        if order.engine.exists(image):
            continue
        task, title, started = f"pull:{image}", f"pull {image}", now()
        yield TaskChanged(task=task, title=title, state="running", started=started)
        try:
            yield from order.engine.pull(image, platform=order.platform, task=task, cancel=order.cancel)
        except Failed as error:
            state: Literal["cancelled", "failed"] = "cancelled" if isinstance(error, Cancelled) else "failed"
            yield TaskChanged(
                task=task, title=title, state=state, started=started, ended=now(), detail=error.message
            )
            if image == syntax:
                raise Failed(
                    f"the line `# syntax={image}` makes the engine fetch that image first: {error.message}",
                    "remove the line: the engine's own Dockerfile reader knows all that SCONE apps need",
                    name="build_syntax_image",
                ) from None
            if isinstance(error, Cancelled):
                raise
            refused[name.canonical] = refused[image] = error
            continue
        yield TaskChanged(task=task, title=title, state="done", started=started, ended=now())
    return refused


def _attempt(order: _Order, kind: Kind) -> Generator[Event, None, str]:
    """One build with one builder; returns the image's id. _NoBuilder before anything happened."""
    build_id = secrets.token_hex(16)
    reduced = BuildLog()
    stream = post(
        order.engine.api,
        "/build",
        params=_parameters(order, kind, build_id),
        headers={"Content-Type": "application/x-tar"},
        body=order.context.archive(),
        cancel=order.cancel,
    )
    try:
        for block in stream:
            yield from batched(reduced.feed(block))
    except Refused as error:
        raise _NoBuilder(error.message) from None
    except Cancelled:
        if kind == "buildkit":
            _cancel(order.engine, build_id)
        yield from reduced.cancelled()
        raise
    finally:
        stream.close()
    yield from batched(reduced.close())
    failure = reduced.failure()
    if failure is not None and not reduced.begun and "buildkit" in failure.message.lower():
        raise _NoBuilder(failure.message)
    if failure is not None:
        raise failure
    image = order.engine.image(reduced.image_id) if reduced.image_id else None
    if image is None:
        raise Failed("the engine ended the build without an image", "see the build's log; then build again")
    return image.id


def _parameters(order: _Order, kind: Kind, build_id: str) -> dict[str, str | list[str]]:
    parameters: dict[str, str | list[str]] = {
        "version": "2" if kind == "buildkit" else "1",
        "dockerfile": order.context.name,
        "platform": order.platform,
        "buildargs": json.dumps(dict(order.args)),
        "labels": json.dumps(dict(order.labels)),
        "rm": "1",
        "forcerm": "1",  # removes the container of a failed step too
    }
    if order.fresh:
        parameters["nocache"] = "1"
    if order.target:
        parameters["target"] = order.target
    if kind == "buildkit":
        parameters["buildid"] = build_id
    return parameters


def _cancel(engine: Engine, build_id: str) -> None:
    """Closing the connection ends a build; this ends one whose answer had not begun yet."""
    url = f"{engine.api.base_url}/v{engine.api_version}/build/cancel"
    with contextlib.suppress(Exception):
        engine.api.post(url, params={"id": build_id}, timeout=0.5)
