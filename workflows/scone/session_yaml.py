"""From a YAML text to its nodes, each refusal with its line (used by `session_reader`).

Stricter than YAML: a tag, an anchor that nothing uses and half a character are refused, because each is most
likely a value that should have been quoted. No refusal repeats what stands in the text.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

import yaml

from workflows.scone import session_model as s

MAX_NODES = 1 << 15  # with what its aliases stand for
MAX_DEPTH = 32  # the language itself needs a dozen
_HALF = re.compile("[\ud800-\udfff]")
_TOO_MANY = f"the session holds more than {MAX_NODES} values, aliases counted"
_TAG = "a tag, which means nothing here: quote a text that begins with !"


def compose(text: str) -> yaml.Node:
    """The root node. SessionError: it is no YAML, none that is read here, or too much."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise s.SessionError(line, f"a character U+{error.character:04X} that YAML does not allow") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = _TAG if "tag handle" in str(error.problem) else f"not YAML: {error.problem}"
        raise s.SessionError(mark.line + 1 if mark else 1, problem) from None
    except (ValueError, OverflowError) as error:
        if isinstance(error, s.SessionError):
            raise
        raise s.SessionError(loader.line + 1, "an escape in a text that names no character") from None
    if node is None:
        raise s.SessionError(1, "the session is empty")
    if _weight(node, {}) > MAX_NODES:
        raise s.SessionError(1, _TOO_MANY)
    return node


class _Loader(yaml.SafeLoader):
    """Looks at each event before a node is made of it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._nodes = 0
        self._unused: dict[str | None, Any] = {}

    def compose_document(self) -> yaml.Node | None:
        node: yaml.Node | None = super().compose_document()
        for mark in self._unused.values():
            _refuse(mark, "an anchor that no alias uses: quote a text that begins with &")
        return node

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                _refuse(event.start_mark, "an alias without its anchor: quote a text that begins with *")
            self._unused.pop(event.anchor, None)
        else:
            self._look(event)
        self._depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def _look(self, event: Any) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:  # here already, because reading takes its time
            _refuse(event.start_mark, _TOO_MANY)
        if self._depth > MAX_DEPTH:
            _refuse(event.start_mark, "nested too deeply")
        if event.tag is not None:
            _refuse(event.start_mark, _TAG)
        if isinstance(event, yaml.ScalarEvent) and _HALF.search(event.value):
            _refuse(event.start_mark, "half a character, which no text can hold")
        if event.anchor is not None:
            self._unused[event.anchor] = event.start_mark


def _refuse(mark: Any, reason: str) -> NoReturn:
    raise s.SessionError(mark.line + 1, reason)


def _weight(node: yaml.Node, known: dict[int, int]) -> int:
    """How many nodes there are, each as often as it is meant; one that holds itself is endless."""
    if id(node) not in known:
        known[id(node)] = MAX_NODES + 1
        children = node.value if isinstance(node.value, list) else ()
        pairs = [each for child in children for each in (child if isinstance(child, tuple) else (child,))]
        known[id(node)] = 1 + sum(_weight(each, known) for each in pairs)
    return known[id(node)]
