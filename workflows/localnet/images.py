"""Stand-in base images: what the localnet serves where a SCONE curated image would be.

Two layers: a root file system that is kept for long (`rootfs.py`), and a thin one with the runtime that
stands in for SCONE, the development root of this localnet and the certificates that this machine trusts. So
a new localnet state costs a second, not half a minute. Everything carries the label `creamtea.simulated=1`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import ssl
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from workflows.containers.container import speaking
from workflows.core.command import Emit
from workflows.core.events import Noted, Progress, TaskChanged, TaskState, now
from workflows.core.failure import Cancelled, Failed, Missing
from workflows.core.step import Cancel
from workflows.localnet import npm_package, rootfs
from workflows.localnet.leftovers import UNOWNED, labels
from workflows.localnet.rootfs import Recipe
from workflows.localnet.runtime.build import zipapp
from workflows.localnet.trim import add_file, add_link

if TYPE_CHECKING:
    from workflows.containers.engine import Engine

SIMULATED = "creamtea.simulated"
_STATE = "creamtea.state"  # which localnet's root is in the image: a hash of it
_OWN = ("creamtea/stand-in:", "creamtea/tee-")
_ROOTS = "creamtea/stand-in-root:"
# Where `pip install --prefix=/x` in one stage and `COPY /x /usr/local` in the next put packages: the first on the
# images that are stood in for, the second with Debian's pip. Debian's Python looks in neither.
_PLACES = "usr/lib/python3/dist-packages/usual-places.pth"
_COPIED = ("/usr/local/lib/{}/site-packages", "/usr/local/local/lib/{}/dist-packages")
_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_OWN_CERTIFICATES = Path("/usr/local/share/ca-certificates")
_TRUST_VARIABLES = (
    "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
)  # fmt: skip


@dataclass(frozen=True)
class StandIn:
    """A base image in the engine; `root` is it without the runtime, `interpreter` as `Python 3.11.2`."""

    kind: str
    image: str
    id: str
    root: str
    os: str
    interpreter: str

    def told(self, instead_of: str) -> str:
        """What a person must know when it is used."""
        return f"{self.os}, {self.interpreter} stands in for {instead_of} (SIMULATED SGX)"


def kinds() -> tuple[str, ...]:
    """The kinds of base that there are."""
    return tuple(_data()["kinds"])


def recipe(kind: str) -> Recipe:
    """The recipe of a kind; Missing when there is none."""
    data = _data()
    if kind not in data["kinds"]:
        raise Missing(
            f"no stand-in base image for {kind!r}",
            f"The localnet has {' and '.join(data['kinds'])}; use a live network for other languages.",
            name="no_stand_in",
        )
    entry = data["kinds"][kind]
    return Recipe(
        kind=kind,
        title=entry["title"],
        suite=data["suite"],
        os=data["os"],
        public=data["public"],
        packages=tuple(entry["packages"]),
        version_of=entry["version_of"],
        interpreters=entry["interpreters"],
        drop=tuple(data["drop"]),
        npm=data["npm"] if entry["npm"] else None,
    )


def stand_in(
    engine: Engine,
    kind: str,
    emit: Emit,
    *,
    root_pem: bytes,
    cancel: Cancel | None = None,
    cache: Path | None = None,
) -> StandIn:
    """The stand-in base of a kind, made unless the engine has it.

    `root_pem` is the localnet's development root. `emit` gets the tasks `root` and `base`.
    """
    plan = recipe(kind)
    cancel = cancel or Cancel()
    cache = cache or default_cache()
    runtime = zipapp()
    bundle = trusted_certificates()
    parts = [4, plan.key, plan.npm, _digest(runtime), _digest(root_pem), _digest(bundle)]
    tag = f"creamtea/stand-in:{kind}-{_digest(json.dumps(parts).encode())[:12]}"
    if (found := _find(engine, tag)) is not None:
        return found
    root = root_image(engine, kind, emit, cancel=cancel, cache=cache)
    with task(emit, "base", f"stand-in base for {plan.title}"):
        layer = _layer(plan, runtime, root_pem, bundle, cache, cancel)
        marks = {
            SIMULATED: "1",
            "creamtea.kind": kind,
            "creamtea.root": root,
            "creamtea.os": plan.os,
            _STATE: _digest(root_pem)[:16],
        }
        changes = [f'LABEL {name}="{value}"' for name, value in marks.items()]
        changes += ["ENV PYTHONDONTWRITEBYTECODE=1", "ENV PIP_ROOT_USER_ACTION=ignore"]
        if bundle:
            changes += [f"ENV {name}=/{_BUNDLE}" for name in _TRUST_VARIABLES]
        _commit(engine, root, layer, tag, changes)
    tidy(engine, tag)
    made = _find(engine, tag)
    if made is None:
        raise Failed(f"the engine lost the image {tag} that it just made", "Run it again.")
    emit(Noted(text=made.told(f"a SCONE curated image with {plan.title}")))
    return made


def root_image(
    engine: Engine, kind: str, emit: Emit, *, cancel: Cancel | None = None, cache: Path | None = None
) -> str:
    """The tag of the bare root file system of a kind: an ordinary Debian without the runtime."""
    plan = recipe(kind)
    tag = f"{_ROOTS}{kind}-{plan.key[:12]}"
    if engine.exists(tag):
        return tag
    with task(emit, rootfs.TASK, f"root file system: {plan.os} with {plan.title}"):
        made = rootfs.build(plan, cache or default_cache(), engine, emit, cancel or Cancel())
        size = made.tar.stat().st_size
        emit(Progress(task=rootfs.TASK, done=0, total=size))
        engine.import_rootfs(
            made.tar,
            tag,
            changes=[
                f'LABEL {SIMULATED}="1"',
                f'LABEL creamtea.interpreter="{plan.title} {made.version}"',
                "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                'CMD ["/bin/bash"]',
            ],
        )
        emit(Progress(task=rootfs.TASK, done=size, total=size))
    return tag


def tidy(engine: Engine, tag: str) -> None:
    """Remove the images that a new one of the same localnet takes the place of, where nothing needs them."""
    state = engine.require(tag).labels.get(_STATE, "")
    version = tag.rpartition(":")[2]
    series = tag[: len(tag) - len(version.rpartition("-")[2])]  # all but the hash
    _remove(engine, state, lambda other: other.startswith(series) and other != tag)


def forget(engine: Engine, root_pem: bytes) -> tuple[list[str], list[str]]:
    """Remove the images made for a localnet: its stand-in bases, pre-compute and post-compute.

    The tags of those that are gone, and of those that a container still needs.
    """
    return _remove(engine, _digest(root_pem)[:16], lambda other: other.startswith(_OWN))


def shared(engine: Engine) -> dict[str, int]:
    """The tags of the root file systems from which every localnet's images are made, and their sizes in bytes."""
    with speaking("the localnet's images cannot be listed"):
        found = engine.api.images(filters={"label": f"{SIMULATED}=1"})
    tags = ((tag, int(record["Size"])) for record in found for tag in record.get("RepoTags") or ())
    return {tag: size for tag, size in tags if tag.startswith(_ROOTS)}


