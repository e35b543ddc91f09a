"""Nodes of a YAML text taken field by field, each refusal with its line (used by `session_reader`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NoReturn

import yaml

from workflows.scone import session_model as s

HEX64, HEX32 = re.compile(r"[0-9a-fA-F]{64}"), re.compile(r"[0-9a-fA-F]{32}")
_DIGITS = {HEX64: 64, HEX32: 32}
_WORD = re.compile(r"[\w.~/@$\\*<>%,?-]{1,140}")
_NOT_HERE = "a secret is not put in here"


def refuse(node: yaml.Node, reason: str) -> NoReturn:
    """SessionError at the node's line."""
    raise s.SessionError(node.start_mark.line + 1, reason)


def shown(value: str) -> str:
    """A value for a refusal: in quotes when it is one word, else unsaid, because it may be a secret."""
    return repr(value) if _WORD.fullmatch(value) else "this"


def no_placeholder(node: yaml.Node, value: str) -> None:
    """Refuse a placeholder in a field where SCONE allows one and this CAS does not."""
    if "$$SCONE::" in value:
        refuse(node, _NOT_HERE)


def scalar(node: yaml.Node, what: str) -> str:
    """The text as it is written: no `yes` that became True, no `1e5` that became a number."""
    if not isinstance(node, yaml.ScalarNode):
        refuse(node, f"{what} is not a single value")
    if node.tag == "tag:yaml.org,2002:null" and node.style is None:
        return ""
    return str(node.value)


def hex_digits(node: yaml.Node, what: str, pattern: re.Pattern[str]) -> str:
    """The digits in lower case; what they are is never repeated, because some are keys."""
    value = scalar(node, what)
    if not pattern.fullmatch(value):
        no_placeholder(node, value)
        unfilled = ": a variable that nothing filled in?" if value.startswith("$") else ""
        digits = _DIGITS[pattern]
        refuse(node, f"{what} must be {digits} hex digits, this has {len(value)} characters{unfilled}")
    return value.lower()


def one_of(node: yaml.Node, what: str, known: Iterable[str]) -> str:
    """A value out of a list of known ones."""
    value, known = scalar(node, what), tuple(known)
    if value not in known:
        refuse(node, f"{what} {shown(value)} is none of {', '.join(known)}")
    return value


def unique(nodes: Iterable[yaml.Node], names: Iterable[str], where: str) -> None:
    """No name is there twice."""
    seen: set[str] = set()
    for node, name in zip(nodes, names, strict=True):
        if name in seen:
            refuse(node, f"{shown(name)} is there twice in {where}")
        seen.add(name)


class Fields:
    """A mapping whose fields are taken one by one; `end` refuses what nobody took.

    `refused` names fields that SCONE knows and this CAS does not serve, each with the reason.
    """

    def __init__(self, node: yaml.Node, what: str, refused: Mapping[str, str] | None = None) -> None:
        if not isinstance(node, yaml.MappingNode):
            if isinstance(node, yaml.ScalarNode):
                no_placeholder(node, node.value)
            refuse(node, f"{what} is not a mapping")
        self.self = node
        self._what = what
        self._refused = refused or {}
        self._fields: dict[str, yaml.Node] = {}
        self._keys: dict[str, yaml.Node] = {}
        self._taken: set[str] = set()
        for key, value in node.value:
            name = scalar(key, f"a field name of {what}")
            if name in self._fields:
                refuse(key, f"{shown(name)} is there twice in {what}")
            self._fields[name], self._keys[name] = value, key

    def has(self, name: str) -> bool:
        """Whether the field is there."""
        self._taken.add(name)
        return name in self._fields

    def node(self, name: str) -> yaml.Node:
        """The field's value."""
        self._taken.add(name)
        return self._fields[name]

    def pairs(self) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        """Every field: its name, the node of the name, the node of the value."""
        for name, key in self._keys.items():
            self._taken.add(name)
            yield name, key, self._fields[name]

    def text(self, name: str, *, required: bool = False, why: str = "") -> str:
        """A single value; empty when it is absent."""
        if self.has(name):
            return scalar(self.node(name), name)
        if required:
            refuse(self.self, f"{self._what} needs {name}" + (f": {why}" if why else ""))
        return ""

    def name(self, name: str, pattern: re.Pattern[str]) -> str:
        """A name that must be there."""
        value = self.text(name, required=True)
        if not pattern.fullmatch(value):
            refuse(self.node(name), f"{shown(value)} is not a name (1 to 128 of A-Z a-z 0-9 _ - . ~)")
        return value

    def hex(self, name: str, pattern: re.Pattern[str]) -> str | None:
        """Hex digits, or None."""
        return hex_digits(self.node(name), name, pattern) if self.has(name) else None

    def path(self, name: str) -> str | None:
        """An absolute path without `..`, or None."""
        return path(self.node(name), name) if self.has(name) else None

    def number(self, name: str, most: int, least: int = 0) -> int:
        """A decimal number that must be there."""
        value = self.text(name, required=True)
        if not value.isascii() or not value.isdigit() or len(value) > 8 or not least <= int(value) <= most:
            refuse(self.node(name), f"{name} is not a number from {least} to {most}")
        return int(value)

    def flag(self, name: str) -> bool:
        """true or false; false when it is absent."""
        return self.has(name) and one_of(self.node(name), name, ("true", "false")) == "true"

    def items(self, name: str) -> list[yaml.Node]:
        """The items of a list; none when it is absent."""
        if not self.has(name):
            return []
        node = self.node(name)
        if not isinstance(node, yaml.SequenceNode):
            refuse(node, f"{name} is not a list")
        return list(node.value)

    def one_or_more(self, name: str) -> list[yaml.Node]:
        """The items of a list, or the one value that stands in its place."""
        if not self.has(name):
            return []
        node = self.node(name)
        return list(node.value) if isinstance(node, yaml.SequenceNode) else [node]

    def served(self, name: str, value: str) -> None:
        """A field that, said or not, has the one value that this CAS serves."""
        if self.has(name) and self.text(name) != value:
            refuse(self.node(name), f"{name} {shown(self.text(name))} is not served: here it is {value}")

    def end(self, what: str = "", more: Mapping[str, str] | None = None) -> None:
        """Nothing else may be there, `more` with a reason; `what` says what this turned out to be."""
        what, refused = what or self._what, {**self._refused, **(more or {})}
        for name, key in self._keys.items():
            if name not in self._taken:
                if name in refused:
                    refuse(key, f"{name} is not served: {refused[name]}")
                hint = "" if _WORD.fullmatch(name) else ": is the space after a colon missing?"
                refuse(key, f"{shown(name)} is not a field of {what}{hint}")


def path(node: yaml.Node, what: str) -> str:
    """An absolute path without `..`."""
    value = scalar(node, what)
    if not value.startswith("/") or "\0" in value or ".." in value.split("/"):
        refuse(node, f"{what} is not an absolute path")
    return value
