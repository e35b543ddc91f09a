"""An SMS of each test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.localnet.sms.sms_world import Client, Run, ledger, serve


@pytest.fixture
def on_sms(tmp_path: Path) -> Run:
    """`on_sms(body)` runs `body(client)` against an SMS of this test's own; its state stays between calls."""
    chain = ledger()

    def run(body: Callable[[Client], Awaitable[None]]) -> None:
        asyncio.run(serve(tmp_path / "sms", chain, body))

    return run
