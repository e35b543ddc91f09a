"""Recorded runs: real ones, with the paths of the machine that made them replaced.

To make one again: creamtea run onboard --json --yes --project hello-sgx >raw.ndjson, then
python tests/tui/recordings.py raw.ndjson tests/data/runs/onboard.ndjson /the/folder=/home/ada …
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from workflows.core.events import Event, from_json

RUNS = Path(__file__).parent.parent / "data" / "runs"


def events(name: str) -> list[Event]:
    """All events of a recording: onboard, stages (a parallel build) or broken (a build that fails)."""
    return [from_json(line) for line in (RUNS / f"{name}.ndjson").read_text().splitlines()]


def until(name: str, last: Callable[[Event], bool]) -> list[Event]:
    """The events up to and with the first one for which `last` is true."""
    found = events(name)
    return found[: next(index for index, event in enumerate(found) if last(event)) + 1]


def is_(kind: str, step: str | None = None, **fields: object) -> Callable[[Event], bool]:
    """Whether an event is of this type and step and has these fields."""

    def check(event: Event) -> bool:
        return (
            event.type == kind
            and step in (None, event.step)
            and all(getattr(event, name) == value for name, value in fields.items())
        )

    return check


def main(raw: str, target: str, *pairs: str) -> None:
    """Write a recording with other paths."""
    text = Path(raw).read_text()
    for pair in pairs:
        old, _, new = pair.partition("=")
        text = text.replace(old, new)
    Path(target).write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
