"""What the program can do: its own words, its steps and its commands, the latter found by their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import workflows.commands
from workflows.cli.parser import PROGRAM
from workflows.core.command import Command
from workflows.core.discovery import discover
from workflows.core.failure import Missing

if TYPE_CHECKING:  # a command that is no run does not wait for what runs take
    from workflows.core.catalog import Catalog

OWN = {
    "run": "run a workflow: onboard, demo, deploy",
    "resume": "go on where the last run stopped",
    "runs": "the runs of a project",
    "steps": "the catalogue of steps and their fields",
    "replay": "play a recorded run back",
}


def catalog() -> Catalog:
    """All steps of the product."""
    import workflows.steps
    from workflows.core.catalog import Catalog
    from workflows.core.step import Step

    return Catalog(discover(workflows.steps, Step))  # type: ignore[type-abstract]


def commands() -> dict[str, Command]:
    """All commands that are not steps, by name."""
    found = discover(workflows.commands, Command)  # type: ignore[type-abstract]
    return {command.name: command for command in found}


def command(name: str) -> Command:
    """The command of this name; Missing, with the word that may have been meant, when there is none."""
    one = next(iter(discover(workflows.commands, Command, name)), None)  # type: ignore[type-abstract]
    one = one or commands().get(name)
    if one is None:
        import difflib

        near = difflib.get_close_matches(name, [*OWN, *commands()], n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise Missing(
            f"there is no command {name!r:.40}", f"{meant}{PROGRAM} --help lists them", name="usage"
        )
    return one


def overview() -> str:
    """What `creamtea --help` says."""
    lines = [
        f"usage: {PROGRAM} [COMMAND …]     without a command: the full-screen app",
        "",
        "Takes an application into an Intel SGX enclave with SCONE and onto the iExec network.",
        "",
    ]
    table = dict(OWN)
    table.update({name: _first(command) for name, command in commands().items()})
    lines += [f"  {name:<12} {text}" for name, text in table.items()]
    lines += ["", f"{PROGRAM} COMMAND --help tells more. All take --json."]
    return "\n".join(lines)


def _first(thing: object) -> str:
    first = (thing.__doc__ or "").strip().splitlines()[0].rstrip(".")
    return first[:1].lower() + first[1:]
