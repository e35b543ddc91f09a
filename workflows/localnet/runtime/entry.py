"""Where every start of the zipapp begins: which program is meant, and what the SCONE_* variables ask for.

Without SCONE_CONFIG_ID this is the way of every `pip install` of a build: nothing is imported, read or
checked here that the real interpreter can start without.
"""

import os
from collections.abc import Mapping, Sequence

from workflows.localnet.runtime.base import Base
from workflows.localnet.runtime.places import Places
from workflows.localnet.runtime.refusals import BadBase, BadSetting, NoDevice, NotAttested, Refused

MODES = ("hw", "sim", "auto")
_MEASURED = ("SCONE_HEAP", "SCONE_STACK", "SCONE_TCS", "SCONE_ALLOW_DLOPEN", "SCONE_FORK")


def main(argv: "Sequence[str]", env: "Mapping[str, str]", places: Places) -> int:
    """Run what `argv` names by its first word, as the `scone` command or as an interpreter. The exit code."""
    try:
        if os.path.basename(argv[0]) == "scone":
            return _command(argv)
        return _interpreter(argv, env, places)
    except NoDevice as error:
        _tell(2, f"[Error] Could not create enclave: Error opening SGX device\n{error}\n")
        return error.exit_code
    except Refused as error:
        _tell(2, f"[SCONE|FATAL] SIMULATED runtime: {error}\n")
        return error.exit_code
    except OSError as error:  # a full /dev/shm, a disk that fails
        place = f": {error.filename}" if error.filename else ""
        _tell(2, f"[SCONE|FATAL] SIMULATED runtime: {error.strerror}{place}\n")
        return Refused.exit_code


def _command(argv: "Sequence[str]") -> int:
    from workflows.localnet.runtime import cli

    _tell(1, cli.run(argv[1:]) + "\n")
    return 0


def _interpreter(argv: "Sequence[str]", env: "Mapping[str, str]", places: Places) -> int:
    mode = (env.get("SCONE_MODE") or "auto").lower()
    if mode not in MODES:
        raise BadSetting(f"SCONE_MODE={env['SCONE_MODE']!r} is none of hw, sim and auto")
    if any(env.get(name) for name in _MEASURED):
        from workflows.localnet.runtime.layout import settings_from_env

        settings_from_env(env)
    base = Base(argv[0], places)
    if env.get("SCONE_HASH") == "1":
        _tell(1, base.mrenclave(env) + "\n")
        return 0
    if mode == "hw":
        raise NoDevice("This is the SIMULATED runtime, which cannot use SGX: set SCONE_MODE=sim or auto.")
    if env.get("SCONE_VERSION") == "1":
        from workflows.localnet.runtime import printout

        _tell(1, printout.settings(env, base.mrenclave(env)))
        _tell(2, printout.WARNING)
    if env.get("SCONE_CONFIG_ID"):
        if mode == "sim":
            raise NotAttested(
                "simulation mode cannot be attested: unset SCONE_CONFIG_ID, or set SCONE_MODE=auto"
            )
        from workflows.localnet.runtime import launch

        return launch.attested(base, env, places)
    if env.get("SCONE_FSPF"):
        from workflows.localnet.runtime import launch

        return launch.by_hand(base, argv, env, places)
    return _become(base.executable, argv, env)


def _become(executable: str, argv: "Sequence[str]", env: "Mapping[str, str]") -> int:
    import signal

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and the program would inherit that
    try:
        os.execve(executable, list(argv), dict(env))  # noqa: S606 - the interpreter that base.json names
    except OSError as error:
        raise BadBase(f"{executable} cannot be started: {error.strerror}") from None


def _tell(descriptor: int, text: str) -> None:
    """Whole, at once, and whatever the locale: file names need not be text."""
    data = text.encode("utf-8", "surrogateescape")
    while data:
        data = data[os.write(descriptor, data) :]
