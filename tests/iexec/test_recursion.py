"""Nested JSON from outside is refused, also after the chain's libraries were imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

NEST = """
import {first}
import {second}
from workflows.iexec import params
text = "[" * 100_000
assert params.parse(text).args == text
"""


@pytest.mark.parametrize("modules", [("workflows.iexec", "web3"), ("web3", "workflows.iexec")])
def test_nested_json_does_not_kill_the_process(modules: tuple[str, str]) -> None:
    code = NEST.format(first=modules[0], second=modules[1])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
