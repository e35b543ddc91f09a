"""An exception that nobody expected, as a failure that says what to do."""

from __future__ import annotations

import traceback

from workflows.core.failure import Failed, Unavailable
from workflows.core.text import clean

CRASHED = 70


class Stumbled(Failed):
    """Our own bug."""

    exit_code = CRASHED


def stumbled(
    error: Exception, trace: str = "CREAMTEA_DEBUG=1 before the command shows the traceback"
) -> Failed:
    """An exception that nobody expected: the machine's word (a full disk, a mode) as Unavailable, else our bug.

    `trace` says where its traceback is.
    """
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if isinstance(error.filename, str) else ""
        return Unavailable(
            clean(f"{where}{error.strerror}"),
            "check the disk, the path and its mode, then go on",
            name="system",
        )
    if isinstance(error, RuntimeError) and "home directory" in str(error):
        return Unavailable("this user has no home folder", "set HOME to a folder of yours", name="system")
    return Stumbled(
        f"creamtea stumbled: {type(error).__name__}: {clean(str(error))}",
        f"this is our bug; {trace}",
        name="crashed",
    )


def traced(error: Exception) -> tuple[str, ...]:
    """The lines of its traceback."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return tuple(clean(line) for line in text.splitlines())
