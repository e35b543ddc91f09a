"""What the screen costs before its first frame: nothing heavy is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("web3", "eth_account", "docker", "cryptography", "aiohttp", "yaml", "tomlkit", "requests", "asyncpg")


@pytest.mark.parametrize("module", ["tui.app", "tui.__main__", "tui.screens.wizard", "tui.run"])
def test_nothing_heavy_comes_with_the_screen(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_start_needs_no_steps() -> None:
    code = (
        "import sys, tui.app; print('workflows.steps.build' in sys.modules, 'workflows.cli' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_plain_face_needs_no_screen() -> None:
    code = "import sys, tui.__main__, workflows.cli; print('textual' in sys.modules, 'rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
