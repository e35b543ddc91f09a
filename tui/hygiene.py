"""Outside text on its way to the screen, cleaned where it enters; `edge` looks at it once more where it leaves."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from workflows.core.events import Event, Lines
from workflows.core.text import MAX_LINE, clean

E = TypeVar("E", bound=Event)
_PROSE = frozenset({"text", "command", "default", "question", "message", "hint"})  # may have several lines


def harmless(event: E) -> E:
    """The event with every text in it cleaned, outputs too, and in one line where a row is drawn of it.

    The core cleans what it emits; a row of the screen must not grow by a line end, nor what a program reads.
    """
    changed = {
        field.name: _cleaned(
            getattr(event, field.name), field.name in _PROSE and not isinstance(event, Lines)
        )
        for field in dataclasses.fields(event)
    }
    return dataclasses.replace(event, **changed)


def harmless_document(found: Mapping[str, Any]) -> dict[str, Any]:
    """A command's document with every text in it cleaned."""
    return {_cleaned(name, False): _cleaned(value, name in _PROSE) for name, value in found.items()}


def prose(text: str) -> str:
    """Text of several lines, each of them clean."""
    return "\n".join(clean(line) for line in text.splitlines())


def document(text: str) -> tuple[str, bool]:
    """A text to edit, without characters that a terminal acts on, and whether there were any; tabs stay."""
    plain = text.replace("\r\n", "\n")
    cleaned = "\n".join("\t".join(map(_whole, line.split("\t"))) for line in plain.split("\n"))
    return cleaned, cleaned != plain


def _whole(text: str) -> str:
    """Clean text of any length: `clean` alone cuts long lines."""
    return "".join(clean(text[at : at + MAX_LINE]) for at in range(0, len(text), MAX_LINE))


def _cleaned(value: Any, several_lines: bool) -> Any:
    if isinstance(value, str):
        return prose(value) if several_lines else clean(value)
    if isinstance(value, (tuple, list)):
        return type(value)(_cleaned(item, several_lines) for item in value)
    if isinstance(value, Mapping):
        return {_cleaned(key, False): _cleaned(item, key in _PROSE) for key, item in value.items()}
    return value
