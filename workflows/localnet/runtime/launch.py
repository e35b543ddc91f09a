"""A program under a session: attest, check the files, open the volumes, run, seal the volumes again."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

from workflows.localnet.runtime import attest, inject, shield, volumes
from workflows.localnet.runtime.base import Base, interpreter_name
from workflows.localnet.runtime.places import Places
from workflows.localnet.runtime.refusals import BadBase, BadSetting, BadVolume, NotAttested

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FORWARDED = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGCONT")


def attested(base: Base, env: "Mapping[str, str]", places: Places) -> int:
    """Run the session's command, in the session's environment. The program's exit code; Refused before it."""
    config_id = env["SCONE_CONFIG_ID"]
    cas, las = env.get("SCONE_CAS_ADDR"), env.get("SCONE_LAS_ADDR") or "localhost"
    if not cas:
        raise NotAttested("SCONE_CONFIG_ID needs SCONE_CAS_ADDR, the CAS that has the session")
    session = attest.attest(config_id, cas, las, os.path.join(places.settings, "root.pem"))
    note = f"[SCONE|INFO] SIMULATED attestation: CAS {cas} gave this enclave the session {config_id}"
    print(note, file=sys.stderr, flush=True)
    if interpreter_name(session.command[0]) != base.name:
        raise BadBase(f"the session starts {session.command[0]}, but this enclave is {base.name}")
    inject.withdraw(session.files, places)  # of a start that was killed
    if session.fspf_path:
        shield.raise_shield(session.fspf_path, session.fspf_key, session.fspf_tag, places)
    folders = [(volume, volumes.mount(volume, places)) for volume in session.volumes]
    environment = {"PATH": env.get("PATH") or PATH, "HOME": "/"}
    environment.update(session.environment)
    try:
        try:
            inject.inject(session.files, session.secrets, places)
            return run(base.executable, session.command, environment, session.pwd)
        finally:
            inject.withdraw(session.files, places)
    finally:
        _seal(folders, places)


def _seal(folders: "Sequence[tuple[volumes.Volume, str]]", places: Places) -> None:
    """Every volume, also when another one fails."""
    faults = []
    for volume, folder in folders:
        try:
            volumes.unmount(volume, folder, places)
        except BadVolume as error:
            faults.append(str(error))
    if faults:
        raise BadVolume("; ".join(faults))


def by_hand(base: Base, argv: "Sequence[str]", env: "Mapping[str, str]", places: Places) -> int:
    """SCONE_FSPF with key and tag in the environment, for debugging: files checked, nothing attested."""
    key, tag = env.get("SCONE_FSPF_KEY", ""), env.get("SCONE_FSPF_TAG", "").lower()
    if not re.fullmatch("[0-9a-fA-F]{64}", key) or not re.fullmatch("[0-9a-f]{32}", tag):
        raise BadSetting("SCONE_FSPF needs SCONE_FSPF_KEY (64 hex digits) and SCONE_FSPF_TAG (32 hex digits)")
    shield.raise_shield(env["SCONE_FSPF"], bytes.fromhex(key), tag, places)
    passed = {name: value for name, value in env.items() if not name.startswith("SCONE_FSPF")}
    return run(base.executable, argv, passed, os.getcwd())


def run(executable: str, argv: "Sequence[str]", env: "Mapping[str, str]", pwd: str) -> int:
    """Run a program with this argv[0] and forward signals to it; its exit code, or 128 plus its signal."""
    try:
        program = subprocess.Popen(list(argv), executable=executable, env=dict(env), cwd=pwd)
    except OSError as error:
        raise BadBase(f"{executable} cannot be started in {pwd}: {error.strerror}") from None

    def forward(number: int, _: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(program.pid, number)

    for name in FORWARDED:
        signal.signal(getattr(signal, name), forward)
    ended, status = os.wait()
    while ended != program.pid:  # as process 1 of a container, orphans are ours to bury
        ended, status = os.wait()
    program.returncode = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
    return program.returncode
