"""A project on a simulated network of the tests' own: the session's chain under another name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from workflows.core.journal import Journal
from workflows.core.manifest import Manifest
from workflows.core.step import Context
from workflows.localnet.chain import Chain

ENTRY = """
[{name}]
title = "Of the tests"
note = "simulated"
chain_id = {chain_id}
native = true
simulated = {simulated}
rpc = "{rpc}"
hub = "{hub}"
sms = {{ scone = "{sms}" }}

[{name}.registries]
app = "{app}"
dataset = "{dataset}"
workerpool = "{workerpool}"
"""


@pytest.fixture
def describe(home: Path, chain: Chain) -> Callable[[str, bool], None]:
    """Adds a network to the user's own: the chain under a name, as a simulated one or as if it were live."""
    path = home / "xdg_config_home" / "creamtea" / "networks.toml"
    path.parent.mkdir(parents=True, exist_ok=True)

    def add(name: str, simulated: bool) -> None:
        with path.open("a") as file:
            file.write(
                ENTRY.format(
                    name=name, chain_id=chain.chain_id, simulated=str(simulated).lower(), rpc=chain.rpc,
                    hub=chain.hub, sms="http://127.0.0.1:9", **chain.registries,
                )
            )  # fmt: skip

    return add


@pytest.fixture
def begin(describe: Callable[[str, bool], None], tmp_path: Path) -> Callable[[], Context]:
    """A run in the project, as a new process would begin it: the journal is read from the disk."""
    describe("trial", True)

    def context() -> Context:
        ctx = Context(tmp_path, Journal(tmp_path), Manifest(tmp_path), workflow="onboard", run="r")
        ctx.values["network"] = "trial"
        return ctx

    return context
