"""What became of each numbered case, told at the end of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conformance.sms.cases import ELSEWHERE, TITLES


class Cases:
    """A plugin of pytest; it speaks when tests of `folder` were asked for by name."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._url = url
        self._outcomes: dict[int, list[tuple[str, str]]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Which cases a test stands for goes with its reports."""
        for item in items:
            marker = item.get_closest_marker("case")
            numbers = marker.args if marker else ()
            test = item.nodeid.partition("[")[0]
            numbers = [
                *numbers,
                *(number for number, (_, shown) in ELSEWHERE.items() if shown == test),
            ]
            item.user_properties.extend(("case", number) for number in numbers)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what became of each case."""
        if report.when != "call" and report.passed:
            return
        test = report.nodeid.partition("[")[0]
        if report.passed:
            outcome = ("ok", test)
        elif report.skipped and isinstance(report.longrepr, tuple):
            outcome = ("not run", report.longrepr[2].removeprefix("Skipped: "))
        else:
            outcome = ("FAILED", report.nodeid)
        for name, number in report.user_properties:
            if name == "case":
                self._outcomes.setdefault(int(str(number)), []).append(outcome)

    def pytest_terminal_summary(self, terminalreporter: Any, config: pytest.Config) -> None:
        """Each case by its number, when this suite is what was asked for."""
        asked = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
        if not any(path == self._folder or self._folder in path.parents for path in asked):
            return
        terminalreporter.section(f"the cases, at {self._url or 'a localnet of our own'}")
        for number, title in TITLES.items():
            word, notes = verdict(number, self._outcomes.get(number, []))
            terminalreporter.write_line(f"case {number:2}  {word:<8} {title}")
            for note in notes:
                terminalreporter.write_line(f"{'':18}{note}")


def verdict(number: int, outcomes: list[tuple[str, str]]) -> tuple[str, list[str]]:
    """What became of a case: `ok`, `FAILED`, `not run` or `in part`, and what there is to say of it."""
    part, test = ELSEWHERE.get(number, ("", ""))
    notes = [f"not seen by a client: {part}; for creamtea's own: {test}"] if part else []
    if ("ok", test) in outcomes and part:
        notes = [f"not seen by a client: {part}; shown by {test}"]
    found = {word: list(dict.fromkeys(why for one, why in outcomes if one == word)) for word, _ in outcomes}
    if "FAILED" in found:
        return "FAILED", found["FAILED"] + notes
    if "not run" in found:
        return "in part" if "ok" in found else "not run", found["not run"] + notes
    return ("ok", notes) if found else ("not run", notes or ["not asked for"])
