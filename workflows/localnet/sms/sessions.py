"""From a task on chain to its CAS session, for every form of the on-chain fingerprint (sms.md §8).

The JSON form gives the session that iExec's SMS makes today. The forms with three and four parts give that of
its template of May 2021 (`palaemonTemplate.vm`, ce7e6fe1), in which the file-system key and tag go to the app's
service.
"""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from workflows.localnet.sms.chain import TaskDescription, describe
from workflows.localnet.sms.environment import Environments, of_2021, today
from workflows.localnet.sms.ingredients import GenerationError, Ingredients, Sources, gather
from workflows.localnet.sms.properties import FRAMEWORKS, Pipeline, Stage, TeeServices
from workflows.scone import session_model as cas
from workflows.scone.fingerprint import Fingerprint, Form, InvalidFingerprint, form_of, parse

FSPF_PATH = "/fspf.pb"
_KEYS = {"framework", "provider", "version", "entrypoint", "heapSize", "fingerprint"}
_ALPHABET = string.ascii_letters + string.digits


@dataclass(frozen=True)
class _Time:
    """What the SMS of a time put into every session, and how it named what the enclaves receive."""

    version: str
    update: str
    attestation: cas.Attestation
    environments: Callable[[TaskDescription, Ingredients], Environments]


# Simulated enclaves say of themselves that they run in debug mode: nothing protects their memory. What is
# tolerated today an SMS is configured with; the template of 2021 had it written in.
_TODAY = _Time(
    version="0.3.10",
    update=cas.NONE,
    attestation=cas.Attestation("maa", ("debug-mode",), url="https://sharedweu.weu.attest.azure.net"),
    environments=today,
)
_OF_2021 = _Time(
    version="0.3",
    update=cas.CREATOR,
    attestation=cas.Attestation(
        tolerate=(
            "hyperthreading",
            "software-hardening-needed",
            "insecure-igpu",
            "outdated-tcb",
            "debug-mode",
        ),
        ignore_advisories=tuple(f"INTEL-SA-{n}" for n in ("00161", "00289", "00334", "00381", "00389")),
    ),
    environments=of_2021,
)


@dataclass(frozen=True)
class _Enclave:
    """An app's or a stage's enclave as the session needs it; the shield is an old app's."""

    mrenclave: str
    command: str
    fspf_key: str | None = None
    fspf_tag: str | None = None

    @classmethod
    def of(cls, stage: Stage) -> _Enclave:
        """That of pre-compute or post-compute."""
        return cls(stage.fingerprint, stage.entrypoint)


def session_id(task: str) -> str:
    """A new name: ten random letters and digits, `0000`, the task id."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(10)) + "0000" + task


def make(sources: Sources, tee: TeeServices, task: str, worker: str, challenge: str) -> cas.Session:
    """The session of an authorised task. Raises GenerationError with the real service's names; blocks."""
    name = session_id(task)
    try:
        description = describe(sources.chain, task)
    except Exception as error:  # whatever the chain client raises
        raise GenerationError(
            "GET_TASK_DESCRIPTION_FAILED", f"Failed to get task description - taskId: {task}"
        ) from error
    form, fingerprint = _fingerprint(description.app.mrenclave)
    pipeline = tee.pipeline(fingerprint.version if form == "json" else None)
    if pipeline is None:
        raise GenerationError(
            "APP_COMPUTE_INVALID_ENCLAVE_CONFIG", f"TEE framework version unsupported [taskId:{task}]"
        )
    app = _app(fingerprint, description)
    time = _TODAY if form == "json" else _OF_2021
    have = gather(sources, description, worker, challenge, of_2021=time is _OF_2021)
    return _build(name, time, app, pipeline, time.environments(description, have))


def _build(name: str, time: _Time, app: _Enclave, pipeline: Pipeline, given: Environments) -> cas.Session:
    """The session document of enclaves and environments."""
    in_, out, tmp = (cas.Mount(n, f"/{n}") for n in ("iexec_in", "iexec_out", "post-compute-tmp"))
    services, images = [], []
    if given.pre is not None:
        services.append(_service("pre-compute", _Enclave.of(pipeline.pre_compute), given.pre))
        images.append(cas.Image("pre-compute-image", (in_,)))
    services.append(_service("app", app, given.app))
    images.append(cas.Image("app-image", (in_, out)))
    services.append(_service("post-compute", _Enclave.of(pipeline.post_compute), given.post))
    images.append(cas.Image("post-compute-image", (out, tmp)))
    return cas.Session(
        name=name,
        version=time.version,
        services=tuple(services),
        images=tuple(images),
        volumes=tuple(cas.Volume(mount.name) for mount in (in_, out, tmp)),
        read=(cas.CREATOR,),
        update=(time.update,),
        attestation=time.attestation,
    )


def _fingerprint(value: bytes) -> tuple[Form, Fingerprint]:
    """NO_ENCLAVE_CONFIG: in none of the forms. INVALID_ENCLAVE_CONFIG: in one, and a part of it is wrong."""
    try:
        form = form_of(value)
        if form == "json":
            _readable(json.loads(value))
    except (InvalidFingerprint, ValueError, TypeError, RecursionError):
        raise GenerationError(
            "APP_COMPUTE_NO_ENCLAVE_CONFIG", "Enclave configuration must not be null"
        ) from None
    try:
        return form, parse(value)
    except InvalidFingerprint as error:
        raise GenerationError(
            "APP_COMPUTE_INVALID_ENCLAVE_CONFIG", f"Invalid enclave configuration: {error.message}"
        ) from None


def _readable(record: Mapping[str, Any]) -> None:
    """ValueError or TypeError for what Jackson makes no `TeeEnclaveConfiguration` of."""
    if not record.keys() <= _KEYS:
        raise ValueError("unknown key")
    framework = record.get("framework", record.get("provider"))
    if framework is not None and str(framework).upper() not in FRAMEWORKS:
        raise ValueError("unknown framework")
    if (heap := record.get("heapSize")) is not None:
        int(heap)


def _app(fingerprint: Fingerprint, task: TaskDescription) -> _Enclave:
    """The command is the on-chain entrypoint and the order's arguments; three parts have no entrypoint."""
    command = fingerprint.entrypoint or ""
    if task.params.args.strip():
        command = f"{command} {task.params.args}" if command else task.params.args
    if not command.strip():
        raise GenerationError(
            "APP_COMPUTE_INVALID_ENCLAVE_CONFIG",
            "No entrypoint in the app's fingerprint and no iexec_args in the request - taskId: " + task.id,
        )
    return _Enclave(fingerprint.mrenclave, command, fingerprint.fspf_key, fingerprint.fspf_tag)


def _service(name: str, enclave: _Enclave, environment: dict[str, str]) -> cas.Service:
    return cas.Service(
        name=name,
        image_name=f"{name}-image",
        mrenclaves=(enclave.mrenclave,),
        command=enclave.command,
        environment=environment,
        fspf_path=FSPF_PATH if enclave.fspf_key else None,
        fspf_key=enclave.fspf_key,
        fspf_tag=enclave.fspf_tag,
    )
