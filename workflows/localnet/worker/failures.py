"""From how a stage ended to iExec's cause, the real reason, and what to do about it."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from workflows.core.failure import Failed
from workflows.core.text import size
from workflows.localnet.runtime.refusals import (
    BadBase,
    BadFiles,
    BadSetting,
    BadVolume,
    NoCrypto,
    NoDevice,
    NotAttested,
    Refused,
)
from workflows.localnet.tee.stage import CODES_OF_2021
from workflows.localnet.worker.stage import RUNTIME, Ended, Stage

_UNKNOWN = {
    "pre-compute": "PRE_COMPUTE_FAILED_UNKNOWN_ISSUE",
    "post-compute": "POST_COMPUTE_FAILED_UNKNOWN_ISSUE",
}
_MOST_TOLD = 5
_EXITS = {2: "EXIT_REPORTING_FAILED", 3: "TASK_ID_MISSING"}
_EXITS_OF_2021 = {code: f"PRE_COMPUTE_{cause}" for cause, code in CODES_OF_2021.items()}
_HINTS = {
    BadSetting.exit_code: "Correct the variable that it names, in the Dockerfile, then build, measure and deploy "
    "again.",
    NoDevice.exit_code: "There is no SGX here: set SCONE_MODE to auto or sim, or leave it out of the image.",
    NoCrypto.exit_code: "Keep OpenSSL's library (libcrypto) in the image, then build, measure and deploy again.",
    NotAttested.exit_code: "An enclave is what was measured: another heap, interpreter or runtime is another "
    "one. Start it as it was registered, or build, measure and deploy again.",
    BadFiles.exit_code: "Build the image again and register the new fingerprint: nothing may change after it was "
    "taken.",
    BadVolume.exit_code: "The volumes of a task open in its own enclaves only; /iexec_in and /iexec_out must be "
    "empty folders of the image, or absent.",
    BadBase.exit_code: "The image must start the interpreter of its base with which it was measured.",
}
_SEALED = {  # what the runtime says of a volume that it cannot write back, and what the app can do about it
    "Permission denied": "What the app leaves in /iexec_out has to be readable for the user that it runs as: give "
    "files mode 0644 and folders 0755.",
    "No space left": "The app left more in /iexec_out than there is room for: write less, or free disk.",
}
_REFUSED = "Mend in the image what the refusal names, then build, measure and deploy again."


def failed(stage: Stage, ended: Ended, reported: Sequence[tuple[str, str]] = ()) -> Failed:
    """The failure of a stage. `reported`: each (cause, message) that pre- or post-compute sent itself.

    The first cause is that of the task; the message has the others too.
    """
    prefix = stage.name.upper().replace("-", "_")
    if ended.timed_out:
        name = "APP_COMPUTE_TIMEOUT" if stage.name == "app" else f"{prefix}_TIMEOUT"
        return Failed(
            f"{stage.name} was stopped after {stage.seconds} s, the longest time of the category",
            "Choose a larger category, or make the app faster.",
            name=name,
        )
    if reported:
        first = reported[0][0]
        messages = [
            (message or cause) if cause == first else f"{cause}: {message}" if message else cause
            for cause, message in reported[:_MOST_TOLD]
        ]
        if len(reported) > _MOST_TOLD:
            messages.append(f"and {len(reported) - _MOST_TOLD} more, which {stage.name} printed")
        return Failed("; ".join(messages), "", name=first)
    if stage.name == "pre-compute" and (told := _EXITS_OF_2021.get(ended.code)):
        return Failed(ended.complaint.removeprefix(f"{told}: ") or told, "", name=told)
    cause = _cause(stage.name, prefix, ended.code)
    if ended.out_of_memory:
        return Failed(
            f"{stage.name} was killed: it needed more than {size(stage.memory)} of memory",
            "Use less memory, or a smaller part of the data at a time.",
            name=cause,
        )
    if Refused.exit_code <= ended.code <= BadBase.exit_code and (refusal := ended.refusal):
        what, hint = refusal, _hint(ended.code, refusal)
        if not hint:  # the launcher's own advice stands behind the reason
            what, _, hint = refusal.partition("; ")
        return Failed(f"the enclave of {stage.name} refused: {what}", _sentence(hint) or _REFUSED, name=cause)
    own = (line.strip() for line in reversed(ended.tail) if not line.startswith(RUNTIME))
    last = ended.complaint or next(filter(None, own), "")
    said = f": {last}" if last else ", and printed nothing"
    return Failed(
        f"{stage.name} {_end(ended.code)}{said}",
        "See its output above; the same image runs without an enclave with SCONE_MODE=sim."
        if stage.name == "app"
        else "",
        name=cause,
    )


def _hint(code: int, refusal: str) -> str:
    if code == BadVolume.exit_code and "cannot be written back" in refusal:
        return next((hint for said, hint in _SEALED.items() if said in refusal), _HINTS[code])
    return _HINTS.get(code, "")


def _end(code: int) -> str:
    """How a program ended, by the exit code that a shell would give it."""
    try:
        return f"was ended by {signal.Signals(code - 128).name}"
    except ValueError:
        return f"ended with exit code {code}"


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".") if text else ""


def _cause(name: str, prefix: str, code: int) -> str:
    if name == "app":
        return "APP_COMPUTE_FAILED"
    return f"{prefix}_{_EXITS[code]}" if code in _EXITS else _UNKNOWN[name]
