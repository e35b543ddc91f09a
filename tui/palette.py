"""The command palette: the same actions as the keys, found by their names."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from textual.actions import parse
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from tui.actions import APP, Action


class Actions(Provider):
    """Lists what can be done on the present screen right now."""

    async def discover(self) -> Hits:
        for action in self._possible():
            command = partial(self.screen.run_action, action.action)
            yield DiscoveryHit(Content(_text(action)), command, _text(action))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for action in self._possible():
            text = _text(action)
            score = matcher.match(text)
            if score > 0:
                command = partial(self.screen.run_action, action.action)
                yield Hit(score, matcher.highlight(text), command, text)

    def _possible(self) -> Iterator[Action]:
        for action in (*getattr(self.screen, "ACTIONS", ()), *APP):
            namespace, name, parameters = parse(action.action)
            if name == "command_palette":
                continue
            node = self.app if namespace == "app" else self.screen
            if node.check_action(name, parameters):
                yield action


def _text(action: Action) -> str:
    return f"{action.title}: {action.help}"
