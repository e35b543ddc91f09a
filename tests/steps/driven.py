"""The work of a step without an engine."""

from __future__ import annotations

from typing import Any


def drive(work: Any) -> Any:
    """Run a generator to its end, its events unheard; what it returns."""
    try:
        while True:
            next(work)
    except StopIteration as stop:
        return stop.value
