"""The one JSON document of a command."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def show(values: Mapping[str, Any]) -> None:
    """Print a document on standard output; its version is added."""
    print(json.dumps({"v": 1, **values}, ensure_ascii=False))
