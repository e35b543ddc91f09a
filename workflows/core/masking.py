"""Registered secrets are blotted out of events, wherever text may carry one."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from workflows.core.events import Event

_OWN_WORDS = ("at", "run", "step", "task", "parent", "state", "stream", "level", "kind", "outcome", "unit")


def masked(event: Event, secrets: Collection[str]) -> Event:
    """The event with dots for each of `secrets`; fields that only hold words of ours stay as they are."""
    if not secrets:
        return event
    changed = {
        field.name: _blot(getattr(event, field.name), secrets)
        for field in dataclasses.fields(event)
        if field.name not in _OWN_WORDS
    }
    return dataclasses.replace(event, **changed)


def _blot(value: Any, secrets: Collection[str]) -> Any:
    if isinstance(value, str):
        for secret in sorted(secrets, key=len, reverse=True):  # one may be a part of another
            if secret in value:
                value = value.replace(secret, "••••")
        return value
    if isinstance(value, tuple | list):
        return type(value)(_blot(item, secrets) for item in value)
    if isinstance(value, Mapping):
        return {key: _blot(item, secrets) for key, item in value.items()}
    return value
