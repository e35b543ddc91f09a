"""The user whom the tests run for: npm's settings and the cache of what was fetched are all that they share."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest

ENVIRONMENT = dict(os.environ)  # as it was before any fixture changed it
_NAMES = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")


@contextlib.contextmanager
def settings() -> Iterator[None]:
    """With this user's own settings while inside."""
    with pytest.MonkeyPatch.context() as patch:
        for name in _NAMES:
            value = ENVIRONMENT.get(name)
            patch.delenv(name, raising=False) if value is None else patch.setenv(name, value)
        yield
