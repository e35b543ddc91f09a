"""Where the container engine answers, why there, and why it does not."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.core.failure import Unavailable
from workflows.core.text import clean

if TYPE_CHECKING:
    from docker import APIClient

_STANDARD = "/var/run/docker.sock"


@dataclass(frozen=True)
class Endpoint:
    """A URL such as `unix:///var/run/docker.sock`, and what chose it (`DOCKER_HOST`, context `default` …)."""

    url: str
    source: str
    tls: Any = field(default=None, repr=False)

    @property
    def path(self) -> Path | None:
        """The socket's path, None for TCP and SSH."""
        return Path(self.url[len("unix://") :]) if self.url.startswith("unix://") else None


def find_endpoint(environment: Mapping[str, str] | None = None) -> Endpoint:
    """DOCKER_HOST, else the CLI's context, else the usual sockets of Docker, rootless Docker and podman."""
    from docker.context import ContextAPI
    from docker.context.config import get_current_context_name
    from docker.utils import kwargs_from_env

    env = dict(os.environ if environment is None else environment)
    try:
        chosen = kwargs_from_env(environment=env)
        if "base_url" in chosen:
            return Endpoint(_normal(chosen["base_url"]), "DOCKER_HOST", chosen.get("tls"))
        name = env.get("DOCKER_CONTEXT") or get_current_context_name()
        chosen = ContextAPI.kwargs_from_context(name, environment=env)
    except Exception as error:  # docker-py raises plain Exception for a damaged context
        raise Unavailable(
            f"the Docker settings cannot be used: {clean(str(error))}",
            "see `docker context ls`, DOCKER_HOST and DOCKER_CERT_PATH",
            name="engine_settings",
        ) from None
    if name != "default" and not chosen:
        raise Unavailable(
            f"there is no Docker context {name!r}",
            "see `docker context ls`; choose one with `docker context use` or unset DOCKER_CONTEXT",
            name="engine_settings",
        )
    url = _normal(chosen.get("base_url") or f"unix://{_STANDARD}")
    if name == "default" and url == f"unix://{_STANDARD}" and not Path(_STANDARD).exists():
        for other, what in _other_sockets(env):
            if _is_socket(other):
                return Endpoint(f"unix://{other}", f"{what} (no {_STANDARD})")
    origin = "DOCKER_CONTEXT" if env.get("DOCKER_CONTEXT") else "context"
    return Endpoint(url, f"{origin} {name}", chosen.get("tls"))


def open_client(endpoint: Endpoint, timeout: float) -> APIClient:
    """A docker-py client that has just talked to the engine; Unavailable with the reason otherwise."""
    from docker import APIClient
    from docker.errors import DockerException

    settings: dict[str, Any] = {"base_url": endpoint.url}
    if endpoint.tls:
        settings["tls"] = endpoint.tls
    if endpoint.url.startswith("ssh://"):
        settings["use_ssh_client"] = True
    try:
        probe = APIClient(version="auto", timeout=timeout, **settings)  # type: ignore[arg-type]
        version = probe.api_version
        probe.close()
        return APIClient(version=version, timeout=60, **settings)
    except (DockerException, OSError, ValueError) as error:
        raise _why(endpoint, error, timeout) from None


def _why(endpoint: Endpoint, error: BaseException, timeout: float) -> Unavailable:
    where = f"{endpoint.url} (from {endpoint.source})"
    start = _mend(endpoint)
    numbers = {cause.errno for cause in _causes(error) if isinstance(cause, OSError)}
    names = {type(cause).__name__ for cause in _causes(error)}
    if numbers & {errno.EACCES, errno.EPERM}:
        return Unavailable(
            f"no permission to use the container engine at {where}",
            "add yourself to its group (`sudo usermod -aG docker $USER`, then log in again) or use sudo",
            name="engine_no_permission",
        )
    if errno.ENOENT in numbers:
        return Unavailable(f"no container engine: {where} does not exist", start, name="engine_no_socket")
    if errno.ECONNREFUSED in numbers or errno.ENOTSOCK in numbers:
        return Unavailable(f"nothing listens at {where}: refused", start, name="engine_refused")
    if {"TimeoutError", "ReadTimeout", "ConnectTimeout", "ReadTimeoutError"} & names:
        return Unavailable(
            f"the container engine at {where} did not answer within {timeout:g} s",
            "it may hang or be starting: see its log (`journalctl -u docker`), then restart it",
            name="engine_timeout",
        )
    return Unavailable(
        f"the container engine at {where} cannot be used: {clean(str(error))[:300]}",
        "try `docker version`; DOCKER_HOST or the Docker context may point to the wrong place",
        name="engine_unusable",
    )


def _mend(endpoint: Endpoint) -> str:
    """What to do where no engine answers: a setting that leads there comes before the engine itself."""
    source, _, name = endpoint.source.partition(" ")
    if source in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        return f"unset or correct {source}; if an engine should be there, start it"
    if source == "context" and name != "default":
        return (
            f"choose another Docker context (`docker context use default`) or correct {name!r}; "
            "if an engine should be there, start it"
        )
    return "start it (`systemctl start docker`, or `dockerd &` as root), or install Debian's docker.io"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and all that it wraps; libraries hide the cause in args as well."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        this = waiting.pop()
        if not isinstance(this, BaseException) or id(this) in seen:
            continue
        seen.add(id(this))
        yield this
        waiting += [this.__cause__, this.__context__, getattr(this, "reason", None), *this.args]


def _normal(url: str) -> str:
    return "unix://" + url[len("http+unix://") :] if url.startswith("http+unix://") else url


def _other_sockets(env: Mapping[str, str]) -> list[tuple[Path, str]]:
    runtime = Path(env.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    return [
        (runtime / "docker.sock", "rootless Docker"),
        (runtime / "podman" / "podman.sock", "podman"),
        (Path("/run/podman/podman.sock"), "podman"),
    ]


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False
