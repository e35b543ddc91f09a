"""The steps of the product, and the workflows that they form."""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import TopologicalSorter

from workflows.core.failure import Missing
from workflows.core.step import Step


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
