"""The command `diff`."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from workflows.commands import onchain
from workflows.commands.sides import Sides, columns
from workflows.core.command import Argument, Command, Emit, Result
from workflows.core.step import Cancel
from workflows.core.text import clean


class Diff(Command):
    """Why two measurements differ, in ranked sentences.

    A and B: a build (its number, `last`, or its image's id), the file of a record, a local image, an app on the
    chain (app:0x…), or a signed enclave. Exit code 1 when they differ.
    """

    name = "diff"
    arguments = (
        Argument("a", "the one before", metavar="A"),
        Argument("b", "the one after", metavar="B"),
        Argument("--project", "the app's folder, whose builds have the numbers", metavar="DIR", default="."),
        *onchain.OPTIONS,
    )

    def run(self, options: Mapping[str, Any], emit: Emit, cancel: Cancel | None = None) -> Result:
        """As every command; `cancel` is for a face that does something else meanwhile."""
        from workflows.scone import difference

        project = Path(str(options["project"])).expanduser().resolve()
        cancel = cancel or Cancel()
        sides = Sides(project, onchain.chosen(project, options["network"]), options["rpc"], emit, cancel)
        a = sides.find(str(options["a"]))
        cancel.check()
        b = sides.find(str(options["b"]))
        cancel.check()
        found = difference.compare(a, b)
        names = {side: {"name": clean(one.name), "at": clean(one.at)} for side, one in (("a", a), ("b", b))}
        return Result({**found.document(), **names}, 0 if found.same else 1)

    def lines(self, document: Mapping[str, Any]) -> Iterable[str]:
        yield f"A  {document['a']['name']}  {document['a']['at']}"
        yield f"B  {document['b']['name']}  {document['b']['at']}"
        yield from columns(document["rows"], shutil.get_terminal_size().columns)
        yield "" if not document["same"] else "the same: every part that both have is equal"
        yield from causes(document["causes"])
        yield from (f"! {warning}" for warning in document["warnings"])


def causes(found: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    """Ranked sentences with their evidence, as lines."""
    for cause in found:
        yield f"{cause['rank']:>2}. {cause['sentence']}"
        yield f"    {cause['evidence']}"
