"""PROMISES.md names tests that exist, and one for each promise."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "tests" / "PROMISES.md"
COUNTS = {"J": 6, "S": 4, "L": 3, "W": 3, "U": 4, "P": 4, "A": 4, "K": 3, "C": 2}
LINES = [f"{letter}{number}" for letter, count in COUNTS.items() for number in range(1, count + 1)]


def named(page: str) -> Iterator[tuple[str, str]]:
    """File and name of each test; one without a file is in the last one that its row names."""
    for row in page.splitlines():
        file = ""
        for found, test in re.findall(r"`(tests/[\w/]+\.py)?::(\w+)`", row):
            file = found or file
            yield file, test


def missing(page: str) -> list[tuple[str, str]]:
    """Tests that are named, and are not there."""
    there: dict[str, set[str]] = {}
    for file in {file for file, _ in named(page)}:
        tree = ast.parse((ROOT / file).read_text()) if (ROOT / file).is_file() else ast.parse("")
        names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        names |= {target.id for node in ast.walk(tree) if isinstance(node, ast.Assign)
                  for target in node.targets if isinstance(target, ast.Name)}  # fmt: skip
        there[file] = names
    return [(file, test) for file, test in named(page) if test not in there[file]]


def test_every_test_that_is_named_is_there() -> None:
    page = PAGE.read_text()
    assert len(set(named(page))) > 90
    assert missing(page) == []


@pytest.mark.parametrize("promise", LINES)
def test_every_promise_has_a_test(promise: str) -> None:
    (row,) = [row for row in PAGE.read_text().splitlines() if row.startswith(f"| {promise} ")]
    assert list(named(row))


def test_a_test_that_went_would_be_missed() -> None:
    row = "| `tests/test_promises.py::test_every_promise_has_a_test`, `::test_gone`"
    assert missing(f"{row}, `tests/gone.py::test_x` |") == [
        ("tests/test_promises.py", "test_gone"), ("tests/gone.py", "test_x")]  # fmt: skip
