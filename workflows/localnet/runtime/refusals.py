"""Why the runtime refuses: one class and one exit code for each kind of reason.

The codes stay clear of those that shells (126–128, 128+signal) and most programs use; a worker tells by
them a refusal of the runtime from a failure of the app.
"""
# ruff: noqa: N818 - the names read as sentences where they are raised


class Refused(Exception):
    """The runtime does not start, or does not go on; the text says why and what to do."""

    exit_code = 240


class BadSetting(Refused):
    """A SCONE_* variable has a value that the runtime refuses; the text names it and says what fits."""

    exit_code = 241


class NoDevice(Refused):
    """Hardware mode was asked for: a simulated runtime has no SGX device."""

    exit_code = 242


class NotAttested(Refused):
    """LAS or CAS cannot be reached, or does not accept this enclave."""

    exit_code = 243


class BadFiles(Refused):
    """The file system is not the one that the FSPF's tag stands for; the text names the path."""

    exit_code = 244


class BadVolume(Refused):
    """An encrypted volume cannot be opened, or cannot be written back."""

    exit_code = 245


class NoCrypto(Refused):
    """This base image has no libcrypto that could do AES."""

    exit_code = 246


class BadBase(Refused):
    """The image is not a stand-in base, or does not know the interpreter that was asked for."""

    exit_code = 247


class Altered(Refused):
    """Data, its key, its nonce or what it belongs to is not what was sealed."""

    exit_code = 240
