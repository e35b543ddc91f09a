"""The ways in which work ends early, each with what to do next."""

from __future__ import annotations


class Failed(Exception):  # noqa: N818 - reads as a sentence at the place where it is raised
    """A step could not do its job: what happened, and what the user can do about it.

    `name` is a stable word for programs (a status cause, an error code); empty names become the
    class name in lower case. `mends` is the id of the step to go back to, where the failed one would only
    fail again.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "", *, name: str = "", mends: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.mends = mends
        self.name = name or type(self).__name__.lower()


class Missing(Failed):
    """A value is missing or unusable, and nobody can be asked for it."""

    exit_code = 2


class Unavailable(Failed):
    """The environment lacks something: a container engine, a network, a program."""

    exit_code = 3


class Cancelled(Failed):
    """The user stopped the work."""

    exit_code = 130

    def __init__(self, message: str = "cancelled", hint: str = "") -> None:
        super().__init__(message, hint)
