"""What a CAS session is: the session language that iExec used and a SCONE user meets first.

A session is YAML (language 0.3 to 0.3.12, https://sconedocs.github.io/CAS_session_lang_0_3/). `parse` is
strict: a field that is not known, not served, twice there or of the wrong form is refused with its line,
because a session that is half understood would be half enforced. `render` writes what `parse` reads.
"""

from __future__ import annotations

from workflows.scone.session_model import MAX_SIZE, Session, SessionError
from workflows.scone.session_writer import render as render  # the other half of `parse`


def parse(text: str | bytes) -> Session:
    """The session of a YAML text. Raises SessionError with the line and the reason."""
    from workflows.scone.session_reader import read

    if isinstance(text, bytes):
        text = _decode(text)
    if len(text) > MAX_SIZE:
        raise SessionError(1, f"the session is larger than {MAX_SIZE} characters")
    return read(text)


def _decode(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise SessionError(data[: error.start].count(b"\n") + 1, "the session is not UTF-8") from None
