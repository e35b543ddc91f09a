"""Choose a face, then import it: the screen needs a terminal, everything else works without one."""

from __future__ import annotations

import os
import sys


def main() -> int:
    """The program `creamtea`; returns its exit code."""
    words = sys.argv[1:]
    if _full_screen(words):
        from tui.app import main as screen

        return screen(words)
    from workflows.cli import main as plain

    return plain(words or ["run", "onboard"])


def _full_screen(words: list[str]) -> bool:
    wanted = not words or (
        words[0] in ("run", "resume", "replay")
        and not {"--plain", "--json", "--yes", "-y", "-h", "--help"} & set(words)
    )
    wanted = wanted or _looks_at_secrets(words)
    if not wanted or os.environ.get("CI") or os.environ.get("TERM", "dumb") == "dumb":
        return False
    return sys.stdin.isatty() and sys.stdout.isatty()


def _looks_at_secrets(words: list[str]) -> bool:
    """`creamtea secrets` without a word that says what to do; its options may follow."""
    said = not words[1:] or words[1].startswith("--")
    return words[:1] == ["secrets"] and said and not {"--json", "-h", "--help"} & set(words)


if __name__ == "__main__":
    sys.exit(main())
