"""The fingerprint of an enclave app and the three forms that the chain has seen.

Form `3`: FSPF_KEY|FSPF_TAG|MRENCLAVE (2019 to mid 2020). Form `4`: with |ENTRYPOINT (v5, 2020 to 2021).
Form `json`: {framework, version, entrypoint, heapSize, fingerprint} (sconify, from 2021), without FSPF parts.
Sources: iExec's buildsgxapp page, protect-fs.sh, and the SDK's schema for the JSON form.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from workflows.core.failure import Failed
from workflows.core.text import clean, shorten
from workflows.scone import heap as sizes

Form = Literal["3", "4", "json"]
FORMS: tuple[Form, ...] = get_args(Form)
VERSIONS = ("v5", "v5.9")
FRAMEWORK = "SCONE"
LARGEST = 4096  # bytes; far above any real fingerprint

_KEYS = ("framework", "version", "entrypoint", "heapSize", "fingerprint")
_HEX = re.compile(r"[0-9a-f]+")


class InvalidFingerprint(Failed):
    """The value is no fingerprint; the message says which part and why."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint, name="invalid_fingerprint")


class Part(NamedTuple):
    """One part of a fingerprint for a screen: its name, its value, one sentence on what it is."""

    name: str
    value: str
    sentence: str


@dataclass(frozen=True)
class Fingerprint:
    """What identifies an app; parts that a form does not carry are None.

    fspf_key, mrenclave: 64 lower-case hex digits. fspf_tag: 32. heap: bytes. version: of the JSON form.
    Every value is checked on creation (InvalidFingerprint).
    """

    fspf_key: str | None
    fspf_tag: str | None
    mrenclave: str
    entrypoint: str | None = None
    heap: int | None = None
    version: str = VERSIONS[-1]

    def __post_init__(self) -> None:
        if (self.fspf_key is None) != (self.fspf_tag is None):
            raise InvalidFingerprint("FSPF key and FSPF tag belong together; one of them is missing")
        if self.fspf_key is not None and self.fspf_tag is not None:
            _hex("FSPF key", self.fspf_key, 64)
            _hex("FSPF tag", self.fspf_tag, 32)
        _hex("MRENCLAVE", self.mrenclave, 64)
        if self.entrypoint is not None:
            _entrypoint(self.entrypoint)
        if self.heap is not None and (isinstance(self.heap, bool) or self.heap <= 0):
            raise InvalidFingerprint(
                f"heap size {self.heap} is not a positive number of bytes", "1 GiB is 1073741824."
            )
        if self.version not in VERSIONS:
            raise InvalidFingerprint(
                f"framework version {clean(str(self.version))!r} is unknown", f"Known: {', '.join(VERSIONS)}."
            )

    def write(self, form: Form) -> str:
        """The text that goes on chain in this form; InvalidFingerprint when a part it needs is absent."""
        if form == "json":
            value = {
                "framework": FRAMEWORK,
                "version": self.version,
                "entrypoint": self._need(self.entrypoint, "an entrypoint", form),
                "heapSize": self._need(self.heap, "a heap size", form),
                "fingerprint": self.mrenclave,
            }
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        parts = [
            self._need(self.fspf_key, "an FSPF key", form),
            self._need(self.fspf_tag, "an FSPF tag", form),
            self.mrenclave,
        ]
        if form == "4":
            parts.append(self._need(self.entrypoint, "an entrypoint", form))
        elif form != "3":
            raise InvalidFingerprint(f"there is no form {form!r}", f"Forms: {', '.join(FORMS)}.")
        return "|".join(parts)

    def explain_parts(self) -> list[Part]:
        """The parts present, each with a sentence for a person, in the order of the old forms."""
        parts = []
        if self.fspf_key is not None and self.fspf_tag is not None:
            parts += [
                Part(
                    "FSPF key",
                    self.fspf_key,
                    "random, made with the fingerprint; opens the list of protected files",
                ),
                Part(
                    "FSPF tag", self.fspf_tag, "the state of every protected file: change one and it differs"
                ),
            ]
            scope = "the interpreter with its heap and threads; not your scripts, the tag covers those"
        else:
            scope = "the enclave as it starts; with sconify's --binary-fs your files are in it too"
        parts.append(Part("MRENCLAVE", self.mrenclave, scope))
        if self.entrypoint is not None:
            parts.append(
                Part("Entrypoint", self.entrypoint, "the command that the session starts in the enclave")
            )
        if self.heap is not None:
            parts.append(
                Part("Heap", sizes.show(self.heap), "measured: another heap at start is another MRENCLAVE")
            )
        return parts

    @staticmethod
    def _need(value: Any, what: str, form: str) -> Any:
        if value is None:
            raise InvalidFingerprint(
                f"form {form} needs {what}, and this fingerprint has none",
                "Measure the image again, or choose another form.",
            )
        return value


