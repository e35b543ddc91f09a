"""The container engine (Docker or podman) through its API: what it is, its images, containers and volumes."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from workflows.containers.container import Container, Ran, explanation, run_to_end, speaking
from workflows.containers.endpoint import Endpoint, find_endpoint, open_client
from workflows.containers.reference import Reference
from workflows.containers.registry import Login, credentials, refusal
from workflows.containers.stream import Refused, json_lines, post
from workflows.containers.transfer import Transfer
from workflows.core.events import Event
from workflows.core.failure import Failed, Missing
from workflows.core.step import Cancel
from workflows.core.text import clean

LABEL = "creamtea"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Image:
    """An image of the engine; `digests` are `name@sha256:…` of registries that know it."""

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    labels: Mapping[str, str]
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    environment: Mapping[str, str]
    platform: str
    size: int
    workdir: str

    @property
    def digest(self) -> str | None:
        """`sha256:…` of its manifest in the registry it came from or went to, None when it has none."""
        return self.digests[0].rpartition("@")[2] if self.digests else None


class Engine:
    """A connection to the engine. Safe to use from several threads; close it or use it in a `with`.

    `kind` is `docker` or `podman`; `buildkit` whether BuildKit may be tried; `disk_free` the free bytes at
    its root folder, None when that folder is not on this machine.
    """

    def __init__(self, api: Any, endpoint: Endpoint) -> None:
        self.api = api
        self.endpoint = endpoint
        with speaking("the container engine does not say what it is"):
            version, info = api.version(), api.info()
        parts = [str(part.get("Name")) for part in version.get("Components") or ()]
        self.kind = "podman" if "Podman Engine" in parts else "docker"
        self.version = str(version.get("Version", ""))
        self.api_version = str(api.api_version)
        self.buildkit = self.kind == "docker" and _numbers(self.api_version) >= (1, 38)
        architecture = str(version.get("Arch") or info.get("Architecture") or "")
        self.platform = f"{version.get('Os') or 'linux'}/{_ARCHITECTURES.get(architecture, architecture)}"
        self.root = str(info.get("DockerRootDir") or "")
        self.marks: Mapping[str, str] = {}  # labels of all that is made through this connection

    @classmethod
    def connect(cls, environment: Mapping[str, str] | None = None, timeout: float = 5) -> Engine:
        """The engine that DOCKER_HOST, the Docker context or a usual socket leads to.

        Unavailable with the reason (`engine_no_socket`, `engine_no_permission`, `engine_refused`,
        `engine_timeout` …) and a hint when none answers within `timeout` seconds.
        """
        endpoint = find_endpoint(environment)
        return cls(open_client(endpoint, timeout), endpoint)

    def close(self) -> None:
        """Close idle connections."""
        self.api.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def disk_free(self) -> int | None:
        """Free bytes where the engine keeps images, None when that is not to be seen from here."""
        if self.endpoint.path is None or not self.root:
            return None
        try:
            return shutil.disk_usage(self.root).free
        except OSError:
            return None

    # Images

    def image(self, reference: str) -> Image | None:
        """What the engine knows of a local image (name or id), None when it has none."""
        from docker.errors import ImageNotFound

        with speaking(f"image {reference} cannot be inspected"):
            try:
                record: dict[str, Any] = self.api.inspect_image(reference)
            except ImageNotFound:
                return None
        settings = record.get("Config") or {}
        pairs = (entry.partition("=") for entry in settings.get("Env") or ())
        architecture = str(record.get("Architecture") or "")
        return Image(
            id=record["Id"],
            tags=tuple(record.get("RepoTags") or ()),
            digests=tuple(record.get("RepoDigests") or ()),
            labels=settings.get("Labels") or {},
            entrypoint=tuple(settings.get("Entrypoint") or ()),
            command=tuple(settings.get("Cmd") or ()),
            environment={name: value for name, _, value in pairs},
            platform=f"{record.get('Os') or 'linux'}/{_ARCHITECTURES.get(architecture, architecture)}",
            size=int(record.get("Size") or 0),
            workdir=str(settings.get("WorkingDir") or "/"),
        )

    def exists(self, reference: str) -> bool:
        """Whether the engine has the image."""
        return self.image(reference) is not None

    def require(self, reference: str) -> Image:
        """The local image; Missing when the engine has none."""
        found = self.image(reference)
        if found is None:
            raise Missing(f"the engine has no image {reference}", "build or pull it first", name="no_image")
        return found

    def remove(self, reference: str, force: bool = False) -> bool:
        """Remove a tag, and the image with its last tag; False when there was none."""
        from docker.errors import ImageNotFound

        with speaking(f"image {reference} cannot be removed"):
            try:
                self.api.remove_image(reference, force=force)
            except ImageNotFound:
                return False
        return True

    def layers_size(self) -> int:
        """The bytes that all images have on the engine's disk, each layer once."""
        with speaking("the engine does not say how large its images are"):
            return int(self.api.df().get("LayersSize") or 0)

    def tag(self, image: str, reference: str) -> None:
        """Give a local image another name."""
        target = Reference.parse(reference)
        with speaking(f"{image} cannot be tagged {reference}"):
            self.api.tag(image, target.name, target.tag or "latest", force=True)

    def read_files(self, image: str, paths: Iterable[str], limit: int = 64 << 20) -> dict[str, bytes | None]:
        """Files of an image that is not run; None for those it has not. Links are followed inside it."""
        found: dict[str, bytes | None] = {}
        with self.create(image, ["-"], entrypoint=[]) as container:
            for path in paths:
                try:
                    found[path] = container.read(path, limit)
                except FileNotFoundError:
                    found[path] = None
        return found

    def read_file(self, image: str, path: str, limit: int = 64 << 20) -> bytes | None:
        """One file of an image that is not run; None when it has none."""
        return self.read_files(image, [path], limit)[path]

    def import_rootfs(
        self, archive: IO[bytes] | Path, reference: str, changes: Sequence[str] = (), message: str = ""
    ) -> str:
        """An image from a root file system's tar; `changes` are Dockerfile lines (ENV, LABEL …). Its id."""
        params: dict[str, str | list[str]] = {"fromSrc": "-", "changes": list(changes), "message": message}
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(archive.open("rb")) if isinstance(archive, Path) else archive
            blocks = iter(lambda: file.read(1 << 18), b"")
            headers = {"Content-Type": "application/x-tar"}
            try:
                records = list(
                    json_lines(post(self.api, "/images/create", params=params, headers=headers, body=blocks))
                )
            except Refused as error:
                raise Failed(f"the root file system was not imported: {error.message}") from None
        last = records[-1] if records else {}
        image = self.image(str(last.get("status"))) if "error" not in last else None
        if image is None:
            raise Failed(f"the root file system was not imported: {clean(str(last.get('error')))[:500]}")
        self.tag(image.id, reference)  # podman's import would take no tag
        return image.id

    # Registries

    def pull(
        self,
        reference: str,
        login: Login | None = None,
        *,
        platform: str = "",
        task: str = "",
        cancel: Cancel | None = None,
    ) -> Generator[Event, None, Image]:
        """Pull an image; without `login` with what the Docker configuration holds for its registry.

        Failed with the name `registry_denied`, `registry_missing`, `registry_unreachable` or
        `registry_error`.
        """
        target = Reference.parse(reference)
        params: dict[str, str | list[str]] = {
            "fromImage": target.name,
            "tag": target.version,
            "platform": platform,
        }
        yield from self._transfer("/images/create", params, target, login, task, cancel)
        return self.require(str(target))

    def push(
        self, reference: str, login: Login | None = None, *, task: str = "", cancel: Cancel | None = None
    ) -> Generator[Event, None, str]:
        """Push a local image; returns its digest `sha256:…` in the registry. Failed as `pull`."""
        target = Reference.parse(reference)
        path = f"/images/{target.name}/push"
        params: dict[str, str | list[str]] = {"tag": target.tag or "latest"}
        transfer = yield from self._transfer(path, params, target, login, task, cancel)
        if transfer.digest is None:
            raise Failed(f"the registry named no digest for {reference}", name="registry_error")
        return transfer.digest

    def _transfer(
        self,
        path: str,
        params: Mapping[str, str | list[str]],
        target: Reference,
        login: Login | None,
        task: str,
        cancel: Cancel | None,
    ) -> Generator[Event, None, Transfer]:
        login = login or credentials(target.host)
        headers = {"X-Registry-Auth": login.header() if login else "e30="}
        transfer = Transfer(task or str(target))
        try:
            for record in json_lines(post(self.api, path, params=params, headers=headers, cancel=cancel)):
                yield from transfer.apply(record)
        except Refused as error:
            raise refusal(target, error.message, login is not None, error.status) from None
        if transfer.error is not None:
            raise refusal(target, transfer.error, login is not None)
        return transfer

    # Containers, volumes, networks

    def create(
        self,
        image: str,
        command: Sequence[str] | None = None,
        *,
        entrypoint: Sequence[str] | None = None,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        network: str = "none",
        aliases: Sequence[str] = (),
        volumes: Mapping[str, str] | None = None,
        tmpfs: Mapping[str, str] | None = None,
        memory: int | None = None,
        shm_size: int | None = None,
        user: str | None = None,
        workdir: str | None = None,
        stdin: bool = False,
        init: bool = False,
        **host: Any,
    ) -> Container:
        """A container that is not started yet; no network unless one is named.

        `volumes` maps volume names to paths, `tmpfs` paths to options; sizes in bytes; `host` goes to
        docker-py's `create_host_config` (cap_drop, pids_limit, devices …).
        """
        settings = self.api.create_host_config(
            network_mode=network,
            binds=[f"{volume}:{path}" for volume, path in (volumes or {}).items()] or None,
            tmpfs=dict(tmpfs) if tmpfs else None,
            mem_limit=memory,
            shm_size=shm_size,
            init=init or None,
            **host,
        )
        networking = None
        if aliases:
            entry = self.api.create_endpoint_config(aliases=list(aliases))
            networking = self.api.create_networking_config({network: entry})
        with speaking(f"no container could be made of {image}"):
            made = self.api.create_container(
                image,
                command=list(command) if command is not None else None,
                entrypoint=list(entrypoint) if entrypoint is not None else None,
                name=name,
                labels={LABEL: "1", **self.marks, **(labels or {})},
                environment=dict(environment or {}),
                host_config=settings,
                networking_config=networking,
                user=user,
                working_dir=workdir,
                stdin_open=stdin,
            )
        return Container(self.api, made["Id"], name or "")

    def run(
        self,
        image: str,
        command: Sequence[str] | None = None,
        *,
        timeout: float = 60,
        memory: int = 1 << 30,
        limit: int = 8 << 20,
        **settings: Any,
    ) -> Ran:
        """Run a short command (None: the image's own) to its end, without network unless told; then removed.

        `settings` as for `create`; at most `limit` bytes of each stream are kept; killed after `timeout`
        seconds.
        """
        with self.create(image, command, memory=memory, **settings) as container:
            return run_to_end(container, timeout, limit)

    def make_volume(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        """A named volume, empty when it is new."""
        with speaking(f"volume {name} could not be made"):
            self.api.create_volume(name, labels={LABEL: "1", **(labels or {})})

    def remove_volume(self, name: str) -> None:
        """Remove a volume; harmless when it is gone."""
        from docker.errors import NotFound

        with speaking(f"volume {name} cannot be removed"), contextlib.suppress(NotFound):
            self.api.remove_volume(name, force=True)

    def make_network(self, name: str, labels: Mapping[str, str] | None = None, internal: bool = True) -> str:
        """A bridge network of its own, by default with no way out; returns its id."""
        with speaking(f"network {name} could not be made"):
            made: dict[str, Any] = self.api.create_network(
                name,
                driver="bridge",
                internal=internal,
                check_duplicate=True,
                labels={LABEL: "1", **self.marks, **(labels or {})},
            )
        return str(made["Id"])

    def remove_network(self, name: str) -> None:
        """Remove a network; harmless when it is gone."""
        from docker.errors import NotFound

        with speaking(f"network {name} cannot be removed"), contextlib.suppress(NotFound):
            self.api.remove_network(name)

    def sweep(self, labels: Mapping[str, str]) -> None:
        """Remove all containers, networks and volumes that carry all of these labels."""
        if not labels:
            raise ValueError("sweep needs a label")
        wanted = {"label": [f"{name}={value}" for name, value in labels.items()]}
        with speaking("what is left over cannot be listed"):
            containers = self.api.containers(all=True, filters=wanted)
            networks = self.api.networks(filters=wanted)
            volumes = self.api.volumes(filters=wanted).get("Volumes") or []
        for record in containers:
            Container(self.api, record["Id"]).remove()
        for record in networks:
            self.remove_network(record["Id"])
        for record in volumes:
            self.remove_volume(record["Name"])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


__all__ = ["LABEL", "Container", "Engine", "Image", "Ran", "explanation"]