def _remove(engine: Engine, state: str, wanted: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    """By tag and never by label alone: what a user builds on a base inherits its labels. Tags gone, tags kept."""
    with speaking("the localnet's images cannot be listed"):
        found = engine.api.images(filters={"label": f"{_STATE}={state}"})
    gone: list[str] = []
    kept: list[str] = []
    for tag in sorted(tag for record in found for tag in record.get("RepoTags") or ()):
        if wanted(tag):
            try:
                engine.remove(tag)
                gone.append(tag)
            except Failed:  # a container still needs it
                kept.append(tag)
    return gone, kept


def default_cache() -> Path:
    """The user's cache folder for root file systems and downloads."""
    from platformdirs import user_cache_path

    return user_cache_path("creamtea") / "stand-in"


def trusted_certificates() -> bytes:
    """The bundle of certificate authorities that this machine trusts; empty when it has none."""
    candidates = [os.environ.get("SSL_CERT_FILE"), ssl.get_default_verify_paths().cafile, f"/{_BUNDLE}"]
    for name in filter(None, candidates):
        path = Path(str(name))
        if path.is_file() and b"-----BEGIN CERTIFICATE-----" in (content := path.read_bytes()):
            return content
    return b""


def _find(engine: Engine, tag: str) -> StandIn | None:
    image = engine.image(tag)
    if image is None:
        return None
    labels = image.labels
    return StandIn(
        kind=labels.get("creamtea.kind", ""),
        image=tag,
        id=image.id,
        root=labels.get("creamtea.root", ""),
        os=labels.get("creamtea.os", ""),
        interpreter=labels.get("creamtea.interpreter", ""),
    )


def _layer(
    plan: Recipe, runtime: bytes, root_pem: bytes, bundle: bytes, cache: Path, cancel: Cancel
) -> bytes:
    """The tar of the thin layer."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as layer:
        add_file(
            layer, ".scone-simulated", b"SIMULATED: no SGX here, and nothing in this image is confidential.\n"
        )
        add_file(layer, "etc/scone-simulated/root.pem", root_pem)
        add_file(layer, "usr/local/bin/scone", runtime, 0o755)
        names = ["python", "python3"] + (["node"] if "node" in plan.interpreters else [])
        for name in names:
            add_link(layer, f"usr/local/bin/{name}", "scone")
        python = PurePosixPath(str(plan.interpreters["python3"]["path"])).name
        add_file(layer, _PLACES, "".join(f"{place.format(python)}\n" for place in _COPIED).encode())
        if bundle:
            add_file(layer, _BUNDLE, bundle)
            add_link(layer, "usr/lib/ssl/cert.pem", f"/{_BUNDLE}")
            # Kept by update-ca-certificates when a Dockerfile installs packages of its own.
            for path in sorted(_OWN_CERTIFICATES.glob("*.crt")) if _OWN_CERTIFICATES.is_dir() else []:
                add_file(layer, f"usr/local/share/ca-certificates/{path.name}", path.read_bytes())
        if plan.npm:
            npm_package.add(layer, plan.npm, cache, cancel)
    return buffer.getvalue()


def _commit(engine: Engine, base: str, layer: bytes, tag: str, changes: list[str]) -> None:
    """`base` plus one layer, as `tag`; no build, so no context and no builder is needed."""
    with (
        engine.create(base, ["/bin/true"], labels=labels()) as container,
        speaking("the stand-in base was not made", "Is the engine's disk full?"),
    ):
        container.put("/", layer)
        repository, _, version = tag.partition(":")
        changes = [*changes, UNOWNED]
        engine.api.commit(container.id, repository=repository, tag=version, changes="\n".join(changes))


@contextmanager
def task(emit: Emit, name: str, title: str) -> Iterator[None]:
    """Tell the start and the end of a piece of work."""
    started = now()
    emit(TaskChanged(task=name, title=title, state="running", started=started))
    try:
        yield
    except BaseException as error:
        state: TaskState = "cancelled" if isinstance(error, Cancelled) else "failed"
        emit(
            TaskChanged(
                task=name, title=title, state=state, started=started, ended=now(), detail=str(error)[:200]
            )
        )
        raise
    emit(TaskChanged(task=name, title=title, state="done", started=started, ended=now()))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _data() -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    loaded: dict[str, Any] = tomllib.loads(files("workflows.localnet").joinpath("bases.toml").read_text())
    return loaded
