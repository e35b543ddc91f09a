"""A class: one machine runs a localnet that others reach under TLS, and each has the folder that was exported."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.e2e.house import House, localnet, stages
from workflows.core.files import private_dir
from workflows.iexec import wallet
from workflows.sgx.pki import development_pki

HERE = "127.0.0.2"
NAME = "at-127-0-0-2"  # of the network, in the files that are handed over


@dataclass(frozen=True)
class Person:
    """Somebody with a folder of `creamtea localnet export`; `given` is what it said."""

    given: dict[str, Any]

    @property
    def password(self) -> str:
        """The wallet's."""
        return Path(self.given["password_file"]).read_text().strip()

    @cached_property
    def account(self) -> Any:
        """The wallet, unlocked."""
        return wallet.unlock(wallet.find(self.given["keystore"]), self.password)

    @property
    def address(self) -> str:
        """The wallet's."""
        return str(self.account.address)

    @property
    def key(self) -> bytes:
        """The wallet's private key."""
        return bytes(self.account.key)

    @property
    def words(self) -> list[str]:
        """What this person says to `creamtea run`."""
        given = self.given
        return [
            "--network", given["network"], "--wallet", given["keystore"], "--password-file", given["password_file"],
        ]  # fmt: skip

    @property
    def keys(self) -> tuple[str | Path, ...]:
        """What this person says to the official client."""
        return ("--keystoredir", Path(self.given["keystore"]).parent, "--password", self.password)


@dataclass(frozen=True)
class Classroom:
    """A shared localnet that runs: the machine that has it, and its status."""

    teacher: House
    status: dict[str, Any]

    def person(self, name: str) -> Person:
        """Somebody new, or known by this name."""
        ended = self.teacher.creamtea("localnet", "export", self.teacher.home / name, "--json")
        return Person(ended.document())

    def own_home(self, home: Path) -> dict[str, str]:
        """The variables of a person's own machine: no localnet there, and not the teacher's files."""
        env = {"HOME": str(home), "CREAMTEA_LOCALNET": str(home / "none")}
        return env | {f"XDG_{name}_HOME": str(home / name.lower()) for name in ("DATA", "CONFIG", "STATE")}


@contextlib.contextmanager
def classroom(house: House, home: Path) -> Iterator[Classroom]:
    """A class on this house's machine; at the end nothing of its localnet is left in the engine."""
    # One development root for both localnets, so that the images made for one serve the other.
    development_pki(house.state / "keys")
    state = private_dir(home / "class")
    shutil.copytree(house.state / "keys", state / "keys")
    teacher = replace(house, home=home, env={**house.env, "CREAMTEA_LOCALNET": str(state)})
    with localnet(teacher, "--listen", HERE, "--host", HERE) as status:
        yield Classroom(teacher, status)
        house.made |= stages(status)
    assert house.leftovers(status["pid"]) == []
