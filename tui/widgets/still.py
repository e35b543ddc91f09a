"""Fields whose cursor does not blink: nothing moves unless something happened."""

from __future__ import annotations

from typing import Any

from textual.widgets import Input, TextArea


class StillInput(Input):
    """One row of text without a border."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, compact=True, **kwargs)
        self.cursor_blink = False


class StillArea(TextArea):
    """Several rows of text without a border."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, compact=True, **kwargs)
        self.cursor_blink = False
