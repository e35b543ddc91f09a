"""Whether an image can be pulled, as far as its registry tells."""

from __future__ import annotations

from dataclasses import dataclass

from workflows.containers.engine import Engine
from workflows.containers.reference import Reference
from workflows.containers.registry import Login, State, credentials, refusal, state_of
from workflows.core.text import clean


@dataclass(frozen=True)
class Access:
    """Whether an image can be pulled, why, and its digest when the registry told it."""

    state: State
    reason: str
    hint: str = ""
    digest: str | None = None


def access(engine: Engine, reference: str, login: Login | None = None) -> Access:
    """Ask the registry through the engine (its proxies, mirrors and certificates count) about an image."""
    import requests
    from docker.errors import APIError

    target = Reference.parse(reference)
    login = login or credentials(target.host)
    values = dict(login.values) if login else {}
    try:
        record = engine.api.inspect_distribution(str(target), auth_config=values)
    except APIError as error:
        status = error.response.status_code if error.response is not None else 0
        if engine.kind == "podman":
            return Access("unknown", "podman's API does not ask registries", "pull it to find out")
        message = clean(" ".join(str(error.explanation or error).split()))
        failed = refusal(target, message, login is not None, status)
        return Access(state_of(message, status), failed.message, failed.hint)
    except requests.RequestException as error:
        return Access("unknown", f"the engine did not answer: {clean(str(error))[:200]}", "try again")
    digest = (record.get("Descriptor") or {}).get("digest")
    return Access("available", f"{target.host} has {target}", digest=clean(str(digest)) if digest else None)
