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
        while len(keys) > _LAST + 1 and sum(key.width + 1 for key in keys) > self.size.width:
            del keys[-_LAST - 1]
        return keys

    def render(self) -> Content:
        parts = [Content.assemble((key.shown, "$accent bold"), " ", key.title) for key in self._fitting()]
        return Content(" ").join(parts).truncate(self.size.width, ellipsis=True)

    def on_click(self, event: Click) -> None:
        at = 0
        for key in self._fitting():
            at += key.width + 1
            if event.x < at:
                self.app.simulate_key(key.key)
                return
