"""A state folder for a localnet of a test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from workflows.localnet import client
from workflows.localnet.toolchain import Toolchain


@pytest.fixture
def state(tmp_path: Path, tools: Toolchain) -> Iterator[Path]:
    """The folder; what runs in it at the end is stopped."""
    folder = tmp_path / "localnet"
    yield folder
    client.stop(folder)
