"""The list of the cases is whole, and what is said to be shown elsewhere is."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.conformance.sms.cases import ELSEWHERE, TITLES

ROOT = Path(__file__).parents[3]


def functions(path: Path) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_case_has_a_test_here_or_elsewhere() -> None:
    assert list(TITLES) == list(range(1, 64))
    marked = {
        number.value
        for path in Path(__file__).parent.glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "case"
        for number in node.args
        if isinstance(number, ast.Constant)
    }
    assert marked | set(ELSEWHERE) == set(TITLES)


def test_what_is_shown_elsewhere_is_there() -> None:
    for _, test in ELSEWHERE.values():
        path, _, name = test.partition("::")
        assert name in functions(ROOT / path), test
