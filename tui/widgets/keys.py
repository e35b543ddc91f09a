"""The keys that do something right now, in one row: as many as fit, the first and the last ones always."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from textual.content import Content
from textual.events import Click
from textual.screen import Screen
from textual.widget import Widget

_LAST = 3  # why, quit and commands give way to nothing but the first ones


@dataclass(frozen=True)
class _Key:
    key: str
    shown: str
    title: str

    @property
    def width(self) -> int:
        return len(self.shown) + 1 + len(self.title)


class Keys(Widget):
    """Made from the active bindings; a click presses the key."""

    DEFAULT_CSS = (
        "Keys { dock: bottom; height: 1; background: $footer-background; color: $footer-foreground; }"
    )

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, _screen: Screen[Any]) -> None:
        self.refresh()

    def shown(self) -> list[tuple[str, str]]:
        """Key and title of what the row shows."""
        return [(key.shown, key.title) for key in self._fitting()]

    def _fitting(self) -> list[_Key]:
        found: dict[str, _Key] = {}
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if binding.show and active.enabled:
                shown = self.app.get_key_display(binding)
                found.setdefault(binding.action, _Key(binding.key, shown, binding.description))
        keys = list(found.values())
        while len(keys) > _LAST + 1 and sum(key.width + 1 for key in keys) > self.size.width + 1:
            del keys[-_LAST - 1]
        return keys

    def render(self) -> Content:
        keys = self._fitting()
        parts = [Content.assemble((key.shown, "$accent bold"), " ", key.title) for key in keys]
        return Content(" " * self._gap(keys)).join(parts).truncate(self.size.width, ellipsis=True)

    def _gap(self, keys: list[_Key]) -> int:
        return 2 if sum(key.width + 2 for key in keys) <= self.size.width + 2 else 1

    def on_click(self, event: Click) -> None:
        at, keys = 0, self._fitting()
        for key in keys:
            at += key.width + self._gap(keys)
            if event.x < at:
                self.app.simulate_key(key.key)
                return
