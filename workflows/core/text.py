"""Outside text made harmless, and streams cut into lines.

Output of builds, containers and services is hostile until it went through `clean`: terminal
escapes, control characters and bidirectional overrides are removed, at stream level, so that a
sequence split over two chunks is caught too.
"""

from __future__ import annotations

import codecs
import re

# CSI, OSC/DCS/SOS/PM/APC up to their terminator (or the end of the line), other two-character escapes.
_ESCAPES = re.compile(
    "\x1b\\[[0-?]*[ -/]*[@-~]?"
    "|\x9b[0-?]*[ -/]*[@-~]?"
    "|(?:\x1b[\\]P_X^]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\\\|\x9c)?"
    "|\x1b[ -/]*[0-~]?"
)
# C0 but tab, C1, soft hyphen, zero width, bidi marks, isolates and overrides, interlinear and tag characters.
_CONTROLS = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f\ud800-\udfff]"
)
MAX_LINE = 4000


def clean(line: str) -> str:
    """One line with nothing in it that a terminal or a bidi algorithm would act on; tabs become spaces."""
    if line.isascii() and line.isprintable():
        text = line
    else:
        text = _CONTROLS.sub("", _ESCAPES.sub("", line)).expandtabs(8)
    return text if len(text) <= MAX_LINE else text[:MAX_LINE] + " …"


def invisible(line: str) -> bool:
    """Whether a line has characters that are not shown, or that a terminal or a bidi algorithm would act on."""
    return bool(_CONTROLS.search(line))


def is_text(value: str) -> bool:
    """Whether a value can be written down: a path or an argument whose bytes are no UTF-8 cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


class LineCutter:
    """Cuts a byte stream into clean lines; a carriage return replaces the line so far, as on a terminal."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._tail = ""

    def feed(self, chunk: bytes) -> list[str]:
        """The lines that this chunk completes."""
        text = self._tail + self._decoder.decode(chunk)
        *whole, self._tail = text.split("\n")
        if len(self._tail) > 16 * MAX_LINE:  # a stream without line ends must not fill the memory
            whole.append(self._tail)
            self._tail = ""
        return [self._finish(line) for line in whole]

    def flush(self) -> list[str]:
        """What is left when the stream ends without a line end."""
        rest = self._tail + self._decoder.decode(b"", True)
        self._tail = ""
        return [self._finish(rest)] if rest else []

    @staticmethod
    def _finish(line: str) -> str:
        line = line.rstrip("\r")
        return clean(line.rsplit("\r", 1)[-1])


def plural(count: int, noun: str, many: str = "") -> str:
    """`1 file`, `2 files`; `many` for irregular plurals."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def size(count: int) -> str:
    """Bytes as a person reads them: `734 B`, `3.0 MiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def shorten(value: str, head: int = 10, tail: int = 4) -> str:
    """A long hash or address with its middle left out."""
    return value if len(value) <= head + tail + 1 else f"{value[:head]}…{value[len(value) - tail :]}"
