"""The steps of the product, and the workflows that they form."""

from __future__ import annotations

import re
from collections.abc import Sequence
from graphlib import TopologicalSorter

from workflows.core.failure import Missing
from workflows.core.step import Step


def position(steps: Sequence[Step], name: str) -> int:
    """Which of the steps a person means, by its id or its title, in any case. Missing lists both."""
    wanted = _plain(name)
    for number, step in enumerate(steps):
        if wanted in (_plain(step.id), _plain(step.title)):
            return number
    known = ", ".join(_both(step) for step in steps)
    raise Missing(f"there is no step {name!r:.60} here", f"its steps are {known}", name="no_step")


def _plain(name: str) -> str:
    return " ".join(re.split(r"[\s_-]+", name.casefold().strip()))


def _both(step: Step) -> str:
    return step.id if _plain(step.id) == _plain(step.title) else f"{step.id} ({step.title})"


class Catalog:
    """All steps in an order that respects `after`."""

    def __init__(self, steps: Sequence[Step]) -> None:
        by_id = {step.id: step for step in steps}
        if len(by_id) != len(steps):
            raise ValueError("two steps share an id")
        graph = {step.id: set(step.after) for step in sorted(steps, key=lambda step: step.id)}
        unknown = set().union(*graph.values()) - graph.keys() if graph else set()
        if unknown:
            raise ValueError(f"after names unknown steps: {', '.join(sorted(unknown))}")
        self.steps = [by_id[name] for name in TopologicalSorter(graph).static_order()]

    def workflows(self) -> list[str]:
        """The names of the workflows, in the order in which steps mention them."""
        names: dict[str, None] = {}
        for step in self.steps:
            names.update(dict.fromkeys(step.workflows))
        return list(names)

    def workflow(self, name: str) -> list[Step]:
        """The steps of a workflow, in order."""
        steps = [step for step in self.steps if name in step.workflows]
        if not steps:
            raise Missing(f"there is no workflow {name!r}", f"choose one of {', '.join(self.workflows())}")
        return steps
