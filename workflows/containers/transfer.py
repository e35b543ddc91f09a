"""Pull and push streams of the engine, as events: one summed bar for all layers of an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workflows.containers.stream import count
from workflows.core.events import Event, Lines, Progress
from workflows.core.text import clean

_ENDED = ("Download complete", "Pull complete", "Already exists", "Pushed", "Layer already exists", "Mounted")
_MOVING = ("Downloading", "Pushing")


class Transfer:
    """Reduces the JSON records of a pull or a push; `error` and `digest` are set when they pass by."""

    def __init__(self, task: str) -> None:
        self.task = task
        self.error: str | None = None
        self.digest: str | None = None
        self._layers: dict[str, tuple[int, int]] = {}
        self._last = (0, 0)

    def apply(self, record: Mapping[str, Any]) -> list[Event]:
        """The events of one record."""
        aux = record.get("aux")
        if isinstance(aux, dict) and isinstance(aux.get("Digest"), str):
            self.digest = clean(aux["Digest"])
        if "error" in record or "errorDetail" in record:
            detail = record.get("errorDetail")
            message = detail.get("message") if isinstance(detail, dict) else None
            self.error = clean(" ".join(str(message or record.get("error")).split()))
            return []
        status = record.get("status")
        if not isinstance(status, str):
            return []
        if status.startswith("Digest: "):
            self.digest = clean(status[len("Digest: ") :])
        layer = record.get("id")
        if not isinstance(layer, str) or status.startswith("Pulling from"):
            return [Lines(task=self.task, text=(clean(status),))]
        return self._move(layer, status, record.get("progressDetail"))

    def _move(self, layer: str, status: str, detail: object) -> list[Event]:
        if status in _ENDED:
            total = self._layers.get(layer, (0, 0))[1]
            self._layers[layer] = (total, total)
        elif status in _MOVING and isinstance(detail, dict):
            done, total = count(detail.get("current")), count(detail.get("total"))
            self._layers[layer] = (min(done, total) if total else done, total)
        else:
            return []
        now = (sum(d for d, _ in self._layers.values()), sum(t for _, t in self._layers.values()))
        if now == self._last:
            return []
        self._last = now
        return [Progress(task=self.task, done=now[0], total=max(now) or None)]