def form_of(value: bytes | str) -> Form:
    """Which of the three forms an on-chain value is written in; its parts are not checked yet."""
    text = _text(value)
    if text.startswith("{"):
        return "json"
    bars = text.count("|")
    if bars == 2:
        return "3"
    if bars == 3:
        return "4"
    if bars > 3:
        raise InvalidFingerprint(
            "the fingerprint has more than four parts",
            "An entrypoint with a | in it was cut there by the SMS: put such a command into a script.",
        )
    raise InvalidFingerprint(
        f"{shorten(clean(text), 40, 0)!r} is in none of the three forms",
        "Expected FSPF_KEY|FSPF_TAG|MRENCLAVE, the same with |ENTRYPOINT, or a JSON object."
        + (" A single hash is an MRENCLAVE alone." if re.fullmatch(r"[0-9a-fA-F]{64}", text) else ""),
    )


def parse(value: bytes | str) -> Fingerprint:
    """The fingerprint of an on-chain value (UTF-8); InvalidFingerprint names the part that is wrong."""
    text = _text(value)
    form = form_of(text)
    if form == "json":
        return _parse_json(text)
    key, tag, mrenclave, *rest = text.split("|")
    return Fingerprint(key, tag, mrenclave, rest[0] if rest else None)


def _text(value: bytes | str) -> str:
    if len(value) > LARGEST:
        raise InvalidFingerprint(f"{len(value)} bytes are too many for a fingerprint")
    try:
        text = value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        raise InvalidFingerprint("the value is not UTF-8 text") from None
    if not text.strip():
        raise InvalidFingerprint(
            "the value is empty",
            "An app deployed without one is no enclave app: deploy it with its fingerprint.",
        )
    return text


def _hex(name: str, value: str, length: int) -> None:
    if not isinstance(value, str):
        raise InvalidFingerprint(f"{name} is not a text of hex digits")
    hint = f"{name} is {length} lower-case hex digits, without 0x."
    if value[:2] in ("0x", "0X"):
        raise InvalidFingerprint(f"{name} starts with 0x", hint)
    if len(value) != length:
        raise InvalidFingerprint(f"{name} has {len(value)} digits, not {length}", hint)
    if not _HEX.fullmatch(value):
        if _HEX.fullmatch(value.lower()):
            raise InvalidFingerprint(f"{name} has upper-case digits", hint)
        raise InvalidFingerprint(f"{name} holds something that is not a hex digit", hint)


def _entrypoint(value: str) -> None:
    if not isinstance(value, str) or not value.strip():
        raise InvalidFingerprint("the entrypoint is empty", 'For example "python3 /app/app.py".')
    if "|" in value:
        raise InvalidFingerprint(
            "the entrypoint holds a |",
            "It parts the fields of the old forms and the SMS cuts there: put such a command into a script.",
        )
    if value != clean(value) or value != value.strip():
        raise InvalidFingerprint("the entrypoint has blanks around it, or invisible or control characters")


def _parse_json(text: str) -> Fingerprint:
    try:
        record = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except ValueError:
        raise InvalidFingerprint("the value starts like JSON and is not", "Was it cut?") from None
    except RecursionError:
        raise InvalidFingerprint("the JSON is nested too deeply") from None
    if "provider" in record:  # the name of the key until SDK 8; servers still take both
        if "framework" in record:
            raise InvalidFingerprint(
                '"framework" and its old name "provider" are both given', "Keep framework."
            )
        record["framework"] = record.pop("provider")
    for key in record:
        if key not in _KEYS:
            raise InvalidFingerprint(f"unknown key {clean(key)!r}", f"Keys: {', '.join(_KEYS)}.")
    framework = record.get("framework")
    if not isinstance(framework, str) or framework.upper() != FRAMEWORK:
        raise InvalidFingerprint(
            f"framework {clean(str(framework))!r} is not SCONE", "creamtea measures and deploys SCONE apps."
        )
    for key in _KEYS:
        if key not in record:
            raise InvalidFingerprint(f'"{key}" is missing', f"A SCONE app needs {', '.join(_KEYS)}.")
    size = record["heapSize"]
    if not isinstance(size, int):
        raise InvalidFingerprint("heapSize is not a whole number of bytes", "1 GiB is 1073741824.")
    for key in ("version", "entrypoint"):
        if not isinstance(record[key], str):
            raise InvalidFingerprint(f"{key} is not a text")
    return Fingerprint(None, None, record["fingerprint"], record["entrypoint"], size, record["version"])


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise InvalidFingerprint("a key is given twice")
    return record


def _no_constant(name: str) -> Any:
    raise ValueError(name)
