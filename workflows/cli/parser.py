"""Arguments as argparse takes them, with words of our own when they are wrong."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

from workflows.core.failure import Missing
from workflows.core.text import clean

PROGRAM = "creamtea"
HERE = Path()  # the folder when nobody names one; `--project .` is another object


class Parser(argparse.ArgumentParser):
    """Usage errors are ours: exit 2, what is wrong and what to type."""

    def error(self, message: str) -> NoReturn:
        import difflib

        known = [flag for flag in self._option_string_actions if flag.startswith("--")]
        typed = [word.partition("=")[0] for word in message.split() if word.startswith("--")]
        unknown = typed[:1] if message.startswith("unrecognized") else []
        near = difflib.get_close_matches(unknown[0], known, n=1) if unknown else []
        meant = f"did you mean {near[0]}? " if near else ""
        raise Missing(clean(message), f"{meant}{self.prog} --help lists what it takes", name="usage")


def takes_project(parser: argparse.ArgumentParser) -> None:
    """Add `--project`, the folder of an app."""
    parser.add_argument("--project", metavar="DIR", type=Path, default=HERE, help="the app's folder [.]")
